"""What a command prints, in a way that can't end or delay its work.

A reader that is gone (`| head -1`, a dropped connection), a full disk behind `>`, a reader that no longer reads, an
encoding without the character at hand: training goes on, and what the screen does not take goes to a file.
"""

import contextlib
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import TextIO

WAITING = 1 << 20  # characters that a reader may be behind before the screen counts as lost
FAREWELL_SECONDS = 2.0  # that the end of a command waits for a slow reader
LOG = "screen.txt"


class Screen:
    """A text stream on top of another one. Writing never raises and never waits."""

    def __init__(self, stream: TextIO, waiting: int = WAITING) -> None:
        """`stream`: the one to print to. `waiting`: characters that it may be behind."""
        self._stream, self._limit = stream, waiting
        self._queue: deque[str] = deque()
        self._behind = 0
        self._written = threading.Condition(threading.RLock())
        self.lost = False
        """Whether the stream takes nothing any more."""
        self._log: Path | None = None
        self._kept: list[str] = []
        """What neither the stream nor the log has taken so far."""
        self._fd = _descriptor(stream)
        if self._fd is not None:
            threading.Thread(target=self._pump, daemon=True, name="screen").start()

    @property
    def encoding(self) -> str:
        """Of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The stream's file descriptor. Raises OSError where it has none."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Print `text`, some time soon; where the stream is lost, write it to the log."""
        with self._written:
            if not self.lost and self._behind + len(text) > self._limit:
                self._lose()
            if self.lost:
                self._note(text)
            elif self._fd is None:
                self._print(text)
            else:
                self._behind += len(text)
                self._queue.append(text)
                self._written.notify_all()
        return len(text)

    def flush(self) -> None:
        """Nothing: text is printed as soon as the stream takes it."""

    def keep_in(self, folder: Path) -> None:
        """Write what the stream does not take to `LOG` in `folder`, from now on and what there was before."""
        with self._written:
            self._log = folder / LOG
            if self._kept:
                self._note("")

    def drain(self, seconds: float = FAREWELL_SECONDS) -> None:
        """Wait until all is printed, while the stream takes something at least every so many `seconds`."""
        with self._written:
            until, before = time.monotonic() + seconds, self._behind
            self._note("") if self.lost else None
            while self._behind and not self.lost and time.monotonic() < until:
                self._written.wait(0.1)
                if self._behind < before:
                    until, before = time.monotonic() + seconds, self._behind

    def _pump(self) -> None:
        """Print what waits. By the file descriptor: a thread that hangs in a Python stream would hold its lock, which
        the interpreter needs at its end.
        """
        while True:
            with self._written:
                self._written.wait_for(lambda: self._queue or self.lost)
                if self.lost:
                    return
                text = self._queue.popleft()
            self._print(text)
            with self._written:
                self._behind -= len(text)
                self._written.notify_all()

    def _print(self, text: str) -> None:
        try:
            if self._fd is None:
                encoded = text.encode(self.encoding, "replace")
                self._stream.write(encoded.decode(self.encoding, "replace"))
                self._stream.flush()
                return
            data = text.encode(self.encoding, "replace")
            while data:
                data = data[os.write(self._fd, data) :]
        except (OSError, ValueError):  # ValueError: the stream is closed
            _silence(self._fd)
            with self._written:
                self._queue.appendleft(text)
                self._lose()

    def _lose(self) -> None:
        """Give the stream up: what waits for it goes to the log, before all that follows. The caller holds the lock."""
        self.lost = True
        waiting = "".join(self._queue)
        self._queue.clear()
        self._note(waiting)
        self._written.notify_all()

    def _note(self, text: str) -> None:
        """Write to the log what it has not got yet; the caller holds the lock."""
        self._kept.append(text)
        if self._log is None:
            return
        with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8", errors="replace") as file:
            file.write("".join(self._kept))
            self._kept.clear()
        del self._kept[:-1000]  # there may be no folder any more


def _descriptor(stream: TextIO) -> int | None:
    """The stream's own file descriptor; None for one in memory."""
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def _silence(descriptor: int | None) -> None:
    """Let what others still print there go nowhere: the interpreter would end with an error of its own."""
    if descriptor is not None:
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
