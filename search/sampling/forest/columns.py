"""Optuna's distributions as columns of the unit cube: vectorised there, one value at a time back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One knob. A discrete value owns an equal share of [0, 1] and lies in its middle; a whole number on a log scale
    owns half a unit to either side."""

    name: str
    distribution: BaseDistribution

    @property
    def categorical(self) -> bool:
        """Whether the values have no order."""
        return isinstance(self.distribution, CategoricalDistribution)

    @property
    def count(self) -> int | None:
        """How many values of equal share there are; None for a continuum and for whole numbers on a log scale."""
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return len(choices)
            case FloatDistribution(low=low, high=high) if low == high:
                return 1
            case FloatDistribution(low=low, high=high, step=float(step)):
                return round((high - low) / step) + 1
            case IntDistribution(log=False, low=low, high=high, step=whole):
                return (high - low) // whole + 1
        return None

    def units(self, values: Sequence[Any]) -> Array:
        """Where values lie, clipped to [0, 1]; NaN for what is no value of the knob. Shape (len(values),)."""
        if isinstance(self.distribution, CategoricalDistribution):
            count = len(self.distribution.choices)
            return (np.array([self._index(value) for value in values], dtype=np.float64) + 0.5) / count
        low, high = self._edges()
        number = _numbers(values)
        if self._log:
            number = np.log(np.where(number > 0, number, math.nan))
        place = (number - low) / (high - low) if high > low else 0.0 * number
        share = 1 / self.count if self.count else 0.0  # the first and the last value own a whole share, too
        return np.asarray(np.clip(place, 0.0, 1.0) * (1 - share) + share / 2)

    def snapped(self, units: Array) -> Array:
        """The places of the values that own `units`."""
        if self.count is not None:
            return (np.minimum(np.floor(units * self.count), self.count - 1) + 0.5) / self.count
        if isinstance(self.distribution, IntDistribution):
            low, high = self._edges()
            whole = np.clip(np.rint(np.exp(low + units * (high - low))), self.distribution.low, self.distribution.high)
            return np.asarray((np.log(whole) - low) / (high - low))
        return units

    def value(self, unit: float) -> Any:
        """The value at `unit`, a plain one that the distribution holds."""
        index = None if self.count is None else min(int(unit * self.count), self.count - 1)
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                assert index is not None
                return choices[index]
            case IntDistribution(low=low, high=high, step=step):
                number = low + index * step if index is not None else round(math.exp(self._between(unit)))
                return int(min(max(number, low), high))
            case FloatDistribution(low=low, high=high, step=step):
                if index is not None and step is not None:
                    # Through decimals, as 0.1 + 2 * 0.1 is 0.30000000000000004.
                    place = float(f"{low + index * step:.12g}")
                else:
                    place = math.exp(self._between(unit)) if self._log else self._between(unit)
                return float(min(max(place, low), high))
        raise ValueError(f"{self.name} has the unknown distribution {self.distribution}")

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of the distribution's."""
        try:
            return self.distribution._contains(self.distribution.to_internal_repr(value))
        except (ValueError, TypeError):
            return False

    @property
    def _log(self) -> bool:
        return isinstance(self.distribution, FloatDistribution | IntDistribution) and self.distribution.log

    def _between(self, unit: float) -> float:
        low, high = self._edges()
        return low + unit * (high - low)

    def _edges(self) -> tuple[float, float]:
        match self.distribution:
            case IntDistribution(log=True, low=low, high=high):
                return math.log(low - 0.5), math.log(high + 0.5)
            case FloatDistribution(log=True, low=low, high=high):
                return math.log(low), math.log(high)
            case FloatDistribution(low=low, high=high) | IntDistribution(low=low, high=high):
                return float(low), float(high)
        raise ValueError(f"{self.name} has no ends: {self.distribution}")

    def _index(self, value: Any) -> float:
        assert isinstance(self.distribution, CategoricalDistribution)
        try:
            return self.distribution.to_internal_repr(value)
        except ValueError:
            return math.nan


def _numbers(values: Sequence[Any]) -> Array:
    try:
        found = np.array(values, dtype=np.float64)  # None becomes NaN
    except (TypeError, ValueError):
        found = np.array([value if isinstance(value, int | float) else math.nan for value in values], dtype=np.float64)
    return np.where(np.isfinite(found), found, math.nan)
