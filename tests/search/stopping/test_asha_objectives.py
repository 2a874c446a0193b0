"""Rungs that compare by several objectives, against the plain definition."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rung_history import Start, replay

from search.stopping.bracket import Bracket, Report
from search.stopping.pareto import order
from search.stopping.rungs import Goal, Rule, controlled, further_scores

RUNGS = (1, 3, 9)
RULE = Rule("promote", RUNGS, 3, "min", 9.0, (Goal("pace", "min"),))
STOP = Rule("stop", RUNGS, 2, "min", 9.0, (Goal("share", "max"),))

scores = st.tuples(st.integers(0, 6).map(float), st.integers(0, 6).map(float))


def promoted(at_rung: dict[int, tuple[float, ...]], already: set[int]) -> list[int]:
    """The definition: of all in the rung, ranked by fronts and crowding, those of the best third that still wait."""
    trials = sorted(at_rung)
    best = [trials[i] for i in order([at_rung[t] for t in trials])][: len(trials) // 3]
    return [trial for trial in best if trial not in already]


@given(st.lists(scores, min_size=1, max_size=20), st.data())
@settings(max_examples=60)
def test_a_rung_promotes_the_best_third_by_fronts_and_crowding(
    given: list[tuple[float, float]], data: st.DataObject
) -> None:
    bracket = Bracket(RULE)
    at_rung: dict[int, tuple[float, ...]] = {}
    gone: set[int] = set()
    for trial, (score, pace) in enumerate(given):
        assert bracket.report(Report(trial, 1, score, more=(pace,))) == "pause"
        at_rung[trial] = (score, pace)
        expected = promoted(at_rung, gone)
        assert list(bracket.promotions()) == expected
        if expected and data.draw(st.booleans()):
            bracket.start(expected[0])
            gone.add(expected[0])


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(RUNGS), scores), max_size=40))
@settings(max_examples=40)
def test_replaying_gives_the_same_rungs(given: list[tuple[int, int, tuple[float, float]]]) -> None:
    live, history = Bracket(RULE), []
    for trial, step, (score, pace) in given:
        report = Report(trial, step, score, more=(pace,))
        live.report(report)
        history.append(report)
        for number in live.promotions():
            live.start(number)
            history.append(Start(number))
            break
    again = Bracket(RULE)
    replay(again, history)
    assert [(r.ranked, r.open, r.points) for r in again.rungs] == [(r.ranked, r.open, r.points) for r in live.rungs]


def test_a_diverged_trial_ranks_behind_everything_and_is_never_promoted() -> None:
    bracket = Bracket(RULE)
    assert bracket.report(Report(0, 1, 9.0, "diverged")) == "stop"
    for trial, (score, pace) in enumerate([(8.9, 99.0), (1.0, 1e9)], 1):
        bracket.report(Report(trial, 1, score, more=(pace,)))
    assert bracket.rungs[0].ranked[-1].trial == 0 and bracket.rungs[0].points[0] == (math.inf, math.inf)
    assert 0 not in list(bracket.promotions())


def test_stopping_goes_by_the_place_among_those_before() -> None:
    bracket = Bracket(STOP)
    verdicts = [
        bracket.report(Report(trial, 1, score, more=(share,)))  # as a score a large share is low
        for trial, (score, share) in enumerate([(1.0, -5.0), (2.0, -1.0), (0.5, -9.0), (0.7, -4.0), (0.6, -4.5)])
    ]
    # The second is dominated by the first; the third dominates both; the fourth shares the second front with the first,
    # which came before it, and is behind the median place of the three; the fifth dominates it, and is at the median.
    assert verdicts == ["continue", "stop", "continue", "stop", "continue"]
    assert bracket.report(Report(5, 1, 3.0, more=(0.0,))) == "stop"


def test_scores_of_further_objectives() -> None:
    goals = (Goal("pace", "min"), Goal("share", "max"))
    assert further_scores(goals, {"pace": 2.0, "share": 0.25, "other": 1.0}, "running") == (2.0, -0.25)
    assert further_scores(goals, {}, "diverged") == ()
    with pytest.raises(ValueError, match=r"share: objectives that were not reported, only \['pace'\]"):
        further_scores(goals, {"pace": 2.0}, "running")


@given(st.integers(0, 1000), st.floats(0, 0.5))
def test_the_control_group_is_a_share_of_the_trials_and_never_the_baseline(seed: int, share: float) -> None:
    group = {trial for trial in range(400) if controlled(trial, seed, share)}
    assert 0 not in group
    assert group <= {trial for trial in range(400) if controlled(trial, seed, min(0.5, share + 0.1))}
    assert abs(len(group) - 400 * share) < 5 * (400 * 0.25) ** 0.5


def test_a_controlled_trial_runs_through_every_rung() -> None:
    bracket = Bracket(Rule("promote", RUNGS, 3, "min", 9.0), exempt=lambda trial: controlled(trial, 0, 0.5))
    kept = next(trial for trial in range(1, 20) if controlled(trial, 0, 0.5))
    verdicts = [bracket.report(Report(kept, step, 8.0)) for step in range(1, 10)]
    assert verdicts == ["continue"] * 8 + ["complete"] and len(bracket.rungs[-1].ranked) == 1
