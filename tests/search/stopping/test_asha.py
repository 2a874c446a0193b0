"""The rules of ASHA, one at a time."""

import math
import time

import numpy as np
import pytest
from asha_searches import WORST, rule
from hypothesis import given
from hypothesis import strategies as st

from search.stopping.bracket import Bracket, Report
from search.stopping.rungs import WITNESSES, Entry, Mode, Rule, beyond_cutoff, promotable


@pytest.mark.parametrize("bad", [{"rungs": ()}, {"rungs": (3, 3)}, {"rungs": (0, 3)}, {"reduction": 1}])
def test_rule_refuses(bad: dict[str, tuple[int, ...] | int]) -> None:
    with pytest.raises(ValueError, match="must"):
        Rule("stop", **{"rungs": (1, 3), "reduction": 3, "objective": "min", "worst": 1.0} | bad)  # type: ignore[arg-type]


def test_a_max_objective_is_scored_upside_down() -> None:
    assert Rule("stop", (1, 3), 3, "max", 0.0).score(0.7) == -0.7


# The two decisions, each against its definition.


@given(st.lists(st.integers(-4, 4), max_size=40), st.integers(2, 5), st.data())
def test_promotable_is_the_top_share_that_is_not_promoted_yet(scores: list[int], eta: int, data: st.DataObject) -> None:
    ranked = sorted(Entry(float(s), t) for t, s in enumerate(scores))
    open_ = sorted(data.draw(st.sets(st.sampled_from(ranked)) if ranked else st.just(set())))
    top = ranked[: math.floor(len(ranked) / eta)]
    assert list(promotable(ranked, open_, eta)) == [e.trial for e in top if e in open_]


@given(
    st.lists(st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float), min_size=1, max_size=40),
    st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float),
    st.integers(2, 7),
)
def test_cutoff_is_the_percentile_to_the_last_bit(scores: list[float], score: float, eta: int) -> None:
    ranked = sorted(Entry(s, t) for t, s in enumerate(scores))
    cutoff = np.percentile([-s for s in scores], (1 - 1 / eta) * 100)
    assert beyond_cutoff(ranked, score, eta) == bool(-score < cutoff)


# Single rules.


def test_exempt_trials_count_but_never_wait() -> None:
    bracket = Bracket(rule(), exempt={0}.__contains__)
    assert [bracket.report(Report(0, s, 5.0)) for s in (1, 3, 9, 27)] == [
        "continue",
        "continue",
        "continue",
        "complete",
    ]
    assert [bracket.report(Report(t, 1, float(t))) for t in (1, 2)] == ["pause", "pause"]
    assert list(bracket.promotions()) == [1]  # three of them are in the rung, by the exempt one
    stopping = Bracket(rule("stop"), exempt={3}.__contains__)
    assert [stopping.report(Report(t, 1, float(t))) for t in (0, 1, 2, 3)] == ["continue", "stop", "stop", "continue"]


def test_a_trial_is_compared_from_its_settled_step_on() -> None:
    for mode, waits in (("promote", "pause"), ("stop", "continue")):
        bracket = Bracket(rule(mode), settled={0: 0, 1: 2, 2: 10, 3: 99}.__getitem__)  # type: ignore[arg-type]
        assert [bracket.report(Report(0, s, 5.0)) for s in (1,)] == [waits]
        assert [bracket.report(Report(1, s, 5.0)) for s in (1, 2, 3)] == ["continue", "continue", waits]
        assert [bracket.report(Report(2, s, 5.0)) for s in (1, 3, 9, 27)] == ["continue"] * 3 + ["complete"]
        assert [bracket.report(Report(3, s, 5.0)) for s in (1, 3, 9, 27)] == ["continue"] * 3 + ["complete"]
        assert [set(rung.scores) for rung in bracket.rungs] == [{0}, {1}, set(), {2, 3}]


def test_a_diverged_trial_is_entered_where_it_would_have_come_next() -> None:
    bracket = Bracket(rule())
    assert bracket.report(Report(0, 1, 0.0)) == "pause"
    bracket.start(0)
    assert bracket.report(Report(0, 2, 0.5)) == "continue"
    assert bracket.report(Report(0, 2, 0.5, "diverged")) == "stop"
    assert bracket.rungs[1].scores == {0: WORST}
    assert bracket.report(Report(0, 3, 0.5)) == "stop"  # whatever comes late
    assert bracket.closing() is None and not bracket.waiting


@pytest.mark.parametrize("mode", ["promote", "stop"])
def test_worse_than_the_worst_value_is_as_bad_as_that(mode: Mode) -> None:
    bracket = Bracket(rule(mode))
    for trial, score in enumerate([WORST + 2, WORST + 1, WORST]):
        assert bracket.report(Report(trial, 1, score)) == ("pause" if mode == "promote" else "continue")
    assert bracket.rungs[0].scores == dict.fromkeys(range(3), WORST)
    assert list(bracket.promotions()) == ([0] if mode == "promote" else [])
    assert bracket.report(Report(3, 2, WORST + 1, "ended")) == "complete"
    assert bracket.rungs[0].scores[3] == WORST
    assert bracket.report(Report(4, 1, math.inf)) == "stop" and bracket.diverged == {4}


@pytest.mark.parametrize("change", [0.1, 10.0])
def test_until_three_trials_show_that_how_much_worse_tells(change: float) -> None:
    bracket = Bracket(rule("stop"), exempt=lambda _: True)
    for trial in range(8):
        assert bracket.report(Report(trial, 1, WORST + trial)) == "continue"
        assert bracket.report(Report(trial, 3, WORST + trial + change * (-1) ** trial)) == "continue"
    told = {trial: WORST + (trial if trial >= WITNESSES and change < 1 else 0) for trial in range(8)}
    assert bracket.rungs[0].scores == told
    assert bracket.report(Report(0, 27, WORST + 5)) == "complete"
    assert bracket.rungs[-1].scores == {0: WORST + 5}  # nothing is decided there


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_the_worst(score: float) -> None:
    for mode in ("promote", "stop"):
        bracket = Bracket(rule(mode))  # type: ignore[arg-type]
        assert bracket.report(Report(0, 1, score)) == "stop"
        assert bracket.rungs[0].scores == {0: WORST} and bracket.diverged == {0}


def test_stopping_looks_at_rungs_only() -> None:
    bracket = Bracket(rule("stop"))
    for trial in range(6):
        bracket.report(Report(trial, 1, float(trial)))
    assert bracket.report(Report(6, 2, 99.0)) == "continue"
    assert bracket.report(Report(6, 3, 99.0)) == "continue"  # nobody to compare with there
    assert bracket.report(Report(6, 27, 99.0)) == "complete"


def test_ten_thousand_trials_are_fine() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=10_000)
    bracket = Bracket(rule())
    began = time.process_time()
    for trial in range(10_000):
        bracket.report(Report(trial, 1, float(scores[trial])))
        while (best := next(bracket.promotions(), None)) is not None:
            bracket.start(best)
            bracket.report(Report(best, bracket.rule.rungs[bracket.reached[best]], float(scores[best])))
    assert time.process_time() - began < 5  # about 0.2 s: a slip to O(n) per decision would take minutes
