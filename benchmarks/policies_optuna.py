"""Optuna's pruners with its TPE sampler, at their defaults, on recorded curves."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import optuna
from optuna.trial import Trial, TrialState

from search.simulate.clock import Policy
from search.simulate.sources import Rows
from search.simulate.table import Table

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Snapped:
    """Optuna's draws on a table: each becomes the nearest unused row, and the study is told of that row's values."""

    def __init__(self, table: Table) -> None:
        self.rows = Rows(table)
        self._paths = [knob.path for knob in table.space.knobs]

    def give(self, number: int, study: Any, trial: Trial) -> None:
        """Bind the trial, whose values have been drawn, to a row."""
        params = trial.params
        row = self.rows.nearest(np.array([params[path] for path in self._paths]))
        values = self.rows.table.values[row]
        for path in self._paths:
            study._storage.set_trial_param(trial._trial_id, path, values[path], trial.distributions[path])
        self.rows.give(number, row)

    def curve(self, number: int) -> Sequence[float]:
        """The curve of the trial's row."""
        return self.rows.table.curves[self.rows.of[number]]


Pruner = Literal["hyperband", "median", "halving"]


def make_pruner(kind: Pruner, horizon: int) -> optuna.pruners.BasePruner:
    """The pruner as a user gets it without changing its options; Hyperband is told the horizon."""
    match kind:
        case "hyperband":
            return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=horizon, reduction_factor=3)
        case "median":
            return optuna.pruners.MedianPruner()
        case "halving":
            return optuna.pruners.SuccessiveHalvingPruner()


class Pruned:
    """A study: ask, report each evaluation, prune or complete. Diverged evaluations report the table's worst value."""

    def __init__(self, table: Table, seed: tuple[int, int], kind: Pruner) -> None:
        self._horizon, self._worst = table.horizon, table.worst
        draw = int(np.random.SeedSequence(seed).generate_state(1)[0])
        self._space = {knob.path: optuna.distributions.FloatDistribution(0.0, 1.0) for knob in table.space.knobs}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = optuna.samplers.TPESampler(seed=draw)
            pruner = make_pruner(kind, table.horizon)
        # Hyperband deals trials to its brackets by the study's name.
        self._study = optuna.create_study(sampler=sampler, pruner=pruner, study_name=f"{table.name} {seed[0]}")
        self._trials: dict[int, Trial] = {}
        self._snapped = Snapped(table)
        self.rows = self._snapped.rows.of

    def take(self) -> int | None:
        """The next trial, a new one."""
        if not self._snapped.rows.left:
            return None
        trial = self._study.ask(fixed_distributions=dict(self._space))
        self._trials[trial.number] = trial
        self._snapped.give(trial.number, self._study, trial)
        return trial.number

    def curve(self, trial: int) -> Sequence[float]:
        """The curve of the trial's row."""
        return self._snapped.curve(trial)

    def report(self, trial: int, step: int, value: float) -> bool:
        """Tell the study of the evaluation; whether its pruner lets the trial go on."""
        known = self._trials[trial]
        value = value if math.isfinite(value) else self._worst
        known.report(value, step)
        if step >= self._horizon:
            self._study.tell(known, value)
            return False
        if known.should_prune():
            self._study.tell(known, state=TrialState.PRUNED)
            return False
        return True


@dataclass(frozen=True)
class Optuna:
    """A contender: TPE with one of the pruners."""

    name: str
    pruner: Pruner

    def start(self, table: Table, seed: int, task: int) -> tuple[Policy, Mapping[int, int]]:
        """A fresh search."""
        policy = Pruned(table, (seed, task), self.pruner)
        return policy, policy.rows
