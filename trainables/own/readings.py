"""Where a command's metrics are read while it runs: its CSV or JSONL file, or what it prints."""

import csv
import difflib
import io
import json
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from spaces.problems import nearest
from trainables.own.declaration import Declaration
from trainables.own.event_files import EventFiles
from trainables.own.mlflow_files import MlflowFiles

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

    def files(self) -> list[Path]:
        """Files that the script goes on writing when it resumes: they belong to its checkpoint."""


def source_of(declared: Declaration, folder: Path) -> Source:
    """The declared source of a training whose `{dir}` is `folder`."""
    given = declared.metrics
    assert given is not None
    names = Names(declared)
    match given.kind:
        case "csv":
            return FileRows(folder, _path(folder, given.csv), names, CsvRows())
        case "jsonl":
            return FileRows(folder, _path(folder, given.jsonl), names, JsonRows())
        case "tensorboard":
            return EventFiles(_path(folder, given.tensorboard), names.of_tags, names.judged)
        case "mlflow":
            return MlflowFiles(folder / "mlruns", names.of_tags, names.judged)
        case _:
            assert given.stdout is not None
            return Printed(re.compile(given.stdout), names)


def _path(folder: Path, given: str | None) -> Path:
    return folder / (given or "").replace("{dir}/", "").replace("{dir}", ".")


class Names:
    """From a script's names to ours, and from its count to units trained."""

    def __init__(self, declared: Declaration) -> None:
        assert declared.metrics is not None
        self.counter = declared.counter
        self.judged = declared.judged
        self._first = declared.metrics.first
        self._ours = {theirs: ours for ours, theirs in declared.metrics.names.items()}
        self.theirs = {name: declared.metrics.names.get(name, name) for name in self.judged}

    def of_row(self, row: Mapping[str, Any]) -> tuple[int, dict[str, float]] | None:
        """Units trained and the metrics of one row; None for a row without the count."""
        count = _number(row.get(self.counter))
        if count is None:
            return None
        found = {self._ours.get(k, k): number for k, v in row.items() if (number := _number(v)) is not None}
        found.pop(self.counter, None)
        return self.units(count), found

    def of_tags(self, count: int, tag: str, value: float) -> tuple[int, dict[str, float]]:
        """Units trained and a metric that is kept on its own."""
        return self.units(count), {self._ours.get(tag, tag): value}

    def units(self, count: float) -> int:
        """Units trained, where the script counts `count`."""
        return int(count) + 1 - self._first


class FileRows:
    """A file that the script appends to, read as it grows; one that starts anew is read anew."""

    def __init__(self, folder: Path, path: Path, names: Names, form: "CsvRows | JsonRows") -> None:
        self._folder, self._path, self._names, self._form = folder, path, names, form
        self._offset = 0
        self._counted = 0
        self._rows = 0

    def read(self) -> Rows:
        """The metrics of the lines that are complete since."""
        try:
            with self._path.open("rb") as file:
                if self._path.stat().st_size < self._offset:
                    self._offset = 0
                    self._form.restart()
                file.seek(self._offset)
                content = file.read()
        except OSError:
            return {}
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        found: Rows = {}
        for row in self._form.rows(whole.decode("utf-8", "replace")):
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
        keys = self._form.keys
        wanted = [self._names.counter, *self._names.theirs.values()]
        missing = [name for name in wanted if name not in keys]
        if not self._rows or not missing:
            return f"{self._path.name} has {self._rows} rows, and none of that unit"
        return f"{self._path.name} has {', '.join(keys)}, and no {' and no '.join(missing)}{nearest(missing[0], keys)}"

    def trouble(self) -> str | None:
        """Rows without the count."""
        return self.seen() if self._rows >= _MANY and not self._counted else None

    def files(self) -> list[Path]:
        """The file, where it lies in the trial's folder."""
        return [self._path] if self._path.is_file() and self._path.is_relative_to(self._folder) else []


class CsvRows:
    """Lines with commas below a header; another header may follow."""

    def __init__(self) -> None:
        self._header: list[str] = []

    @property
    def keys(self) -> list[str]:
        """The columns."""
        return self._header

    def restart(self) -> None:
        """The file begins anew."""
        self._header = []

    def rows(self, text: str) -> Iterator[Mapping[str, str]]:
        """The rows of whole lines."""
        for cells in csv.reader(io.StringIO(text)):
            cells = [cell.strip() for cell in cells]
            if not cells:
                continue
            if not self._header or (len(cells) > 1 and all(_number(cell) is None and cell for cell in cells)):
                self._header = cells
            else:
                yield dict(zip(self._header, cells, strict=False))


class JsonRows:
    """One JSON object per line; keys of inner objects are dotted."""

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}

    @property
    def keys(self) -> list[str]:
        """The keys seen."""
        return list(self._keys)

    def restart(self) -> None:
        """The file begins anew."""

    def rows(self, text: str) -> Iterator[Mapping[str, Any]]:
        """The rows of whole lines."""
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                flat = dict(_flat(row, ""))
                self._keys |= dict.fromkeys(flat)
                yield flat


class Printed:
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

    def files(self) -> list[Path]:
        """None."""
        return []


def holds(folder: Path) -> str:
    """What a folder holds, for people."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if not names:
        return f"{folder} is empty"
    return f"{folder} holds {', '.join(names[:8])}" + (f" and {len(names) - 8} more" if len(names) > 8 else "")


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
