"""The confirmed numbers as a picture that needs no script: where each config's seeds fall on one axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from search.report.shown import number, rounded, scale
from search.results.procedure import Estimate
from search.results.verdict import Candidate, Verdict

Role = Literal["new", "documented", "other", "gain"]
ROWS = 6
"""Configs that are shown; the winner and the baseline are always among them."""


@dataclass(frozen=True)
class Row:
    """A config (or the paired gain) on the axis; places are percentages of its length."""

    name: str
    role: Role
    mean: float
    low: float | None
    high: float | None
    seeds: tuple[float, ...]
    text: str
    """The mean, rounded to what the scatter lets one tell."""
    between: str
    """Its 95% interval; empty where there is none."""


@dataclass(frozen=True)
class Axis:
    """Rows over a common range, with (place, label) of its ticks."""

    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float | None
    """The place of zero, where it lies on the axis."""


def scores(verdict: Verdict) -> Axis:
    """The confirmed configs, best first; of a search without confirmation, its best and the baseline."""
    chosen = [c for i, c in enumerate(verdict.ranking) if i < ROWS - 1 or c is verdict.winner or c is verdict.baseline]
    return _axis([(*_called(verdict, c), list(c.by_seed.values()), c.estimate) for c in chosen])


def gain(verdict: Verdict) -> Axis | None:
    """The winner's paired gain over the baseline, seed by seed; above zero is better. None without both."""
    if verdict.gain is None or not verdict.pairs:
        return None
    return _axis([("Gain", "gain", list(verdict.pairs.values()), verdict.gain)], through=0.0)


def _called(verdict: Verdict, candidate: Candidate) -> tuple[str, Role]:
    if candidate.baseline:
        return "Documented", "documented"
    return (f"New ({candidate.name})", "new") if candidate is verdict.winner else (f"Trial {candidate.trial}", "other")


def _axis(given: Sequence[tuple[str, Role, Sequence[float], Estimate]], through: float | None = None) -> Axis:
    values = [v for _, _, seeds, e in given for v in (*seeds, e.mean, e.low, e.high) if v is not None]
    if through is not None:
        values.append(through)
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    low, high = low - room, high + room

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 3)

    scales = [scale(estimate) for *_, estimate in given]
    spread = min((one for one in scales if one), default=high - low)  # as many decimals in every row
    rows = []
    for name, role, seeds, estimate in given:
        ends = [end for end in (estimate.low, estimate.high) if end is not None]
        low_at, high_at = map(place, ends) if ends else (None, None)
        between = " to ".join(rounded(end, spread) for end in ends)
        middle, dots = place(estimate.mean), tuple(place(v) for v in seeds)
        rows.append(Row(name, role, middle, low_at, high_at, dots, rounded(estimate.mean, spread), between))
    ticks = tuple((place(v), number(v)) for v in _ticks(low, high))
    return Axis(tuple(rows), ticks, place(0.0) if low < 0 < high else None)


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between `low` and `high`."""
    rough = (high - low) / 4
    unit = 10 ** math.floor(math.log10(rough))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(i * step, 12) for i in range(first, last + 1)]
