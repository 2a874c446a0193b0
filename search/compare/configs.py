"""Configs and spaces side by side, key by key, with what differs marked."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from search.common.store_uri import mask
from search.compare.groups import Group, Table, seed_of, unseeded
from search.compare.sources import Source
from search.report.shown import setting
from spaces.domain import describe
from spaces.knob import Knob
from spaces.paths import get, has, leaves
from spaces.values import NOT_ACTIVE, freeze, same, show

ABSENT: Final = "–"
_SECRET = re.compile(r"passw|secret|credential|api_?key|access_?key|auth_?token|(^|[._])token$", re.IGNORECASE)


@dataclass(frozen=True)
class Cell:
    """A value as people read it."""

    text: str
    marked: bool
    """It differs from what it is compared with: the documented value of its own search, or the first space."""


@dataclass(frozen=True)
class Row:
    """A key of the config, with a cell for each column."""

    path: str
    cells: tuple[Cell, ...]
    searched: bool
    """A knob of one of the searches."""

    @property
    def differs(self) -> bool:
        """Whether the columns are not all the same."""
        return len({cell.text for cell in self.cells}) > 1


@dataclass(frozen=True)
class Grid:
    """Keys by columns."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def best_configs(table: Table) -> Grid:
    """The documented config of each distinct base, then every search's winner, over all keys of the configs."""
    bases: list[Mapping[str, Any]] = []
    names: list[str] = []  # of the first search on each
    for source in table.sources:
        if source.material.base not in bases:
            bases.append(source.material.base)
            names.append(source.name)
    won = [source for source in table.sources if source.material.verdict is not None]
    columns = ["documented"] if len(bases) == 1 else [f"documented, {name}" for name in names]
    columns += [_column(source) for source in won]
    searched = {knob.path for source in table.sources for knob in source.material.space.knobs}
    rows = []
    for path in _paths(table.sources):
        cells = [Cell(_shown(path, _at(base, path)), marked=False) for base in bases]
        for source in won:
            value = _won(source, path)
            cells.append(Cell(_shown(path, value), marked=not _same(value, _at(source.material.base, path))))
        rows.append(Row(path, tuple(cells), path in searched))
    return Grid(tuple(columns), tuple(sorted(rows, key=lambda row: not row.searched)))


def spaces(table: Table) -> Grid:
    """What each group searches: a knob's domain and conditions, or the value that it is held at."""
    knobs = list(dict.fromkeys(knob.path for s in table.sources for knob in s.material.space.knobs))
    rows = []
    for path in knobs:
        said = [_domain(group, path) for group in table.groups]
        rows.append(Row(path, tuple(Cell(text, marked=text != said[0]) for text in said), searched=True))
    return Grid(tuple(group.name for group in table.groups), tuple(rows))


def settings(table: Table) -> Grid:
    """How the groups search, where that differs: stopping, sampler, budget, confirmation, what they start from."""
    content = [_settings(group) for group in table.groups]
    rows = []
    for path in dict.fromkeys(path for each in content for path in leaves(each)):
        said = [_shown(path, _at(each, path)) for each in content]
        if len(set(said)) > 1:
            rows.append(Row(path, tuple(Cell(text, marked=text != said[0]) for text in said), searched=False))
    return Grid(tuple(group.name for group in table.groups), tuple(rows))


def _settings(group: Group) -> dict[str, Any]:
    known = group.members[0].material.settings
    rest = {key: known[key] for key in ("budget", "confirm", "horizon", "every") if key in known}
    return {**unseeded(group.members[0]), **rest}


def _column(source: Source) -> str:
    verdict = source.material.verdict
    assert verdict is not None, "only searches with a winner have a column"
    best = "documented" if verdict.winner.baseline else verdict.winner.name
    return f"{source.name}, seed {seed_of(source)}: {best}"


def _paths(sources: Sequence[Source]) -> Iterator[str]:
    found: dict[str, None] = {}
    for source in sources:
        found |= dict.fromkeys(knob.path for knob in source.material.space.knobs)
        found |= dict.fromkeys(leaves(source.material.base))
    inner = {path for path in found if any(other.startswith(f"{path}.") for other in found)}
    yield from (path for path in found if path not in inner)


def _won(source: Source, path: str) -> Any:
    """The winner's value: its knob's, or the base's where it is none. A knob that is not active has none."""
    verdict = source.material.verdict
    assert verdict is not None, "only searches with a winner have a column"
    if path in verdict.winner.values:
        return verdict.winner.values[path]
    return NOT_ACTIVE if path in source.material.space.by_path else _at(source.material.base, path)


def _at(native: Mapping[str, Any], path: str) -> Any:
    return get(native, path) if has(native, path) else ABSENT


def _same(left: Any, right: Any) -> bool:
    try:
        return same(freeze(left), freeze(right))
    except ValueError:  # a section
        return bool(left == right)


def _domain(group: Group, path: str) -> str:
    material = group.members[0].material
    knob = material.space.by_path.get(path)
    if knob is None:
        value = _at(material.base, path)
        return ABSENT if value is ABSENT else f"held at {_shown(path, value)}"
    return describe(knob.domain) + _conditions(knob)


def _conditions(knob: Knob) -> str:
    said = (f"{each.knob} is {' or '.join(map(show, each.allowed))}" for each in knob.when)
    return "".join(f", when {one}" for one in said)


def _shown(path: str, value: Any) -> str:
    """A value for people; text under a key that names a secret is not shown."""
    if isinstance(value, str) and value not in (ABSENT, NOT_ACTIVE) and _SECRET.search(path):
        return "***"
    return mask(value) if isinstance(value, str) else setting(value)
