"""Promotion against the paper's Algorithm 2, on simulated asynchronous searches."""

import numpy as np
import pytest
from asha_searches import Search, rule, searches, simulate
from hypothesis import given, settings
from hypothesis import strategies as st
from rung_history import Gone, Start, replay

from search.stopping.bracket import Bracket, Report
from search.stopping.rungs import RECENT, WITNESSES, tells


@settings(max_examples=250, deadline=None)
@given(searches())
def test_promotion_is_the_papers_algorithm_and_leaves_nobody_behind(search: Search) -> None:
    bracket = search.bracket
    assert not bracket.running
    assert next(bracket.promotions(), None) is None
    for trial in bracket.reached:  # accounted for: over, gone, or waiting at a rung that doesn't promote it
        assert bracket.final(trial) != (trial in bracket.waiting)
    gone = {r.trial for r in search.history if isinstance(r, Gone)}
    hopeful = set(bracket.reached) - bracket.diverged - gone - bracket.ended
    candidates = {t for t in hopeful if not bracket.exempt(t)}
    if candidates and not bracket.ended:  # somebody is trained in full, if anybody could be
        assert candidates & set(bracket.rungs[-1].scores)


@settings(max_examples=150, deadline=None)
@given(searches(), st.data())
def test_replaying_gives_the_same_state_at_any_moment(search: Search, data: st.DataObject) -> None:
    history = search.history[: data.draw(st.integers(0, len(search.history)))]
    live, again, reports = (
        Bracket(rule(), exempt=search.bracket.exempt, settled=search.bracket.settled) for _ in range(3)
    )
    replay(live, history)
    doubled = [r for record in history for r in ([record, record] if isinstance(record, Report) else [record])]
    replay(again, doubled)  # a report that arrives twice changes nothing
    assert again == live
    replay(reports, [r for r in history if not isinstance(r, Start)])
    assert [r.ranked for r in reports.rungs] == [r.ranked for r in live.rungs]
    flying = {r.trial for r in history if isinstance(r, Start)} & live.running
    for mine, full in zip(reports.rungs, live.rungs, strict=True):  # but for promotions in flight
        assert {e.trial for e in mine.open} - flying == {e.trial for e in full.open}


@pytest.mark.parametrize(("change", "telling"), [(0.1, True), (10.0, False)])
def test_late_trials_are_compared_at_a_rung_once_three_have_shown_that_it_tells(change: float, telling: bool) -> None:
    rng = np.random.default_rng(0)
    own = rng.normal(size=40)
    search = simulate(
        workers=2,
        trials=40,
        exempt=set(),
        score=lambda t, k: float(own[t] + change * rng.normal() * (k > 0)),
        fates={},
        pick=lambda n: int(rng.integers(n)),
        first=lambda _: 1,
    )
    assert tells(search.bracket.rungs[0].seen, search.bracket.rungs[1].seen) is telling
    assert WITNESSES <= search.paper.passed < 10 if telling else search.paper.passed == 40


def test_what_a_rung_tells() -> None:
    spread = {trial: float(trial) for trial in range(5)}
    assert tells(spread, spread)
    assert not tells(
        dict.fromkeys(range(5), 1.0), dict.fromkeys(range(5), 1.0)
    )  # a plateau: all alike, and so they stay
    assert not tells(dict.fromkeys(range(5), 1.0), spread)
    assert not tells(dict.fromkeys(range(5), 1.0) | {9: 1e308, 8: 1e308}, spread)  # a few that explode
    assert not tells(spread | {9: 1e308}, spread | {9: -1e308})
    old = dict.fromkeys(range(500), 0.0) | {1000 + trial: float(trial) for trial in range(RECENT)}
    assert tells(old, old)  # the newest count


def test_the_live_state_is_the_replayed_one() -> None:
    rng = np.random.default_rng(0)
    search = simulate(4, 60, {0}, lambda _t, _k: float(rng.normal()), {}, lambda n: int(rng.integers(n)))
    again = Bracket(rule())
    again.exempt = search.bracket.exempt
    replay(again, search.history)
    assert again == search.bracket


def test_one_worker_and_stable_ranks_give_the_textbook_rungs() -> None:
    search = simulate(1, 27, set(), lambda t, _k: float(t), {}, lambda _n: 0)
    assert [len(r.ranked) for r in search.bracket.rungs] == [27, 9, 3, 1]


@pytest.mark.parametrize("trials", [1, 2, 3, 5, 8, 26])
def test_a_small_search_hands_over_a_trained_trial(trials: int) -> None:
    search = simulate(2, trials, set(), lambda t, _k: float(-t), {}, lambda _n: 0)
    assert len(search.bracket.rungs[-1].ranked) >= 1
