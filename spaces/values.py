"""Values that a knob can take, and how they are compared and shown.

A value is JSON-like and without keys. A list counts as one value; it is a tuple here, so that values are hashable and
immutable, and a list again in a native config or a JSON file: `freeze` and `thaw` convert.
"""

import math
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias

Value: TypeAlias = bool | int | float | str | tuple["Value", ...] | None


class Absent(Enum):
    """The type of ABSENT: nothing was given, which is not the same as the value null."""

    ABSENT = "absent"


NOT_ACTIVE: Final = "not active"
"""What tables say in place of a knob's value where the config has no use for the knob."""
ABSENT: Final = Absent.ABSENT


def freeze(raw: Any) -> Value:
    """`raw` (from YAML or JSON) as a value, lists as tuples. Raises ValueError saying what is no value in it."""
    if isinstance(raw, list | tuple):
        return tuple(freeze(item) for item in raw)
    if isinstance(raw, float) and not math.isfinite(raw):
        raise ValueError(f"{raw!r} is not a finite number")
    if raw is None or isinstance(raw, bool | int | float | str):
        return raw
    raise ValueError(f"expected a number, text, true, false, null or a list of these, got {raw!r}")


def thaw(value: Value) -> Any:
    """`value` as configs and JSON hold it: tuples become lists."""
    return [thaw(item) for item in value] if isinstance(value, tuple) else value


def is_number(raw: Any) -> bool:
    """Whether `raw` is an int or a finite float, within a float's range; True and False are no numbers."""
    if isinstance(raw, int):
        return not isinstance(raw, bool) and raw.bit_length() < 1024
    return isinstance(raw, float) and math.isfinite(raw)


def same(left: Value, right: Value) -> bool:
    """Equality that tells True from 1, while numbers compare by value: 1 and 1.0 are the same."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if is_number(left) and is_number(right):
        return left == right
    return type(left) is type(right) and left == right


def fits(value: Value, place: Value) -> bool:
    """Whether `value` can stand where `place` is expected: the same, and not a float where an int belongs."""
    if isinstance(value, tuple) and isinstance(place, tuple):
        return len(value) == len(place) and all(map(fits, value, place))
    return same(value, place) and not (isinstance(value, float) and isinstance(place, int))


def show(raw: Any) -> str:
    """`raw` as a person would write it in YAML: 1e-4, 0.01, true, null, 'text', [64, 128]."""
    if raw is None:
        return "null"
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, float):
        return _show_float(raw)
    if isinstance(raw, list | tuple):
        return f"[{', '.join(map(show, raw))}]"
    return repr(raw)


def short(raw: Any) -> str:
    """`raw` in a table for people: floats to four digits, text without quotes, all else as YAML has it."""
    return f"{raw:.4g}" if isinstance(raw, float) else raw if isinstance(raw, str) else show(raw)


def _show_float(number: float) -> str:
    if not math.isfinite(number) or number == 0 or 1e-3 <= abs(number) < 1e16:
        return repr(number).removesuffix(".0")
    return f"{Decimal(repr(number)).normalize():e}"  # repr would write 0.0001 and 1e-05
