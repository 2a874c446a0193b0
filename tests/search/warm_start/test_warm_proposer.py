"""What a proposer, the records and MLflow make of the trials of an earlier search."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from small_search import trial

from search.history.chain import End
from search.history.events import Observed, Phase, Status, WarmStarted
from search.history.journal import Journal, read
from search.history.records import Records
from search.results.tables import history_table, trials_table
from search.sampling.proposer import Proposer
from search.sampling.trial_history import PastTrial, Problem, Sampling, Scoring
from search.tracking.updates import PARENT, Trials, Update
from search.warm_start import warm
from spaces.domain import Categorical, Float, Int
from spaces.knob import Knob
from spaces.space import Space
from spaces.values import thaw

# --- what the proposer makes of it -------------------------------------------------------------------------------

SPACE = Space(
    (Knob("lr", Float(1e-4, 1e-1, log=True)), Knob("width", Int(1, 9)), Knob("kind", Categorical(("a", "b"))))
)
BASE: dict[str, Any] = {"lr": 1e-3, "width": 5, "kind": "a"}


def loss(values: Mapping[str, Any]) -> float:
    return abs(math.log10(values["lr"]) + 1.5) + abs(values["width"] - 7) / 9


def taken(count: int, first: int = 2, seed: int = 0) -> WarmStarted:
    """Random points of SPACE: one in four stopped early, one in five diverged; the best `first` run first."""
    rng = np.random.default_rng(seed)
    trials = []
    for number in range(count):
        values = {path: thaw(value) for path, value in SPACE.sample(rng, BASE).items()}
        status: Status = "diverged" if number % 5 == 4 else "stopped" if number % 4 == 3 else "completed"
        value = 9.0 if status == "diverged" else loss(values)
        trials.append(Observed(f"old trial {number}", values, status, [(3 if number % 4 else 9, value)], ""))
    best = sorted(trials, key=lambda trial: trial.reports[-1][1])[:first]
    return WarmStarted("search old", trials, best, 0, "", 1e9)


def proposer(
    folder: Path, start: WarmStarted | None, kind: str = "tpe", past: Sequence[PastTrial] = (), seed: int = 0
) -> Proposer:
    folder.mkdir(exist_ok=True)
    sampling, scoring = Sampling(kind, seed, 3), Scoring("min", 9.0)
    path = folder / "study.journal"
    return Proposer(Problem("new", SPACE, BASE), sampling, scoring, path, [*warm.past(start), *past], warm.queue(start))


def go_on(search: Proposer, numbers: Sequence[int]) -> list[PastTrial]:
    """Propose and end the trials `numbers`, until there is none left to propose."""
    done = []
    for number in numbers:
        values = search.propose(number)
        if values is None:
            break
        search.report(number, 9, loss(values))
        search.tell(number, "completed", loss(values))
        reports = [(9, loss(values))]
        done.append(PastTrial(number, values, "completed", search.origin(number), reports, value=loss(values)))
    return done


@pytest.mark.parametrize("kind", ["tpe", "random", "grid"])
def test_the_first_trials_follow_the_baseline_in_every_sampler(tmp_path: Path, kind: str) -> None:
    start = taken(12, first=3)
    done = go_on(proposer(tmp_path / "a", start, kind), range(8))
    assert done[0].values == BASE and done[0].origin == "baseline"
    assert [trial.values for trial in done[1:4]] == [trial.values for trial in start.first]
    assert [trial.origin for trial in done[1:4]] == [f"warm {trial.name}" for trial in start.first]
    assert {trial.origin for trial in done[4:]} == {kind}


@given(
    kind=st.sampled_from(["tpe", "random", "grid"]),
    count=st.integers(0, 30),
    first=st.integers(0, 4),
    cut=st.integers(0, 11),
    seed=st.integers(0, 9),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_resumed_proposer_proposes_the_same(
    tmp_path: Path, kind: str, count: int, first: int, cut: int, seed: int
) -> None:
    start = taken(count, first, seed)
    with Journal(tmp_path / "journal.jsonl", End()) as journal:
        journal.append(start)
    (kept,) = read(tmp_path / "journal.jsonl")[0]
    assert kept == start and isinstance(kept, WarmStarted)
    whole = go_on(proposer(tmp_path / "whole", start, kind, seed=seed), range(12))
    resumed = proposer(tmp_path / "resumed", kept, kind, whole[:cut], seed)
    rest = go_on(resumed, range(cut, 12))
    assert [(t.number, t.values, t.origin) for t in [*whole[:cut], *rest]] == [
        (t.number, t.values, t.origin) for t in whole
    ]
    assert resumed.file_error is None and not resumed.outside


def test_tpe_learns_from_observations(tmp_path: Path) -> None:
    def mean(start: WarmStarted | None, seed: int) -> float:
        done = go_on(proposer(tmp_path / "a", start, seed=seed), range(1, 9))
        return sum(loss(trial.values) for trial in done) / len(done)

    cold = [mean(None, seed) for seed in range(5)]
    warmed = [mean(taken(60, first=0, seed=seed), seed) for seed in range(5)]
    assert sum(warmed) < 0.7 * sum(cold)


def test_the_grid_leaves_out_what_was_trained_to_its_end_or_diverged(tmp_path: Path) -> None:
    whole = go_on(proposer(tmp_path / "a", None, "grid"), range(99))
    values = [trial.values for trial in whole]
    statuses: list[Status] = ["completed", "diverged", "stopped"]
    seen = [Observed(f"t{i}", values[i + 1], status, [(9, 0.5)], "") for i, status in enumerate(statuses)]
    rest = go_on(proposer(tmp_path / "b", WarmStarted("s", seen, [], 0, "", 0.0), "grid"), range(99))
    assert [trial.values for trial in rest] == [values[0], *values[3:]]
    again = go_on(proposer(tmp_path / "c", WarmStarted("s", seen, seen[:1], 0, "", 0.0), "grid"), range(99))
    assert [trial.values for trial in again] == values[:2] + values[3:]


def test_the_study_file_shows_observations_before_the_searchs_own(tmp_path: Path) -> None:
    start = taken(10)
    go_on(proposer(tmp_path / "a", start), range(3))
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "a" / "study.journal")))
    trials = optuna.load_study(study_name="new", storage=storage).trials
    assert [t.user_attrs["trial"] for t in trials] == [*range(-10, 0), 0, 1, 2]
    assert [t.user_attrs["origin"] for t in trials[:10]] == [each.name for each in start.observations]
    for seen, kept in zip(start.observations, trials, strict=False):
        assert kept.params == seen.values and kept.intermediate_values == dict(seen.reports)
    states = [t.state.name for t in trials[:10]]
    assert states == [{"stopped": "PRUNED"}.get(each.status, "COMPLETE") for each in start.observations]


# --- what it is not ----------------------------------------------------------------------------------------------


def test_observations_are_no_trials_of_the_search_and_cost_nothing() -> None:
    start = taken(9)
    begun = [start, Phase("search", 2e9), *trial(0, 0.5, origin="baseline")]
    records, plain = Records(begun), Records(begun[1:])
    assert records.warm == start
    assert (records.search_steps, records.searching_for(2e9)) == (plain.search_steps, plain.searching_for(2e9))
    assert trials_table(records, ["lr"]).equals(trials_table(plain, ["lr"]))
    assert history_table(records).equals(history_table(plain))
    assert records.of_kind("search") == plain.of_kind("search") and records.proposed == plain.proposed


def test_mlflow_sees_the_source_on_the_searchs_run_and_no_run_of_an_observation() -> None:
    updates: dict[int, Update] = {}
    trials = Trials()
    trials.fold(taken(9), updates)
    assert list(updates) == [PARENT] and updates[PARENT].tags == {"warm_start": "search old"}
    assert trials.interrupted() == []
