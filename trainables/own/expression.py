"""Small formulas over a config: `ceil(0.1 * length)`, `warmup_epochs + 2`. They are parsed, never run as Python.

expression = number | `length` | config key (dotted) | expression (+ - * /) expression | -expression
| ceil(x) | floor(x) | min(x, …) | max(x, …)

A key may have hyphens, as arguments of a command do: `warmup-epochs` is a key, `length - warmup` a difference. An item
of a list is named by its place, from 0: `phases.1.epochs`.
"""

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spaces.paths import Missing, get, leaves
from spaces.problems import nearest

LENGTH = "length"
_LONGEST = 200  # characters
_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}
_FUNCTIONS: Mapping[str, Callable[[list[float]], float]] = {
    "ceil": lambda values: math.ceil(values[0]),
    "floor": lambda values: math.floor(values[0]),
    "min": min,
    "max": max,
}
_KEY = re.compile(r"(?<![\w.])[^\W\d]\w*(?:\.\w+|-[^\W\d]\w*)+")
_PLACE = re.compile(r"\.(?=\d)")
_HYPHEN, _ITEM = "ǁ", "ǂ"
"""Stand for a key's hyphen, and before a place in a list, while Python's parser reads the formula: to Python they are
letters."""
_GRAMMAR = "use numbers, config keys, length, + - * /, ceil, floor, min, max"


class ExpressionError(ValueError):
    """An expression outside the grammar, or one without a value for a config."""


@dataclass(frozen=True)
class Expression:
    """A formula as its text says it. Raises ExpressionError for what is not in the grammar."""

    text: str | int | float

    def __post_init__(self) -> None:
        self._check(self._tree())

    def value(self, native: Mapping[str, Any], length: int) -> float:
        """Its value for a config and the length of its training. Raises ExpressionError."""
        try:
            result = _evaluated(self._tree(), native, length)
            finite = math.isfinite(result)
        except ZeroDivisionError as error:
            raise ExpressionError(f"{self.text!r} divides by zero") from error
        except OverflowError as error:
            raise ExpressionError(f"{self.text!r} is too large") from error
        if not finite:
            raise ExpressionError(f"{self.text!r} is {result}")
        return result

    def _tree(self) -> ast.expr:
        if isinstance(self.text, bool) or not isinstance(self.text, str | int | float):
            raise ExpressionError(f"expected a number or a formula, got {self.text!r}")
        text = self.text if isinstance(self.text, str) else repr(self.text)
        if len(text) > _LONGEST:
            raise ExpressionError(f"a formula of more than {_LONGEST} characters: compute the value in the config")
        try:
            return ast.parse(_KEY.sub(_masked, text.strip()), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ExpressionError(f"{text!r} is no formula; {_GRAMMAR}") from error

    def _check(self, node: ast.expr) -> None:
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return
            case ast.Name() | ast.Attribute() if _dotted(node) is not None:
                return
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                self._check(node.operand)
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div()):
                self._check(node.left)
                self._check(node.right)
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _FUNCTIONS and node.args:
                if name in ("ceil", "floor") and len(node.args) != 1:
                    raise ExpressionError(f"{self.text!r}: {name} takes one value, got {len(node.args)}")
                for argument in node.args:
                    self._check(argument)
            case _:
                raise ExpressionError(f"{self.text!r}: {ast.unparse(node)!r} is not in the grammar; {_GRAMMAR}")


def _masked(key: re.Match[str]) -> str:
    return _PLACE.sub(f".{_ITEM}", key[0].replace("-", _HYPHEN))


def _dotted(node: ast.expr) -> str | None:
    match node:
        case ast.Name():
            return node.id.replace(_HYPHEN, "-")
        case ast.Attribute():
            before = _dotted(node.value)
            return None if before is None else f"{before}.{node.attr.replace(_HYPHEN, '-').replace(_ITEM, '')}"
        case _:
            return None


def _evaluated(node: ast.expr, native: Mapping[str, Any], length: int) -> float:
    match node:
        case ast.Constant():
            return float(node.value)  # type: ignore[arg-type]  # a number: checked
        case ast.UnaryOp():
            value = _evaluated(node.operand, native, length)
            return -value if isinstance(node.op, ast.USub) else value
        case ast.BinOp():
            return _OPERATORS[type(node.op)](
                _evaluated(node.left, native, length), _evaluated(node.right, native, length)
            )
        case ast.Call():
            assert isinstance(node.func, ast.Name)
            values = [_evaluated(argument, native, length) for argument in node.args]
            return float(_FUNCTIONS[node.func.id](values))
        case _:
            key = _dotted(node)
            assert key is not None
            return float(length) if key == LENGTH else number_at(native, key)


def number_at(native: Mapping[str, Any], key: str) -> float:
    """The number at a config key. Raises ExpressionError."""
    try:
        value = get(native, key)
    except Missing as error:
        hint = "; a minus between two keys needs spaces" if "-" in key else ""
        near = nearest(key, [*leaves(native), LENGTH])
        raise ExpressionError(f"the config has no key {key!r}{near}{hint}") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError(f"the config's {key} is {value!r}, no number")
    return float(value)
