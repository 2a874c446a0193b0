from itertools import chain, count
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from small_search import proposed, records_of, reported, trial

from search.history.events import Ended, Event, Phase
from search.history.records import Records
from search.results.confirm import ahead, due, missing, needless
from search.results.procedure import Estimate
from search.results.shortlist import candidates, certain, furthest
from search.results.verdict import Verdict, choosing_seed, judge
from search.spec.config import Confirm
from trainables.run import Objective

MIN = Objective("mae", "min", 1.0, "prior sd")
MAX = Objective("accuracy", "max", 0.0, "share")


def base(objective: float | None, step: int = 18) -> list[Event]:
    return trial(0, objective, step, values={"lr": 1e-3}, origin="baseline")


def at_work(number: int, objective: float, step: int = 12) -> list[Event]:
    """A trial that still trains."""
    return [proposed(number), reported(number, step, objective)]


def confirmed(runs: dict[int, dict[int, float | None]], start: int = 100) -> list[list[Event]]:
    """Confirmation runs: trial -> seed -> objective, None for one that diverged."""
    numbers = count(start)
    return [
        trial(
            next(numbers),
            value,
            status="completed" if value is not None else "diverged",
            origin=f"trial {of}",
            kind="confirm",
            seed=seed,
        )
        for of, by_seed in runs.items()
        for seed, value in by_seed.items()
    ]


def verdict(records: Records, objective: Objective = MIN, most: int | None = None) -> Verdict:
    found = judge(records, objective, most)
    assert found is not None
    return found


# Who is confirmed.


def test_candidates_are_those_with_the_best_newest_values() -> None:
    records = records_of(
        base(0.1),
        trial(1, 0.5),
        trial(2, 0.3),
        trial(3, 0.01, step=6, status="stopped"),
        trial(4, 0.4, step=9, status="stopped"),
        trial(5, 0.3),
        trial(6, 0.0, status="diverged"),
        trial(7, 0.0, status="failed"),
        trial(8, None, status="failed"),
    )
    assert [t.number for t in candidates(records, MIN, 10)] == [3, 2, 5, 4, 1]
    assert [t.number for t in candidates(records, MIN, 2)] == [3, 2]
    assert [t.number for t in candidates(records, MAX, 3)] == [1, 4, 2]
    for objective, best in ((MIN, 2), (MAX, 1)):  # without confirmation: a whole training
        unconfirmed = furthest(records, objective)
        assert unconfirmed is not None and unconfirmed.number == best


def test_equal_configs_and_the_baselines_own_are_confirmed_once() -> None:
    same = {"lr": 0.5}
    records = records_of(
        base(0.1), trial(1, 0.05, values={"lr": 1e-3}), trial(2, 0.2, values=same), trial(3, 0.3, values=same)
    )
    assert [t.number for t in candidates(records, MIN, 3)] == [2]


def test_confirmation_runs_come_seed_by_seed_with_the_baseline_first() -> None:
    records = records_of(base(0.1), trial(1, 0.5), trial(2, 0.3))
    runs = due(records, MIN, Confirm(top=1, seeds=2), 7, now=5.0)
    assert [(r.trial, r.origin, r.seed, r.kind, r.at) for r in runs] == [
        (3, "trial 0", 7, "confirm", 5.0),
        (4, "trial 2", 7, "confirm", 5.0),
        (5, "trial 0", 8, "confirm", 5.0),
        (6, "trial 2", 8, "confirm", 5.0),
    ]
    assert runs[1].values == records.trials[2].values


def test_nothing_is_confirmed_where_every_trial_failed() -> None:
    assert due(records_of(base(None), trial(1, None, status="failed")), MIN, Confirm(top=1, seeds=2), 7, now=0.0) == []


def test_what_is_proposed_already_is_not_proposed_again() -> None:
    records = records_of(base(0.1), trial(1, 0.5))
    first = due(records, MIN, Confirm(top=1, seeds=2), 7, now=0.0)
    for run in first[:3]:
        records.apply(run)
    again = due(records, MIN, Confirm(top=1, seeds=2), 7, now=1.0)
    assert [(r.trial, r.origin, r.seed) for r in again] == [(5, "trial 1", 8)]


@pytest.mark.parametrize(
    ("confirm", "seeds"),
    [
        (Confirm(top=1, seeds=0), []),
        (Confirm(top=2, seeds=3), [7, 8, 9]),
        (Confirm(top=1, seeds="auto"), [7, 8]),
        (Confirm(top=2, seeds="auto"), [7, 8, 9]),  # the first chooses between the two
    ],
)
def test_ahead_are_the_baselines_runs_that_are_due_whatever_else_is_found(confirm: Confirm, seeds: list[int]) -> None:
    records = records_of(base(0.1), trial(1, 0.5), trial(2, 0.3), at_work(3, 0.4), at_work(4, 0.9))
    early = ahead(records, MIN, confirm, 7, (), (3, 4))
    assert [run[:2] for run in early] == [("trial 0", seed) for seed in seeds]
    assert early == ahead(records, MIN, confirm, 7)  # where trials that wait may be promoted
    for run in missing(records, "confirm", early, now=0.0):
        records.apply(run)
    assert not [run for run in due(records, MIN, confirm, 7, now=2.0) if run.origin == "trial 0"]


@pytest.mark.parametrize(
    ("confirm", "runs"),
    [
        (Confirm(top=3, seeds=2), [(2, 7), (1, 7), (2, 8), (1, 8)]),
        (Confirm(top=3, seeds="auto"), [(2, 7), (1, 7)]),  # the seed that chooses; only one of them goes on
        (Confirm(top=2, seeds=2), [(2, 7), (2, 8)]),
        (Confirm(top=1, seeds=2), []),
    ],
)
def test_ahead_are_then_the_configs_that_nothing_can_push_out(confirm: Confirm, runs: list[tuple[int, int]]) -> None:
    records = records_of(base(0.1), trial(1, 0.5), trial(2, 0.3), at_work(3, 0.4))

    def wanted(undecided: tuple[int, ...]) -> list[tuple[str, int]]:
        return [run[:2] for run in ahead(records, MIN, confirm, 7, (), undecided) if run[0] != "trial 0"]

    assert wanted((3,)) == [(f"trial {number}", seed) for number, seed in runs]
    assert wanted((1, 2, 3)) == []
    assert len(wanted((0, 3))) == len(runs)  # the baseline takes no place


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()), min_size=1, max_size=8),
    st.lists(st.integers(0, 4), min_size=8, max_size=8),
    st.integers(1, 4),
)
def test_what_is_certain_is_compared_whatever_those_at_work_come_to(
    known: list[tuple[int, int, bool]], ends: list[int], top: int
) -> None:
    """Of trials (config, value, whether it is at work): many configs and values are equal."""
    now = [
        [proposed(number, {"lr": config}, origin="tpe" if number else "baseline"), reported(number, 12, value)]
        + ([] if works else [Ended(number, "completed", "", 0.0)])
        for number, (config, value, works) in enumerate(known)
    ]
    records = records_of(*now)
    undecided = [number for number, (_, _, works) in enumerate(known) if works]
    sure = [each.number for each in certain(records, MIN, top, undecided)]
    for number, (_, _, works) in enumerate(known):
        if works:
            records.apply(reported(number, 18, ends[number]))
    assert {*sure} <= {each.number for each in candidates(records, MIN, top)}


def test_nothing_is_trained_ahead_where_no_config_would_be_compared() -> None:
    assert ahead(records_of(trial(1, 0.5)), MIN, Confirm(seeds=2), 7) == []  # no baseline
    assert ahead(records_of(base(0.1)), MIN, Confirm(seeds="auto"), 7) == []


def grown(*early: list[Event]) -> Records:
    """A search that was cut off in its tail and went on: trial 2 has come before trial 1, of which runs were begun."""
    return records_of([Phase("search", 0.0)], base(0.5), trial(1, 0.4), *early, trial(2, 0.3))


def test_what_was_begun_ahead_and_is_not_compared_is_not_trained_on_and_counts_for_nothing() -> None:
    records = grown(confirmed({1: {7: 0.0}})[0], [proposed(5, origin="trial 1", kind="confirm", seed=8)])
    confirm = Confirm(top=1, seeds=2)
    assert [run.number for run in needless(records, MIN, confirm)] == [5]
    assert needless(records, MIN, Confirm(top=2, seeds=2)) == []
    records.apply(Ended(5, "stopped", "", 0.0))
    records.apply(Phase("confirm", 1.0))
    assert {run.origin for run in due(records, MIN, confirm, 7, now=0.0)} == {"trial 0", "trial 2"}
    for event in chain(*confirmed({0: {7: 0.5, 8: 0.52}, 2: {7: 0.31, 8: 0.33}}, start=200)):
        records.apply(event)
    told = verdict(records)
    assert (told.decision, told.winner.trial, [c.trial for c in told.ranking]) == ("switch", 2, [2, 0])
    assert choosing_seed(records) is None
    again = due(records, MIN, Confirm(top=2, seeds=2), 7, now=0.0)  # with another `top` it is trained after all
    assert [(run.origin, run.seed) for run in again] == [("trial 1", 8)]
    for event in chain(again, trial(again[0].trial, 0.1, origin="trial 1", kind="confirm", seed=8)[1:]):
        records.apply(event)
    assert [c.trial for c in verdict(records).ranking] == [1, 2, 0]


def test_runs_of_a_confirmation_that_was_cut_off_are_never_needless() -> None:
    run = [proposed(5, origin="trial 1", kind="confirm", seed=8)]
    records = grown([Phase("confirm", 0.0)], confirmed({1: {7: 0.4}})[0], run, [Phase("search", 1.0)])
    assert needless(records, MIN, Confirm(top=1, seeds=2)) == []
    early = [proposed(6, origin="trial 1", kind="confirm", seed=9)]  # of a config that was compared before
    records = grown([Phase("confirm", 0.0)], confirmed({1: {7: 0.4}})[0], [Phase("search", 1.0)], early)
    assert records.begun_ahead() and needless(records, MIN, Confirm(top=1, seeds=2)) == []


def test_while_other_configs_are_awaited_a_verdict_allows_for_the_choice_among_all() -> None:
    configs = [base(0.5), trial(1, 0.4), trial(2, 0.3), trial(3, 0.2)]
    records = records_of(*configs, [proposed(300, origin="trial 2", kind="confirm")])
    assert verdict(records).decision == "unconfirmed"  # not even the baseline's are there
    for event in chain(*confirmed({0: {7: 0.5, 8: 0.51, 9: 0.5}})):
        records.apply(event)
    assert (verdict(records).decision, verdict(records).to_switch) == ("undecided", False)
    for event in chain(*confirmed({1: {7: 0.6, 8: 0.62, 9: 0.6}}, start=200)):
        records.apply(event)
    assert "some are still to be trained" in verdict(records).why  # which may beat it yet
    for event in chain(*confirmed({3: {7: 0.4, 8: 0.42, 9: 0.43}}, start=210)):
        records.apply(event)
    assert "allowing for the choice among 3" in verdict(records).why and verdict(records).comparisons == 3


# Estimates.


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12))
def test_the_interval_is_scipys(values: list[float]) -> None:
    found = Estimate.of(values)
    assert found.n == len(values) and found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.low is not None and found.high is not None
    error = stats.sem(values)
    if error > 0:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=error)
        assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))
    assert found.low <= found.mean <= found.high


def test_one_value_has_no_interval() -> None:
    assert Estimate.of([0.25]) == Estimate(0.25, None, None, 1)
    assert str(Estimate.of([0.25])) == "0.25"
    assert str(Estimate(0.25, 0.125, 0.375, 2)) == "0.25 [0.125, 0.375]"


# Verdicts.


def test_a_clear_gain_says_switch_and_is_paired_by_seed() -> None:
    """The seeds differ far more than the configs do: only the paired difference can show the gain."""
    seeds = {1: 0.1, 2: 0.5, 3: 0.9}
    gains = {1: 0.020, 2: 0.022, 3: 0.021}
    winner = {seed: value - gains[seed] for seed, value in seeds.items()}
    found = verdict(records_of(base(0.5), trial(1, 0.4), *confirmed({0: seeds, 1: winner})))
    assert found.decision == "switch" and found.winner.trial == 1 and found.baseline is not None
    assert found.gain is not None and found.gain.low is not None and found.gain.n == 3
    low, high = stats.t.interval(0.95, 2, loc=fmean(gains.values()), scale=stats.sem(list(gains.values())))
    assert (found.gain.mean, found.gain.low, found.gain.high) == pytest.approx((fmean(gains.values()), low, high))
    own = found.winner.estimate
    assert own.low is not None and own.low < found.baseline.estimate.mean < own.high  # type: ignore[operator]
    assert "above zero" in found.why and "3 fresh seeds" in found.why and "prior sd" in found.why


def test_a_gain_within_its_interval_is_undecided_and_the_users_config_is_handed_over() -> None:
    runs: dict[int, dict[int, float | None]] = {0: {1: 0.5, 2: 0.5, 3: 0.5}, 1: {1: 0.3, 2: 0.55, 3: 0.5}}
    found = verdict(records_of(base(0.5), trial(1, 0.4), *confirmed(runs)))
    assert found.decision == "undecided" and found.winner.trial == 1 and found.handed_over.baseline
    assert found.gain is not None and found.gain.mean == pytest.approx(0.05)
    assert "not surely above zero" in found.why and found.needed is None  # three gains tell no scatter


def test_a_baseline_that_nothing_beats_says_keep() -> None:
    runs: dict[int, dict[int, float | None]] = {0: {1: 0.3, 2: 0.3}, 1: {1: 0.4, 2: 0.4}, 2: {1: 0.3, 2: 0.3}}
    found = verdict(records_of(base(0.5), trial(1, 0.1), trial(2, 0.1), *confirmed(runs)))
    assert found.decision == "keep" and found.winner.baseline and found.gain is None
    assert [c.trial for c in found.ranking] == [0, 2, 1]
    assert "no config beat the baseline's mean of 0.3" in found.why


def test_the_searchs_own_values_do_not_count_once_confirmed() -> None:
    records = records_of(base(0.5), trial(1, 0.1), trial(2, 0.4))
    for events in confirmed({0: {1: 0.5, 2: 0.5}, 1: {1: 0.45, 2: 0.45}, 2: {1: 0.3, 2: 0.3}}):
        for event in events:
            records.apply(event)
    found = verdict(records)
    assert [c.trial for c in found.ranking] == [2, 1, 0]
    assert found.winner.by_seed == {1: 0.3, 2: 0.3} and found.decision == "switch"


def test_one_seed_is_no_evidence() -> None:
    found = verdict(records_of(base(0.5), trial(1, 0.4), *confirmed({0: {1: 0.5}, 1: {1: 0.1}})))
    assert found.decision == "unconfirmed" and found.winner.trial == 1
    assert found.gain is not None and found.gain.mean == pytest.approx(0.4) and found.gain.low is None
    assert "confirm.seeds" in found.why


def test_more_is_better_in_mode_max() -> None:
    runs: dict[int, dict[int, float | None]] = {0: {1: 0.50, 2: 0.60}, 1: {1: 0.70, 2: 0.81}, 2: {1: 0.1, 2: 0.1}}
    records = records_of(base(0.5), trial(1, 0.6), trial(2, 0.7), *confirmed(runs))
    found = verdict(records, MAX)
    assert found.decision == "switch" and [c.trial for c in found.ranking] == [1, 0, 2]
    assert found.gain is not None and found.gain.mean == pytest.approx(0.205)  # better is above zero
    assert verdict(records, MIN).winner.trial == 2


@pytest.mark.parametrize(("objective", "worst"), [(MIN, 1.0), (MAX, 0.0)])
def test_a_diverged_confirmation_run_counts_with_the_worst_value(objective: Objective, worst: float) -> None:
    runs: dict[int, dict[int, float | None]] = {0: {1: 0.5, 2: 0.5}, 1: {1: 0.5, 2: None}}
    found = verdict(records_of(base(0.5), trial(1, 0.4), *confirmed(runs)), objective)
    assert found.winner.baseline and found.decision == "keep"
    assert found.ranking[1].by_seed == {1: 0.5, 2: worst}


def test_a_confirmation_run_that_is_not_over_or_failed_does_not_count() -> None:
    records = records_of(base(0.5), trial(1, 0.4), *confirmed({0: {1: 0.5, 2: 0.5}, 1: {1: 0.3, 2: 0.3}}))
    for event in [
        proposed(200, origin="trial 1", kind="confirm", seed=3),
        reported(200, 1, 0.9),
        *trial(201, 0.9, status="failed", origin="trial 1", kind="confirm", seed=4),
    ]:
        records.apply(event)
    assert verdict(records).winner.by_seed == {1: 0.3, 2: 0.3}


def test_without_confirmation_the_best_of_the_search_is_named_and_not_recommended() -> None:
    found = verdict(records_of(base(0.5), trial(1, 0.4), trial(2, 0.01, step=6, status="stopped")))
    assert found.decision == "unconfirmed" and found.winner.trial == 1 and found.winner.by_seed == {0: 0.4}
    assert found.baseline is not None and found.baseline.trial == 0 and found.gain is None
    assert [c.trial for c in found.ranking] == [1, 0]


def test_where_only_the_baseline_has_a_value_it_is_the_best() -> None:
    found = verdict(records_of(base(0.5), trial(1, None, status="failed")))
    assert found.winner.baseline and found.decision == "unconfirmed" and len(found.ranking) == 1


def test_no_value_at_all_gives_no_verdict() -> None:
    assert judge(Records(), MIN) is None
    assert judge(records_of(base(None), trial(1, None, status="failed")), MIN) is None
    diverged = trial(0, 1.0, values={"lr": 1e-3}, origin="baseline", status="diverged")
    assert judge(records_of(diverged, trial(1, 1.0, status="diverged")), MIN) is None
