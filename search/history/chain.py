"""The lines of a journal: events as numbered records, each checksum going on from the one before it."""

import dataclasses
import json
import zlib
from dataclasses import dataclass
from typing import Any, get_args

from search.history import events
from search.history.events import Event
from spaces.problems import BadInput, cause

REMEDY = "put the newest intact journal.jsonl back from a backup, or begin anew with another --name"

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Event)}


@dataclass(frozen=True)
class End:
    """Where a journal ends: what its next record is chained to."""

    records: int = 0
    checksum: int = 0
    """Of all records up to here."""
    size: int = 0
    """Bytes."""
    numbered: bool = False
    """Whether its last record has a number: those of earlier versions have none."""

    def after(self, line: bytes) -> "End":
        """Where the journal ends with `line` appended."""
        body = _body(line)
        numbered = body.startswith(b'{"n":')
        return End(self.records + 1, zlib.crc32(body, self.checksum), self.size + len(line), numbered)

    def line(self, event: Event) -> bytes:
        """The record of `event`, to be appended here. Raises ValueError for numbers that JSON doesn't have."""
        fields = {name: getattr(event, name) for name in event.__dataclass_fields__}
        record = {"n": self.records + 1, "event": type(event).__name__, **fields}
        body = json.dumps(record, separators=(",", ":"), allow_nan=False, default=dataclasses.asdict).encode()
        return b"%08x %s\n" % (zlib.crc32(body, self.checksum), body)


def parse(content: bytes, where: str, end: End = End()) -> tuple[list[Event], End]:
    """The intact events in what a journal holds after `end`, and where they end; `where` it was found.

    A last line that a crash tore is left out. Raises BadInput, naming the line, for damage anywhere else and for
    records that are missing, repeated, moved or of another journal: going on would repeat or lose work.
    """
    found: list[Event] = []
    lines = content.splitlines(keepends=True)
    for index, line in enumerate(lines, 1):
        here = f"{where} line {end.records + 1}"
        fields = fields_of(line)
        if fields is None and index == len(lines):
            break  # torn
        if fields is None:
            raise BadInput.of(here, f"the record is damaged; {REMEDY}")
        wrong = _misplaced(fields, line, end)
        if wrong is not None or not _intact(fields, line, end):
            what = wrong or "the record is damaged, of another journal, or not what followed on those before it"
            raise BadInput.of(here, f"{what}; {REMEDY}")
        found.append(_event(fields, here))
        end = end.after(line)
    return found, end


def _body(line: bytes) -> bytes:
    return line.rstrip(b"\n")[9:]


def fields_of(line: bytes) -> dict[str, Any] | None:
    """What a record holds; None where it is damaged."""
    if not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    try:
        fields = json.loads(_body(line))
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _intact(fields: dict[str, Any], line: bytes, end: End) -> bool:
    return line[:8] == b"%08x" % zlib.crc32(_body(line), end.checksum if "n" in fields else 0)


def _misplaced(fields: dict[str, Any], line: bytes, end: End) -> str | None:
    """What shows that a record is not the one after `end`."""
    number, due = fields.get("n"), end.records + 1
    if number is None and end.numbered and _intact(fields, line, end):
        return f"a record without a number stands where {due} is due: two journals were joined"
    if not isinstance(number, int) or number == due:
        return None
    if number > due:
        return f"record {number} stands where {due} is due: records are missing before it, or it is damaged"
    return f"record {number} stands where {due} is due: it stands twice, two journals were joined, or it is damaged"


def _event(fields: dict[str, Any], where: str) -> Event:
    try:
        kind = _KINDS[fields["event"]]
        if kind is events.WarmStarted:
            fields |= {key: [_observed(each) for each in fields[key]] for key in ("observations", "first")}
        event: Event = _made(kind, fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{str(fields.get('event'))[:40]!r} is no event that this version reads ({cause(error)})"
        raise BadInput.of(where, f"{what}; a later version may have written it: go on with that one") from error
    return event


def _observed(fields: dict[str, Any]) -> events.Observed:
    made: events.Observed = _made(events.Observed, fields)
    return dataclasses.replace(made, reports=[(step, objective) for step, objective in made.reports])


def _made(kind: type[Any], fields: dict[str, Any]) -> Any:
    """A `kind`; keys that it does not know, of a later version, are passed over."""
    known = {field.name for field in dataclasses.fields(kind)}
    return kind(**{key: value for key, value in fields.items() if key in known})
