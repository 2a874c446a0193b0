"""Learning rates: warmups and what follows them, Noam, cosine with warm restarts. Values are in the unit of the peak.

Two conventions of a warmup over n steps are in use, and both are kept, because users' own trainers have them: `Warmup`
multiplies by 0/n, 1/n, … and is full after n steps (Hugging Face); `EpochWarmup` and `Noam` multiply by 1/n, 2/n, …
and are full at the n-th step.
"""

import math
from dataclasses import dataclass

from trainables.schedules.core import Schedule, blend, cosine_weight, require, require_finite, require_step
from trainables.schedules.phases import Cosine, Linear


@dataclass(frozen=True)
class Warmup:
    """In a straight line from 0 at step 0 to the first value of `then` at step `warmup_steps`, then `then` itself.

    The step of `then` counts from the end of the warmup; 0 = no warmup. A plain linear warmup is
    `Warmup(n, Constant(peak))`. Raises ValueError if warmup_steps is negative.
    """

    warmup_steps: int
    then: Schedule

    def __post_init__(self) -> None:
        require(self.warmup_steps >= 0, "warmup_steps", self.warmup_steps, ">= 0")

    def at(self, step: int) -> float:
        """The value at `step`."""
        require_step(step)
        if step >= self.warmup_steps:
            return self.then.at(step - self.warmup_steps)
        return self.then.at(0) * (step / self.warmup_steps)

    @property
    def settles(self) -> int:
        """The end of the warmup, plus whatever slow start follows it."""
        return self.warmup_steps + self.then.settles


def _after_warmup(warmup_steps: int, name: str, total: int) -> int:
    """Length of the phase from the peak at step `warmup_steps` to step `total` itself, both included."""
    require(total > warmup_steps, name, total, f"> warmup_steps = {warmup_steps}")
    return total - warmup_steps + 1


def warmup_linear(peak: float, warmup_steps: int, total_steps: int, floor: float = 0.0) -> Warmup:
    """Linear warmup to `peak`, then linear decay to `floor` at step `total_steps`, constant after.

    Source: Devlin et al., BERT, NAACL 2019, A.2; with floor 0 the values are those of
    `get_linear_schedule_with_warmup` in Hugging Face transformers. Raises ValueError unless
    0 <= warmup_steps < total_steps, and floor <= peak, both finite.
    """
    require(floor <= peak, "floor", floor, f"<= peak = {peak}")
    return Warmup(warmup_steps, Linear(_after_warmup(warmup_steps, "total_steps", total_steps), peak, floor))


def warmup_cosine(peak: float, warmup_steps: int, decay_steps: int, floor: float = 0.0) -> Warmup:
    """Linear warmup to `peak`, then half a cosine to `floor` at step `decay_steps`, constant after.

    Both lengths count from step 0. A floor given as a ratio, lr_min/lr_max, is floor = lr_min.
    Source: Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5, without restarts. With floor 0 and up to decay_steps the values
    are those of `get_cosine_schedule_with_warmup` in Hugging Face transformers, which rises again after.
    Raises ValueError unless 0 <= warmup_steps < decay_steps, and floor <= peak, both finite.
    """
    require(floor <= peak, "floor", floor, f"<= peak = {peak}")
    return Warmup(warmup_steps, Cosine(_after_warmup(warmup_steps, "decay_steps", decay_steps), peak, floor))


@dataclass(frozen=True)
class EpochWarmup:
    """The learning rate set before each epoch: the n-th of `warmup_epochs` epochs runs at peak·n/warmup_epochs.

    So the first epoch never runs at the full rate unless there is no warmup (0 and 1 epochs: none). The `scale` of a
    `PlateauState` multiplies the value.
    Raises ValueError unless peak is finite and warmup_epochs >= 0.
    """

    peak: float
    warmup_epochs: int

    def __post_init__(self) -> None:
        require_finite("peak", self.peak)
        require(self.warmup_epochs >= 0, "warmup_epochs", self.warmup_epochs, ">= 0")

    def at(self, step: int) -> float:
        """The rate during epoch `step` (0-based)."""
        require_step(step)
        epoch = step + 1
        return self.peak if epoch >= self.warmup_epochs else self.peak * (epoch / self.warmup_epochs)

    @property
    def settles(self) -> int:
        """The length of the warmup; one epoch is none."""
        return self.warmup_epochs if self.warmup_epochs > 1 else 0


@dataclass(frozen=True)
class Noam:
    """Linear warmup to `peak` at the `warmup_steps`-th step, then decay with the inverse square root of the step.

    With n = step + 1: peak·min(n/warmup_steps, √(warmup_steps/n)).
    Source: Vaswani et al., Attention Is All You Need, 2017, eq. 3; its own peak is 1/√(d_model·warmup_steps).
    Raises ValueError unless peak is finite and warmup_steps >= 1.
    """

    peak: float
    warmup_steps: int

    def __post_init__(self) -> None:
        require_finite("peak", self.peak)
        require(self.warmup_steps >= 1, "warmup_steps", self.warmup_steps, ">= 1")

    def at(self, step: int) -> float:
        """The rate at `step`."""
        require_step(step)
        number = step + 1
        return self.peak * min(number / self.warmup_steps, math.sqrt(self.warmup_steps / number))

    @property
    def settles(self) -> int:
        """The length of the warmup; one step is none."""
        return self.warmup_steps if self.warmup_steps > 1 else 0


@dataclass(frozen=True)
class CosineRestarts:
    """Cosines from `high` toward `low`, each starting at `high` again: the first takes `period` steps, and every
    following one `multiplier` times the one before.

    low + ½(high − low)(1 + cos(π·t/T)) at the t-th of a cycle's T steps, t from 0: `low` itself is approached, not
    reached. Cycle n starts at the whole step nearest to period·(multiplierⁿ − 1)/(multiplier − 1), so the multiplier
    need not be whole and every restart trains a step at `high`.

    Source: Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5. Shrinking cycles would end at length 0, where the formula
    gives NaN. Raises ValueError unless period >= 1, 1 <= multiplier <= 1e6, and low <= high, both finite.
    """

    period: int
    high: float
    low: float = 0.0
    multiplier: float = 1.0

    def __post_init__(self) -> None:
        require(self.period >= 1, "period", self.period, ">= 1")
        require_finite("high", self.high)
        require_finite("low", self.low)
        require(self.low <= self.high, "low", self.low, f"<= high = {self.high}")
        # The upper bound keeps the first step of the cycle after any real step within floating point.
        require(1 <= self.multiplier <= 1e6, "multiplier", self.multiplier, "in [1, 1e6]")

    def _first_step(self, cycle: int) -> int:
        growth = self.multiplier - 1
        if growth == 0:
            return cycle * self.period
        return math.floor(self.period * (math.expm1(cycle * math.log1p(growth)) / growth) + 0.5)

    def _cycle(self, step: int) -> int:
        growth = self.multiplier - 1
        if growth == 0:
            return step // self.period
        cycle = int(math.log1p(step * (growth / self.period)) / math.log1p(growth))
        # The inverse is off by one where rounding, to whole steps or in floating point, crosses a restart.
        while self._first_step(cycle) > step:
            cycle -= 1
        while self._first_step(cycle + 1) <= step:
            cycle += 1
        return cycle

    def at(self, step: int) -> float:
        """The rate at `step`."""
        require_step(step)
        cycle = self._cycle(step)
        first = self._first_step(cycle)
        return blend(self.high, self.low, cosine_weight((step - first) / (self._first_step(cycle + 1) - first)))

    @property
    def settles(self) -> int:
        """At once: it starts at its peak."""
        return 0
