import pytest
from small_search import proposed, records_of, reported, trial

from search.history.events import Changed, Ended, Event, Paused, Phase, Promoted, Retried, Started
from search.history.records import Records
from spaces.problems import BadInput


def test_statuses_follow_the_events() -> None:
    records = Records()
    steps: list[tuple[Event, str]] = [
        (proposed(0), "proposed"),
        (Started(0, "h", 1, "", 0.0), "running"),
        (reported(0, 3, 0.5), "running"),
        (Paused(0, 3, 0.0), "paused"),
        (Promoted(0, 3, 0.0), "running"),
        (Started(0, "h", 2, "", 0.0), "running"),
        (Retried(0, "worker died", 0.0), "running"),
        (reported(0, 9, 0.4), "running"),
        (Ended(0, "completed", "", 7.0), "completed"),
    ]
    for event, status in steps:
        records.apply(event)
        assert records.trials[0].status == status
    done = records.trials[0]
    assert (done.step, done.objective, done.rung, done.failures) == (9, 0.4, 3, 1)
    assert done.over and done.ended_at == 7.0 and [s.pid for s in done.starts] == [1, 2]


@pytest.mark.parametrize("status", ["completed", "stopped", "diverged", "failed"])
def test_an_ended_trial_is_over_with_its_reason(status: str) -> None:
    records = Records([proposed(0), Ended(0, status, "why", 0.0)])  # type: ignore[arg-type]
    assert records.trials[0].over and records.trials[0].reason == "why"
    assert (records.trials[0].step, records.trials[0].objective, records.trials[0].seconds) == (0, None, 0)


def test_a_paused_or_running_trial_is_not_over() -> None:
    records = Records([proposed(0), Paused(0, 3, 0.0), proposed(1), Started(1, "h", 1, "", 0.0), proposed(2)])
    assert [t.over for t in records.trials.values()] == [False] * 3


def test_a_run_that_has_left_its_worker_to_another_one_is_not_at_work() -> None:
    runs = [proposed(number, kind="confirm", seed=number) for number in range(3)]
    taken = [Started(0, "h", 1, "", 0.0), Started(1, "h", 2, "", 0.0), Started(2, "h", 1, "", 5.0)]
    records = Records([*runs, *taken])
    assert [t.number for t in records.at_work()] == [1, 2]
    records.apply(Started(0, "h", 2, "", 9.0))
    assert [t.number for t in records.at_work()] == [0, 2]


def test_steps_are_counted_once_and_without_confirmation() -> None:
    confirmed = trial(9, 0.3, step=18, origin="trial 0", kind="confirm")
    records = Records([proposed(0), reported(0, 3, 0.5), Paused(0, 3, 0.0), Promoted(0, 3, 0.0), reported(0, 9, 0.4)])
    assert records.search_steps == 9
    records.apply(reported(0, 9, 0.4))  # told again
    assert records.search_steps == 9
    for event in [*trial(1, 0.9, step=3), *confirmed]:
        records.apply(event)
    assert records.search_steps == 12
    assert [t.number for t in records.of_kind("search")] == [0, 1]
    assert [t.number for t in records.of_kind("confirm")] == [9]


def test_the_clock_of_a_search_counts_each_second_once_where_workers_take_turns() -> None:
    """A start is told with the first report after it: the other worker has reported since."""
    both = [proposed(0, at=0.0), proposed(1, at=0.0)]
    first = [Started(0, "h", 1, "", 0.0), reported(0, 1, 0.5, at=10.0)]
    second = [Started(1, "h", 2, "", 0.0), reported(1, 1, 0.5, at=11.0)]
    again = [Started(0, "h", 1, "", 10.0), reported(0, 2, 0.4, at=20.0)]
    records = Records([Phase("search", 0.0), *both, *first, *second, *again])
    assert records.search_seconds == 20 and records.searching_for(21.0) == 21


def test_the_longest_training_of_a_config_is_one_on_a_fresh_seed_if_that_is_as_long() -> None:
    early = proposed(5, origin="trial 0", kind="confirm")
    records = Records([proposed(0), reported(0, 9, 0.4), early])
    assert records.longest(0, "trial 0").number == 0
    records.apply(reported(5, 8, 0.4))
    assert records.longest(0, "trial 0").number == 0
    records.apply(reported(5, 9, 0.4))
    assert records.longest(0, "trial 0").number == 5


def test_runs_on_fresh_seeds_confirm_nothing_while_the_search_goes_on() -> None:
    records = Records([Phase("search", 0.0), proposed(0, origin="baseline"), proposed(1)])
    for number, origin in ((5, "trial 0"), (6, "trial 1")):
        records.apply(proposed(number, origin=origin, kind="confirm"))
        assert not records.confirming
    records.apply(Phase("confirm", 1.0))
    assert records.confirming
    records.apply(Phase("search", 2.0))  # with a larger budget
    records.apply(proposed(7, origin="trial 1", kind="confirm"))
    assert [run.number for run in records.compared()] == [5, 6]
    records.apply(Phase("confirm", 3.0))
    assert [run.number for run in records.compared()] == [5, 6, 7]
    empty = [Phase("confirm", 0.0), Phase("search", 1.0), proposed(0), proposed(1, origin="trial 0", kind="confirm")]
    assert not Records(empty).confirming


def test_seconds_are_the_sum_over_reports() -> None:
    records = Records([proposed(0), reported(0, 1, 0.5, seconds=1.5), reported(0, 2, 0.4, seconds=2.0)])
    assert records.trials[0].seconds == 3.5


def test_values_are_those_after_a_change_in_mid_run() -> None:
    records = Records([proposed(0, {"lr": 1.0}), Changed(0, {"lr": 2.0}, 0.0)])
    assert records.trials[0].values == {"lr": 2.0} and records.trials[0].proposed.values == {"lr": 1.0}


def test_the_baseline_is_the_one_of_the_search() -> None:
    confirmed = proposed(1, origin="baseline", kind="confirm")
    assert Records([confirmed]).baseline is None
    found = Records([confirmed, proposed(2), proposed(3, origin="baseline")]).baseline
    assert found is not None and found.number == 3


def test_the_clock_runs_while_searching_and_not_between_sittings_or_in_confirmation() -> None:
    first: list[Event] = [Phase("search", 100.0), proposed(0, at=101.0), reported(0, 1, 0.5, at=110.0)]
    records = Records(first)
    assert records.search_seconds == 10 and records.searching_for(115.0) == 15
    second: list[Event] = [
        Phase("search", 10_000.0),
        reported(0, 2, 0.4, at=10_005.0),
        Ended(0, "completed", "", 10_006.0),
    ]
    for event in second:
        records.apply(event)
    assert records.search_seconds == 16
    for event in [
        Phase("confirm", 10_006.0),
        proposed(1, kind="confirm", at=10_006.0),
        reported(1, 9, 0.1, at=11_000.0),
    ]:
        records.apply(event)
    assert records.search_seconds == 16 and records.phase == "confirm"
    records.apply(Phase("done", 11_001.0))
    records.apply(Phase("search", 20_000.0))  # a grown budget
    records.apply(reported(0, 3, 0.4, at=20_002.0))
    assert records.search_seconds == 18 and records.phase == "search"


def test_time_between_the_last_result_and_a_later_confirmation_is_no_searching() -> None:
    killed: list[Event] = [Phase("search", 0.0), *trial(0, 0.5), Phase("confirm", 5_000.0)]
    assert Records(killed).search_seconds == 0


def test_a_clock_set_back_takes_nothing_away() -> None:
    records = Records([Phase("search", 100.0), proposed(0, at=110.0), reported(0, 1, 0.5, at=50.0)])
    assert records.search_seconds == 10
    assert records.searching_for(40.0) == 10
    records.apply(reported(0, 2, 0.5, at=55.0))
    assert records.search_seconds == 15


def test_a_broken_order_of_events_is_found() -> None:
    with pytest.raises(BadInput, match=r"journal.jsonl line \d+: trial 0 is proposed twice"):
        records_of(trial(0, 0.5), trial(0, 0.5))
    with pytest.raises(BadInput, match=r"journal.jsonl line 1: nobody has proposed trial 3"):
        Records([reported(3, 1, 0.5)])
    with pytest.raises(BadInput, match=r"journal.jsonl line 3: trial 0 reports step 1 after step 1"):
        Records([proposed(0), reported(0, 1, 0.5), reported(0, 1, 0.5)])


def test_a_lost_node_is_no_failure_of_its_trial_and_is_counted_until_the_next_evaluation() -> None:
    lost = Retried(0, "the node was lost", 0.0, free=True)
    records = records_of([proposed(0), lost, lost])
    one = records.trials[0]
    assert (one.failures, one.losses, one.status, one.reason) == (0, 2, "proposed", "the node was lost")
    records.apply(reported(0, 3, 0.5))
    assert one.losses == 0
    records.apply(Retried(0, "ValueError: of its own", 0.0))
    assert (one.failures, one.losses) == (1, 0)
