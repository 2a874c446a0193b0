"""A command that belongs to its trial: it can be stopped for a while, what it prints is read at once, and all of its
processes end with it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

_SUPERVISOR = Path(__file__).with_name("supervise.py")
KEPT_BYTES = 2 * 2**20  # of a command's output, in two files
_LINES = 40  # of each stream, for errors
_LONGEST = 4000  # characters of a line
_STOP_SECONDS = 5.0  # one that waits for a disk stops when that has answered
_AFTER_GRACE = 20.0  # seconds that killed processes may take to be gone


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


class Process:
    """A running command."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        output: Output,
        grace: float,
        heard: Callable[[str], None],
    ) -> None:
        """Start it in `folder`; `heard` is called with each line of its standard output, in a thread."""
        control, self._control = os.pipe()
        words = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(control), str(grace), *command]
        self._grace, self._output = grace, output
        self.errors: deque[str] = deque(maxlen=_LINES)
        self._popen = subprocess.Popen(  # noqa: S603
            words,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[control],
            start_new_session=True,
        )
        os.close(control)
        self._stopped = False
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self._readers = [
            self._reader(self._popen.stdout, heard),
            self._reader(self._popen.stderr, self.errors.append),
        ]

    def _reader(self, stream: IO[bytes], heard: Callable[[str], None]) -> threading.Thread:
        def read() -> None:
            for raw in iter(lambda: stream.readline(_LONGEST), b""):
                line = raw.decode("utf-8", "replace")
                self._output.write(line if line.endswith("\n") else line + "\n")
                heard(line.rstrip("\r\n").rpartition("\r")[2])
            stream.close()

        thread = threading.Thread(target=read, daemon=True, name="output")
        thread.start()
        return thread

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs. All that it printed has been read when there is one."""
        code = self._popen.poll()
        if code is not None:
            for reader in self._readers:
                reader.join(_AFTER_GRACE)
        return code

    def pids(self) -> list[int]:
        """Its processes, the supervisor left out."""
        with suppress(psutil.Error):
            return [child.pid for child in psutil.Process(self._popen.pid).children(recursive=True)]
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

    def end(self) -> None:
        """SIGTERM, after the grace SIGKILL; returns when all of its processes are gone."""
        if self._control >= 0:
            with suppress(OSError):
                os.write(self._control, b"end\n")
        deadline = time.monotonic() + self._grace + _AFTER_GRACE
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(deadline - time.monotonic())
        if self._control >= 0:
            os.close(self._control)
            self._control = -1
        if self._popen.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self._popen.wait(_AFTER_GRACE)
        if self._popen.poll() is None:
            raise RuntimeError(f"the command's processes can't be ended: {self.pids()}")
        for reader in self._readers:
            reader.join(1.0)

    def _send(self, number: int) -> None:
        for pid in self.pids():
            with suppress(OSError):
                os.kill(pid, number)


def _stands(pid: int) -> bool:
    try:
        status = psutil.Process(pid).status()
    except psutil.Error:
        return True
    return status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
