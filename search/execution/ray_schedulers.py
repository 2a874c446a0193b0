"""Ray's own schedulers behind one factory, set to the model's step and objective: what a user of Ray Tune expects."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, assert_never

import numpy as np
from ray.tune.schedulers import (
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
)

from spaces.domain import Categorical, Domain, Float, Int, contains, sample, snap
from spaces.values import Value
from trainables.run import OBJECTIVE, STEP

FACTORS = (0.8, 1.2)  # of a numeric knob's perturbation; Jaderberg et al. 2017, arXiv 1711.09846, appendix A


@dataclass(frozen=True)
class NoStopping:
    """Every trial runs to the horizon."""


@dataclass(frozen=True)
class HyperBand:
    """Synchronous HyperBand (Li et al. 2018, arXiv 1603.06560)."""

    reduction: int = 3  # η: one in η of a bracket goes on


@dataclass(frozen=True)
class Median:
    """The median stopping rule (Golovin et al. 2017, Google Vizier, section 3.2)."""

    grace: int  # steps before which no trial is stopped
    min_trials: int = 3  # trials at a step below which there is no median


@dataclass(frozen=True)
class Population:
    """Population based training (Jaderberg et al. 2017): the worst trials take over state and values of the best."""

    interval: int  # steps between two chances to exploit and explore
    quantile: float = 0.25  # this share of the trials is replaced, and this share is copied from
    resample: float = 0.25  # chance that a copied knob is drawn anew, instead of perturbed


PeerOptions = NoStopping | HyperBand | Median | Population


@dataclass(frozen=True)
class Exploit:
    """Trial `trial` goes on from the state of trial `source` (at `step`) with these values."""

    trial: int
    source: int
    step: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """A scheduler of Ray's, and what else it needs to work as it was meant to."""

    scheduler: Any
    stop: Mapping[str, int]  # Tune's stop criterion, for those schedulers that know no horizon
    eager: bool  # all trials must be proposed before workers are free for them: its groups form from pending trials


def make_peer(
    options: PeerOptions,
    objective: Literal["min", "max"],
    horizon: int,
    changeable: Mapping[str, Domain],
    seed: int,
    observe: Callable[[Exploit], None] = lambda _: None,
) -> Peer:
    """The scheduler that `options` describe, on our own step and objective, to `horizon` steps.

    `changeable`, `seed` and `observe` are for population based training alone: the searched knobs that may change in
    mid-run, the seed of their changes, and a listener that hears of each.
    Raises ValueError for an option out of its bounds.
    """
    if horizon < 1:
        raise ValueError(f"steps is {horizon}; it must be at least 1")
    match options:
        case NoStopping():
            return Peer(FIFOScheduler(), stop={STEP: horizon}, eager=False)
        case HyperBand(reduction):
            _at_least("reduction", reduction, 2)
            if reduction > horizon:
                raise ValueError(f"reduction is {reduction}; it must be at most steps {horizon}")
            scheduler = _HyperBand(
                time_attr=STEP, metric=OBJECTIVE, mode=objective, max_t=horizon, reduction_factor=reduction
            )
            return Peer(scheduler, stop={}, eager=True)
        case Median(grace, min_trials):
            _at_least("min_trials", min_trials, 1)
            _within("grace", grace, horizon)
            scheduler = MedianStoppingRule(
                time_attr=STEP,
                metric=OBJECTIVE,
                mode=objective,
                grace_period=grace,
                min_samples_required=min_trials,
                min_time_slice=math.inf,  # never pause a trial for others to catch up: that only delays the median
            )
            return Peer(scheduler, stop={STEP: horizon}, eager=False)
        case Population(interval, quantile, resample):
            _within("perturb_every", interval, horizon)
            if not 0 < quantile <= 0.5:
                raise ValueError(f"quantile is {quantile}; it must lie above 0 and be at most 0.5")
            if not 0 <= resample <= 1:
                raise ValueError(f"resample is {resample}; it must lie from 0 to 1")
            if not changeable:
                raise ValueError(
                    "pbt needs a searched knob that may change in mid-run, and the space holds none; "
                    "add one, or choose another kind of early_stopping"
                )
            rng = np.random.default_rng(seed)
            return Peer(_Pbt(options, objective, changeable, rng, observe), stop={STEP: horizon}, eager=True)
        case _:
            assert_never(options)


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


class _Anyone:
    """Stands for the controller where Ray's class only looks whether there is a search algorithm."""

    search_alg = None


class _Pbt(PopulationBasedTraining):  # type: ignore[misc]  # Ray is untyped: its classes are Any here
    """Ray's PBT, with a searcher (Ray refuses one, though it only proposes the first values) and with our values.

    Ray copies the whole config of the better trial, its number and seed included, and perturbs without bounds; here a
    trial keeps its own number and seed, and takes over `values` alone, all of them, as they belong to the weights.
    """

    def __init__(
        self,
        options: Population,
        objective: Literal["min", "max"],
        changeable: Mapping[str, Domain],
        rng: np.random.Generator,
        observe: Callable[[Exploit], None],
    ) -> None:
        super().__init__(
            time_attr=STEP,
            metric=OBJECTIVE,
            mode=objective,
            perturbation_interval=options.interval,
            quantile_fraction=options.quantile,
            resample_probability=options.resample,
            custom_explore_fn=_unused,
            log_config=False,
        )
        self._changeable = dict(changeable)
        self._resample = options.resample
        self._rng = rng
        self._observe = observe

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its whole setup for Tuner.restore, which we don't use."""
        return {}

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:  # noqa: ARG002
        super().on_trial_add(_Anyone(), trial)

    def _get_new_config(self, trial: Any, trial_to_clone: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        values = explore(trial_to_clone.config["values"], self._changeable, self._resample, self._rng)
        source = self._trial_state[trial_to_clone]
        self._observe(Exploit(trial.config["trial"], trial_to_clone.config["trial"], source.last_train_time, values))
        return {**trial.config, "values": values}, {}


def _unused(config: dict[str, Any]) -> dict[str, Any]:
    """Ray wants mutations or a function; `_get_new_config` does without either."""
    return config


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} is {value}; it must be at least {least}")


def _within(name: str, value: int, horizon: int) -> None:
    _at_least(name, value, 1)
    if value >= horizon:
        raise ValueError(f"{name} is {value}; it must lie below steps {horizon}")
