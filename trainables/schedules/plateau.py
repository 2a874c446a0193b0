"""What depends on results, as a state and a pure transition: reduce on a plateau, or change the phase there, once."""

import math
from dataclasses import dataclass, replace

from trainables.schedules.core import require

_SMALLEST_CHANGE = 1e-8  # a smaller reduction is not worth making; `eps` of PyTorch's ReduceLROnPlateau


@dataclass(frozen=True)
class PlateauState:
    """Where a plateau controller stands; belongs in the checkpoint."""

    scale: float = 1.0
    """What the scheduled learning rate is multiplied by."""
    best: float = math.inf
    """The metric that the next one must beat."""
    bad: int = 0
    """Evaluations since the last better one or the last reduction."""
    longest: int | None = 0
    """The most evaluations in a row without a gain while nothing has been reduced; None once it has, or if unknown.
    Until then this is all that `patience` decides, and `factor` and `min_lr` decide nothing."""


@dataclass(frozen=True)
class ReduceOnPlateau:
    """Multiply the learning rate by `factor` once `patience` evaluations in a row have brought no gain, and one more.

    A metric gains when metric < best·(1 − threshold): lower is better. The rate never falls below `min_lr`; a rate
    already below it stays. These are the decisions of PyTorch's ReduceLROnPlateau with mode min, threshold_mode rel and
    cooldown 0, its oddity below zero included: there the bound lies above the best, so that a metric up to a
    `threshold` worse counts as gain.

    Raises ValueError unless lr > 0, 0 < factor < 1, patience >= 0, min_lr >= 0 and 0 <= threshold < 1.
    """

    lr: float
    """The full rate, in which `min_lr` is expressed too; the state's scale is relative to it."""
    factor: float
    patience: int
    """Evaluations without gain that are put up with."""
    min_lr: float = 0.0
    threshold: float = 1e-4

    def __post_init__(self) -> None:
        require(0 < self.lr < math.inf, "lr", self.lr, "> 0 and finite")
        require(0 < self.factor < 1, "factor", self.factor, "in (0, 1)")
        require(self.patience >= 0, "patience", self.patience, ">= 0")
        require(0 <= self.min_lr < math.inf, "min_lr", self.min_lr, ">= 0 and finite")
        require(0 <= self.threshold < 1, "threshold", self.threshold, "in [0, 1)")

    def step(self, state: PlateauState, metric: float) -> PlateauState:
        """The state after an evaluation that gave `metric`. Raises ValueError if the metric isn't finite."""
        require(math.isfinite(metric), "metric", metric, "finite")
        if metric < state.best * (1 - self.threshold):
            return replace(state, best=metric, bad=0)
        if state.bad < self.patience:
            bad = state.bad + 1
            return replace(state, bad=bad, longest=None if state.longest is None else max(state.longest, bad))
        return replace(state, scale=self._reduced(state.scale), bad=0, longest=None)

    def _reduced(self, scale: float) -> float:
        rate = self.lr * scale
        reduced = max(rate * self.factor, self.min_lr)
        return reduced / self.lr if rate - reduced > _SMALLEST_CHANGE else scale


@dataclass(frozen=True)
class SwitchState:
    """Where the detector stands; belongs in the checkpoint."""

    best: float = math.inf
    """The metric that the next one must beat by the minimum gain."""
    since: int = 0
    """Evaluations since then."""
    switched_at: int | None = None
    """The step from which on the next phase is in force; None: not yet."""
    longest: int | None = 0
    """The most evaluations in a row without a gain before the switch; None after it, or if unknown. Until then this is
    all that `window` decides."""


@dataclass(frozen=True)
class PlateauSwitch:
    """Switch once `window` evaluations in a row have not gained; after that, nothing changes any more.

    A metric gains when metric < best·(1 − minimum_gain): lower is better. `best` is the metric of the last gain, so
    that small gains add up.

    Raises ValueError unless window >= 1 and 0 <= minimum_gain < 1.
    """

    window: int
    minimum_gain: float

    def __post_init__(self) -> None:
        require(self.window >= 1, "window", self.window, ">= 1")
        require(0 <= self.minimum_gain < 1, "minimum_gain", self.minimum_gain, "in [0, 1)")

    def step(self, state: SwitchState, metric: float, step: int) -> SwitchState:
        """The state after the evaluation at `step`, the units trained. Raises ValueError if the metric isn't finite."""
        require(math.isfinite(metric), "metric", metric, "finite")
        if state.switched_at is not None:
            return state
        if metric < state.best * (1 - self.minimum_gain):
            return SwitchState(best=metric, longest=state.longest)
        since = state.since + 1
        if since >= self.window:
            return replace(state, since=since, switched_at=step, longest=None)
        return replace(state, since=since, longest=None if state.longest is None else max(state.longest, since))
