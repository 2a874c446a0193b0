"""Formulas over a config: what the grammar has, and that nothing else is run."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.own.expression import Expression, ExpressionError

NATIVE = {
    "warmup": 5,
    "decay-epochs": 6,
    "top-k": {"p-1": 4, "p-one": 3},
    "train": {"share": 0.1, "name": "x"},
    "flag": True,
    "phases": [{"decay-epochs": 5}, {"epochs": 7}],
}
numbers = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("warmup", 5),
        (3, 3),
        (0.5, 0.5),
        ("ceil(train.share * length)", 3),
        ("floor(2.9) + min(warmup, 2, 9)", 4),
        ("max(1, warmup - 10)", 1),
        ("-warmup + +2", -3),
        ("(length - warmup) / 2", 9.5),
        ("max(4)", 4),
        ("decay-epochs", 6),
        ("2*decay-epochs - warmup", 7),
        ("top-k.p-one - 1", 2),
        ("length-5", 19),
        ("phases.1.epochs", 7),
        ("phases.0.decay-epochs + 2*phases.1.epochs - 1.5", 17.5),
        ("ceil(phases.1.epochs/2.0)+.5", 4.5),
    ],
)
def test_what_formulas_are_worth(text: str | int | float, value: float) -> None:
    assert Expression(text).value(NATIVE, 24) == value


def test_a_minus_without_spaces_is_a_keys_hyphen() -> None:
    with pytest.raises(ExpressionError, match=r"no key 'length-warmup'.* a minus between two keys needs spaces"):
        Expression("length-warmup").value(NATIVE, 24)


@given(numbers, numbers, st.sampled_from("+-*"))
def test_arithmetic_is_pythons(a: float, b: float, sign: str) -> None:
    expected = {"+": a + b, "-": a - b, "*": a * b}[sign]
    assert Expression(f"a {sign} b").value({"a": a, "b": b}, 1) == expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')", "warmup ** 9", "warmup[0]", "lambda: 1", "a if b else c", "open(1)", "max()", "ceil(1, 2)",
        "'text'", "True", "a == b", "f'{a}'", "max(*a)", "max(a, key=b)", "(a).b()", "", "a b", "1" * 300, "a // 2",
    ],
)  # fmt: skip
def test_what_is_not_in_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        Expression(text)


@given(st.text(max_size=40))
def test_any_text_is_a_formula_or_refused(text: str) -> None:
    try:
        value = Expression(text).value({"a": 1.0}, 10)
    except ExpressionError:
        return
    assert math.isfinite(value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("warmpu", "no key 'warmpu'; did you mean 'warmup'?"),
        ("train.name", "is 'x', no number"),
        ("flag", "is True, no number"),
        ("1 / (warmup - 5)", "divides by zero"),
        ("1e300 * 1e300", "is inf"),
    ],
)
def test_a_formula_without_a_value_says_why(text: str, told: str) -> None:
    with pytest.raises(ExpressionError, match=told):
        Expression(text).value(NATIVE, 10)
