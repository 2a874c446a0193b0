"""Which runs show what each of the winner's changes brings, derived from what is recorded."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_search import proposed, records_of, small_search, trial

from search.history.events import Event, Proposed
from search.history.records import Records
from search.results.ablation import Setting, ablation, differing
from search.results.confirm import confirmation
from search.results.explain import by_seed, explaining, parts
from search.results.verdict import judge

WINNER = {"lr": 1e-2, "batch_size": 64, "warmup_epochs": 3}
SEEDS = (1, 2, 3)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    search = small_search(tmp_path)
    return Setting(search.space, search.base, search.model, search.horizon, (6, 18))


def score(values: Mapping[str, Any], seed: int = 0) -> float:
    return float(abs(np.log10(values["lr"]) + 2) + 0.1 * (values["batch_size"] != 64) + 1 + 0.001 * seed)


def searched(setting: Setting, count: int = 20) -> Iterator[list[Event]]:
    rng = np.random.default_rng(0)
    for number in range(count):
        values = setting.space.sample(rng, setting.base) if number else setting.space.baseline(setting.base)
        values = WINNER if number == 1 else values
        yield trial(number, score(values), values=values, origin="tpe" if number else "baseline")


def confirmed(setting: Setting, gain: float = 1.0) -> Records:
    """Everything is over but what explains; the baseline's scores are those of the formula, if `gain` is 1."""
    events = list(searched(setting))
    objective = setting.model.objective
    for run in confirmation(records_of(*events), objective, 1, SEEDS, 0.0):
        value = score(run.values, run.seed) if run.origin != "trial 1" else 2.0 - gain + 0.002 * run.seed
        events.append(trial(run.trial, value, values=run.values, origin=run.origin, kind="confirm", seed=run.seed))
    return records_of(*events)


def done(run: Proposed, value: float | None) -> list[Event]:
    status = "completed" if value is not None else "diverged"
    return trial(run.trial, value, values=run.values, origin=run.origin, kind="explain", seed=run.seed, status=status)  # type: ignore[arg-type]


def put(records: Records, *events: list[Event]) -> None:
    for each in events:
        for event in each:
            records.apply(event)


def test_each_config_on_the_way_is_trained_on_each_of_the_verdicts_seeds(setting: Setting) -> None:
    records = confirmed(setting)
    verdict = judge(records, setting.model.objective)
    assert verdict is not None and verdict.decision == "switch" and verdict.winner.trial == 1
    due = explaining(records, setting, None, 0.0)
    way = ablation(records, setting, WINNER)
    assert way is not None and len(way.changes) == 3
    assert [run.origin for run in due] == ["trial 1, 1 of 3 changes", "trial 1, 2 of 3 changes"] * 3
    assert [run.seed for run in due] == [1, 1, 2, 2, 3, 3] and {run.kind for run in due} == {"explain"}
    assert [run.trial for run in due] == list(range(len(records.trials), len(records.trials) + 6))
    for run, change in zip(due, way.changes[:-1] * 3, strict=True):
        assert not differing(run.values, change.values)


def test_taken_up_at_any_moment_the_same_runs_are_due(setting: Setting) -> None:
    every = explaining(confirmed(setting), setting, None, 0.0)
    for cut in range(len(every) + 1):
        records = confirmed(setting)
        put(records, *(done(run, 1.5) if number % 2 else [run] for number, run in enumerate(every[:cut])))
        assert explaining(records, setting, None, 0.0) == every[cut:]


def test_what_is_proposed_stays_where_later_trials_teach_another_way(setting: Setting) -> None:
    records = confirmed(setting)
    first = explaining(records, setting, None, 0.0)[0]
    odd = proposed(first.trial, {**WINNER, "warmup_epochs": 2}, origin=first.origin, kind="explain", seed=1)
    put(records, [odd])
    again = explaining(records, setting, None, 0.0)
    same = [run.values for run in again if run.origin == first.origin]
    assert len(again) == 5 and same == [odd.values] * 2
    assert parts(records, 1) == {(1, 3): odd.values} and parts(records, 2) == {}


def test_nothing_is_explained_unless_the_verdict_is_to_switch(setting: Setting) -> None:
    assert explaining(records_of(*searched(setting)), setting, None, 0.0) == []
    assert explaining(confirmed(setting, gain=-0.5), setting, None, 0.0) == []


def test_the_runs_enter_no_verdict_and_are_known_by_seed(setting: Setting) -> None:
    records = confirmed(setting)
    before = judge(records, setting.model.objective)
    due = explaining(records, setting, None, 0.0)
    put(records, *(done(run, 0.1 if run.seed < 3 else None) for run in due))
    assert judge(records, setting.model.objective) == before
    assert by_seed(records, 1, due[0].values, 9.0) == {1: 0.1, 2: 0.1, 3: 9.0}
    assert by_seed(records, 1, WINNER, 9.0) == {} and by_seed(records, 2, due[0].values, 9.0) == {}
    assert records.proposed["explain"] == 6 and records.search_steps == 20 * 18
