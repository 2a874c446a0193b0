"""Small tables of curves for tests of simulated searches."""

from collections.abc import Iterable, Sequence

import numpy as np

from search.history.events import Status
from search.simulate.table import Array, Table
from spaces.domain import Float
from spaces.knob import Knob
from spaces.space import Space


class Listed:
    """A source of the given curves, in order."""

    def __init__(self, curves: Sequence[Sequence[float]]) -> None:
        self.curves = curves

    def propose(self, trial: int) -> Sequence[float] | None:
        return self.curves[trial] if trial < len(self.curves) else None

    def report(self, trial: int, step: int, value: float) -> None: ...

    def pause(self, trial: int) -> None: ...

    def resume(self, trial: int) -> None: ...

    def end(self, trial: int, status: Status, value: float) -> None: ...


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
