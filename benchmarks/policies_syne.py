"""Syne Tune's ASHA and BOHB on recorded curves: peers for those who have the package (extra `peers`).

Its classes are called as its own loop calls them. Early-stopped trials are stopped for good there: ASHA is the stopping
variant, and BOHB (Falkner et al. 2018) the same with proposals by kernel density.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from search.simulate.clock import Policy
from search.simulate.sources import Rows
from search.simulate.table import Table

METRIC, TIME = "loss", "epoch"
AVAILABLE = find_spec("syne_tune") is not None


class Stopping:
    """One of Syne Tune's schedulers. A draw becomes the nearest unused row, and the scheduler is told of that one's
    values. A diverged evaluation is reported as the table's worst value."""

    def __init__(self, table: Table, seed: tuple[int, int], kind: Literal["asha", "bohb"]) -> None:
        logging.getLogger("syne_tune").setLevel(logging.ERROR)
        from syne_tune.backend.trial_status import Trial  # an extra: only who asks for this peer needs it
        from syne_tune.config_space import uniform
        from syne_tune.optimizer.baselines import ASHA, BOHB
        from syne_tune.optimizer.scheduler import SchedulerDecision

        draw = int(np.random.SeedSequence(seed).generate_state(1)[0])
        np.random.seed(draw)  # its random search draws from numpy's global generator, whatever seed it is given
        self._trial, self._go_on = Trial, SchedulerDecision.CONTINUE
        self._paths = [knob.path for knob in table.space.knobs]
        self._scheduler: Any = (ASHA if kind == "asha" else BOHB)(
            {path: uniform(0.0, 1.0) for path in self._paths},
            METRIC,
            time_attr=TIME,
            max_t=table.horizon,
            random_seed=draw,
        )
        self._rows, self._worst = Rows(table), table.worst
        self.rows = self._rows.of
        self._trials: dict[int, Any] = {}

    def take(self) -> int | None:
        """The next trial, a new one."""
        if not self._rows.left:
            return None
        number = len(self._trials)
        drawn = self._scheduler.suggest().config
        row = self._rows.nearest(np.array([drawn[path] for path in self._paths]))
        self._rows.give(number, row)
        trial = self._trial(number, dict(self._rows.table.values[row]), datetime.fromtimestamp(0))
        self._trials[number] = trial
        self._scheduler.on_trial_add(trial)
        return number

    def curve(self, trial: int) -> Sequence[float]:
        """The curve of the trial's row."""
        return self._rows.table.curves[self._rows.of[trial]]

    def report(self, trial: int, step: int, value: float) -> bool:
        """Tell the scheduler of the evaluation; whether it lets the trial go on."""
        result = {TIME: step, METRIC: value if math.isfinite(value) else self._worst}
        return bool(self._scheduler.on_trial_result(self._trials[trial], result) == self._go_on)


@dataclass(frozen=True)
class Syne:
    """A contender: ASHA with random search, or BOHB."""

    name: str
    kind: Literal["asha", "bohb"]

    def start(self, table: Table, seed: int, task: int) -> tuple[Policy, Mapping[int, int]]:
        """A fresh search."""
        policy = Stopping(table, (seed, task), self.kind)
        return policy, policy.rows
