"""What the winner changes: knob by knob, and line by line in the user's own file."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from search.report.material import Material
from search.report.shown import setting_in
from search.results.verdict import Verdict
from search.spec.effect import changed
from search.spec.storage import BASE
from spaces.domain import Categorical, Domain, contains, describe, to_unit
from spaces.paths import Missing
from spaces.problems import BadInput

CONTEXT = 2
"""Unchanged lines around a change."""
EDGE = 0.02
"""A value this close to an end of its domain, as a share of it, may want to lie beyond."""


@dataclass(frozen=True)
class Change:
    """A knob of the search: what the documented config says, and what the winner says."""

    path: str
    documented: str
    new: str
    differs: bool
    domain: str
    why: str
    edge: Literal["low", "high"] | None = None
    """The end of its domain that the winner's value touches; None for choices, and where it is the documented value."""


@dataclass(frozen=True)
class Line:
    """A line of a diff."""

    kind: Literal["same", "gone", "new", "skipped"]
    text: str


@dataclass(frozen=True)
class FileDiff:
    """The user's file, from what it was to what the winner makes of it."""

    name: str
    lines: tuple[Line, ...]


def knob_changes(material: Material, verdict: Verdict) -> tuple[Change, ...]:
    """Every searched knob, in the space's order. A knob that is inactive in a config says so."""
    before = verdict.baseline.values if verdict.baseline is not None else material.space.baseline(material.base)
    after = verdict.winner.values
    found = []
    for knob in material.space.knobs:
        old, new = setting_in(before, knob.path), setting_in(after, knob.path)
        differs = changed(material.model, material.base, before, after, knob.path, material.horizon)
        touched = edge(knob.domain, after[knob.path]) if differs and knob.path in after else None
        found.append(Change(knob.path, old, new, differs, describe(knob.domain), knob.why, touched))
    return tuple(found)


def native_diffs(material: Material, verdict: Verdict) -> tuple[FileDiff, ...]:
    """The user's file against the winner's, the user's own first; none before the search has handed over."""
    folder = material.folder / "native"
    if not folder.is_dir() or verdict.baseline is None or verdict.handed_over is verdict.baseline:
        return ()
    own = _own(material)
    files = sorted(folder.iterdir(), key=lambda path: (path.name not in own, path.name))
    pairs = [(path.name, own.get(path.name) or _before(material, path), _read(path)) for path in files]
    return tuple(
        FileDiff(name, tuple(_lines(before, after)))
        for name, before, after in pairs
        if before is not None and before != after
    )


def _own(material: Material) -> dict[str, str]:
    """The user's own file, as the search was given it."""
    folder = material.folder / BASE
    return {path.name: _read(path) for path in folder.iterdir()} if folder.is_dir() else {}


def _before(material: Material, path: Path) -> str | None:
    """A file that isn't the user's own, as it would be before the search; None where it doesn't take the values."""
    try:
        config = material.model.parse(material.base, "the config that the search starts from")
        return material.model.write_native(_read(path), path.name, config).get(path.name)
    except (BadInput, Missing, UnicodeDecodeError):
        return None


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _lines(before: str, after: str) -> Iterator[Line]:
    """A diff in which lines that replace as many others stand right below them."""
    old, new = before.splitlines(), after.splitlines()
    groups = list(difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(CONTEXT))
    end = 0
    for group in groups:
        if group[0][1] > end:
            yield Line("skipped", "⋯")
        for kind, i, j, k, m in group:
            if kind == "equal":
                yield from (Line("same", text) for text in old[i:j])
            elif j - i == m - k:
                for gone, come in zip(old[i:j], new[k:m], strict=True):
                    yield from (Line("gone", gone), Line("new", come))
            else:
                yield from (Line("gone", text) for text in old[i:j])
                yield from (Line("new", text) for text in new[k:m])
        end = group[-1][2]
    if groups and end < len(old):
        yield Line("skipped", "⋯")


def edge(domain: Domain, value: Any) -> Literal["low", "high"] | None:
    """The end of its domain that `value` lies at, if more may lie beyond it."""
    if isinstance(domain, Categorical) or not contains(domain, value):
        return None
    unit = to_unit(domain, value)
    if value == domain.low or unit <= EDGE:
        return "low" if domain.low else None  # below 0 there is nothing: no dropout, no warmup
    return "high" if value == domain.high or unit >= 1 - EDGE else None
