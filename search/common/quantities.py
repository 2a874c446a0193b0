"""Lengths, times and sizes as people write them, turned into numbers once: `40 epochs`, `1.5h`, `8 GiB`; and values as
people read them."""

import math
import re
from typing import Annotated

from pydantic import Field

from spaces.problems import BadInput
from spaces.schema import Real, Text, Whole

Span = Annotated[Whole | Text, Field(description="a length of training: 40, '40 epochs', '3000 steps'")]
Wait = Annotated[Whole | Real | Text, Field(description="a time: 90 (seconds), '90s', '20m', '1.5h'")]

LEAST_SECONDS, MOST_SECONDS = 1e-3, 3650 * 86400.0
MOST_UNITS = 1e12
MOST_BYTES = 2**62

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def seconds(wait: int | float | str, where: str) -> float:
    """A time in seconds: a number, or text with a unit. Raises BadInput, also for less than a millisecond and more than
    ten years: clocks of the system take no more.
    """
    value: float | None
    if isinstance(wait, str):
        unit = wait.strip()[-1:]
        value = _number(wait.strip()[:-1]) if unit in _SECONDS else None
        value = value * _SECONDS[unit] if value is not None else None
    else:
        value = float(wait)
    if value is None or value <= 0:
        raise BadInput.of(where, f"expected a time above zero such as 90s, 20m, 1.5h, got {wait!r}")
    if not LEAST_SECONDS <= value <= MOST_SECONDS:
        raise BadInput.of(where, f"expected a time from 0.001s to 3650d, got {wait!r}")
    return value


def decimals(value: float) -> str:
    """For people, `0.4312`: four decimals, so that a column of them is read at a glance; where these would hide what it
    is, or fill the line, four digits and an exponent."""
    plain = value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e7
    return f"{value:.4f}" if plain else f"{value:.4g}"


def units(span: int | str, unit: str, where: str) -> int:
    """A length of training in the model's own unit. Raises BadInput for another unit or a length below one."""
    value: float | None
    if isinstance(span, str):
        number, _, named = span.strip().partition(" ")
        value = _number(number)
        if value is not None and named.strip() not in {unit, f"{unit}s"}:
            raise BadInput.of(where, f"this model counts in {unit}s: write '{number} {unit}s', got {span!r}")
    else:
        value = span
    if value is None or value != int(value) or value < 1:
        raise BadInput.of(where, f"expected a whole number of {unit}s from 1, such as '20 {unit}s', got {span!r}")
    if value > MOST_UNITS:
        raise BadInput.of(where, f"expected at most {MOST_UNITS:g} {unit}s, got {span!r}")
    return int(value)


def size(text: str, where: str) -> int:
    """A size in bytes. Raises BadInput for text that is no number with a unit."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*([KMGT]i?B)\s*", text)
    value = _number(match[1]) if match else None
    if match is None or value is None or value <= 0:
        raise BadInput.of(where, f"expected a size above zero such as '8 GiB' or '500 MB', got {text!r}")
    if not 1 <= value * _BYTES[match[2]] <= MOST_BYTES:
        raise BadInput.of(where, f"expected a size from one byte to {MOST_BYTES >> 60} EiB, got {text!r}")
    return int(value * _BYTES[match[2]])


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
