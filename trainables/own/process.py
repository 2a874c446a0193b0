"""A command that belongs to its trial: it can be stopped for a while, what it prints is read at once, and all of its
processes end with it."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

SUPERVISOR = Path(__file__).with_name("supervise.py")
KEPT_BYTES = 2 * 2**20  # of a command's output, in two files
_LINES = 40  # of each stream, for errors
_LONGEST = 4000  # bytes of a line
_CHUNK = 65536
_STOP_SECONDS = 5.0  # one that waits for a disk stops when that has answered
_AFTER_GRACE = 20.0  # seconds that killed processes may take to be gone
_KILLED = 137  # what is told of a command whose supervisor was killed


class Output:
    """What a command prints, on disk: the newest part of it, in `output.txt` and the older `output.1.txt`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._older = folder / "output.txt", folder / "output.1.txt"
        self._file = self._path.open("a", encoding="utf-8", errors="replace")
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Append a line."""
        with self._lock, suppress(OSError, ValueError):  # a full disk costs the log, not the trial
            if self._file.tell() > KEPT_BYTES // 2:
                self._file.close()
                self._path.replace(self._older)
                self._file = self._path.open("w", encoding="utf-8", errors="replace")
            self._file.write(line)
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with self._lock, suppress(OSError):
            self._file.close()


@dataclass(frozen=True)
class Ends:
    """The ends of a running command that whoever has them owns it by: when they are closed, it is killed."""

    control: socket.socket
    out: int
    """File number of what it prints."""
    err: int
    pid: int
    """Of its supervisor."""
    grace: float
    """Seconds from SIGTERM to SIGKILL."""
    rests: tuple[bytes, ...] = (b"", b"")
    """What was read of a line of either stream that had no end yet."""
    child: subprocess.Popen[bytes] | None = None
    """The supervisor, where this process has started it."""

    def close(self) -> None:
        """Let go of it."""
        self.control.close()
        for fd in (self.out, self.err):
            with suppress(OSError):
                os.close(fd)


def environment() -> dict[str, str]:
    """The variables that every command is given beside those of this process."""
    return {
        "PYTHONUNBUFFERED": "1",  # lines are read when they are printed
        "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0"),  # sets keep their order in the next process
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",  # `python` is this one
    }


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a command's control; the second one is closed here when it has been given away."""
    mine, given = socket.socketpair()
    try:
        yield mine, given
    except BaseException:
        mine.close()
        raise
    finally:
        given.close()


def start(words: Sequence[str], folder: Path, environment: Mapping[str, str], grace: float) -> Ends:
    """Start a command in `folder` that ends with this process."""
    with pair() as (mine, given):
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", str(SUPERVISOR), str(given.fileno()), str(grace), *words],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[given.fileno()],
            start_new_session=True,
        )
        assert child.stdout is not None
        assert child.stderr is not None
        out, err = os.dup(child.stdout.fileno()), os.dup(child.stderr.fileno())
        child.stdout.close()
        child.stderr.close()
        return Ends(mine, out, err, child.pid, grace, child=child)


class Process:
    """A running command."""

    def __init__(self, ends: Ends, output: Output, heard: Callable[[str], None], stopped: bool = False) -> None:
        """`heard` is called with each line of its standard output, in a thread; `stopped`: it has been held."""
        self._ends, self._stopped = ends, stopped
        self._code: int | None = None
        self.errors: deque[str] = deque(maxlen=_LINES)
        self._readers = [
            _Reader(ends.out, ends.rests[0], output, heard),
            _Reader(ends.err, ends.rests[1], output, self.errors.append),
        ]

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs. All that it printed has been read when there is one."""
        if self._code is None and self._told(0):
            for reader in self._readers:
                reader.join(_AFTER_GRACE)
        return self._code

    @property
    def over(self) -> bool:
        """Whether its exit code is known already."""
        return self._code is not None

    def pids(self) -> list[int]:
        """Its processes, the supervisor left out."""
        with suppress(psutil.Error):
            return [child.pid for child in psutil.Process(self._ends.pid).children(recursive=True)]
        return []

    def stop(self) -> None:
        """Hold all of its processes, in the middle of whatever they do; returns when none moves any more."""
        if self._stopped:
            return
        self._stopped = True
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:  # again for those that were started meanwhile
            self._send(signal.SIGSTOP)
            if all(map(_stands, self.pids())):
                return
            time.sleep(0.002)

    def go_on(self) -> None:
        """Let them go on."""
        if self._stopped:
            self._stopped = False
            self._send(signal.SIGCONT)

    def given(self) -> Ends:
        """Its ends, for whoever holds it from now on: it is stopped, and what it has printed so far has been read."""
        self.stop()
        return replace(self._ends, rests=tuple(reader.end() for reader in self._readers), child=None)

    def end(self) -> None:
        """SIGTERM, after the grace SIGKILL; returns when all of its processes are gone."""
        ends = self._ends
        with suppress(OSError):
            ends.control.send(b"end\n")
        if self._code is None and not self._told(ends.grace + _AFTER_GRACE):
            with suppress(OSError):
                ends.control.shutdown(socket.SHUT_WR)
            if not self._told(_AFTER_GRACE):
                raise RuntimeError(f"the command's processes can't be ended: {self.pids()}")
        for reader in self._readers:
            reader.join(1.0)
            reader.end()
        ends.close()

    def _told(self, seconds: float) -> bool:
        """Whether the supervisor has told the exit code, after at most so many seconds."""
        control = self._ends.control
        if not _ready([control.fileno()], seconds):
            return False
        try:
            told = control.recv(100).strip()
        except OSError:
            told = b""
        self._code = int(told) if told else _KILLED
        if self._ends.child is not None:
            self._ends.child.wait(_AFTER_GRACE)
        return True

    def _send(self, number: int) -> None:
        for pid in self.pids():
            with suppress(OSError):
                os.kill(pid, number)


class _Reader:
    """Reads one stream in a thread, line by line."""

    def __init__(self, fd: int, rest: bytes, output: Output, heard: Callable[[str], None]) -> None:
        self._fd, self._rest, self._output, self._heard = fd, rest, output, heard
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._read, daemon=True, name="output")
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait until all has been read."""
        self._thread.join(seconds)

    def end(self) -> bytes:
        """Read what is there, and no more; what has no end yet of the last line."""
        if self._waker >= 0:
            os.close(self._waker)
            self._waker = -1
        self._thread.join(_AFTER_GRACE)
        return self._rest

    def _read(self) -> None:
        while self._fd in _ready([self._fd, self._wake], None):  # first: whoever ends this wants what is there
            content = os.read(self._fd, _CHUNK)
            if not content:
                if self._rest:
                    self._tell(self._rest)
                    self._rest = b""
                break
            self._take(content)
        os.close(self._wake)

    def _take(self, content: bytes) -> None:
        *lines, rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._tell(line)
        while len(rest) > _LONGEST:
            self._tell(rest[:_LONGEST])
            rest = rest[_LONGEST:]
        self._rest = rest

    def _tell(self, line: bytes) -> None:
        for begin in range(0, max(1, len(line)), _LONGEST):
            text = line[begin : begin + _LONGEST].decode("utf-8", "replace").rstrip("\r")
            self._output.write(text + "\n")
            self._heard(text.rpartition("\r")[2])


def _ready(fds: Sequence[int], seconds: float | None) -> list[int]:
    """The files of which something can be read, or that have ended, within so many seconds; None: waits."""
    waiting = select.poll()  # select.select takes no number from 1024 on, and a worker may have them
    for fd in fds:
        waiting.register(fd, select.POLLIN)
    return [fd for fd, _ in waiting.poll(None if seconds is None else max(0.0, seconds) * 1000)]


def _stands(pid: int) -> bool:
    try:
        status = psutil.Process(pid).status()
    except psutil.Error:
        return True
    return status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
