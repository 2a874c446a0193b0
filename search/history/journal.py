"""The search's memory: an append-only file of events, one line each, that survives any crash.

A line is `<crc32 of the rest, 8 hex digits> <JSON>`; `cut -c10- journal.jsonl | jq` reads it. Every record reaches
the operating system before the search acts on it, so killing the process loses nothing; a batch reaches the disk
within a second, which bounds what a power cut can take.
"""

import dataclasses
import json
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from search.history import events
from search.history.events import Event
from spaces.problems import BadInput
from trainables.storage import when_there_is_room

FSYNC_SECONDS = 1.0

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        events.WarmStarted,
        events.Proposed,
        events.Started,
        events.Reported,
        events.Paused,
        events.Promoted,
        events.Changed,
        events.Retried,
        events.Ended,
        events.Phase,
        events.Stopped,
    )
}


def _silent(text: str) -> None: ...


class Journal:
    """Opened for appending by the one process that owns the search."""

    def __init__(
        self,
        path: Path,
        keep: int | None = None,
        say: Callable[[str], None] = _silent,
        first: Callable[[bytes], None] | None = None,
    ) -> None:
        """Append to `path`; cut it to its first `keep` bytes before (what `read` found intact). `say` hears of a full
        disk. `first` is given each record before it is written here."""
        self._say, self._first = say, first
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if keep is not None:
            os.ftruncate(self._file, keep)
        self._synced = time.monotonic()

    def append(self, event: Event) -> None:
        """Write one record; waits while the disk is full. Raises OSError (storage gone)."""
        data = _line(event)
        if self._first is not None:
            self._first(data)
        when_there_is_room(lambda: self._write(data), self._say)

    def _write(self, data: bytes) -> None:
        """Write `data` whole or not at all."""
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
            now = time.monotonic()
            if now - self._synced > FSYNC_SECONDS:
                os.fsync(self._file)
                self._synced = now
        except OSError:
            os.ftruncate(self._file, before)
            raise

    def close(self) -> None:
        """Bring everything to the disk."""
        os.fsync(self._file)
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path) -> tuple[list[Event], int]:
    """All intact events and the number of bytes they fill.

    A last line that a crash tore is left out. Raises BadInput for damage anywhere else: going on from a journal
    with a hole would repeat or lose work.
    """
    return parse(path.read_bytes(), str(path))


def parse(content: bytes, where: str) -> tuple[list[Event], int]:
    """As `read`, of a journal's content; `where` it was found."""
    found: list[Event] = []
    good = 0
    lines = content.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        event = parse_line(line)
        if event is None and number == len(lines):
            break
        if event is None:
            raise BadInput.of(f"{where} line {number}", "the record is damaged; restore the file from a backup")
        found.append(event)
        good += len(line)
    return found, good


def _line(event: Event) -> bytes:
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__}
    record = {"event": type(event).__name__, **fields}
    body = json.dumps(record, separators=(",", ":"), allow_nan=False, default=dataclasses.asdict).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def parse_line(line: bytes) -> Event | None:
    """The event in a line of a journal; None for one that is damaged."""
    head, _, body = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or head != b"%08x" % zlib.crc32(body):
        return None
    fields = json.loads(body)
    kind = _KINDS[fields.pop("event")]
    if kind is events.WarmStarted:
        fields |= {key: [_observed(each) for each in fields[key]] for key in ("observations", "first")}
    event: Event = _made(kind, fields)
    return event


def begun(path: Path) -> bool:
    """Whether the journal holds anything."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return parse_line(file.readline()) is not None


def _observed(fields: dict[str, Any]) -> events.Observed:
    made: events.Observed = _made(events.Observed, fields)
    return dataclasses.replace(made, reports=[(step, objective) for step, objective in made.reports])


def _made(kind: type[Any], fields: dict[str, Any]) -> Any:
    """A `kind`; keys that it does not know, of a later version, are passed over."""
    known = {field.name for field in dataclasses.fields(kind)}
    return kind(**{key: value for key, value in fields.items() if key in known})
