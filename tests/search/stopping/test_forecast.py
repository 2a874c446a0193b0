"""What a rule is expected to cost: the plays of it, held to the simulator that decides as on Ray."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.simulate.clock import simulate
from search.simulate.ours import RungPolicy, Source
from search.stopping import forecast as module
from search.stopping.bracket import Bracket
from search.stopping.forecast import MOST, Forecast, forecast
from search.stopping.rungs import Mode, Rule

RUNGS = (2, 6, 18)


def bracket(mode: Mode = "promote", rungs: tuple[int, ...] = RUNGS, settled: Sequence[int] = (0,)) -> Bracket:
    rule = Rule(mode, rungs, 3, "min", 9.0)
    return Bracket(rule, exempt=lambda trial: trial == 0, settled=lambda trial: settled[trial % len(settled)])


class Drawn(Source):
    """A source whose trials are as good at every step as `scores` says."""

    def __init__(self, scores: Sequence[float]) -> None:
        self._scores = scores

    def propose(self, trial: int) -> Sequence[float]:
        return [self._scores[trial]] * RUNGS[-1]


@pytest.mark.parametrize("mode", ["promote", "stop"])
@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=40, unique=True),
    st.lists(st.integers(0, 20), min_size=1, max_size=5),
)
def test_a_play_with_one_worker_is_what_the_simulator_does(mode: Mode, scores: list[float], settled: list[int]) -> None:
    played, known = bracket(mode, settled=settled), bracket(mode, settled=settled)
    trained = module._play(played, len(scores), 1, scores.__getitem__)
    run = simulate(RungPolicy(known, Drawn(scores), len(scores)), 1, 10**6)
    assert played == known and sum(trained.values()) == run.evaluations


def test_shares_are_read_rung_by_rung() -> None:
    found = Forecast(((9, 3, 1), (9, 5, 2), (9, 4, 4)))
    assert [found.at(share) for share in (0, 0.5, 1)] == [(9, 3, 1), (9, 4, 2), (9, 5, 4)]


@given(st.integers(1, 60), st.integers(1, 9))
def test_all_trials_reach_the_first_rung_and_one_the_last(trials: int, workers: int) -> None:
    found = forecast(bracket, trials, workers)
    assert found is not None and found == forecast(bracket, trials, workers)
    for play in found.plays:
        assert play[0] == trials and play[-1] >= 1 and list(play) == sorted(play, reverse=True)


def test_more_trials_than_are_played_keep_the_shares() -> None:
    few, many = (forecast(bracket, trials, 2) for trials in (MOST, 50 * MOST))
    assert few is not None and many is not None
    assert many.at(0.5) == tuple(50 * reached for reached in few.at(0.5))


def test_a_search_that_learns_promotes_more() -> None:
    """27 trials: with none better than expected a third go on, the baseline beside them; the better later ones come
    the more are promoted before better ones are known."""
    found = forecast(bracket, 27, 2)
    assert found is not None
    least, most = found.at(0), found.at(1)
    assert 9 <= least[1] <= 10 and least[1] + 3 < most[1] < 27


def test_a_rule_that_is_not_ours_has_no_forecast() -> None:
    assert forecast(lambda: None, 9, 2) is None
