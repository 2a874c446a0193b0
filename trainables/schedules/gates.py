"""What comes into force in stages: the loss mix that ramps, the group that thaws, the order that ends, the periodic."""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from trainables.schedules.core import require, require_step


@lru_cache(maxsize=256)  # asked for at every step
def _decimal(value: float) -> Fraction:
    """The number that a person wrote, 1/10 for 0.1, rather than its nearest binary float."""
    return Fraction(str(value))


@dataclass(frozen=True)
class AlphaRamp:
    """The weight α of a two-part loss, rising in stairs: α(b) = min(end, start + (b // step_interval)·step_size).

    The stairs are computed in exact decimals, so that α is 0.3 where the documented table says 0.3, not
    0.30000000000000004. The formula as it stands would jump to `end` if that lay below `start`; such a ramp, and one
    that never climbs, is refused.

    Source: the dynamic alpha schedule of the diphone decoder (Li et al., arXiv 2411.10657).
    Raises ValueError unless 0 <= start <= end <= 1, step_size > 0 and step_interval > 0.
    """

    start: float
    end: float
    step_size: float
    step_interval: int
    """Steps from one stair to the next."""

    def __post_init__(self) -> None:
        require(0 <= self.start <= 1, "start", self.start, "in [0, 1]")
        require(self.start <= self.end <= 1, "end", self.end, f"in [start, 1] = [{self.start}, 1]")
        require(0 < self.step_size < math.inf, "step_size", self.step_size, "> 0 and finite")
        require(self.step_interval > 0, "step_interval", self.step_interval, "> 0")

    def at(self, step: int) -> float:
        """α in force at batch `step`."""
        require_step(step)
        stairs = step // self.step_interval
        return float(min(_decimal(self.end), _decimal(self.start) + stairs * _decimal(self.step_size)))

    @property
    def settles(self) -> int:
        """The first step at the end value."""
        climb = _decimal(self.end) - _decimal(self.start)
        return math.ceil(climb / _decimal(self.step_size)) * self.step_interval


@dataclass(frozen=True)
class Freeze:
    """The learning-rate factor of a parameter group that stays frozen while step < freeze_steps; 0 = never frozen.

    From then on the group trains. Its optimizer has no moments yet, so `unfreeze_warmup_steps` = n > 0 lets the
    factor climb 1/n, 2/n, … to 1 over the first n trained steps; 0 starts at 1. The factor is 0 exactly while frozen.

    Raises ValueError if either length is negative.
    """

    freeze_steps: int
    unfreeze_warmup_steps: int = 0

    def __post_init__(self) -> None:
        require(self.freeze_steps >= 0, "freeze_steps", self.freeze_steps, ">= 0")
        require(self.unfreeze_warmup_steps >= 0, "unfreeze_warmup_steps", self.unfreeze_warmup_steps, ">= 0")

    def frozen(self, step: int) -> bool:
        """Whether the group takes no gradient at `step`."""
        require_step(step)
        return step < self.freeze_steps

    def at(self, step: int) -> float:
        """The factor on the group's learning rate, in [0, 1]."""
        if self.frozen(step):
            return 0.0
        trained = step - self.freeze_steps + 1
        return 1.0 if trained >= self.unfreeze_warmup_steps else trained / self.unfreeze_warmup_steps

    @property
    def settles(self) -> int:
        """After the freeze and its warmup; a warmup of one step is none."""
        return self.freeze_steps + (self.unfreeze_warmup_steps if self.unfreeze_warmup_steps > 1 else 0)


@dataclass(frozen=True)
class Curriculum:
    """Training data in order of difficulty for the first `curriculum_epochs` epochs, in free order after.

    Raises ValueError if curriculum_epochs is negative; 0 = off.
    """

    curriculum_epochs: int

    def __post_init__(self) -> None:
        require(self.curriculum_epochs >= 0, "curriculum_epochs", self.curriculum_epochs, ">= 0")

    def active(self, epoch: int) -> bool:
        """Whether `epoch` (0-based) goes in order."""
        require_step(epoch)
        return epoch < self.curriculum_epochs

    def at(self, step: int) -> float:
        """`active` as a number to log: 1.0 or 0.0; the step counts epochs."""
        return float(self.active(step))

    @property
    def settles(self) -> int:
        """The first epoch in free order."""
        return self.curriculum_epochs


def due(step: int, every: int, last: int | None = None) -> bool:
    """Whether a periodic action (log, evaluate, save) is due once `step` units are trained.

    True at each positive multiple of `every` and at step `last`, however the two fall; `every` = 0 switches the period
    off. Nothing is due at step 0, before any training. Raises ValueError if an argument is negative.
    """
    require_step(step)
    require(every >= 0, "every", every, ">= 0")
    require(last is None or last >= 0, "last", last, ">= 0")
    return step > 0 and (step == last or (every > 0 and step % every == 0))
