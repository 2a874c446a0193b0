"""Small tables of curves for tests of simulated searches."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from search.history.events import Status
from search.simulate.ours import Source
from search.simulate.table import Array, Table
from spaces.domain import Float
from spaces.knob import Knob
from spaces.space import Space

Move = tuple[Literal["propose", "pause", "promote", "stopped", "diverged", "completed"], int, int]
"""A decision about a trial, at the step that it had reached."""


class Heard(Source):
    """A source, and the decisions that it hears of."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._reached: dict[int, int] = {}
        self.moves: list[Move] = []

    def propose(self, trial: int) -> Sequence[float] | None:
        curve = self._source.propose(trial)
        if curve is not None:
            self.moves.append(("propose", trial, 0))
        return curve

    def report(self, trial: int, step: int, value: float) -> None:
        self._source.report(trial, step, value)
        self._reached[trial] = step

    def pause(self, trial: int) -> None:
        self._source.pause(trial)
        self.moves.append(("pause", trial, self._reached[trial]))

    def resume(self, trial: int) -> None:
        self._source.resume(trial)
        self.moves.append(("promote", trial, self._reached[trial]))

    def end(self, trial: int, status: Status, value: float) -> None:
        self._source.end(trial, status, value)
        self.moves.append((status, trial, self._reached[trial]))  # type: ignore[arg-type]


def flat(scores: Iterable[float], length: int) -> list[list[float]]:
    """Curves that never change."""
    return [[float(score)] * length for score in scores]


def table_of(
    unit: Array,
    seen: Array,
    *,
    true: Array | None = None,
    name: str = "t",
    group: str = "g",
    every: int = 1,
    baseline: int | None = None,
) -> Table:
    """A table over the unit cube."""
    knobs = [f"x{i}" for i in range(unit.shape[1])]
    return Table(
        name=name,
        group=group,
        space=Space(tuple(Knob(knob, Float(0.0, 1.0)) for knob in knobs)),
        base=dict.fromkeys(knobs, 0.5)
        if baseline is None
        else dict(zip(knobs, map(float, unit[baseline]), strict=True)),
        values=[dict(zip(knobs, map(float, row), strict=True)) for row in unit],
        unit=np.asarray(unit, float),
        seen=np.asarray(seen, float),
        true=np.asarray(seen[:, -1] if true is None else true, float),
        every=every,
        baseline=baseline,
    )
