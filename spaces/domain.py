"""Typed domains of a knob, ends inclusive, and the pure functions over them.

Every domain maps to the unit interval and back (`to_unit`, `from_unit`); a uniform draw from the interval is a uniform
draw from the domain (from its logarithm, with log).
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from spaces.faults import DomainError, categorical_faults, exact, range_faults
from spaces.values import Value, fits, freeze, is_number, same, show

TOLERANCE = 1e-6
"""How far, in steps, a float may lie from its lattice point: what arithmetic like 0.1 + 0.2 leaves behind."""


@dataclass(frozen=True)
class Float:
    """Real numbers from `low` to `high`; with `step` only low, low + step, … high. Raises DomainError."""

    low: float
    high: float
    log: bool = False  # uniform in the logarithm; not together with step
    step: float | None = None  # high - low must be a multiple of it

    def __post_init__(self) -> None:
        _refuse(range_faults(self.low, self.high, self.log, self.step, whole=False))
        for name in ("low", "high", *(["step"] if self.step is not None else [])):
            object.__setattr__(self, name, float(getattr(self, name)))  # YAML's 0 and 0.0 are one domain


@dataclass(frozen=True)
class Int:
    """Whole numbers from `low` to `high`, `step` apart. Raises DomainError."""

    low: int
    high: int
    log: bool = False  # uniform in the logarithm; not together with step
    step: int = 1  # high - low must be a multiple of it

    def __post_init__(self) -> None:
        _refuse(range_faults(self.low, self.high, self.log, self.step, whole=True))
        for name in ("low", "high", "step"):
            object.__setattr__(self, name, int(getattr(self, name)))  # YAML's 1e3 is a float, and whole


@dataclass(frozen=True)
class Categorical:
    """One of `choices`, without an order between them. Raises DomainError."""

    choices: tuple[Value, ...]

    def __post_init__(self) -> None:
        _refuse(categorical_faults(self.choices))
        object.__setattr__(self, "choices", freeze(self.choices))


Domain: TypeAlias = Float | Int | Categorical


def contains(domain: Domain, value: Any) -> bool:
    """Whether the domain holds `value`. Types count: True is not 1 and 2.0 is no int, but 2 may stand for 2.0."""
    match domain:
        case Float():
            return is_number(value) and domain.low <= value <= domain.high and _on_lattice(domain, value)
        case Int():
            whole = is_number(value) and isinstance(value, int)
            return whole and domain.low <= value <= domain.high and (value - domain.low) % domain.step == 0
        case Categorical():
            try:
                frozen = freeze(value)
            except ValueError:
                return False
            return any(fits(frozen, choice) for choice in domain.choices)


def typed(domain: Domain, value: Any) -> Value:
    """`value` in the domain's own type, inside its bounds or not: 1 is 1.0 to a Float, 1e3 is 1000 to an Int.

    Raises ValueError for a value of another type, saying which type was expected.
    """
    match domain:
        case Float():
            if is_number(value):
                return float(value)
            raise ValueError(f"expected a number, got {show(value)}")
        case Int():
            if is_number(value) and value == int(value):
                return int(value)
            raise ValueError(f"expected a whole number, got {show(value)}")
        case Categorical():
            frozen = freeze(value)
            if any(_alike(frozen, choice) for choice in domain.choices):
                return frozen
            raise ValueError(f"expected a value like the choices {show(domain.choices)}, got {show(value)}")


def snap(domain: Domain, value: Any) -> Value:
    """The nearest value that the domain holds: inside the ends, on the lattice, of the domain's type.

    Raises ValueError for what has no nearest: no number, or none of a categorical's choices.
    """
    match domain:
        case Float() | Int():
            if not is_number(value):
                raise ValueError(f"expected a number, got {show(value)}")
            inside = min(max(value, domain.low), domain.high)
            if size(domain) is None:
                return float(inside)
            return _at(domain, round((exact(inside) - exact(domain.low)) / exact(domain.step or 1)))
        case Categorical():
            return domain.choices[_index(domain, value)]


def size(domain: Domain) -> int | None:
    """How many values the domain holds; None for a continuum."""
    match domain:
        case Float(step=None):
            return 1 if domain.low == domain.high else None
        case Float() | Int():
            return int((exact(domain.high) - exact(domain.low)) / exact(domain.step or 1)) + 1
        case Categorical():
            return len(domain.choices)


def sample(domain: Domain, rng: np.random.Generator) -> Value:
    """A uniform draw (log-uniform with log); takes exactly one number from `rng`."""
    return from_unit(domain, float(rng.random()))


def grid(domain: Domain, points: int) -> tuple[Value, ...]:
    """At most `points` distinct values, ascending, evenly spread (in the logarithm, with log), both ends included.

    A single point is the middle. A categorical gives all of its choices. Raises ValueError for points < 1.
    """
    if points < 1:
        raise ValueError(f"a grid needs at least 1 point, got {points}")
    match domain:
        case Categorical():
            return domain.choices
        case Float(step=None) | Int(log=True):
            if points == 1 or domain.low == domain.high:
                return (from_unit(domain, 0.5),)
            between = (_clean(domain, part / (points - 1)) for part in range(1, points - 1))
            return tuple(sorted({domain.low, *between, domain.high}))
        case Float() | Int():
            last = (size(domain) or 1) - 1
            if points == 1 or last == 0:
                return (_at(domain, last // 2),)
            gaps = min(points - 1, last)
            return tuple(_at(domain, (2 * part * last + gaps) // (2 * gaps)) for part in range(gaps + 1))


def to_unit(domain: Domain, value: Any) -> float:
    """Where the value lies in [0, 1]; a discrete value lies in the middle of its share of the interval.

    Raises ValueError for a value that the domain doesn't hold (`snap` it first).
    """
    if not contains(domain, value):
        raise ValueError(f"{show(value)} is not in {describe(domain)}")
    match domain:
        case Float(step=None) | Int(log=True):
            low, high = _edges(domain)
            place = math.log(value) if domain.log else float(value)
            return min(max((place - low) / (high - low), 0.0), 1.0) if high > low else 0.5
        case Float() | Int():
            index = round((exact(value) - exact(domain.low)) / exact(domain.step or 1))
            return (index + 0.5) / (size(domain) or 1)
        case Categorical():
            return (_index(domain, value) + 0.5) / len(domain.choices)


def from_unit(domain: Domain, u: float) -> Value:
    """The value at `u` in [0, 1]: the inverse of `to_unit`. Raises ValueError for another u."""
    if not 0 <= u <= 1:
        raise ValueError(f"u must lie in [0, 1], got {u}")
    match domain:
        case Float(step=None) | Int(log=True):
            low, high = _edges(domain)
            place = low + u * (high - low)
            number = math.exp(place) if domain.log else place
            if isinstance(domain, Int):
                return min(max(round(number), domain.low), domain.high)
            return min(max(number, domain.low), domain.high)
        case Float() | Int():
            count = size(domain) or 1
            return _at(domain, min(int(u * count), count - 1))
        case Categorical():
            count = len(domain.choices)
            return domain.choices[min(int(u * count), count - 1)]


def describe(domain: Domain) -> str:
    """One short line for people: `float [1e-4, 0.01] log`, `int [100, 1000] step 100`, `one of [true, false]`."""
    match domain:
        case Float():
            step = "" if domain.step is None else f" step {show(domain.step)}"
            return f"float [{show(domain.low)}, {show(domain.high)}]{' log' * domain.log}{step}"
        case Int():
            step = "" if domain.step == 1 else f" step {domain.step}"
            return f"int [{domain.low}, {domain.high}]{' log' * domain.log}{step}"
        case Categorical():
            return f"one of {show(domain.choices)}"


def _refuse(faults: list[tuple[str, str]]) -> None:
    if faults:
        raise DomainError(faults)


def _at(domain: Float | Int, index: int) -> float | int:
    """The lattice point, as exact as its decimal form: 0.1 + 2 * 0.1 is 0.3."""
    point: Fraction = exact(domain.low) + index * exact(domain.step or 1)
    return int(point) if isinstance(domain, Int) else float(point)


def _on_lattice(domain: Float, value: float) -> bool:
    if domain.step is None:
        return True
    index = (exact(value) - exact(domain.low)) / exact(domain.step)
    return abs(index - round(index)) <= TOLERANCE


def _edges(domain: Float | Int) -> tuple[float, float]:
    """The ends of the scale that is uniform; a whole number owns half a unit to either side."""
    half = 0.5 if isinstance(domain, Int) else 0.0
    low, high = domain.low - half, domain.high + half
    return (math.log(low), math.log(high)) if domain.log else (low, high)


def _clean(domain: Float | Int, share: float) -> float | int:
    """A grid's point `share` of the way between the ends, without the noise of the last digits."""
    low, high = (math.log(domain.low), math.log(domain.high)) if domain.log else (domain.low, domain.high)
    place = low + share * (high - low)
    number = math.exp(place) if domain.log else place
    rounded = round(number) if isinstance(domain, Int) else float(f"{number:.12g}")
    return min(max(rounded, domain.low), domain.high)


def _index(domain: Categorical, value: Any) -> int:
    frozen = freeze(value)
    for index, choice in enumerate(domain.choices):
        if same(frozen, choice):
            return index
    raise ValueError(f"{show(value)} is not in {describe(domain)}")


def _alike(value: Value, choice: Value) -> bool:
    if is_number(value) and is_number(choice):
        return isinstance(value, int) or isinstance(choice, float)
    return type(value) is type(choice)
