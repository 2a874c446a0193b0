"""A worker's side of `keep.py`: commands that stay in memory, stopped, while their trials are paused."""

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from trainables.own import keep
from trainables.own.process import SUPERVISOR, Ends, pair

LONELY = 10.0  # seconds without any worker: between the last one of a trial and the first of the next
_SHARE = 0.5  # of the node's memory, for all that is held
_CGROUP = Path("/sys/fs/cgroup/memory.max")


class Keeper:
    """The connection of one worker. The keeper lives while there is one."""

    def __init__(self, search: str, most: int) -> None:
        """Connect, and start the keeper if this is the first worker.

        Args:
            search: Tells this sitting at a search from all others on the machine.
            most: How many commands are held at most.

        """
        name = f"schedule-search-{hashlib.blake2b(search.encode(), digest_size=12).hexdigest()}"
        words = [sys.executable, "-I", "-S", keep.__file__, name, str(most), str(int(_SHARE * _memory())), str(LONELY)]
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(f"\0{name}")
        except ConnectionRefusedError:
            subprocess.run(  # noqa: S603
                words,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._socket.connect(f"\0{name}")

    def close(self) -> None:
        """Let go of the keeper."""
        self._socket.close()

    def start(self, words: Sequence[str], folder: Path, environment: Mapping[str, str], grace: float) -> Ends:
        """Start a command that doesn't end with this worker. Raises RuntimeError where it can't be started."""
        with pair() as (mine, given):
            out, err = os.pipe(), os.pipe()
            asked = {
                "ask": "start",
                "supervisor": str(SUPERVISOR),
                "words": [str(grace), *words],
                "folder": str(folder),
                "environment": dict(environment),
            }
            try:
                told, _ = self._asked(asked, [given.fileno(), out[1], err[1]])
            finally:
                os.close(out[1])
                os.close(err[1])
            if "pid" not in told:
                os.close(out[0])
                os.close(err[0])
                raise RuntimeError(f"{words[0]} can't be started: {told['error']}")
            return Ends(mine, out[0], err[0], int(told["pid"]), grace)

    def hold(self, key: str, ends: Ends, step: int, note: Mapping[str, Any], badness: float) -> list[str]:
        """Hold a stopped command until `take`; this worker has it no longer.

        Args:
            key: The trial's name.
            ends: What is held.
            step: Units that it has trained.
            note: What its run has read of it.
            badness: How bad its newest objective is: of two that are trained as far, the worse one is ended first.

        Returns:
            The keys of those that are ended for it; its own among them where there is no room for it.

        """
        note = {
            **note,
            "step": step,
            "gpus": _gpus(),
            "pid": ends.pid,
            "grace": ends.grace,
            "rests": [rest.decode("latin-1") for rest in ends.rests],
        }
        asked = {
            "ask": "hold",
            "key": key,
            "step": step,
            "badness": badness,
            "size": _size(ends.pid),
            "note": note,
        }
        told, _ = self._asked(asked, [ends.control.fileno(), ends.out, ends.err])
        ends.close()
        return list(told["ended"])

    def take(self, key: str, step: int) -> tuple[Ends, Mapping[str, Any]] | None:
        """The command of a trial that was held at `step`, and its note; None where it is held no longer."""
        told, fds = self._asked({"ask": "take", "key": key, "step": step, "gpus": _gpus()}, [])
        note = told["note"]
        if note is None:
            return None
        control, out, err = fds
        rests = tuple(rest.encode("latin-1") for rest in note["rests"])
        ends = Ends(socket.socket(fileno=control), out, err, int(note["pid"]), float(note["grace"]), rests)
        return ends, note

    def _asked(self, message: dict[str, Any], fds: list[int]) -> tuple[dict[str, Any], list[int]]:
        keep.send(self._socket, message, fds)
        got = keep.received(self._socket)
        if got is None:
            raise ConnectionResetError("the keeper of paused commands has ended")
        return got


def _gpus() -> str | None:
    """Which GPUs this worker has: a process keeps those that it began with."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def _size(pid: int) -> int:
    """Bytes that a process and its children hold; memory that they share counts for each."""
    held = 0
    with suppress(psutil.Error):
        for process in (parent := psutil.Process(pid), *parent.children(recursive=True)):
            with suppress(psutil.Error):
                held += process.memory_info().rss
    return held


def _memory() -> int:
    """Bytes of main memory that there are for this worker's container, or for its machine."""
    total = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):
        return min(total, int(_CGROUP.read_text(encoding="utf-8")))
    return total
