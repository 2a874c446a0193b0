"""What can be wrong with a domain's numbers and choices, as (field, what): the parser puts the key paths to it."""

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from spaces.values import Value, freeze, is_number, same, show

LARGEST_INT = 2**40
"""Whole numbers up to here survive the trip through a float's logarithm, which samplers need."""
MOST_POINTS = 1_000_000
"""A finer lattice of floats is a continuum for every purpose, and its points drown in rounding."""


class DomainError(ValueError):
    """A domain that can't be: `faults` holds every (field, what), fields like `low` or `choices[2]`."""

    def __init__(self, faults: Iterable[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{field}: {what}" for field, what in self.faults))

    def __reduce__(self) -> tuple[type["DomainError"], tuple[tuple[tuple[str, str], ...]]]:
        return DomainError, (self.faults,)


def exact(number: float) -> Fraction:
    """The number that the decimal form of `number` means: 0.1 is one tenth."""
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def range_faults(low: Any, high: Any, log: Any, step: Any, whole: bool) -> list[tuple[str, str]]:
    """The faults of a range of floats (or of `whole` numbers); the arguments may be anything that YAML holds."""
    faults = [
        (field, what)
        for field, number in (("low", low), ("high", high), ("step", step))
        if not (field == "step" and step is None and not whole) and (what := _not_number(number, whole))
    ]
    bad = {field for field, _ in faults}
    if not isinstance(log, bool):
        faults.append(("log", f"expected true or false, got {show(log)}"))
    elif log and "low" not in bad:
        faults += _log_faults(low, whole)
    if not bad & {"low", "high"}:
        faults += _order_faults(low, high)
    if step is not None and "step" not in bad:
        faults += _step_faults(step, log, whole)
        if not faults and not log:
            faults += _lattice_faults(low, high, step, whole)
    return faults


def categorical_faults(choices: Any) -> list[tuple[str, str]]:
    """The faults of a list of choices, which may be anything that YAML holds."""
    if not isinstance(choices, list | tuple):
        return [("choices", f"expected a list of values, got {show(choices)}")]
    if not choices:
        return [("choices", "got an empty list; a choice needs at least 1 value")]
    return value_faults(choices, "choices")


def value_faults(raws: Iterable[Any], name: str) -> list[tuple[str, str]]:
    """What is no value among `raws`, or stands there twice; the fields are `name[index]`."""
    faults: list[tuple[str, str]] = []
    seen: dict[Value, int] = {}
    for index, raw in enumerate(raws):
        try:
            value = freeze(raw)
        except ValueError as error:
            faults.append((f"{name}[{index}]", str(error)))
            continue
        first = seen.setdefault(value, index)  # Python's equality, like that of samplers and storages: True is 1
        if first == index:
            continue
        earlier = next(v for v in seen if v == value)
        what = "stands twice; drop it" if same(earlier, value) else f"can't be told from {show(earlier)}; use text"
        faults.append((f"{name}[{index}]", f"{show(value)} {what} (see [{first}])"))
    return faults


def _not_number(raw: Any, whole: bool) -> str:
    expected = "a whole number" if whole else "a number"
    if isinstance(raw, float) and not math.isfinite(raw):
        return f"expected a finite number, got {raw!r}"
    if not is_number(raw):
        return f"expected {expected}, got {show(raw)}"
    if whole and raw != int(raw):
        return f"expected a whole number, got {show(raw)}; use float for a range of real numbers"
    if whole and abs(raw) > LARGEST_INT:
        return f"{show(raw)} is beyond ±{LARGEST_INT}, the largest whole number of a domain"
    return ""


def _order_faults(low: float, high: float) -> list[tuple[str, str]]:
    if low > high:
        return [("low", f"the lower end {show(low)} is above the upper end {show(high)}; write the lower end first")]
    if not math.isfinite(float(high) - float(low)):
        return [("high", f"the range from {show(low)} to {show(high)} is wider than a float can hold; narrow it")]
    return []


def _log_faults(low: float, whole: bool) -> list[tuple[str, str]]:
    least = "at least 1" if whole else "above 0"
    return [("low", f"with log the lower end must be {least}, got {show(low)}; raise it or drop log")] * (low <= 0)


def _step_faults(step: float, log: Any, whole: bool) -> list[tuple[str, str]]:
    if step <= 0:
        return [("step", f"must be above 0, got {show(step)}")]
    if log is True and not (whole and step == 1):
        return [("step", f"step {show(step)} can't go together with log; drop one of them")]
    return []


def _lattice_faults(low: float, high: float, step: float, whole: bool) -> list[tuple[str, str]]:
    width, gap = exact(high) - exact(low), exact(step)
    if whole and step == 1:
        return []
    if gap > width:
        at_most = f"at most {show(float(width))}" if width else "drop it"
        return [("step", f"{show(step)} is wider than the range from {show(low)} to {show(high)}; {at_most}")]
    steps, rest = divmod(width, gap)
    if rest:
        # The samplers would quietly lower such an end; then the search would not be the one that was asked for.
        below, above = (show(float(exact(low) + n * gap)) for n in (steps, steps + 1))
        return [("high", f"{show(high)} is no multiple of step {show(step)} above {show(low)}; use {below} or {above}")]
    if not whole and (steps >= MOST_POINTS or step < 1e3 * math.ulp(max(abs(low), abs(high)))):
        return [("step", f"{show(step)} is too fine for the range from {show(low)} to {show(high)}; drop it")]
    return []
