"""Ray's own HyperBand, median stopping and population based training, set to the model's step and objective; and its
first come, first served with processes that are kept, and with trials that take turns."""

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Literal, assert_never

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from search.execution.ray_scheduler import TRIAL, Unpickled
from search.stopping.hyperband import Hyperband
from search.stopping.kind import Lengths, StoppingKind
from search.stopping.median import Median
from search.stopping.pbt import Pbt
from spaces.domain import Categorical, Domain, Float, Int, contains, sample, snap
from spaces.values import Value
from trainables.run import OBJECTIVE, SAVED, TRAINED

FACTORS = (0.8, 1.2)  # of a numeric knob's perturbation; Jaderberg et al. 2017, arXiv 1711.09846, appendix A
RESAMPLE = 0.25  # chance that a copied knob is drawn anew, instead of perturbed; as there


class MakesRoom(Unpickled, FIFOScheduler):  # type: ignore[misc]  # Ray is untyped: its classes are Any here
    """First come, first served, but for trials that make room for others at an evaluation; `makes_room` says which.

    Ray pauses such a trial, so that what it has started is over before another worker may take it up, and then drops
    it: the gate hands it in again, as a new trial of Ray's that goes on from its checkpoint.
    """

    def __init__(self, makes_room: Callable[[int], bool]) -> None:
        super().__init__()
        self._makes_room = makes_room

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:  # noqa: ARG002
        """PAUSE for a trial that makes room; one whose last evaluations no checkpoint holds would train them again."""
        saved = bool(result.get(SAVED, False))
        return str(self.PAUSE if saved and self._makes_room(int(trial.config[TRIAL])) else self.CONTINUE)

    def choose_trial_to_run(self, tune_controller: Any) -> Any | None:
        """The newest: Ray gives an idle process to the trial named here, and an older one has its own starting."""
        for trial in [each for each in tune_controller.get_trials() if each.status == Trial.PAUSED]:
            tune_controller.stop_trial(trial)
        waiting = (each for each in reversed(tune_controller.get_trials()) if each.status == Trial.PENDING)
        return next(waiting, None)


class KeepsWorkers(Unpickled, FIFOScheduler):  # type: ignore[misc]  # Ray is untyped: its classes are Any here
    """First come, first served, where trials follow from the results of others: the processes of trials that have ended
    stay for those to come.

    Of the processes that no trial awaits, Ray ends all but one, and starts others when the next trials come: that takes
    as long as importing torch does. It has no setting for it. Where the attribute is gone in another version of Ray,
    trials run as they would without this.
    """

    def __init__(self, workers: Callable[[], int]) -> None:
        super().__init__()
        self._workers, self._kept = workers, 0

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Have a process kept for each worker that there is now."""
        super().on_trial_add(tune_controller, trial)
        self._keep(tune_controller, trial, self._workers())

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Keep none of those that wait: what has ended one, as a lack of memory, may have ended them, and Ray would
        not know before it hands them a trial."""
        super().on_trial_error(tune_controller, trial)
        self._keep(tune_controller, trial, 0)

    def _keep(self, tune_controller: Any, trial: Any, count: int) -> None:
        cache = getattr(getattr(tune_controller, "_tune_controller", None), "_actor_cache", None)
        if cache is not None:
            cache.increase_max(trial.placement_group_factory, count - self._kept)
            self._kept = count


def make_scheduler(
    stopping: StoppingKind, lengths: Lengths, mode: Literal["min", "max"], changeable: Mapping[str, Domain], seed: int
) -> TrialScheduler:
    """The scheduler that `stopping` asks for, on our own step and objective; first in, first out for any other kind.

    `changeable` and `seed` are for population based training alone: the searched knobs that may change in mid-run, and
    the seed of their changes.
    """
    match stopping:
        case Hyperband(reduction=reduction):
            return _HyperBand(
                time_attr=TRAINED, metric=OBJECTIVE, mode=mode, max_t=lengths.horizon, reduction_factor=reduction
            )
        case Median(min_trials=min_trials):
            return MedianStoppingRule(
                time_attr=TRAINED,
                metric=OBJECTIVE,
                mode=mode,
                grace_period=stopping.grace_steps(lengths),
                min_samples_required=min_trials,
                min_time_slice=math.inf,  # never pause a trial for others to catch up: that only delays the median
            )
        case Pbt(quantile=quantile):
            return _Pbt(stopping.interval(lengths), quantile, mode, changeable, np.random.default_rng(seed))
        case _:
            return FIFOScheduler()


def explore(
    values: Mapping[str, Any], changeable: Mapping[str, Domain], resample: float, rng: np.random.Generator
) -> dict[str, Any]:
    """New values for a trial that takes over another's state: a knob in `changeable` is drawn anew with chance
    `resample`, else a number is multiplied by one of FACTORS and brought back into its domain, a choice kept. Knobs
    that are not in `changeable` or not in `values` (inactive) stay as they are.
    """
    new = dict(values)
    for path in sorted(changeable):
        if path in values:
            new[path] = _explored(values[path], changeable[path], resample, rng)
    return new


def _explored(value: Any, domain: Domain, resample: float, rng: np.random.Generator) -> Value:
    anew = float(rng.random()) < resample
    factor = FACTORS[int(rng.integers(len(FACTORS)))]
    match domain:
        case Float() | Int():
            fresh = anew or not contains(domain, value) or value == 0  # a factor never leaves zero
            return sample(domain, rng) if fresh else snap(domain, value * factor)
        case Categorical():
            return sample(domain, rng) if anew or not contains(domain, value) else value
        case _:
            assert_never(domain)


class _HyperBand(HyperBandScheduler):  # type: ignore[misc]  # Ray is untyped: its classes are Any here
    """Ray's HyperBand, without a wait that never ends: once a bracket has been halved, Ray's class ignores trials that
    leave it (diverge, fail), so the others wait for them for ever. `is_being_processed` is never cleared in ray 2.60.
    """

    def _process_bracket(self, tune_controller: Any, bracket: Any) -> str:
        action = super()._process_bracket(tune_controller, bracket)
        bracket.is_being_processed = False
        return str(action)


class _Pbt(Unpickled, PopulationBasedTraining):  # type: ignore[misc]  # Ray is untyped: its classes are Any here
    """Ray's PBT, with a searcher (Ray refuses one, though it only proposes the first values) and with our values.

    Ray copies the whole config of the better trial, its number and seed included, and perturbs without bounds; here a
    trial keeps its own number and seed, and takes over `values` alone, all of them, as they belong to the weights.
    """

    def __init__(
        self,
        interval: int,
        quantile: float,
        mode: Literal["min", "max"],
        changeable: Mapping[str, Domain],
        rng: np.random.Generator,
    ) -> None:
        super().__init__(
            time_attr=TRAINED,
            metric=OBJECTIVE,
            mode=mode,
            perturbation_interval=interval,
            quantile_fraction=quantile,
            resample_probability=RESAMPLE,
            custom_explore_fn=lambda config: config,  # Ray wants one; `_get_new_config` does without
            log_config=False,
        )
        self._changeable = dict(changeable)
        self._rng = rng

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:  # noqa: ARG002
        super().on_trial_add(SimpleNamespace(search_alg=None), trial)  # all that Ray's class looks at

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        values = explore(trial_to_clone.config["values"], self._changeable, RESAMPLE, self._rng)
        return {**trial.config, "values": values}, {}
