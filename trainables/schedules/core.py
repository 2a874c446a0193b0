"""What every schedule shares: the protocol, argument checks, interpolation, and the two simplest schedules."""

import math
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """A knob's value as a pure function of the step; see the package's docstring for both notions."""

    def at(self, step: int) -> float:
        """The value in force while training unit `step` (0-based). Raises ValueError on a negative step."""

    @property
    def settles(self) -> int:
        """The first step after the slow start, which is how many steps that takes; 0 without one."""


class Phase(Schedule, Protocol):
    """A schedule that knows its length: it ends at step `length` − 1 and holds that step's value ever after."""

    @property
    def length(self) -> int:
        """Steps that the phase takes, at least 1."""


def require(holds: bool, name: str, value: object, bound: str) -> None:
    """Raise ValueError, `name must be bound, got value`, unless the condition holds."""
    if not holds:
        raise ValueError(f"{name} must be {bound}, got {value!r}")


def require_step(step: int) -> None:
    """Raise ValueError on a negative step."""
    require(step >= 0, "step", step, ">= 0")


def require_finite(name: str, value: float) -> None:
    """Raise ValueError on NaN and infinities."""
    require(math.isfinite(value), name, value, "finite")


def blend(start: float, end: float, weight: float) -> float:
    """`end + weight·(start − end)` for a weight of `start` in [0, 1]: exact at both ends, never beyond them.

    Monotone in the weight, as the rounding of each operation is; that is why it isn't (1 − w)·end + w·start.
    """
    if weight >= 1:
        return start
    value = end + weight * (start - end)
    return min(max(value, min(start, end)), max(start, end))


def cosine_weight(progress: float) -> float:
    """Half a cosine from 1 at progress 0 to 0 at progress 1: ½(1 + cos π·progress)."""
    return 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Constant:
    """The same `value` at every step. Raises ValueError if it isn't finite."""

    value: float

    def __post_init__(self) -> None:
        require_finite("value", self.value)

    def at(self, step: int) -> float:
        """The value."""
        require_step(step)
        return self.value

    @property
    def settles(self) -> int:
        """At once."""
        return 0
