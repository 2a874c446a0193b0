import math
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, IntDistribution

from spaces.domain import (
    Categorical,
    Domain,
    Float,
    Int,
    contains,
    describe,
    from_unit,
    grid,
    sample,
    size,
    snap,
    to_unit,
    typed,
)
from spaces.faults import LARGEST_INT, DomainError
from spaces.values import same

finite = st.floats(-1e12, 1e12)
positive = st.floats(1e-12, 1e12)
whole = st.integers(-LARGEST_INT, LARGEST_INT)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    kind = draw(st.sampled_from(["linear", "log", "step"]))
    if kind == "step":
        step = Fraction(draw(st.integers(1, 999)), 10 ** draw(st.integers(0, 4)))
        low = draw(st.integers(-200, 200)) * step + Fraction(draw(st.integers(-9, 9)), 10)
        return Float(float(low), float(low + step * draw(st.integers(1, 500))), step=float(step))
    low, high = sorted([draw(positive if kind == "log" else finite) for _ in range(2)])
    return Float(low, high, log=kind == "log")


@st.composite
def ints(draw: st.DrawFn) -> Int:
    if draw(st.booleans()):
        low, high = sorted([draw(st.integers(1, LARGEST_INT)) for _ in range(2)])
        return Int(low, high, log=True)
    step = draw(st.integers(1, 50))
    low = draw(st.integers(-1000, 1000))
    return Int(low, low + step * draw(st.integers(0 if step == 1 else 1, 500)), step=step)


pairs = st.tuples(st.integers(), st.integers())
choices = st.none() | st.booleans() | st.integers(2, 99) | st.text("ab1é ", max_size=3) | pairs
categoricals = st.builds(Categorical, st.lists(choices, min_size=1, max_size=6, unique=True).map(tuple))
domains = st.one_of(floats(), ints(), categoricals)
units = st.floats(0, 1)


@given(domains, st.integers(0, 2**32 - 1))
def test_samples_lie_in_the_domain_and_repeat(domain: Domain, seed: int) -> None:
    drawn = [sample(domain, np.random.default_rng(seed)) for _ in range(2)]
    assert contains(domain, drawn[0]) and drawn[0] == drawn[1]
    assert type(drawn[0]) in {Float: (float,), Int: (int,)}.get(type(domain), (type(drawn[0]),))


@given(domains, units)
def test_unit_round_trip(domain: Domain, u: float) -> None:
    value = from_unit(domain, u)
    assert contains(domain, value)
    back = to_unit(domain, value)
    assert 0 <= back <= 1
    again = from_unit(domain, back)
    if isinstance(domain, Float) and domain.step is None:
        scale = value if domain.log else max(abs(domain.low), abs(domain.high))
        assert isinstance(again, float) and abs(again - value) <= 1e-11 * scale
    else:
        assert again == value
    assert snap(domain, value) == value


@given(domains, st.integers(1, 12))
def test_grid_is_small_sorted_and_inside(domain: Domain, points: int) -> None:
    values = grid(domain, points)
    assert len(set(values)) == len(values) > 0 and all(contains(domain, value) for value in values)
    if isinstance(domain, Categorical):
        assert values == domain.choices
        return
    assert len(values) <= points and list(values) == sorted(values)
    count = size(domain)
    if points > 1:
        assert (values[0], values[-1]) == (domain.low, domain.high)
    if count is not None and not domain.log:
        assert len(values) == min(points, count)


@given(floats() | ints(), st.floats(-1e13, 1e13))
def test_snap_is_nearest(domain: Float | Int, value: float) -> None:
    near = snap(domain, value)
    assert contains(domain, near)
    if domain.step is not None and not domain.log:
        assert isinstance(near, int | float)
        inside = min(max(value, domain.low), domain.high)
        assert abs(near - inside) <= domain.step * 0.500001
    else:
        assert near == min(max(value, domain.low), domain.high) or isinstance(domain, Int)


@given(floats() | ints())
def test_optuna_takes_the_same_distribution_without_a_word(domain: Float | Int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs: Any = (
            FloatDistribution(domain.low, domain.high, domain.log, domain.step)
            if isinstance(domain, Float)
            else IntDistribution(domain.low, domain.high, domain.log, domain.step)
        )
    assert (theirs.low, theirs.high, theirs.step, theirs.log) == (domain.low, domain.high, domain.step, domain.log)
    for u in (0, 0.3, 0.77, 1):
        assert theirs._contains(from_unit(domain, u))


def test_stepped_floats_are_clean() -> None:
    domain = Float(0, 1, step=0.1)
    assert grid(domain, 99) == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert contains(domain, 0.1 + 0.2) and snap(domain, 0.1 + 0.2) == 0.3
    assert not contains(domain, 0.35) and size(domain) == 11
    assert {sample(domain, np.random.default_rng(seed)) for seed in range(300)} == set(grid(domain, 11))


def test_draws_are_uniform_on_the_domains_own_scale() -> None:
    rng = np.random.default_rng(0)
    logs = [math.log10(sample(Float(1e-4, 1e-2, log=True), rng)) for _ in range(2000)]
    assert abs(np.mean(logs) + 3) < 0.05 and min(logs) < -3.9 and max(logs) > -2.1
    counts = np.bincount([sample(Int(0, 3), rng) for _ in range(4000)])
    assert counts.min() > 880
    small = [sample(Int(1, 100, log=True), rng) for _ in range(4000)]
    assert abs(np.mean([n <= 10 for n in small]) - math.log(21) / math.log(201)) < 0.03  # 10.5/.5 of 100.5/.5


def test_grids_by_hand() -> None:
    assert grid(Float(1e-4, 1e-2, log=True), 3) == (1e-4, 1e-3, 1e-2)
    assert grid(Float(0.1, 0.5), 5) == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert grid(Int(0, 10), 3) == (0, 5, 10) and grid(Int(0, 2), 9) == (0, 1, 2)
    assert grid(Int(1, 1000, log=True), 4) == (1, 10, 100, 1000)
    assert grid(Float(0, 1), 1) == (0.5,) and grid(Int(0, 10), 1) == (5,) and grid(Float(2, 2), 3) == (2.0,)
    assert grid(Categorical(("a", None)), 1) == ("a", None)
    with pytest.raises(ValueError, match="at least 1 point, got 0"):
        grid(Int(0, 1), 0)


def test_contains_counts_types() -> None:
    assert contains(Float(0, 1), 1) and not contains(Float(0, 1), True) and not contains(Float(0, 1), "1")
    assert not contains(Float(0, 1), math.nan) and not contains(Float(0, 1), 10**400)
    assert contains(Int(0, 9, step=3), 6) and not contains(Int(0, 9, step=3), 7)
    assert not contains(Int(0, 1), 1.0) and not contains(Int(0, 1), True)
    mixed = Categorical((1, "1", None, (1, 2)))
    assert all(contains(mixed, value) for value in (1, "1", None, [1, 2], (1, 2)))
    assert not any(contains(mixed, value) for value in (True, 1.0, False, [1], {"a": 1}, math.nan))


@given(domains, st.none() | st.booleans() | finite | whole | st.text("ab1é ", max_size=2))
def test_to_unit_takes_exactly_what_is_contained(domain: Domain, value: Any) -> None:
    if contains(domain, value):
        assert 0 <= to_unit(domain, value) <= 1
    else:
        with pytest.raises(ValueError, match=r"is not in (float|int|one of)"):
            to_unit(domain, value)


@pytest.mark.parametrize("u", [-0.1, 1.1, math.nan])
def test_from_unit_refuses(u: float) -> None:
    with pytest.raises(ValueError, match="u must lie in"):
        from_unit(Int(0, 1), u)


def test_typed() -> None:
    assert typed(Float(0, 1), 5) == 5.0 and isinstance(typed(Float(0, 1), 5), float)
    assert typed(Int(0, 1), 1e3) == 1000 and isinstance(typed(Int(0, 1), 1e3), int)
    assert typed(Categorical((64, 128)), 7) == 7 and typed(Categorical(((1,), None)), [2, 3]) == (2, 3)
    for domain, value in [
        (Float(0, 1), None),
        (Float(0, 1), "x"),
        (Int(0, 1), 0.5),
        (Int(0, 1), True),
        (Categorical((True, False)), 1),
        (Categorical((64, 128)), 0.5),
        (Categorical((64, 128)), None),
    ]:
        with pytest.raises(ValueError, match="expected"):
            typed(domain, value)


@given(domains, st.floats(allow_nan=True, allow_infinity=True) | st.booleans() | st.text("ab1é ", max_size=3))
def test_snap_refuses_what_has_no_nearest(domain: Domain, value: Any) -> None:
    assume(isinstance(value, str | bool) or not math.isfinite(value))
    assume(not isinstance(domain, Categorical) or not any(same(value, choice) for choice in domain.choices))
    with pytest.raises(ValueError, match=r"expected a number|is not in|not a finite"):
        snap(domain, value)


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        (Float(1e-4, 1e-2, log=True), "float [1e-4, 0.01] log"),
        (Float(0, 1, step=0.1), "float [0, 1] step 0.1"),
        (Int(100, 1000, step=100), "int [100, 1000] step 100"),
        (Int(1, 64, log=True), "int [1, 64] log"),
        (Categorical((True, None, "relu", (64, 128))), "one of [true, null, 'relu', [64, 128]]"),
    ],
)
def test_describe(domain: Domain, text: str) -> None:
    assert describe(domain) == text


@pytest.mark.parametrize(
    ("build", "field", "words"),
    [
        (lambda: Float(1, 0), "low", ["1", "0", "above the upper end"]),
        (lambda: Float(0, 1, log=True), "low", ["above 0", "got 0", "drop log"]),
        (lambda: Int(0, 8, log=True), "low", ["at least 1", "got 0"]),
        (lambda: Float(0.1, 1, log=True, step=0.1), "step", ["0.1", "log", "drop one"]),
        (lambda: Int(2, 8, log=True, step=2), "step", ["2", "log", "drop one"]),
        (lambda: Float(0, 1, step=0), "step", ["above 0", "got 0"]),
        (lambda: Int(0, 4, step=-1), "step", ["above 0", "got -1"]),
        (lambda: Float(0, 1, step=1.5), "step", ["1.5", "wider", "at most 1"]),
        (lambda: Int(3, 3, step=2), "step", ["2", "wider", "drop it"]),
        (lambda: Float(0, 1, step=0.3), "high", ["1", "step 0.3", "0.9 or 1.2"]),
        (lambda: Int(0, 10, step=4), "high", ["10", "step 4", "8 or 12"]),
        (lambda: Float(0, 1, step=1e-9), "step", ["1e-9", "too fine"]),
        (lambda: Float(-1e308, 1e308), "high", ["wider than a float"]),
        (lambda: Float(math.nan, 1), "low", ["finite", "nan"]),
        (lambda: Float(0, math.inf), "high", ["finite", "inf"]),
        (lambda: Float(True, 2), "low", ["expected a number", "true"]),
        (lambda: Float("0.1", 2), "low", ["expected a number", "'0.1'"]),
        (lambda: Int(0.5, 2), "low", ["whole", "0.5", "use float"]),
        (lambda: Int(0, 2**41), "high", [str(2**40), str(2**41)]),
        (lambda: Int(0, 2, log=1), "log", ["true or false", "1"]),
        (lambda: Categorical(()), "choices", ["empty", "at least 1"]),
        (lambda: Categorical("ab"), "choices", ["list", "'ab'"]),
        (lambda: Categorical((1, 2, 1)), "choices[2]", ["1", "twice", "[0]"]),
        (lambda: Categorical((1, True)), "choices[1]", ["true", "can't be told from 1"]),
        (lambda: Categorical((1, math.nan)), "choices[1]", ["nan"]),
    ],
)
def test_faulty_domains(build: Any, field: str, words: list[str]) -> None:
    with pytest.raises(DomainError) as caught:
        build()
    [(place, what)] = caught.value.faults
    assert place == field
    for word in words:
        assert word in what


def test_all_faults_of_a_domain_together() -> None:
    with pytest.raises(DomainError) as caught:
        Float(0, -1, log=True, step=-2)
    assert [field for field, _ in caught.value.faults] == ["low", "low", "step"]
