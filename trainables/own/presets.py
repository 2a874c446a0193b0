"""Declared schedules: `{warmup_cosine: {peak: lr, warmup: warmup_epochs, end: length}}` as a pure function of the step.

One declaration is the source of a knob's value at each step and of when it settles.
"""

from collections.abc import Callable, Mapping
from typing import Any

from spaces.paths import get, has
from spaces.problems import nearest
from trainables.own import closed_forms
from trainables.own.closed_forms import PerUnit
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

    def text(self, key: str, default: str) -> str:
        """A word: as it stands, or the text that the config holds at a key of that name."""
        self._taken.add(key)
        word = self._given.get(key, default)
        if isinstance(word, str) and has(self._native, word):
            word = get(self._native, word)
        if not isinstance(word, str):
            raise PresetError(f"{self._name}.{key}: expected a word, got {word!r}")
        return word

    def listed(self, key: str) -> list[Any]:
        """A list as it stands; empty where it is not given."""
        self._taken.add(key)
        found = self._given.get(key, [])
        if not isinstance(found, list):
            raise PresetError(f"{self._name}.{key}: expected a list, got {found!r}")
        return found

    def wholes(self, key: str) -> list[int]:
        """Several whole numbers, each an expression."""
        return [self.of(f"{key}.{i}", {"at": each}).whole("at") for i, each in enumerate(self.listed(key))]

    def of(self, name: str, given: Any) -> "Values":
        """The arguments of something inside this one."""
        return Values(f"{self._name}.{name}", given, self._native, self._length)

    def given(self, key: str) -> bool:
        """Whether the argument is there."""
        return key in self._given

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
    per_unit = values.number("per_unit", 1)
    if per_unit <= 0:
        raise PresetError(f"{name}.per_unit is {per_unit:g}; it must be above 0")
    values.done()
    return schedule if per_unit == 1 else PerUnit(schedule, per_unit)


def _warmup_constant(values: Values) -> Schedule:
    return Warmup(values.whole("warmup"), Constant(values.number("peak")))


def _warmup_linear(values: Values) -> Schedule:
    return warmup_linear(values.number("peak"), values.whole("warmup", 0), values.whole("end", "length"))


def _warmup_cosine(values: Values) -> Schedule:
    floor = values.number("floor", 0)
    return warmup_cosine(values.number("peak"), values.whole("warmup", 0), values.whole("end", "length"), floor)


def _nanogpt(values: Values) -> Schedule:
    peak, warmup, end = values.number("peak"), values.whole("warmup"), values.whole("end", "length")
    if end <= warmup:
        raise PresetError(f"nanogpt.end is {end}; it must be above the warmup, {warmup}")
    return closed_forms.nanogpt(peak, warmup, end, values.number("floor", 0))


def _huggingface(values: Values) -> Schedule:
    kind = values.text("type", "linear")
    if kind not in closed_forms.KINDS:
        raise PresetError(f"huggingface.type: {kind!r} is no schedule of the step{nearest(kind, closed_forms.KINDS)}")
    more = {key: values.number(key) for key in _MORE if values.given(key)}
    peak, warmup, end = values.number("peak"), values.whole("warmup", 0), values.whole("end", "length")
    return closed_forms.huggingface(kind, peak, warmup, end, more)


def _torch(values: Values) -> Schedule:
    base, pieces = values.number("base"), []
    for i, item in enumerate(values.listed("chain")):
        if not isinstance(item, Mapping) or len(item) != 1:
            raise PresetError(f"torch.chain.{i}: expected one scheduler with its arguments, got {item!r}")
        name, given = next(iter(item.items()))
        if name not in _TORCH:
            raise PresetError(
                f"torch.chain.{i}: no schedule of the step is called {name!r}{nearest(str(name), _TORCH)}"
            )
        inner = values.of(str(name), given if given is not None else {})
        pieces.append(_TORCH[name](inner, base))
        inner.done()
    milestones = values.wholes("milestones")
    if len(milestones) != len(pieces) - 1:
        what = f"torch: {len(pieces)} schedulers need {max(len(pieces) - 1, 0)} milestones, got {len(milestones)}"
        raise PresetError(f"{what}; one scheduler after the other, as in SequentialLR")
    if milestones != sorted(set(milestones)):
        raise PresetError(f"torch.milestones: {milestones} must grow")
    return closed_forms.sequential(pieces, milestones)


def _positive(values: Values, key: str, default: str | float | None = None) -> int:
    found = values.whole(key, default)
    if found < 1:
        raise PresetError(f"{key} is {found}; it must be at least 1")
    return found


def _one_cycle(values: Values, base: float) -> closed_forms.Closed:
    strategy = values.text("anneal_strategy", "cos")
    divisors = (values.number("div_factor", 25), values.number("final_div_factor", 1e4))
    total, start = _positive(values, "total_steps", "length"), values.number("pct_start", 0.3)
    if start * total <= 1:
        raise PresetError(f"OneCycleLR: pct_start {start:g} of {total} steps leaves no warmup; torch divides by zero")
    return closed_forms.one_cycle_lr(values.number("max_lr", base), total, start, strategy == "linear", divisors)


_MORE = ("num_cycles", "power", "lr_end", "timescale", "min_lr", "min_lr_rate")
_TORCH: Mapping[str, Callable[[Values, float], closed_forms.Closed]] = {
    "ConstantLR": lambda v, base: closed_forms.constant_lr(base, v.number("factor", 1 / 3), v.whole("total_iters", 5)),
    "LinearLR": lambda v, base: closed_forms.linear_lr(
        base, v.number("start_factor", 1 / 3), v.number("end_factor", 1), v.whole("total_iters", 5)
    ),
    "StepLR": lambda v, base: closed_forms.step_lr(base, _positive(v, "step_size"), v.number("gamma", 0.1)),
    "MultiStepLR": lambda v, base: closed_forms.multi_step_lr(base, v.wholes("milestones"), v.number("gamma", 0.1)),
    "ExponentialLR": lambda v, base: closed_forms.exponential_lr(base, v.number("gamma")),
    "CosineAnnealingLR": lambda v, base: closed_forms.cosine_annealing_lr(
        base, _positive(v, "T_max"), v.number("eta_min", 0)
    ),
    "PolynomialLR": lambda v, base: closed_forms.polynomial_lr(
        base, _positive(v, "total_iters", 5), v.number("power", 1)
    ),
    "OneCycleLR": _one_cycle,
}
_PRESETS: Mapping[str, Callable[[Values], Schedule]] = {
    "huggingface": _huggingface,
    "nanogpt": _nanogpt,
    "torch": _torch,
    "warmup_constant": _warmup_constant,
    "warmup_linear": _warmup_linear,
    "warmup_cosine": _warmup_cosine,
}
