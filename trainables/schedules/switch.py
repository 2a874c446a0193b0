"""A plateau that is acted upon once: a change of phase when the metric has stopped falling, as state and transition."""

import math
from dataclasses import dataclass, replace

from trainables.schedules.core import require


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
