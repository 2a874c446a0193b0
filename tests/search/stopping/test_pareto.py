import math
from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from search.stopping.pareto import crowding, fronts, order

points = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.tuples(*[st.integers(0, 4).map(float)] * width), min_size=1, max_size=12)
)


def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


@given(points)
def test_fronts_peel_off_what_nothing_dominates(given: list[tuple[float, ...]]) -> None:
    left, front, expected = set(range(len(given))), 0, {}
    while left:
        here = {i for i in left if not any(dominates(given[j], given[i]) for j in left)}
        expected |= dict.fromkeys(here, front)
        left, front = left - here, front + 1
    assert fronts(given).tolist() == [expected[i] for i in range(len(given))]


@given(points)
def test_the_order_is_by_front_and_repeats(given: list[tuple[float, ...]]) -> None:
    found = order(given)
    assert sorted(found) == list(range(len(given))) and found == order(given)
    places = fronts(given)[found]
    assert (np.diff(places) >= 0).all()


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=9, unique=True))
def test_one_objective_orders_as_sorting_does(values: list[float]) -> None:
    assert order([(value,) for value in values]) == np.argsort(values, kind="stable").tolist()


def test_crowding_by_hand() -> None:
    """Extents 4 and 8: the inner points have (2 − 0)/4 + (8 − 2)/8 and (4 − 1)/4 + (5 − 0)/8."""
    assert crowding([(0.0, 8.0), (1.0, 5.0), (2.0, 2.0), (4.0, 0.0)]).tolist() == [math.inf, 1.25, 1.375, math.inf]
    assert crowding([(3.0, 3.0)]).tolist() == [0.0]
    assert crowding([(3.0, 3.0)] * 3).tolist() == [0.0] * 3


def test_the_ends_of_a_front_come_first_and_then_the_loneliest() -> None:
    front = [(0.0, 8.0), (1.0, 5.0), (2.0, 2.0), (4.0, 0.0)]
    assert order(front) == [0, 3, 2, 1]


def test_what_diverged_comes_last_however_it_is_listed() -> None:
    worst = (math.inf, math.inf)
    for listed in permutations([worst, (1.0, 2.0), (2.0, 1.0), (3.0, 3.0)]):
        assert listed[order(listed)[-1]] == worst
    assert order([]) == [] and fronts([]).tolist() == []
