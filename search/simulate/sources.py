"""Where the trials of a simulated search come from: a sampler, whose proposals are rows of a table."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from search.history.events import Status
from search.sampling.proposer import Proposer
from search.sampling.trial_history import Problem, Sampling, Scoring
from search.simulate.ours import Source
from search.simulate.table import Array, Table, unit_point

Kind = Literal["random", "tpe", "forest"]


class Rows:
    """The rows of a table, each given out once."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._unused = np.zeros(len(table.values))  # infinite for rows that are used, so that no distance is less
        self.of: dict[int, int] = {}  # trial -> its row

    @property
    def left(self) -> int:
        """Rows that no trial has yet."""
        return len(self.table.values) - len(self.of)

    def nearest(self, point: Array) -> int:
        """The row that a point (d,) of the unit cube becomes."""
        return self.table.nearest(point, self._unused)

    def give(self, trial: int, row: int) -> list[float]:
        """Make the row the trial's own; its curve."""
        assert self._unused[row] == 0, f"row {row} is given out twice"
        self.of[trial] = row
        self._unused[row] = np.inf
        return self.table.curves[row]

    def train(self, trial: int, values: Mapping[str, Any]) -> list[float] | None:
        """The curve of the row nearest to `values`; of the baseline's for trial 0. None where no row is left."""
        if not self.left:
            return None
        if trial == 0:
            assert self.table.baseline is not None, "trial 0 is the baseline, and this table has none"
            return self.give(trial, self.table.baseline)
        return self.give(trial, self.nearest(np.array(unit_point(self.table.space, values))))

    def snap(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the row that they become."""
        return self.table.snapped(values, self._unused)


class Uniform(Source):
    """Random search by uniform draws from the unit cube.

    In distribution what `learned` of kind random draws; Optuna's way there takes most of a simulated search's time.
    """

    BLOCK = 256

    def __init__(self, table: Table, seed: Sequence[int]) -> None:
        """`seed`: numbers that together make the sequence of configs."""
        self.rows = Rows(table)
        self._rng = np.random.default_rng(seed)
        self._points = np.empty((0, 0))
        self._at = 0

    def propose(self, trial: int) -> Sequence[float] | None:
        """The curve of the row nearest to the next draw; of the baseline's for trial 0, where there is one."""
        table = self.rows.table
        if not self.rows.left:
            return None
        if trial == 0 and table.baseline is not None:
            return self.rows.give(trial, table.baseline)
        if self._at == len(self._points):
            self._points, self._at = self._rng.random((self.BLOCK, table.unit.shape[1])), 0
        self._at += 1
        return self.rows.give(trial, self.rows.nearest(self._points[self._at - 1]))


class Learned(Source):
    """The sampler of a real search: it hears of everything in the order in which it would on Ray."""

    def __init__(self, proposer: Proposer, train: Callable[[int, Mapping[str, Any]], Sequence[float] | None]) -> None:
        """`train`: the curve of a trial with these values; None where there is none to make."""
        self._proposer, self._train = proposer, train

    def propose(self, trial: int) -> Sequence[float] | None:
        """The curve of the sampler's next config."""
        values = self._proposer.propose(trial)
        return None if values is None else self._train(trial, values)

    def report(self, trial: int, step: int, value: float) -> None:
        """Tell the sampler."""
        self._proposer.report(trial, step, value)

    def pause(self, trial: int) -> None:
        """Tell the sampler."""
        self._proposer.pause(trial)

    def resume(self, trial: int) -> None:
        """Tell the sampler."""
        self._proposer.resume(trial)

    def end(self, trial: int, status: Status, value: float) -> None:
        """Tell the sampler."""
        self._proposer.tell(trial, status, value if math.isfinite(value) else None)


def learned(table: Table, kind: Kind, seed: int, rungs: Sequence[int]) -> tuple[Learned, Rows]:
    """A sampler whose draws snap to the nearest unused row, of which it learns. `rungs`: the steps at which trials are
    compared, the horizon last."""
    rows = Rows(table)
    proposer = Proposer(
        Problem(table.name, table.space, table.base, table.horizon, tuple(rungs)),
        Sampling(kind, seed),
        Scoring("min", table.worst),
        None,
        snap=rows.snap,
    )
    return Learned(proposer, rows.train), rows


def make_source(table: Table, kind: Kind, seed: int, task: int, rungs: Sequence[int]) -> tuple[Source, Rows]:
    """A sampler over the table's rows. Each (seed, task) gets configs of its own: with one sequence for all tasks, a
    lucky one would count as often as there are tasks."""
    if kind == "random":
        uniform = Uniform(table, (seed, task))
        return uniform, uniform.rows
    return learned(table, kind, int(np.random.SeedSequence((seed, task)).generate_state(1)[0]), rungs)
