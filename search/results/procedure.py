"""When a gain on fresh seeds is enough to switch: the tests behind the verdict, as functions of paired gains.

A gain is the baseline's score minus the candidate's on the same seed, above zero where the candidate is better. Both
tests switch wrongly with a chance of at most ALPHA where no candidate is better, whatever the candidates' scatters are:
each is judged by its own, and by the number of comparisons that were made.

- A fixed number of seeds: one-sided paired t-tests at ALPHA / k of k candidates (Bonferroni).
- One seed at a time: the first seed chooses among the candidates and is then set aside, so that one comparison is left.
  It is tested again with each further seed: a group sequential t-test whose error is spent as ALPHA · (n / most)³ by
  the n-th pair (Lan and DeMets 1983, Biometrika 70:659; the power family of Kim and DeMets 1987, Biometrika 74:149).
  Its intervals are repeated confidence intervals (Jennison and Turnbull 1989, JRSS B 51:305): they hold at every look.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from search.spec.config import FEWEST_PAIRS

LEVEL = 0.95
ALPHA = (1 - LEVEL) / 2
"""The chance of a wrong switch: one end of a two-sided interval of LEVEL."""
FIRST_LOOK = 3
"""Pairs before a switch is possible: from two, the scatter is a guess, and an interval says nothing."""
SPENDING = 3
CELLS = 200
"""Into so many the range of the statistic is cut; boundaries are then right to half a percent."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95% interval (both ends None where it has none, as below two seeds)."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float], critical: float | None = None) -> "Estimate":
        """Estimate the mean behind `values`, at least one. `critical`: half of the interval, in standard errors; None
        for Student's t of one comparison. Infinite for none."""
        mean, n = fmean(values), len(values)
        if n < 2:
            return cls(mean, None, None, n)
        wide = quantile(n) if critical is None else critical
        if not math.isfinite(wide):
            return cls(mean, None, None, n)
        half = wide * stdev(values) / n**0.5
        return cls(mean, mean - half, mean + half, n)

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" [{self.low:.4g}, {self.high:.4g}]"
        return f"{self.mean:.4g}{interval}"


def quantile(n: int, comparisons: int = 1) -> float:
    """How many standard errors a mean of n > 1 gains must lie above zero, if so many comparisons are made at once."""
    return float(special.stdtrit(n - 1, 1 - ALPHA / comparisons))


@cache
def boundaries(most: int) -> Mapping[int, float]:
    """The least t for a switch after n pairs, for each n from FIRST_LOOK to `most`.

    The statistic u = Σx / √Σx² of independent normal gains is a Markov chain: u' = (u + r) / √(1 + r²), with r the new
    gain over the root of the older ones' sum of squares. r is independent of u, for a normal vector's direction is of
    its length, and r√n has Student's t distribution with n degrees of freedom. So the recursion of Armitage, McPherson
    and Rowe (1969, JRSS A 132:235) is one-dimensional. t = u √((n − 1) / (n − u²)) grows with u.
    """
    found: dict[int, float] = {}
    spent = 0.0
    at, mass = np.empty(0), np.empty(0)
    for n in range(FIRST_LOOK, most + 1):
        due = ALPHA * (n / most) ** SPENDING - spent
        spent += due
        reach = n**0.5
        if n == FIRST_LOOK:  # a direction in three dimensions: u is uniform
            least = reach * (1 - 2 * due)
            edges = _edges(reach, least)
            mass = np.diff(edges) / (2 * reach)
        else:
            least = float(optimize.brentq(_excess, 0.0, reach * (1 - 1e-12), (at, mass, n - 1, due), xtol=1e-12))
            edges = _edges(reach, least)
            mass = -np.diff(_above(edges[:, None], at[None, :], n - 1) @ mass)
        at = (edges[1:] + edges[:-1]) / 2
        found[n] = least * math.sqrt((n - 1) / (n - least**2))
    return found


def _edges(reach: float, least: float) -> Floats:
    """The cells between −`reach` and `least`: fine at the ends, where large values of t lie close together."""
    edges: Floats = -reach * np.cos(np.linspace(0.0, math.acos(-least / reach), CELLS + 1))
    return edges


def _excess(least: float, at: Floats, mass: Floats, n: int, due: float) -> float:
    """By how much the chance of u > `least` one pair later exceeds `due`."""
    return float(_above(np.full((1, 1), least), at[None, :], n)[0] @ mass) - due


def _above(least: Floats, u: Floats, n: int) -> Floats:
    """The chance that u after n + 1 gains exceeds `least`, given u after n. Both are broadcast."""
    least, u = np.broadcast_arrays(least, u)
    turned = least < 0  # by symmetry
    b, v = np.abs(least), np.where(turned, -u, u)
    chance = _above_positive(b, v, n)
    return np.where(turned, 1 - chance, chance)


def _above_positive(b: Floats, u: Floats, n: int) -> Floats:
    """(u + r) / √(1 + r²) > b ≥ 0 holds between two values of r, the upper one infinite for b ≤ 1."""
    root = b * np.sqrt(np.maximum(0.0, u**2 + 1 - b**2))
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(u > 0, (b**2 - u**2) / (u + root), (root - u) / (1 - b**2))
        high = np.where(b > 1, (u + root) / (b**2 - 1), np.inf)
        chance = special.stdtr(n, high * n**0.5) - special.stdtr(n, low * n**0.5)
    possible = np.where(u > 0, u**2 + 1 > b**2, b < 1)
    return np.where(possible, chance, 0.0)


def in_turn(gains: Sequence[float], most: int) -> Estimate:
    """The mean gain after so many pairs of a sequential confirmation with at most `most`, with its interval."""
    return Estimate.of(gains, boundaries(most).get(len(gains), math.inf))


def hopeless(gains: Sequence[float]) -> bool:
    """Whether a sequential confirmation gives the candidate up: both of the first two pairs are against it, or the mean
    of more. Giving up can only lower the chance of a wrong switch."""
    return len(gains) >= FEWEST_PAIRS and (max(gains) <= 0 if len(gains) == FEWEST_PAIRS else fmean(gains) <= 0)


def settled(gains: Sequence[float], most: int) -> bool:
    """Whether a sequential confirmation needs no further pair: decided either way, or at its end."""
    low = in_turn(gains, most).low if len(gains) >= FIRST_LOOK else None
    return len(gains) >= most or hopeless(gains) or (low is not None and low > 0)
