"""Numbers, times and values as people read them. One place, so that the page, its figures and its tables agree."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from search.results.procedure import Estimate
from spaces.values import NOT_ACTIVE, show

MINUS = "−"


def number(value: float, digits: int = 4) -> str:
    """`value` to so many significant digits, without an exponent where that stays short."""
    if not math.isfinite(value):
        return str(value)
    if value < 0:
        return MINUS + number(-value, digits)
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" in text and 1 <= value < 1e7:
        return f"{value:.0f}"
    if value < 1e-3 or "e" in text:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text


def rounded(value: float, spread: float) -> str:
    """`value` to the digit that `spread`, a difference that matters, still tells apart (two digits of it)."""
    if not spread or not math.isfinite(spread):
        return number(value)
    places = min(8, max(0, 1 - math.floor(math.log10(abs(spread)))))
    text = f"{value:.{places}f}"
    return (
        text.replace("-", MINUS) if float(text) or not value else number(value, 1)
    )  # what is not zero looks like none


def interval(estimate: Estimate) -> str:
    """`0.029 to 0.099`; a dash where one seed gives none."""
    if estimate.low is None or estimate.high is None:
        return "–"
    spread = scale(estimate)
    return f"{rounded(estimate.low, spread)} to {rounded(estimate.high, spread)}"


def scale(estimate: Estimate) -> float:
    """The difference that matters in an interval: its width, or less where an end near zero must not look like zero.

    0 without an interval.
    """
    if estimate.low is None or estimate.high is None:
        return 0.0
    width = estimate.high - estimate.low
    nearest = min(abs(estimate.low), abs(estimate.high))
    return max(min(width, 10 * nearest), width / 100) if nearest else width


def duration(seconds: float) -> str:
    """`45 s`, `3.2 min`, `5.1 h`, `2.4 days`."""
    for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


def moment(at: float) -> str:
    """A time in UTC, to the minute."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %b %Y, %H:%M UTC").lstrip("0")


def clock(at: float) -> str:
    """A time in UTC, to the second, with its day."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %b %H:%M:%S").lstrip("0")


def count(n: int, what: str) -> str:
    """`1 trial`, `24 trials`, `12,000 steps`."""
    return f"{n:,} {what}" + "s" * (n != 1)


def setting(value: Any) -> str:
    """A knob's value: floats to four digits, all else as YAML has it."""
    return number(value) if isinstance(value, float) else value if isinstance(value, str) else show(value)


def setting_in(values: Mapping[str, Any], path: str) -> str:
    """The value of a knob in a config, which may have no use for it."""
    return setting(values[path]) if path in values else NOT_ACTIVE


def share(part: float) -> str:
    """A share as a percentage."""
    return f"{part:.0%}" if part == 0 or part >= 0.1 else f"{part:.1%}"
