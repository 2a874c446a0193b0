"""Phases and tables of them: values that go from a start to an end over a given number of steps.

A phase trains `length` steps. Its first step has the start value and its last step has the end value, exactly; a phase
of one step has the end value. A table is a tuple of phases, so it has no holes and no overlaps, and is a phase itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainables.schedules.core import (
    Constant,
    Phase,
    Schedule,
    blend,
    cosine_weight,
    require,
    require_finite,
    require_step,
)


def _require_length(length: int) -> None:
    require(length >= 1, "length", length, ">= 1")


@dataclass(frozen=True)
class _Ramp(ABC):
    """From `start` at the first of `length` steps to `end` at the last; `end` after it."""

    length: int
    start: float
    end: float

    def __post_init__(self) -> None:
        _require_length(self.length)
        require_finite("start", self.start)
        require_finite("end", self.end)

    def at(self, step: int) -> float:
        """The value at `step`, in the unit of the ends."""
        require_step(step)
        last = self.length - 1
        return self.end if step >= last else blend(self.start, self.end, self._weight(step, last))

    @abstractmethod
    def _weight(self, step: int, last: int) -> float:
        """What is left of the start value at `step`, from 1 at 0 to 0 at `last`."""

    @property
    def settles(self) -> int:
        """A rise is a slow start, unless it is a single step at the end value; a fall is a decay, and no slow start."""
        return self.length if self.end > self.start and self.length > 1 else 0


class Linear(_Ramp):
    """From `start` at the first of `length` steps in a straight line to `end` at the last; `end` after it.

    Raises ValueError unless length >= 1 and both ends are finite.
    """

    def _weight(self, step: int, last: int) -> float:
        return (last - step) / last


class Cosine(_Ramp):
    """From `start` at the first of `length` steps along half a cosine to `end` at the last; `end` after it.

    Source: one period of Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5, with the end value at the last step.
    Raises ValueError unless length >= 1 and both ends are finite.
    """

    def _weight(self, step: int, last: int) -> float:
        return cosine_weight(step / last)


@dataclass(frozen=True)
class OneCycle:
    """Up from `low` to `high` over the first `warmup_fraction` of the steps, then along a cosine down to `end`.

    The peak lies on the last step of the warmup, which is rounded to whole steps; at least the last step of the phase
    is left for `end`. With `warmup: cosine` and a whole number of warmup steps above 1, this is PyTorch's OneCycleLR.

    Source: Smith & Topin, Super-Convergence, arXiv 1708.07120, in the two-phase form that PyTorch and fastai train.
    Raises ValueError unless length >= 1, low <= high, end <= high, all finite, and 0 <= warmup_fraction < 1.
    """

    length: int
    low: float
    high: float
    end: float
    warmup_fraction: float = 0.3
    warmup: Literal["linear", "cosine"] = "linear"

    def __post_init__(self) -> None:
        _require_length(self.length)
        for name, value in (("low", self.low), ("high", self.high), ("end", self.end)):
            require_finite(name, value)
            require(value <= self.high, name, value, f"<= high = {self.high}")
        require(0 <= self.warmup_fraction < 1, "warmup_fraction", self.warmup_fraction, "in [0, 1)")
        require(self.warmup in ("linear", "cosine"), "warmup", self.warmup, "'linear' or 'cosine'")

    @property
    def peak_step(self) -> int:
        """The step with the value `high`."""
        warmup_steps = round(self.warmup_fraction * self.length)
        return max(0, min(warmup_steps - 1, self.length - 2))

    def at(self, step: int) -> float:
        """The value at `step`, in the unit of the ends."""
        peak = self.peak_step
        if step >= peak:
            return Cosine(self.length - peak, self.high, self.end).at(step - peak)
        rise = Linear if self.warmup == "linear" else Cosine
        return rise(peak + 1, self.low, self.high).at(step)

    @property
    def settles(self) -> int:
        """The step after the peak; 0 when there is nothing to climb."""
        return self.peak_step + 1 if self.low < self.high and self.peak_step > 0 else 0


@dataclass(frozen=True)
class Span:
    """Any schedule, for `length` steps of a table: its own step 0 is the first of the phase.

    Raises ValueError unless length >= 1.
    """

    length: int
    schedule: Schedule

    def __post_init__(self) -> None:
        _require_length(self.length)

    def at(self, step: int) -> float:
        """The schedule's value at `step`, that of its last step after the span."""
        return self.schedule.at(min(step, self.length - 1))

    @property
    def settles(self) -> int:
        """When the schedule does, at the latest with the span's end."""
        return min(self.schedule.settles, self.length)


@dataclass(frozen=True)
class PhaseTable:
    """Phases one after the other; the last step's value holds after them. Raises ValueError if there is none."""

    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        require(len(self.phases) > 0, "phases", self.phases, "at least one phase")

    @property
    def length(self) -> int:
        """Steps of all phases together."""
        return sum(phase.length for phase in self.phases)

    def phase_at(self, step: int) -> tuple[int, int]:
        """The phase in force at `step` as its index in the table, and the step within that phase (both 0-based)."""
        require_step(step)
        first = 0
        for index, phase in enumerate(self.phases[:-1]):
            if step < first + phase.length:
                return index, step - first
            first += phase.length
        return len(self.phases) - 1, min(step - first, self.phases[-1].length - 1)

    def at(self, step: int) -> float:
        """The value at `step`, counted from the start of the table."""
        index, inner = self.phase_at(step)
        return self.phases[index].at(inner)

    @property
    def settles(self) -> int:
        """When the first phase does: what later phases change is the plan, not a slow start."""
        return self.phases[0].settles


def hold_table(lengths: Sequence[int], values: Sequence[float]) -> PhaseTable:
    """One constant value per phase: clip norms, weight decay, noise levels, α, lags.

    Raises ValueError unless there are as many values as lengths, at least one, the lengths >= 1 and the values finite.
    """
    require(len(values) == len(lengths), "values", tuple(values), f"one per phase, {len(lengths)} of them")
    return PhaseTable(tuple(Span(length, Constant(value)) for length, value in zip(lengths, values, strict=True)))


def teacher_forcing(length: int, start: float, end: float) -> Linear:
    """The share of decoder inputs taken from the truth, linear from `start` to `end` over `length` steps.

    Source: scheduled sampling with linear decay, Bengio et al., NIPS 2015, section 2.4.
    Raises ValueError unless length >= 1 and both shares are in [0, 1].
    """
    require(0 <= start <= 1, "start", start, "in [0, 1]")
    require(0 <= end <= 1, "end", end, "in [0, 1]")
    return Linear(length, start, end)


def warm_restarts(length: int, start: float, end: float, cycles: int) -> PhaseTable:
    """`cycles` cosines from `start` to `end` that share `length` steps of a plan; the first ones take a remainder.

    Unlike `CosineRestarts` it fits its phase: each cycle, and so the phase, ends exactly at `end`.
    Raises ValueError unless 1 <= cycles <= length and both ends are finite.
    """
    require(1 <= cycles <= length, "cycles", cycles, f"in [1, length] = [1, {length}]")
    whole, rest = divmod(length, cycles)
    return PhaseTable(tuple(Cosine(whole + (cycle < rest), start, end) for cycle in range(cycles)))
