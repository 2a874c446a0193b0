"""Where a trial's files go: waiting while the disk is full, knowing the search's own folder, copies in a store."""

import errno
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from trainables.objects import Prefix

T = TypeVar("T")
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors that go away once there is space."""
REMEDY = "free some space; nothing is lost, the work goes on then"
RETRY_SECONDS = 1.0
LATE_SECONDS = 5.0


def when_there_is_room(
    write: Callable[[], T],
    say: Callable[[str], None],
    rest: Callable[[float], None] = time.sleep,
    mark: Path | None = None,
) -> T:
    """What `write` returns, tried again while the disk is full or the quota used up. `say` hears of the wait and of its
    end; `mark` is an empty file while it lasts, which takes no space, for a process that `say` doesn't reach.

    `write` must leave nothing half done when it raises. Raises what `write` raises for any other reason.
    """
    waiting = False
    while True:
        try:
            done = write()
        except OSError as error:
            if error.errno not in FULL:
                raise
            if not waiting:
                waiting = True
                where = f" ({error.filename})" if error.filename else ""
                say(f"the disk is full{where}: {REMEDY}")
                if mark is not None:
                    with suppress(OSError):
                        mark.touch()
            rest(RETRY_SECONDS)
        else:
            if waiting:
                if mark is not None:
                    mark.unlink(missing_ok=True)
                say("there is space on the disk again: going on")
            return done


class Unseen(RuntimeError):
    """A worker does not see the search's folder: it would train in one of its own, which nobody else finds."""


def check_seen(file: Path, content: str) -> None:
    """Raise Unseen where `file` is missing here or doesn't hold `content`. An empty `content` is not asked for.

    A network's folder may show a new file some seconds late: it is looked for that long.
    """
    until = time.monotonic() + LATE_SECONDS
    while content:
        with suppress(OSError):
            if file.read_text(encoding="utf-8") == content:
                return
        if time.monotonic() > until:
            what = "the search's folder is not the one that its driver has. Give a storage that every node sees"
            raise Unseen(f"{socket.gethostname()} does not see {file.parent}: {what}")
        time.sleep(RETRY_SECONDS / 4)


def upload(base: Path | str, folder: Path, store: Prefix) -> None:
    """Copy all files in `folder`, which lies below `base`, to `store` under the same names."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put(path.relative_to(base).as_posix(), path.read_bytes())


def download(store: Prefix, below: str, base: Path) -> None:
    """Copy all objects of `store` whose names begin with `below`/ into `base` under the same names."""
    for name in (store / below).sizes(recursive=True):
        content = (store / below).get(name)
        place = base / below / name
        if content is not None and place.resolve().is_relative_to(base.resolve()):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
