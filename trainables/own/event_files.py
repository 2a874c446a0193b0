"""TensorBoard's event files, read as they grow: scalars only, without TensorBoard.

A file is a sequence of records: length (8 bytes, little-endian), its checksum (4), an Event, its checksum (4). Of the
Event message (tensorflow/core/util/event.proto) the fields step (2) and summary (5) count; of a summary's values
(summary.proto) tag (1), simple_value (2) and tensor (8: dtype 1, content 4, float_val 5).
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_HEAD, _TAIL = 12, 4
_FLOAT, _DOUBLE = 1, 2  # of DataType

Named = Callable[[int, str, float], tuple[int, dict[str, float]]]


class EventFiles:
    """The scalars of all event files below a folder."""

    def __init__(self, folder: Path, named: Named, judged: Sequence[str]) -> None:
        self._folder, self._named, self._judged = folder, named, judged
        self._offsets: dict[Path, int] = {}
        self._tags: dict[str, None] = {}

    def read(self) -> dict[int, dict[str, float]]:
        """The scalars of the records that are complete since."""
        found: dict[int, dict[str, float]] = {}
        for path in sorted(self._folder.rglob("*tfevents*")):
            for step, tag, value in self._new(path):
                self._tags[tag] = None
                units, metrics = self._named(step, tag, value)
                found.setdefault(units, {}).update(metrics)
        return found

    def _new(self, path: Path) -> Iterator[tuple[int, str, float]]:
        try:
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                content = file.read()
        except OSError:
            return
        at = 0
        while at + _HEAD <= len(content):
            length = struct.unpack_from("<Q", content, at)[0]
            if at + _HEAD + length + _TAIL > len(content):
                break
            yield from _scalars(content[at + _HEAD : at + _HEAD + length])
            at += _HEAD + length + _TAIL
        self._offsets[path] = self._offsets.get(path, 0) + at

    def seen(self) -> str:
        """The tags, or that there is no file."""
        if not self._offsets:
            return f"there is no event file in {self._folder}"
        return f"the event files have the tags {', '.join(self._tags) or '(none)'}"

    def trouble(self) -> str | None:
        """Nothing shows before the end."""
        return None

    def files(self) -> list[Path]:
        """None: what is written later lies in files of its own."""
        return []


def _scalars(event: bytes) -> Iterator[tuple[int, str, float]]:
    step, summaries = 0, []
    for field, value in _fields(event):
        if field == 2 and isinstance(value, int):
            step = value
        elif field == 5 and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for field, item in _fields(summary):
            if field == 1 and isinstance(item, bytes):
                tag, number = _value(item)
                if number is not None:
                    yield step, tag, number


def _value(item: bytes) -> tuple[str, float | None]:
    tag, number = "", None
    for field, value in _fields(item):
        if field == 1 and isinstance(value, bytes):
            tag = value.decode("utf-8", "replace")
        elif field == 2 and isinstance(value, float):
            number = value
        elif field == 8 and isinstance(value, bytes):
            number = _tensor(value)
    return tag, number


def _tensor(tensor: bytes) -> float | None:
    kind, content, listed = 0, b"", None
    for field, value in _fields(tensor):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field == 4 and isinstance(value, bytes):
            content = value
        elif field == 5:
            listed = (
                value
                if isinstance(value, float)
                else struct.unpack("<f", value[:4])[0]
                if isinstance(value, bytes)
                else None
            )
    if listed is not None:
        return float(listed)
    if kind == _FLOAT and len(content) == 4:
        return float(struct.unpack("<f", content)[0])
    if kind == _DOUBLE and len(content) == 8:
        return float(struct.unpack("<d", content)[0])
    return None


def _fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """The fields of a protobuf message: numbers, 4-byte floats, and bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        match key & 7:
            case 0:
                value, at = _varint(message, at)
                yield key >> 3, value
            case 1:
                at += 8
            case 2:
                length, at = _varint(message, at)
                yield key >> 3, message[at : at + length]
                at += length
            case 5:
                yield key >> 3, float(struct.unpack_from("<f", message, at)[0])
                at += 4
            case _:
                return


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            break
    return value, at
