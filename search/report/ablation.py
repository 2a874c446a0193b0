"""Which of the winner's changes carry the gain, as rows to be shown."""

from dataclasses import dataclass

from search.report.material import Material
from search.report.shown import setting
from search.results.ablation import Ablation, Setting, Values, ablation


@dataclass(frozen=True)
class Row:
    """A change on the way from the documented config to the new one."""

    knobs: tuple[tuple[str, str, str], ...]
    """Path, value before and after."""
    predicted: float
    """The objective with this change and those above it."""
    share: float | None
    """Of the predicted gain; None where none is predicted."""
    acts: bool


@dataclass(frozen=True)
class Way:
    """The way from the documented config to the new one, the most promising change first."""

    start: float
    """The objective that is predicted of the documented config."""
    rows: tuple[Row, ...]
    skill: float


def way_of(material: Material) -> Way | None:
    """The way to the verdict's winner; None where there is none, or too few trials to learn from."""
    verdict, baseline = material.verdict, material.records.baseline
    if verdict is None or baseline is None or verdict.winner is verdict.baseline:
        return None
    ground = Setting(material.space, material.base, material.model, material.horizon, material.rungs)
    found = ablation(material.records, ground, verdict.winner.values)
    return None if found is None else Way(found.start, tuple(_rows(found, baseline.values, material.sign)), found.skill)


def _rows(found: Ablation, before: Values, sign: int) -> list[Row]:
    rows = []
    gains = sign * (found.start - found.changes[-1].predicted) > 0
    for change, share in zip(found.changes, found.shares or [0.0] * len(found.changes), strict=True):
        knobs = tuple((path, _text(before, path), _text(change.values, path)) for path in change.knobs)
        rows.append(Row(knobs, change.predicted, share if gains else None, change.acts))
        before = change.values
    return rows


def _text(values: Values, path: str) -> str:
    return setting(values[path]) if path in values else "not active"
