from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.stopping.ladder import ALL_SETTLED, SETTLED, auto_first_rung, ladder


@given(st.integers(1, 40), st.integers(2, 6), st.integers(1, 400), st.integers(1, 25))
def test_ladder_ascends_by_eta_to_the_horizon_on_evaluations(first: int, eta: int, horizon: int, every: int) -> None:
    first, horizon = first * every, horizon * every
    if first >= horizon:
        with pytest.raises(ValueError, match="first_rung"):
            ladder(first, eta, horizon, every)
        return
    rungs = ladder(first, eta, horizon, every)
    assert rungs[0] == first and rungs[-1] == horizon
    assert all(step % every == 0 for step in rungs)
    assert all(b == a * eta for a, b in pairwise(rungs[:-1]))
    assert rungs[-2] < horizon <= rungs[-2] * eta


@pytest.mark.parametrize(
    ("first", "eta", "horizon", "every", "message"),
    [
        (30, 3, 100, 20, r"first_rung is 30, no multiple of evaluate_every 20; set it to 40"),
        (100, 3, 100, 20, r"first_rung is 100; it must lie below steps 100"),
        (400, 3, 100, 20, r"first_rung is 400; it must lie below steps 100"),
        (0, 3, 100, 20, r"first_rung is 0; it must be at least 1"),
        (20, 1, 100, 20, r"reduction is 1; it must be at least 2"),
        (20, 3, 110, 20, r"steps is 110, no multiple of evaluate_every 20; set steps to 100 or 120"),
        (20, 3, 10, 20, r"set steps to 20"),
        (20, 3, 100, 0, r"evaluate_every is 0"),
    ],
)
def test_ladder_says_what_is_wrong(first: int, eta: int, horizon: int, every: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ladder(first, eta, horizon, every)


@given(
    st.lists(st.integers(0, 5000), max_size=80),
    st.integers(1, 300),
    st.integers(1, 25),
    st.sampled_from([SETTLED, ALL_SETTLED]),
)
def test_auto_first_rung(settles: list[int], horizon: int, every: int, share: float) -> None:
    horizon *= every
    first = auto_first_rung(settles, horizon, every, share)
    least = share * len(settles) - 1e-6
    assert every <= first <= horizon and first % every == 0
    if first < horizon:
        assert first >= horizon // 25
        assert sum(s <= first for s in settles) >= least
        ladder(first, 3, horizon, every)
    before = first - every
    if before >= every:  # one evaluation earlier would not do
        assert before < horizon // 25 or sum(s <= before for s in settles) < least
