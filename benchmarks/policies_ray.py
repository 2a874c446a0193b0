"""Ray Tune's own ASHA and OptunaSearch on recorded curves: their classes, called as Tune's loop calls them."""

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from policies_optuna import Snapped
from ray import tune
from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from search.simulate.clock import Policy
from search.simulate.sources import Uniform
from search.simulate.table import Table

METRIC = "loss"


@dataclass(frozen=True)
class FakeTrial:
    """All that the scheduler asks of a trial."""

    trial_id: str


class Asha:
    """Ray's AsyncHyperBandScheduler with random search.

    A diverged evaluation is reported as the worst value of the table: as NaN, Ray would never stop it.
    """

    def __init__(self, table: Table, seed: tuple[int, int], reduction: int, grace: int) -> None:
        self._source = Uniform(table, seed)
        self.rows = self._source.rows.of
        self._scheduler = make_scheduler(table, reduction, grace)
        self._worst, self._given = table.worst, 0
        self._curves: dict[int, Sequence[float]] = {}

    def take(self) -> int | None:
        """The next trial, a new one."""
        curve = self._source.propose(self._given)
        if curve is None:
            return None
        trial, self._given = self._given, self._given + 1
        self._curves[trial] = curve
        self._scheduler.on_trial_add(None, FakeTrial(str(trial)))
        return trial

    def curve(self, trial: int) -> Sequence[float]:
        """The curve of the trial's row."""
        return self._curves[trial]

    def report(self, trial: int, step: int, value: float) -> bool:
        """Tell Ray of the evaluation; whether it lets the trial go on."""
        result = {TRAINING_ITERATION: step, METRIC: value if math.isfinite(value) else self._worst}
        decision = self._scheduler.on_trial_result(None, FakeTrial(str(trial)), result)
        return bool(decision == TrialScheduler.CONTINUE)


class AshaOptuna:
    """Ray's OptunaSearch under its ASHA. Tune tells an early-stopped trial as COMPLETE with its last value."""

    def __init__(self, table: Table, seed: tuple[int, int], reduction: int, grace: int) -> None:
        self._worst, self._given = table.worst, 0
        self._scheduler = make_scheduler(table, reduction, grace)
        space = {knob.path: tune.uniform(0.0, 1.0) for knob in table.space.knobs}
        draw = int(np.random.SeedSequence(seed).generate_state(1)[0])
        logging.getLogger("ray.tune.search.optuna.optuna_search").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._search = OptunaSearch(
                OptunaSearch.convert_search_space(space), metric=METRIC, mode="min", seed=draw, study_name="ray"
            )
        self._snapped = Snapped(table)
        self.rows = self._snapped.rows.of

    def take(self) -> int | None:
        """The next trial, a new one."""
        if not self._snapped.rows.left:
            return None
        trial, self._given = self._given, self._given + 1
        self._search.suggest(str(trial))
        self._snapped.give(trial, self._search._ot_study, self._search._ot_trials[str(trial)])
        self._scheduler.on_trial_add(None, FakeTrial(str(trial)))
        return trial

    def curve(self, trial: int) -> Sequence[float]:
        """The curve of the trial's row."""
        return self._snapped.curve(trial)

    def report(self, trial: int, step: int, value: float) -> bool:
        """Tell Ray of the evaluation; whether it lets the trial go on."""
        result = {TRAINING_ITERATION: step, METRIC: value if math.isfinite(value) else self._worst}
        decision = self._scheduler.on_trial_result(None, FakeTrial(str(trial)), result)
        if decision == TrialScheduler.STOP:
            self._search.on_trial_complete(str(trial), result=result)
            return False
        self._search.on_trial_result(str(trial), result)
        return True


def make_scheduler(table: Table, reduction: int, grace: int) -> AsyncHyperBandScheduler:
    """Ray's ASHA over the table's whole curves."""
    return AsyncHyperBandScheduler(
        time_attr=TRAINING_ITERATION,
        metric=METRIC,
        mode="min",
        max_t=table.horizon,
        grace_period=grace,
        reduction_factor=reduction,
    )


@dataclass(frozen=True)
class Ray:
    """A contender: ASHA with random search, or with OptunaSearch."""

    name: str
    reduction: int
    grace: int
    optuna: bool = False

    def start(self, table: Table, seed: int, task: int) -> tuple[Policy, Mapping[int, int]]:
        """A fresh search."""
        policy = (AshaOptuna if self.optuna else Asha)(table, (seed, task), self.reduction, self.grace)
        return policy, policy.rows
