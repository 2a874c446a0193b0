"""Files in which each metric is kept on its own, read as they grow: TensorBoard's event files, without TensorBoard and
scalars only, and MLflow's.

An event file is a sequence of records: length (8 bytes, little-endian), its checksum (4), an Event, its checksum (4).
Of the Event message (tensorflow/core/util/event.proto) the fields step (2) and summary (5) count; of a summary's values
(summary.proto) tag (1), simple_value (2) and tensor (8: dtype 1, content 4, float_val 5).
"""

import struct
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from trainables.own.readings import Names, Rows, Source, since, whole_lines

_HEAD, _TAIL = 12, 4

Scalar = tuple[int, str, float]
"""Step, tag and value."""


class TaggedFiles(Source):
    """All files of a kind below a folder, in which each metric is kept on its own."""

    _PATTERN: ClassVar[str]

    def __init__(self, folder: Path, names: Names) -> None:
        self._folder, self._names = folder, names
        self._offsets: dict[Path, int] = {}
        self._tags: dict[str, None] = {}

    @abstractmethod
    def _parsed(self, path: Path, content: bytes) -> tuple[int, Iterable[Scalar]]:
        """How many bytes of what is new in a file are whole, and what they hold."""

    def read(self) -> Rows:
        """What is complete since."""
        found: Rows = {}
        for path in sorted(self._folder.glob(self._PATTERN)):
            offset = self._offsets.get(path, 0)
            try:
                taken, scalars = self._parsed(path, since(path, offset))
            except OSError:
                continue
            self._offsets[path] = offset + taken
            for step, tag, value in scalars:
                self._tags[tag] = None
                found.setdefault(self._names.units(step), {})[self._names.ours(tag)] = value
        return found


class EventFiles(TaggedFiles):
    """TensorBoard's event files."""

    _PATTERN = "**/*tfevents*"

    def _parsed(self, path: Path, content: bytes) -> tuple[int, Iterable[Scalar]]:  # noqa: ARG002
        return _records(content)

    def seen(self) -> str:
        """The tags, or that there is no file."""
        if not self._offsets:
            return f"there is no event file in {self._folder}"
        return f"the event files have the tags {', '.join(self._tags) or '(none)'}"


class MlflowFiles(TaggedFiles):
    """MLflow's own files of the runs that a script makes with it, given MLFLOW_TRACKING_URI, read without MLflow: each
    metric is a file `<experiment>/<run>/metrics/<name>` with lines of time, value and step."""

    _PATTERN = "*/*/metrics/**/*"

    def _parsed(self, path: Path, content: bytes) -> tuple[int, Iterable[Scalar]]:
        whole = whole_lines(content)
        lines = [line.split() for line in whole.decode("utf-8", "replace").splitlines()]
        return len(whole), [(int(parts[2]), _metric(path), float(parts[1])) for parts in lines if len(parts) >= 3]

    def seen(self) -> str:
        """The metrics, or that there is no run."""
        names = sorted(set(map(_metric, self._offsets)))
        if not names:
            return f"no MLflow run was made in {self._folder}: does the script set a tracking URI of its own?"
        return f"its MLflow run has {', '.join(names)}"


def _metric(path: Path) -> str:
    return path.as_posix().partition("/metrics/")[2]


def _records(content: bytes) -> tuple[int, list[Scalar]]:
    """How many bytes the whole records take that `content` begins with, and their scalars."""
    found: list[Scalar] = []
    at = 0
    while at + _HEAD <= len(content):
        end = at + _HEAD + struct.unpack_from("<Q", content, at)[0]
        if end + _TAIL > len(content):
            break
        found += _scalars(content[at + _HEAD : end])
        at = end + _TAIL
    return at, found


def _scalars(event: bytes) -> Iterator[Scalar]:
    fields = list(_fields(event))
    step = next((value for field, value in reversed(fields) if field == 2 and isinstance(value, int)), 0)
    for summary in (value for field, value in fields if field == 5 and isinstance(value, bytes)):
        for field, item in _fields(summary):
            if field == 1 and isinstance(item, bytes):
                tag, number = _value(item)
                if number is not None:
                    yield step, tag, number


def _value(item: bytes) -> tuple[str, float | None]:
    fields = dict(_fields(item))
    tag, number, tensor = fields.get(1), fields.get(2), fields.get(8)
    if isinstance(tensor, bytes):
        number = _tensor(tensor)
    name = tag.decode("utf-8", "replace") if isinstance(tag, bytes) else ""
    return name, number if isinstance(number, float) else None


def _tensor(tensor: bytes) -> float | None:
    match dict(_fields(tensor)):  # of DataType, 1 is float and 2 double
        case {5: float(listed)}:
            return listed
        case {5: bytes(listed)}:
            return float(struct.unpack("<f", listed[:4])[0])
        case {1: 1, 4: bytes(content)} if len(content) == 4:
            return float(struct.unpack("<f", content)[0])
        case {1: 2, 4: bytes(content)} if len(content) == 8:
            return float(struct.unpack("<d", content)[0])
        case _:
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
