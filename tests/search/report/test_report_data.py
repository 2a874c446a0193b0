"""What a report is made of, from events or values alone: scores at equal steps, which knobs matter, who worked when."""

import base64
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_search import proposed, records_of, reported, trial

from search.history.events import Ended, Event, Paused, Phase, Promoted, Reported, Retried, Started
from search.history.records import Records
from search.report import data, page
from search.report.causes import causes
from search.report.importance import (
    ENOUGH,
    INACTIVE,
    Level,
    importance,
    level,
    ped_anova,
    permutation,
    scores,
    telling,
)
from search.report.material import value_at
from search.report.schedules import POINTS, sampled
from search.report.timeline import timeline
from spaces.domain import Categorical, Float, Int
from spaces.knob import Knob

LR = Knob("lr", Float(1e-4, 1e-2, log=True))
WIDTH = Knob("width", Int(1, 9))
KIND = Knob("kind", Categorical(("a", "b", "c")))


# Scores at equal steps.


def test_a_value_counts_only_at_its_own_step() -> None:
    curve = records_of([proposed(0), reported(0, 2, 0.5), reported(0, 4, 0.4)]).trials[0]
    assert [value_at(curve, step, 9.0) for step in (1, 2, 3, 4, 6)] == [None, 0.5, None, 0.4, None]


def test_what_diverged_keeps_its_worst_value_and_what_ended_itself_its_last() -> None:
    worst = Reported(0, 3, {"objective": 7.0}, 1.0, 0.0, "diverged")
    gone = records_of([proposed(0), reported(0, 2, 0.5), worst, Ended(0, "diverged", "nan", 0.0)]).trials[0]
    assert [value_at(gone, step, 9.0) for step in (2, 3, 4, 8)] == [0.5, 7.0, 7.0, 7.0]
    last = Reported(0, 3, {"objective": 0.3}, 1.0, 0.0, "ended")
    patient = records_of([proposed(0), reported(0, 2, 0.5), last, Ended(0, "completed", "", 0.0)]).trials[0]
    assert [value_at(patient, step, 9.0) for step in (2, 3, 4, 8)] == [0.5, 0.3, 0.3, 0.3]
    silent = records_of([proposed(0), Ended(0, "diverged", "nan", 0.0)]).trials[0]
    assert value_at(silent, 2, 9.0) == 9.0


def test_a_level_holds_who_has_a_value_there_and_counts_the_diverged() -> None:
    records = records_of(trial(0, 0.5, step=9), trial(1, 0.4, step=3), trial(2, None, status="diverged"))
    found = level(records.of_kind("search"), 9, 10.0)
    assert (found.trials, found.values, found.diverged) == ((0, 2), (0.5, 10.0), 1)


def test_the_telling_level_is_the_last_with_enough_trials_or_the_one_with_most() -> None:
    def of(step: int, n: int) -> Level:
        return Level(step, tuple(range(n)), (0.5,) * n, 0)

    assert telling([of(1, 90), of(3, ENOUGH), of(9, 5)]) == of(3, ENOUGH)
    assert telling([of(1, 12), of(3, 12), of(9, 5)]) == of(3, 12)
    assert telling([]) is None


# Which knobs matter.


def cloud(n: int = 80) -> tuple[Records, Level]:
    """Trials whose score is a function of `lr` alone; `width` and `kind` do nothing."""
    rng = np.random.default_rng(0)
    events, values = [], []
    for number in range(n):
        place_of_lr = rng.random()
        knobs = {"lr": 1e-4 * 100**place_of_lr, "width": int(rng.integers(1, 10)), "kind": "abc"[rng.integers(3)]}
        values.append((place_of_lr - 0.3) ** 2)
        events.append(trial(number, values[-1], values=knobs))
    return records_of(*events), Level(18, tuple(range(n)), tuple(values), 0)


def test_both_measures_find_the_one_knob_that_acts() -> None:
    records, found = cloud()
    told = importance(found, records.trials, [KIND, WIDTH, LR], lower=True)
    assert told is not None and told.knobs[0] == "lr" and told.skill > 0.5
    assert told.ped_anova[0] > 0.5 > sum(told.ped_anova[1:]) and sum(told.ped_anova) == pytest.approx(1)
    assert told.permutation[0] > 0.5 and all(abs(drop) < 0.1 for drop in told.permutation[1:])
    assert told == importance(found, records.trials, [KIND, WIDTH, LR], lower=True)


def test_the_best_are_the_highest_where_higher_is_better() -> None:
    records, found = cloud()
    trials = [records.trials[number] for number in found.trials]
    up, down = (ped_anova(trials, sign * np.array(found.values), [LR, WIDTH], sign > 0) for sign in (1, -1))
    assert up.tolist() == pytest.approx(down.tolist())


def test_a_knob_that_is_never_active_matters_nothing_and_few_trials_say_nothing() -> None:
    records, found = cloud(30)
    never = Knob("never", Float(0.0, 1.0))
    told = importance(found, records.trials, [LR, never], lower=True)
    assert told is not None and told.knobs == ("lr", "never") and told.ped_anova[1] == 0
    few = Level(18, found.trials[:7], found.values[:7], 0)
    assert importance(few, records.trials, [LR], lower=True) is None
    assert importance(None, records.trials, [LR], lower=True) is None


def test_noise_is_not_predicted_and_equal_scores_divide_nothing() -> None:
    rng = np.random.default_rng(3)
    x = rng.random((60, 3))
    drops, skill = permutation(x, rng.normal(size=60))
    assert skill < 0.1 and np.all(np.abs(drops) < 0.2)
    drops, skill = permutation(x, np.zeros(60))
    assert skill == 0 and not drops.any()


def test_scores_go_by_rank_alone() -> None:
    assert scores(np.array([0.1, 0.2, 1e9])).tolist() == pytest.approx(scores(np.array([1.0, 2.0, 3.0])).tolist())


def test_places_lie_in_the_domain_also_of_documented_values_outside() -> None:
    assert LR.place({"lr": 1e-3}, INACTIVE) == pytest.approx(0.5)
    assert LR.place({"lr": 1.0}, INACTIVE) == 1 and LR.place({}, INACTIVE) == -1
    assert KIND.place({"kind": "b"}, INACTIVE) == pytest.approx(0.5) and KIND.place({"kind": "z"}, INACTIVE) == 0.5


# Who worked when.


def started(number: int, at: float, pid: int = 1, host: str = "h") -> Started:
    return Started(number, host, pid, "", at)


def test_stays_are_spans_and_what_is_between_them_is_idle() -> None:
    events: Sequence[Event] = [
        Phase("search", 0.0),
        *(proposed(0), proposed(1)),
        *(started(0, 1.0, pid=1), started(1, 1.0, pid=2)),
        *(reported(0, 3, 0.5, at=4.0), Paused(0, 3, 5.0)),
        *(reported(1, 3, 0.4, at=6.0), Paused(1, 3, 6.0)),
        *(Promoted(0, 3, 7.0), started(0, 7.0, pid=1), reported(0, 9, 0.3, at=11.0), Ended(0, "completed", "", 11.0)),
    ]
    found = timeline(events)
    assert [(s.trial, s.lane, s.begin, s.end, s.steps) for s in found.spans] == [
        (0, 0, 1.0, 5.0, (0, 3)), (1, 1, 1.0, 6.0, (0, 3)), (0, 0, 7.0, 11.0, (3, 9)),
    ]  # fmt: skip
    assert found.lanes == ("h · 1", "h · 2") and found.gaps == ()
    assert (found.working, found.available) == (13.0, 20.0) and found.idle == pytest.approx(0.35)


def test_an_interruption_is_no_idle_time_and_confirming_is_no_interruption() -> None:
    events: Sequence[Event] = [
        *(Phase("search", 0.0), proposed(0), started(0, 1.0, pid=1), reported(0, 1, 0.5, at=3.0)),
        *(Phase("search", 100.0), started(0, 101.0, pid=2), reported(0, 2, 0.5, at=105.0)),
        *(Ended(0, "completed", "", 105.0), Phase("confirm", 106.0), proposed(1, kind="confirm")),
        *(started(1, 107.0, pid=3), reported(1, 2, 0.4, at=109.0)),
        *(Ended(1, "completed", "", 109.0), Phase("done", 110.0)),
    ]
    found = timeline(events)
    assert found.gaps == ((3.0, 101.0),)
    assert found.available == pytest.approx(2.0 + 8.0) and found.working == pytest.approx(2.0 + 4.0 + 2.0)
    assert found.lanes == ("h · 1",)  # each fresh process takes the place of the one that has gone
    assert timeline([]).idle is None


def test_a_try_ends_where_it_failed() -> None:
    events: Sequence[Event] = [
        *(Phase("search", 0.0), proposed(0), started(0, 0.0), Retried(0, "OSError", 2.0), started(0, 3.0)),
        *(reported(0, 1, 0.5, at=4.0), Ended(0, "completed", "", 4.0)),
    ]
    assert [(s.begin, s.end) for s in timeline(events).spans] == [(0.0, 2.0), (3.0, 4.0)]


def test_failures_alike_but_for_numbers_are_one_cause() -> None:
    events = [
        Ended(1, "failed", "RuntimeError: 101 MiB asked", 1.0, "Traceback A"),
        Ended(2, "failed", "RuntimeError: 202 MiB asked", 2.0, "Traceback B"),
        Ended(3, "diverged", "loss is nan at step 7", 3.0),
        *(Retried(4, "OSError: 'x.npy'", 4.0), Retried(4, "OSError: 'y.npy'", 5.0)),
        Ended(5, "stopped", "among the worst", 6.0),
    ]
    found = causes(events)
    assert [(c.kind, c.trials, c.times) for c in found] == [
        ("failed", (1, 2), 2), ("diverged", (3,), 1), ("tried again", (4,), 2),
    ]  # fmt: skip
    assert found[0].reason == "RuntimeError: 101 MiB asked" and found[0].detail == "Traceback A"


# Columns and packed numbers.


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=20))
def test_packed_numbers_are_the_numbers(values: list[float]) -> None:
    told = page.packed(values)
    assert np.frombuffer(base64.b64decode(told["bytes"]), dtype="<f4").tolist() == values


def test_a_curve_keeps_its_ends_and_rungs_when_it_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [proposed(0), *(reported(0, step, 1.0 / step) for step in range(2, 42, 2)), Ended(0, "completed", "", 0.0)]
    monkeypatch.setattr(data, "MOST", 5)
    told = data.curves(records_of(events).of_kind("search"), (6, 40), 2)
    steps = 2 * np.frombuffer(base64.b64decode(told["steps"]["bytes"]), dtype="<u2")
    assert steps.tolist() == [2, 6, 10, 18, 26, 34, 40] and told["stride"] == 4


def test_curves_of_a_run_that_ended_between_two_evaluations_keep_their_steps() -> None:
    told = data.curves(records_of([proposed(0), reported(0, 4, 0.5), reported(0, 7, 0.4)]).of_kind("search"), (8,), 4)
    assert told["every"] == 1
    assert np.frombuffer(base64.b64decode(told["steps"]["bytes"]), dtype="<u2").tolist() == [4, 7]


def test_ticks_span_the_domain() -> None:
    lr, width, kind = data.knob_columns([LR, WIDTH, KIND])
    assert [text for _, text, _ in lr["ticks"]] == ["1e-4", "0.001", "0.01"] and lr["log"] and not lr["integer"]
    assert [number for *_, number in width["ticks"]] == [1, 5, 9] and width["integer"]
    assert [text for _, text, _ in kind["ticks"]] == ["a", "b", "c"] and kind["choice"]


def test_steps_are_sampled_with_both_ends() -> None:
    assert sampled(5) == (0, 1, 2, 3, 4)
    many = sampled(150_000)
    assert len(many) == POINTS and (many[0], many[-1]) == (0, 149_999) and list(many) == sorted(set(many))


def test_what_workers_took_is_shown_by_lane_and_bounded() -> None:
    events: list[Event] = []
    for number in (0, 1):
        events += [proposed(number), Started(number, "here", 100 + number, "", 0.0)]
    for step in range(1, 2001):
        for number in (0, 1):
            taken = {"cores": 1.0 + number, "memory": step * 2.0**20}
            events.append(Reported(number, step, {"objective": 1.0}, 1.0, float(step), usage=taken))
    found = data.usage_data(timeline([Phase("search", 0.0), *events]), Records(events).trials)
    assert [key for key, _, _ in data.usage_figures(found)] == ["cores", "memory"]
    assert [set(lane["value"]) for lane in found["cores"]] == [{1.0}, {2.0}]
    assert all(len(lane["at"]) <= data.BINS for lane in found["memory"])
    assert found["memory"][0]["value"][-1] == pytest.approx(2000 / 1024, abs=1e-3)
