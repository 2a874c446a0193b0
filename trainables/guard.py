"""What keeps a trial's trouble to itself: none hangs for ever, eats the machine's memory or leaves processes behind.

A worker is its own process group, so that whatever a trial starts can be found and ended even when the worker itself
is gone; it signs each trial that it takes up (`worker.json` in the trial's folder) and takes the signature back when it
leaves the trial in order. What it could not say any more stands in the trial's folder, too: see `last_words`.
"""

import faulthandler
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

SIGNATURE, HANG, MEMORY = "worker.json", "hang.txt", "memory.txt"
SAMPLE_SECONDS = 0.2  # between two looks at the memory in use
GONE_SECONDS = 20.0  # how long a killed process may take to end: a large one frees its memory for seconds
GIB = 2**30

ADVICE = "lower the batch size or the network's size, or give each trial more"


class Guard:
    """Watches over one trial in this process; a context for as long as the worker has the trial."""

    def __init__(
        self, folder: Path, sitting: str = "", timeout: float | None = None, memory: int | None = None
    ) -> None:
        """`sitting`: whose worker this is. `timeout`: seconds that one `watch` may take. `memory`: bytes that the
        process and its children may hold.
        """
        self._folder, self._sitting, self._timeout, self._memory = folder, sitting, timeout, memory
        self._over = threading.Event()
        self.also: Callable[[], Iterable[int]] = tuple
        """The numbers of processes that belong to the trial, too, though this one has not started them."""

    def __enter__(self) -> Self:
        """Sign the trial; from here on its memory is watched. Raises RuntimeError where an earlier worker lives on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        dismiss(self._folder, self._sitting)
        me = psutil.Process()
        signature = {
            "host": socket.gethostname(),
            "pid": me.pid,
            "began": me.create_time(),
            "sitting": self._sitting,
        }
        (self._folder / SIGNATURE).write_text(json.dumps(signature), encoding="utf-8")
        if self._memory is not None:
            threading.Thread(target=self._weigh, args=(self._memory,), name="memory", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        signed = _signature(self._folder)
        if signed is not None and (signed["host"], signed["pid"]) == (socket.gethostname(), os.getpid()):
            (self._folder / SIGNATURE).unlink(missing_ok=True)

    @contextmanager
    def watch(self, least: float = 0.0) -> Iterator[None]:
        """What happens in here ends within the timeout, `least` seconds at least, or the process writes down where it
        stood and exits.

        The clock runs in a thread of the C library: it works even where the trial never lets go of the interpreter.
        """
        if self._timeout is None:
            yield
            return
        path = self._folder / HANG
        with path.open("w", encoding="utf-8") as file:
            faulthandler.dump_traceback_later(max(self._timeout, least), exit=True, file=file)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
                path.unlink(missing_ok=True)

    def _weigh(self, limit: int) -> None:
        me = psutil.Process()
        while not self._over.wait(SAMPLE_SECONDS):
            held = 0
            pids = {me.pid, *(child.pid for child in me.children(recursive=True)), *self.also()}
            for pid in pids:
                with suppress(psutil.Error):
                    held += psutil.Process(pid).memory_info().rss
            if held > limit:
                text = f"held {held / GIB:.2f} GiB, more than resources.memory, {limit / GIB:.2f} GiB: {ADVICE}"
                (self._folder / MEMORY).write_text(text, encoding="utf-8")
                if os.getpgid(0) == os.getpid():
                    os.killpg(0, signal.SIGKILL)
                os._exit(137)


def lead_group() -> None:
    """Make this process the leader of a process group: what it starts can be ended with it."""
    with suppress(OSError):  # it leads a session already
        os.setpgid(0, 0)


def last_words(folder: Path) -> tuple[str, str] | None:
    """Why a worker ended itself in the trial of `folder`, as (reason, detail); None where it didn't. Said once: the
    files are removed.
    """
    memory, hang = folder / MEMORY, folder / HANG
    with suppress(OSError):
        text = memory.read_text(encoding="utf-8")
        memory.unlink()
        return f"out of memory: the trial {text}", ""
    with suppress(OSError):
        stacks = hang.read_text(encoding="utf-8", errors="replace")
        hang.unlink()
        if stacks:
            limit = stacks.partition("(")[2].partition(")")[0]  # "Timeout (0:30:00)!"
            what = f"no report within trial_timeout, {limit}: it hangs, or takes longer"
            return f"{what}; the stacks at that moment are in error.txt", stacks
    return None


def out_of_memory(error: BaseException) -> str | None:
    """What to tell people about an error that says that memory ran out, on the host or on a GPU; None for others."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        where = "GPU memory" if "CUDA" in str(error) else "memory"
        return f"out of {where}: {ADVICE}"
    return None


def dismiss(folder: Path, sitting: str = "") -> None:
    """End the worker that has signed the trial of `folder` on this machine, and all that it started: one that died, or
    one of another sitting that has not noticed its end yet. Returns when they are gone, and their memory with them.

    A living one of the same sitting is left to Ray: it was getting ready when Ray gave its trial to an idle worker.
    Raises RuntimeError for one that can't be ended: two workers must not train the same trial.
    """
    signed = _signature(folder)
    if signed is None or signed["host"] != socket.gethostname() or signed["pid"] == os.getpid():
        return
    if sitting and signed.get("sitting") == sitting and _lives(int(signed["pid"])):
        return
    leader, began = int(signed["pid"]), float(signed["began"])
    deadline = time.monotonic() + GONE_SECONDS
    while left := _group(leader, began):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the worker that trained this trial before can't be ended: {left[0]}")
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(0.02)
    (folder / SIGNATURE).unlink(missing_ok=True)


def sweep(trials: Path) -> int:
    """End what dead workers of this machine left running; returns how many trials they had. `trials`: the folder of all
    trials. For a worker that starts, so that it finds the memory free.
    """
    swept = 0
    for file in trials.glob(f"*/{SIGNATURE}"):
        signed = _signature(file.parent)
        if signed is not None and signed["host"] == socket.gethostname() and not psutil.pid_exists(int(signed["pid"])):
            dismiss(file.parent)
            swept += 1
    return swept


def end_all(trials: Path) -> None:
    """End every worker of this machine that has a trial below `trials`, in the middle of whatever it does: each goes on
    from its checkpoint some day. Does not wait.
    """
    for file in trials.glob(f"*/{SIGNATURE}"):
        signed = _signature(file.parent)
        if signed is not None and signed["host"] == socket.gethostname():
            for process in _group(int(signed["pid"]), float(signed["began"])):
                with suppress(psutil.Error):
                    process.kill()


def _signature(folder: Path) -> dict[str, str | int | float] | None:
    try:
        content = json.loads((folder / SIGNATURE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # none, or one that was being written when its worker died: nothing had begun
    return content if isinstance(content, dict) and {"host", "pid", "began"} <= content.keys() else None


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _group(leader: int, began: float) -> list[psutil.Process]:
    """The processes of the group that `leader`, begun at `began` (unix seconds), has led; none where its number belongs
    to another process by now. A number is not given away while its group has a member.
    """
    with suppress(psutil.Error):
        now = psutil.Process(leader)
        if abs(now.create_time() - began) > 1 and now.status() != psutil.STATUS_ZOMBIE:
            return []
    found = []
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
