import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.domain import Categorical, Int, contains
from spaces.knob import Condition, Knob, circles, in_order
from spaces.space import Space, parse_space

BASE: dict[str, Any] = {"a": 9, "b": 9, "c": 9, "d": 9, "free": 1}


def test_conditions_chain() -> None:
    raw = {
        "c": {"int": [0, 5], "when": {"b": 1}},
        "b": {"int": [0, 2], "when": {"a": [1, 2], "free": 1}},
        "a": {"choice": [0, 1, 2]},
    }
    space = parse_space(raw, "")
    assert [knob.path for knob in space.knobs] == ["a", "b", "c"]

    def active(values: dict[str, Any], base: dict[str, Any] = BASE) -> list[str]:
        return [knob.path for knob in space.active(values, base)]

    assert active({"a": 1, "b": 1}) == ["a", "b", "c"]
    assert active({"a": 0, "b": 1}) == ["a"]  # b's stale value doesn't wake c
    assert active({"a": 0}, BASE | {"b": 1}) == ["a"]  # nor does the base's: b is searched, and inactive
    assert active({"a": 2, "b": 0}) == ["a", "b"]
    assert active({"a": 2, "b": 1}, BASE | {"free": True}) == ["a"]  # True is not 1


def test_baseline_is_the_bases_own_values() -> None:
    space = parse_space({"a": {"int": [0, 1]}, "s": {"choice": [[1], [2]]}, "b": {"int": [0, 1], "when": {"a": 0}}}, "")
    assert space.baseline({"a": 7, "s": [5, 5], "b": 0}) == {"a": 7, "s": (5, 5)}
    assert space.baseline({"a": 0, "s": [1], "b": 0.5}) == {"a": 0, "s": (1,), "b": 0.5}


def test_outside_names_every_reason() -> None:
    raw = {
        "a": {"int": [0, 3]},
        "b": {"int": [0, 3], "when": {"a": [1, 2]}},
        "c": {"int": [0, 3]},
        "d": {"int": [0, 3], "when": {"c": 1}},
        "s": {"choice": [[1], [2]]},
    }
    space = parse_space(raw, "")
    assert space.outside({"a": 0, "c": 1, "d": 3, "s": [2]}, BASE) == []
    assert space.outside({"a": 0, "b": 1, "cc": 0, "d": 2, "s": {"x": 1}}, BASE) == [
        "cc: no knob of the space; did you mean 'c'?",
        "b: given, but active only when a is one of 1, 2",
        "c: missing; give a value of int [0, 3]",
        "d: given, but active only when c is 1",
        "s: {'x': 1} is not in one of [[1], [2]]",
    ]
    assert space.outside({"a": 1, "b": 4, "c": True, "s": [1]}, BASE) == [
        "b: 4 is not in int [0, 3]",
        "c: true is not in int [0, 3]",
    ]


def test_order_is_stable_and_circles_are_refused() -> None:
    def knob(path: str, *needs: str) -> Knob:
        return Knob(path, Int(0, 1), tuple(Condition(need, (1,)) for need in needs))

    assert [k.path for k in in_order([knob("d", "b"), knob("c"), knob("b", "a"), knob("a"), knob("e")])] == list(
        "cabde"
    )
    with pytest.raises(ValueError, match="a -> b -> a"):
        Space((knob("a", "b"), knob("b", "a"), knob("c", "b")))
    with pytest.raises(ValueError, match="twice"):
        Space((knob("a"), knob("a")))
    needs = {"a": ["b", "c"], "b": ["a"], "c": ["a"], "d": ["a"]}
    assert circles(needs) == [["a", "b", "a"], ["c", "a", "c"]]


NAMES = ("a", "b", "c", "d")
allowed = st.lists(st.integers(0, 2), min_size=1, max_size=2, unique=True).map(tuple)


@st.composite
def conditional(draw: st.DrawFn) -> Space:
    names = draw(st.permutations(NAMES))
    knobs = []
    for index, name in enumerate(names):
        others = draw(st.lists(st.sampled_from([*names[:index], "free"]), max_size=2, unique=True))
        when = tuple(Condition(other, draw(allowed)) for other in others)
        knobs.append(Knob(name, draw(st.sampled_from([Int(0, 2), Categorical((0, 1, 2))])), when))
    return Space(tuple(draw(st.permutations(knobs))[: draw(st.integers(1, 4))]))


def brute_force(space: Space, values: dict[str, int], base: dict[str, Any]) -> set[str]:
    """The largest set of knobs, each of which has all of its conditions fulfilled by the set and the base."""
    known = set(space.by_path)

    def consistent(chosen: tuple[str, ...]) -> bool:
        return all(
            (c.knob in chosen and values[c.knob] in c.allowed) if c.knob in known else base[c.knob] in c.allowed
            for path in chosen
            for c in space.by_path[path].when
        )

    subsets = (s for n in range(len(known), -1, -1) for s in itertools.combinations(sorted(known), n))
    return set(next(filter(consistent, subsets)))


@given(conditional(), st.tuples(*[st.integers(0, 2)] * 4), st.tuples(*[st.integers(0, 2)] * 5))
def test_the_active_set_is_that_of_brute_force(space: Space, point: tuple[int, ...], of_base: tuple[int, ...]) -> None:
    values, base = dict(zip(NAMES, point, strict=True)), dict(zip((*NAMES, "free"), of_base, strict=True))
    active = {knob.path for knob in space.active(values, base)}
    assert active == brute_force(space, values, base)
    inside = {path: value for path, value in values.items() if path in active}
    assert space.outside(inside, base) == []
    assert {knob.path for knob in space.active(inside, base)} == active
    for path in space.by_path:
        changed = dict(inside)
        changed.pop(path) if path in active else changed.update({path: 0})
        assert any(reason.startswith(f"{path}: ") for reason in space.outside(changed, base))


@given(conditional(), st.integers(0, 999), st.integers(0, 2))
def test_samples_are_points_of_the_space(space: Space, seed: int, free: int) -> None:
    base = BASE | {"free": free}
    drawn = [space.sample(np.random.default_rng(seed), base) for _ in range(2)]
    assert drawn[0] == drawn[1] and space.outside(drawn[0], base) == []
    assert list(drawn[0]) == [knob.path for knob in space.active(drawn[0], base)]


@given(conditional(), st.integers(0, 999))
def test_a_knob_draws_the_same_whether_others_are_active_or_not(space: Space, seed: int) -> None:
    drawn = [space.sample(np.random.default_rng(seed), BASE | {"free": free}) for free in (0, 1, 2)]
    for path, knob in space.by_path.items():
        found = {point[path] for point in drawn if path in point}
        assert len(found) <= 1 and all(contains(knob.domain, value) for value in found)
