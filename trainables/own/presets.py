"""Declared schedules: `{warmup_cosine: {peak: lr, warmup: warmup_epochs, end: length}}` as a pure function of the step.

One declaration is the source of a knob's value at each step and of when it settles.
"""

from collections.abc import Mapping
from typing import Any

from spaces.problems import nearest
from trainables.own.expression import Expression, ExpressionError
from trainables.schedules import Constant, Schedule, Warmup, warmup_cosine, warmup_linear


class PresetError(ValueError):
    """A schedule that is declared wrongly, or one that a config has no value for."""


class Values:
    """The arguments of a preset, each an expression over a config."""

    def __init__(self, name: str, given: Any, native: Mapping[str, Any], length: int) -> None:
        if not isinstance(given, Mapping):
            raise PresetError(f"{name}: expected its arguments as a mapping, got {given!r}")
        self._name, self._given, self._native, self._length = name, dict(given), native, length
        self._taken: set[str] = set()

    def number(self, key: str, default: float | str | None = None) -> float:
        """The value of an argument. Raises PresetError."""
        self._taken.add(key)
        text = self._given.get(key, default)
        if text is None:
            raise PresetError(f"{self._name}.{key} is missing")
        try:
            return Expression(text).value(self._native, self._length)
        except ExpressionError as error:
            raise PresetError(f"{self._name}.{key}: {error}") from error

    def whole(self, key: str, default: float | str | None = None) -> int:
        """The value of an argument that counts units."""
        value = self.number(key, default)
        if not float(value).is_integer():
            raise PresetError(f"{self._name}.{key} is {value:g}, no whole number; use ceil or floor")
        return int(value)

    def done(self) -> None:
        """Raise PresetError for arguments that nothing asked for."""
        for key in self._given:
            if key not in self._taken:
                raise PresetError(f"{self._name}.{key}: unknown argument{nearest(str(key), self._taken)}")


def schedule_of(declared: Any, native: Mapping[str, Any], length: int) -> Schedule:
    """The schedule that is declared, for a config. Raises PresetError."""
    if not isinstance(declared, Mapping):
        try:
            return Constant(Expression(declared).value(native, length))
        except ExpressionError as error:
            raise PresetError(str(error)) from error
    if len(declared) != 1:
        raise PresetError(f"expected one preset of {', '.join(sorted(_PRESETS))}, got {', '.join(map(str, declared))}")
    name, given = next(iter(declared.items()))
    if name not in _PRESETS:
        raise PresetError(f"no preset is called {name!r}{nearest(str(name), _PRESETS)}")
    values = Values(name, given, native, length)
    try:
        schedule = _PRESETS[name](values)
    except PresetError:
        raise
    except ValueError as error:
        raise PresetError(f"{name}: {error}") from error
    values.done()
    return schedule


def _warmup_constant(values: Values) -> Schedule:
    return Warmup(values.whole("warmup"), Constant(values.number("peak")))


def _warmup_linear(values: Values) -> Schedule:
    return warmup_linear(values.number("peak"), values.whole("warmup", 0), values.whole("end", "length"))


def _warmup_cosine(values: Values) -> Schedule:
    floor = values.number("floor", 0)
    return warmup_cosine(values.number("peak"), values.whole("warmup", 0), values.whole("end", "length"), floor)


_PRESETS = {
    "warmup_constant": _warmup_constant,
    "warmup_linear": _warmup_linear,
    "warmup_cosine": _warmup_cosine,
}
