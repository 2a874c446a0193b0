"""Where a command's metrics are read while it runs: its files, or what it prints."""

import csv
import difflib
import io
import json
import re
import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from spaces.problems import nearest
from trainables.own.declaration import Declaration

Rows = dict[int, dict[str, float]]
"""Metrics by the units that were trained then."""
_NOT_ONE = 500  # lines without a match after which nothing is waited for any more
_MANY = 3  # lines that are shown


class Source(Protocol):
    """Where metrics come from. Everything is read once, as it is written."""

    def read(self) -> Rows:
        """What is new since the last call: metrics by step, of a step perhaps a part."""

    def seen(self) -> str:
        """What there was to read, for people who look for the cause that nothing came of it."""

    def trouble(self) -> str | None:
        """What shows already that nothing will come of it, if something does."""
        return None

    def files(self) -> list[Path]:
        """Files that the script goes on writing when it resumes: they belong to its checkpoint."""
        return []

    def heard(self, line: str) -> None:  # noqa: ARG002 - for those that listen
        """Take a line of standard output; called in the thread that reads it."""
        return


class Names:
    """From a script's names to ours, and from its count to units trained."""

    def __init__(self, declared: Declaration) -> None:
        assert declared.metrics is not None
        self.counter = declared.counter
        self._first = declared.metrics.first
        self._ours = {theirs: ours for ours, theirs in declared.metrics.names.items()}
        self.theirs = [declared.metrics.names.get(name, name) for name in declared.judged]

    def of_row(self, row: Mapping[str, Any]) -> tuple[int, dict[str, float]] | None:
        """Units trained and the metrics of one row; None for a row without the count."""
        count = _number(row.get(self.counter))
        if count is None:
            return None
        found = {self.ours(k): number for k, v in row.items() if (number := _number(v)) is not None}
        found.pop(self.counter, None)
        return self.units(count), found

    def ours(self, theirs: str) -> str:
        """Our name of a metric."""
        return self._ours.get(theirs, theirs)

    def units(self, count: float) -> int:
        """Units trained, where the script counts `count`."""
        return int(count) + 1 - self._first


class FileRows(Source):
    """A file that the script appends to, read as it grows; one that starts anew is read anew."""

    def __init__(self, folder: Path, path: Path, names: Names) -> None:
        self._folder, self._path, self._names = folder, path, names
        self._offset = 0
        self._counted = 0
        self._rows = 0
        self._keys: list[str] = []
        """Of the rows seen."""

    def _restarted(self) -> None:
        """The file begins anew."""

    @abstractmethod
    def _parsed(self, text: str) -> Iterator[Mapping[str, Any]]:
        """The rows of whole lines."""

    def read(self) -> Rows:
        """The metrics of the lines that are complete since."""
        try:
            if self._path.stat().st_size < self._offset:
                self._offset = 0
                self._restarted()
            whole = whole_lines(since(self._path, self._offset))
        except OSError:
            return {}
        self._offset += len(whole)
        found: Rows = {}
        for row in self._parsed(whole.decode("utf-8", "replace")):
            self._rows += 1
            named = self._names.of_row(row)
            if named is not None:
                self._counted += 1
                found.setdefault(named[0], {}).update(named[1])
        return found

    def seen(self) -> str:
        """The file's columns, or what lies beside it."""
        if not self._path.is_file():
            remedy = "set trainable.metrics to a file that the command writes, in {dir} or by its full path"
            return f"{self._path.name} never appeared; {holds(self._path.parent)}; {remedy}"
        keys = self._keys
        missing = [name for name in (self._names.counter, *self._names.theirs) if name not in keys]
        if not self._rows or not missing:
            return f"{self._path.name} has {self._rows} rows, and none of that unit"
        return f"{self._path.name} has {', '.join(keys)}, and no {' and no '.join(missing)}{nearest(missing[0], keys)}"

    def trouble(self) -> str | None:
        """Rows without the count."""
        return self.seen() if self._rows >= _MANY and not self._counted else None

    def files(self) -> list[Path]:
        """The file, where it lies in the trial's folder."""
        return [self._path] if self._path.is_file() and self._path.is_relative_to(self._folder) else []


class CsvFile(FileRows):
    """Lines with commas below a header; another header may follow."""

    def _restarted(self) -> None:
        self._keys = []

    def _parsed(self, text: str) -> Iterator[Mapping[str, Any]]:
        for cells in csv.reader(io.StringIO(text)):
            cells = [cell.strip() for cell in cells]
            if not cells:
                continue
            if not self._keys or (len(cells) > 1 and all(_number(cell) is None and cell for cell in cells)):
                self._keys = cells
            else:
                yield dict(zip(self._keys, cells, strict=False))


class JsonFile(FileRows):
    """One JSON object per line; keys of inner objects are dotted."""

    def _parsed(self, text: str) -> Iterator[Mapping[str, Any]]:
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                flat = dict(_flat(row, ""))
                self._keys = list(dict.fromkeys([*self._keys, *flat]))
                yield flat


class Printed(Source):
    """Lines of standard output that a regular expression matches."""

    def __init__(self, pattern: re.Pattern[str], names: Names) -> None:
        self._pattern, self._names = pattern, names
        self._lock = threading.Lock()
        self._new: Rows = {}
        self._lines: list[str] = []
        self._count = self._matched = 0

    def heard(self, line: str) -> None:
        """Take a line; called in the thread that reads."""
        match = self._pattern.search(line)
        with self._lock:
            self._count += 1
            if line.strip() and len(self._lines) < _NOT_ONE:
                self._lines.append(line.strip())
            named = self._names.of_row(match.groupdict()) if match else None
            if named is not None:
                self._matched += 1
                self._new.setdefault(named[0], {}).update(named[1])

    def read(self) -> Rows:
        """The metrics of the lines since."""
        with self._lock:
            new, self._new = self._new, {}
        return new

    def seen(self) -> str:
        """The last lines, and the one that comes nearest to the expression."""
        with self._lock:
            lines = list(self._lines)
        if not lines:
            return "it printed nothing to standard output"
        if self._matched:
            return f"{self._matched} of {self._count} lines matched, and none of that unit"
        literal = re.sub(r"\(\?P<(\w+)>[^)]*\)|\\[a-zA-Z]|[\\()\[\]*+?^$|]", r"\1", self._pattern.pattern)
        near = max(lines, key=lambda line: difflib.SequenceMatcher(None, literal, line).ratio())
        last = "; ".join(repr(line[:100]) for line in lines[-_MANY:])
        return f"no line matched {self._pattern.pattern!r}; read: {last}; the nearest: {near[:100]!r}"

    def trouble(self) -> str | None:
        """So many lines and not one match."""
        return self.seen() if self._count >= _NOT_ONE and not self._matched else None


def holds(folder: Path) -> str:
    """What a folder holds, for people."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if not names:
        return f"{folder} is empty"
    return f"{folder} holds {', '.join(names[:8])}" + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def since(path: Path, offset: int) -> bytes:
    """What a file holds from a byte on."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read()


def whole_lines(content: bytes) -> bytes:
    """The lines that have their end."""
    return content[: content.rfind(b"\n") + 1]


def _flat(row: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
