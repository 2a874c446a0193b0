"""The search's memory: an append-only file of events, one line each, that survives any crash.

A line is `<checksum, 8 hex digits> <JSON>`; `cut -c10- journal.jsonl | jq` reads it. The records are numbered from 1
(`n`), and each checksum goes on from the one before it (crc32), so that a record that is missing, repeated, moved or of
another search is known. Journals of earlier versions, whose records have no number and a checksum of their own each,
are read and gone on with: what is appended is chained to all that stands there.

Every record reaches the operating system before the search acts on it, so killing the process loses nothing; a batch
reaches the disk within a second, which bounds what a power cut can take. What has reached the disk is written down
beside the journal (`head_of`): by it an older copy is known.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from search.history.chain import End, fields_of, parse
from search.history.events import Event, Phase
from spaces.problems import BadInput
from trainables.storage import when_there_is_room

FSYNC_SECONDS = 1.0
TAIL = 4096  # bytes that hold a short record at the end, whole


class Journal:
    """Opened for appending by the one process that owns the search."""

    def __init__(
        self,
        path: Path,
        end: End | None = None,
        say: Callable[[str], None] = lambda _: None,
        first: Callable[[bytes], None] | None = None,
    ) -> None:
        """Append to `path`; cut it to `end` before (what `read` found intact, which is looked for if it isn't given).
        `say` hears of a full disk. `first` is given each record before it is written here. Raises BadInput for a
        damaged journal.
        """
        self._say, self._first, self._path = say, first, path
        self._end = end if end is not None else read(path)[1] if path.exists() else End()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.ftruncate(self._file, self._end.size)
        self._head = head_of(path)
        self._synced = time.monotonic()

    @property
    def in_place(self) -> bool:
        """Whether its path still leads to the file that is written: nobody has moved, deleted or replaced it."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file))
        except OSError:
            return False

    def put_back(self) -> None:
        """Write at its path once more what the file holds, which may have no name any more. Raises OSError where the
        folder is gone, and on systems other than Linux.
        """
        content = Path(f"/proc/self/fd/{self._file}").read_bytes()
        partial = self._path.with_name(f".{self._path.name}.partial")
        partial.write_bytes(content)
        partial.replace(self._path)

    def append(self, event: Event) -> None:
        """Write one record; waits while the disk is full. Raises OSError (storage gone)."""
        data = self._end.line(event)
        if self._first is not None:
            self._first(data)
        when_there_is_room(lambda: self._write(data), self._say)
        self._end = self._end.after(data)
        if time.monotonic() - self._synced > FSYNC_SECONDS:
            self._sync()

    def _write(self, data: bytes) -> None:
        """Write `data` whole or not at all."""
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            os.ftruncate(self._file, self._end.size)
            raise

    def _sync(self) -> None:
        """Bring everything to the disk, and only then say so beside it: what is said there is never more than that."""
        when_there_is_room(lambda: os.fsync(self._file), self._say)
        with suppress(OSError):  # it guards against a mistake, and is not worth a search
            self._head.write_text(f"{self._end.records:010d} {self._end.checksum:08x}\n", encoding="ascii")
        self._synced = time.monotonic()

    def close(self) -> None:
        """Bring everything to the disk."""
        self._sync()
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read(path: Path) -> tuple[list[Event], End]:
    """What the journal `path` holds, as `search.history.chain.parse` does."""
    return parse(path.read_bytes(), str(path))


def begun(path: Path) -> bool:
    """Whether the journal holds anything."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return bool(parse(file.readline(), str(path))[0])


def is_done(path: Path) -> bool:
    """Whether the last record of the journal `path` says that the search is done; nothing before it is looked at."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        *_, last = [b"", *file.read().splitlines(keepends=True)]
    record = fields_of(last) or {}
    return (record.get("event"), record.get("name")) == (Phase.__name__, "done")


def head_of(path: Path) -> Path:
    """The file beside the journal `path` that says how much of it has reached the disk."""
    return path.with_name(f".{path.name}.head")


def check_head(path: Path, end: End) -> None:
    """Raise BadInput where the journal `path`, intact up to `end`, is not what this search has last written there."""
    head = head_of(path)
    try:
        records, checksum = head.read_text(encoding="ascii").split()
        known, expected = int(records), int(checksum, 16)
    except (OSError, ValueError):
        return  # a search of an earlier version, or a folder that was copied without it
    lines = path.read_bytes()[: end.size].splitlines(keepends=True) if path.exists() else []
    torn = path.exists() and path.stat().st_size > end.size
    if known > len(lines) + torn:
        what = f"ends at record {len(lines)}, but this search has written {known}: it is an older copy. Put the newest "
        what += f"one back; or, to go on from this one and do the rest again, delete {head}"
        raise BadInput.of(str(path), what)
    here = End()
    for line in lines[:known]:
        here = here.after(line)
    if known <= len(lines) and here.checksum != expected:
        what = f"is not the journal that this search has written. Put that one back; or, if it is, delete {head}"
        raise BadInput.of(str(path), what)
