"""The peers of `schedules.py`: their own classes, called as their loops call them, as their users get them.

Each is told of the documented baseline as its users can: as the point to begin with. Where a value of it lies outside
the space they take none, and the baseline is a trial that they don't learn from.

A diverged evaluation is reported as the objective's worst value: as NaN, Ray would never stop it.
"""

import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import Trial, TrialState
from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from search.sampling.codec import code
from search.sampling.proposer import Proposer
from search.spec.search import Search
from trainables.run import score

METRIC = "loss"
Values = Mapping[str, Any]
Train = Callable[[Values], Sequence[float]]


@dataclass(frozen=True)
class _Trial:
    """All that Ray's scheduler asks of a trial."""

    trial_id: str


class Drawn:
    """A search's space by running it, conditions honoured."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._codes = {knob.path: code(knob.path, knob.domain) for knob in search.space.knobs}

    def __call__(self, trial: Trial) -> None:
        """Draw the active knobs; the values are the trial's attribute."""
        values: dict[str, Any] = {}
        for knob in self._search.space.knobs:
            if self._search.space.is_active(knob, values, self._search.base):
                values[knob.path] = self._codes[knob.path].suggest(trial)
        trial.set_user_attr("values", values)

    def baseline(self) -> dict[str, Any] | None:
        """The documented baseline as Optuna keeps it; None where it lies outside the space."""
        values = self._search.space.baseline(self._search.base)
        if self._search.space.outside(values, self._search.base):
            return None
        return {path: self._codes[path].encode(value) for path, value in values.items()}


class RayPolicy:
    """Ray's ASHA with its OptunaSearch, told as Tune's loop tells them: an early-stopped trial is COMPLETE with its
    last value. With a `proposer`, that one's values instead."""

    def __init__(
        self, search: Search, train: Train, seed: int, reduction: int, grace: int, proposer: Proposer | None = None
    ) -> None:
        objective = search.model.objective
        self._worst = score(objective.worst, objective.mode)
        self._search, self._train, self._proposer = search, train, proposer
        self._scheduler = AsyncHyperBandScheduler(
            time_attr=TRAINING_ITERATION,
            metric=METRIC,
            mode="min",
            max_t=search.horizon // search.every,
            grace_period=grace,
            reduction_factor=reduction,
        )
        logging.getLogger("ray.tune.search.optuna.optuna_search").setLevel(logging.ERROR)
        drawn = Drawn(search)
        baseline = drawn.baseline()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._optuna = OptunaSearch(
                drawn,
                metric=METRIC,
                mode="min",
                seed=seed,
                study_name="ray",
                points_to_evaluate=None if baseline is None else [baseline],
            )
        self._untold = {0} if baseline is None else set()
        self.values: dict[int, Values] = {}
        self._curves: dict[int, Sequence[float]] = {}

    def take(self) -> int | None:
        """The next trial, a new one."""
        trial = len(self.values)
        self.values[trial] = self._proposed(trial)
        self._curves[trial] = self._train(self.values[trial])
        self._scheduler.on_trial_add(None, _Trial(str(trial)))
        return trial

    def curve(self, trial: int) -> Sequence[float]:
        """What the trial will report."""
        return self._curves[trial]

    def report(self, trial: int, step: int, value: float) -> bool:
        """Tell Ray of the evaluation; whether it lets the trial go on."""
        value = value if math.isfinite(value) else self._worst
        result = {TRAINING_ITERATION: step // self._search.every, METRIC: value}
        over = self._scheduler.on_trial_result(None, _Trial(str(trial)), result) == TrialScheduler.STOP
        if self._proposer is None and trial not in self._untold:
            if over:
                self._optuna.on_trial_complete(str(trial), result=result)
            else:
                self._optuna.on_trial_result(str(trial), result)
        return not over

    def _proposed(self, trial: int) -> Values:
        if self._proposer is not None:
            values = self._proposer.propose(trial)
            assert values is not None, "the space is run through"
            return values
        if trial in self._untold:
            return dict(self._search.space.baseline(self._search.base))
        self._optuna.suggest(str(trial))
        values = self._optuna._ot_trials[str(trial)].user_attrs["values"]
        assert isinstance(values, dict)
        return values


class OptunaPolicy:
    """Optuna's TPE with its HyperbandPruner, told of a trial's length in evaluations; at their defaults otherwise."""

    def __init__(self, search: Search, train: Train, seed: int) -> None:
        objective = search.model.objective
        self._worst = score(objective.worst, objective.mode)
        self._search, self._train = search, train
        self._evaluations = search.horizon // search.every
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pruner = optuna.pruners.HyperbandPruner(max_resource=self._evaluations)
        # Hyperband deals trials to its brackets by the study's name.
        self._study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner, study_name=f"{search.name} {seed}"
        )
        self._drawn = Drawn(search)
        baseline = self._drawn.baseline()
        if baseline is not None:
            self._study.enqueue_trial(baseline)
        self._first = 0 if baseline is None else -1  # the trial that the study doesn't know
        self._trials: dict[int, Trial] = {}
        self.values: dict[int, Values] = {}
        self._curves: dict[int, Sequence[float]] = {}

    def take(self) -> int | None:
        """The next trial, a new one."""
        number = len(self.values)
        if number == self._first:
            self.values[number] = dict(self._search.space.baseline(self._search.base))
        else:
            trial = self._trials[number] = self._study.ask()
            self._drawn(trial)
            self.values[number] = trial.user_attrs["values"]
        self._curves[number] = self._train(self.values[number])
        return number

    def curve(self, trial: int) -> Sequence[float]:
        """What the trial will report."""
        return self._curves[trial]

    def report(self, trial: int, step: int, value: float) -> bool:
        """Tell the study of the evaluation; whether its pruner lets the trial go on."""
        at = step // self._search.every
        value = value if math.isfinite(value) else self._worst
        known = self._trials.get(trial)
        if known is not None:
            known.report(value, at)
        if at >= self._evaluations:
            if known is not None:
                self._study.tell(known, value)
            return False
        if known is not None and known.should_prune():
            self._study.tell(known, state=TrialState.PRUNED)
            return False
        return True
