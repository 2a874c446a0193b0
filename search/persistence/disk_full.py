"""Tells people that workers wait for room on the disk: what they say themselves reaches only their logs."""

import time
from collections.abc import Callable
from pathlib import Path

from trainables import start
from trainables.layout import DISK_FULL
from trainables.storage import REMEDY

LOOK_SECONDS = 0.5


class DiskFull:
    """Called on every turn of the search's loop."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """`folder`: the search's. Nobody waits there yet: what a killed worker has left is removed."""
        self._folder, self._say = folder, say
        self._marks = (folder / DISK_FULL, folder / start.FOLDER / DISK_FULL)
        self._looked, self._waiting = time.monotonic(), False
        for mark in self._marks:
            mark.unlink(missing_ok=True)

    def __call__(self) -> None:
        """Say so once when the waiting begins, and once when it is over."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        waiting = any(mark.exists() for mark in self._marks)
        if waiting and not self._waiting:
            self._say(f"the disk is full ({self._folder}): trials wait; {REMEDY}")
        elif self._waiting and not waiting:
            self._say("there is space on the disk again: trials go on")
        self._waiting = waiting
