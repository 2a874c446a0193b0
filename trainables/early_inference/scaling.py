"""From physical quantities to what the network sees, and back: fixed scales for inputs, bounded space for targets.

`!` z-scoring t per sequence would erase dt (two curves sampled at 0.3 s and at 1 s would look alike), and a constant
known input has no spread to divide by. So every input scale here is a constant or a documented range.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from spaces.problems import BadInput

Array: TypeAlias = NDArray[np.float64]

# (x − centre) / scale. pH: urea hydrolysis starts at 6.5–7.5 and ends below the pKa of NH4+, 9.25. Time: the documented
# prefix is 30 s and its sampling 0.3 s (`target_dt`), so both are about 1 there and keep their meaning elsewhere.
PH_CENTRE, PH_SCALE = 8.0, 1.5
TIME_SCALE = 30.0  # s
STEP_SCALE = 0.3  # s
CHANNELS = ("pH", "t", "dt")

LOG_PARAMETERS = frozenset({"k_d"})
"""Rate constants over decades: log space where their range allows it (models.md, section 5)."""

EDGE = 1e-3
"""Targets within this share of the range from an end are moved there before the logit, which is infinite at the ends:
it caps |logit| at 6.9, costs at most .0035 prior sd on .2% of a uniform prior's curves, and keeps the loss finite."""


def channels(ph: Array, t: Array, scaled: bool) -> Array:
    """(pH, t, dt) of each curve: (n, L), (n, L) in seconds → (n, 3, L). dt of the first point is its time since 0."""
    dt = np.diff(t, axis=1, prepend=0.0)  # (n, L)
    if scaled:
        ph, t, dt = (ph - PH_CENTRE) / PH_SCALE, t / TIME_SCALE, dt / STEP_SCALE
    return np.stack([ph, t, dt], axis=1)  # (n, 3, L)


def known_inputs(known: Array, names: Sequence[str], ranges: Mapping[str, tuple[float, float]], scaled: bool) -> Array:
    """Known inputs mapped from their documented range onto [−1, 1]; a range without width gives 0. (n, k) → (n, k)."""
    if not scaled:
        return known
    low, high = _bounds(names, ranges)
    middle, half = (high + low) / 2, (high - low) / 2
    return np.where(half > 0, (known - middle) / np.where(half > 0, half, 1.0), 0.0)


@dataclass(frozen=True)
class TargetSpace:
    """The space of the predictions: u = logit of the place within the range; z = u standardised by training data.

    A prediction of any finite u lies within the parameter's range. All arrays have shape (p,).
    """

    low: Array  # in log space where `log` is set
    high: Array
    log: NDArray[np.bool_]
    centre: Array  # mean of u over the training curves
    spread: Array  # standard deviation of u over the training curves

    @classmethod
    def fit(
        cls, names: Sequence[str], ranges: Mapping[str, tuple[float, float]], training_targets: Array
    ) -> "TargetSpace":
        """The space of the parameters `names`, standardised by `training_targets` (n, p)."""
        low, high = _bounds(names, ranges)
        for name, a, b in zip(names, low, high, strict=True):
            if not b > a:
                raise BadInput.of(
                    f"param_ranges.{name}", f"[{a:g}, {b:g}] has no width; nothing is to be inferred there"
                )
        log = np.array([name in LOG_PARAMETERS for name in names]) & (low > 0)
        low, high = (
            np.where(log, np.log(np.where(log, low, 1.0)), low),
            np.where(log, np.log(np.where(log, high, 1.0)), high),
        )
        zero = np.zeros(len(names))
        u = cls(low, high, log, zero, zero + 1).to_logit(training_targets)  # (n, p)
        sd = u.std(axis=0)
        return cls(low, high, log, u.mean(axis=0), np.where(sd > 0, sd, 1.0))

    def to_logit(self, y: Array) -> Array:
        """The logit u of physical values; values at or beyond the ends count as `EDGE` from them. (n, p) → (n, p)."""
        floor = np.where(self.log, np.exp(self.low), -np.inf)
        y = np.maximum(y, floor)
        place = (np.where(self.log, np.log(np.where(self.log, y, 1.0)), y) - self.low) / (self.high - self.low)
        u: Array = logit(np.clip(place, EDGE, 1 - EDGE))
        return u

    def to_physical(self, u: Array) -> Array:
        """Physical values of u, always within the range. (n, p) → (n, p)."""
        x = self.low + (self.high - self.low) * expit(u)
        return np.where(self.log, np.exp(np.where(self.log, x, 0.0)), x)


def _bounds(names: Sequence[str], ranges: Mapping[str, tuple[float, float]]) -> tuple[Array, Array]:
    if missing := [name for name in names if name not in ranges]:
        raise BadInput.of(
            "metadata param_ranges", f"no range for {', '.join(missing)}; each input and target needs one"
        )
    pairs = np.array([ranges[name] for name in names], dtype=np.float64).reshape(-1, 2)  # (k, 2): low, high
    return pairs[:, 0], pairs[:, 1]
