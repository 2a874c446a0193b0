"""What the trials that went on say about the rungs."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats
from small_search import proposed, reported

from search.history.events import Ended, Event, Reported, Status
from search.history.records import Records
from search.simulate.fairness import RungCheck, rung_checks


def trial(number: int, curve: dict[int, float], status: Status = "completed", kind: str = "search") -> list[Event]:
    events: list[Event] = [proposed(number, kind="search" if kind == "search" else "confirm")]
    events += [reported(number, step, value) for step, value in curve.items()]
    return [*events, Ended(number, status, "", 0.0)]


def records(*trials: Sequence[Event]) -> Records:
    return Records(event for events in trials for event in events)


def test_rungs_count_who_came_who_stopped_and_who_diverged() -> None:
    diverging: list[Event] = [
        proposed(3),
        reported(3, 2, 0.5),
        Reported(3, 4, {"objective": 99.0}, 1.0, 0.0, "diverged"),
        Ended(3, "diverged", "", 0.0),
    ]
    known = records(
        trial(0, {2: 3.0, 6: 2.0, 18: 1.0}),
        trial(1, {2: 4.0}, "stopped"),
        trial(2, {2: 2.0, 4: 1.0, 6: 1.5}, "stopped"),
        diverging,
        trial(4, {2: 9.0, 6: 9.0, 18: 9.0}, kind="confirm"),
    )
    assert rung_checks(known, (2, 6, 18), 3, "min") == (
        RungCheck(2, entered=4, stopped=1, diverged=0, compared=1, correlation=None, cut_best=None),
        RungCheck(6, entered=2, stopped=1, diverged=1, compared=1, correlation=None, cut_best=None),
        RungCheck(18, entered=1, stopped=0, diverged=0, compared=1, correlation=None, cut_best=None),
    )


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_correlation_is_spearmans_over_those_compared(mode: str) -> None:
    rng = np.random.default_rng(0)
    here, final = rng.random(12), rng.random(12)
    known = records(*(trial(i, {1: float(here[i]), 9: float(final[i])}) for i in range(12)))
    first, last = rung_checks(known, (1, 9), 3, "min" if mode == "min" else "max")
    assert first.correlation == pytest.approx(stats.spearmanr(here, final).statistic)
    assert last.correlation == pytest.approx(1.0) and last.cut_best == 0.0


def test_a_rung_that_ranks_backwards_cuts_the_best_and_one_that_agrees_does_not() -> None:
    known = records(*(trial(i, {1: float(-i), 3: float(i), 9: float(i)}) for i in range(12)))
    backward, forward, _ = rung_checks(known, (1, 3, 9), 3, "min")
    assert backward.correlation == pytest.approx(-1.0) and forward.correlation == pytest.approx(1.0)
    assert backward.cut_best is not None and backward.cut_best > 0.99
    assert forward.cut_best == 0.0
    turned = rung_checks(known, (1, 3, 9), 3, "max")
    assert turned[0].cut_best is not None and turned[0].cut_best > 0.99


def test_the_chance_to_cut_the_best_is_that_of_chance_where_a_rung_says_nothing() -> None:
    """Values here are independent of those at the horizon: the best one lies anywhere, two times in three outside the
    best third. Over many such searches the mean says so."""
    rng = np.random.default_rng(1)
    chances = []
    for _ in range(40):
        here, final = rng.random(30), rng.random(30)
        known = records(*(trial(i, {1: float(here[i]), 9: float(final[i])}) for i in range(30)))
        chance = rung_checks(known, (1, 9), 3, "min")[0].cut_best
        assert chance is not None
        chances.append(chance)
    assert np.mean(chances) == pytest.approx(2 / 3, abs=0.15)


def test_a_rung_where_all_are_equal_has_no_correlation() -> None:
    known = records(*(trial(i, {1: 1.0, 9: float(i)}) for i in range(6)))
    first = rung_checks(known, (1, 9), 3, "min")[0]
    assert first.correlation is None and first.compared == 6 and first.cut_best == 0.0


def test_a_search_that_has_just_begun_has_empty_rungs() -> None:
    assert rung_checks(Records([proposed(0)]), (2, 6), 3, "min") == (
        RungCheck(2, 0, 0, 0, 0, None, None),
        RungCheck(6, 0, 0, 0, 0, None, None),
    )
