"""Tracking without MLflow: what is sent, in which order, and what the runs say."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from tracking_store import Away, Search, life, proposed, wait_until

from search.history.events import Phase, Proposed, Reported, Retried, Started, Status
from search.tracking.sender import ENDED
from search.tracking.types import Registration, SearchStatus
from search.tracking.updates import Point


@pytest.mark.parametrize(
    ("status", "shown"),
    [("completed", "FINISHED"), ("stopped", "KILLED"), ("diverged", "FAILED"), ("failed", "FAILED")],
)
def test_statuses_are_true(search: Search, status: Status, shown: str) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0, status))
    summary = tracker.finish(SearchStatus("done"), 10)
    run = search.store.run(0)
    assert search.store.runs[run] == {"name": "trial 0", "start": 10_000, "status": shown, "end": 40_000}
    assert search.store.tags[run]["status"] == status
    assert search.store.tags[run]["reason"] == "why"
    assert (summary.sent, summary.waiting, summary.closed, summary.runs, summary.message) == (6, 0, True, 2, "")


def test_a_trial_as_it_is_shown(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(4, "stopped", steps=(1, 2, 3)))
    summary = tracker.finish(SearchStatus("done"), 10)
    run = search.store.run(4)
    assert search.store.params[run] == {"lr": "4.1", "loss.kind": "l1", "warm": "true"}
    assert Point("objective", 1 / 3, 3, 23_000) in search.store.metrics[run]
    assert Point("train_seconds", 0.5, 2, 22_000) in search.store.metrics[run]
    tags = search.store.tags[run]
    expected = {
        "trial": "4", "baseline": "false", "rung": "3", "seed": "1", "origin": "tpe", "kind": "search",
        "git_commit": "abc", "data_hash": "d1", "host": "box", "mlflow.parentRunId": summary.parent,
    }  # fmt: skip
    assert expected.items() <= tags.items()
    assert "gpu" not in tags


def test_baseline_and_confirmations_are_named(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(proposed(0, "baseline"), proposed(1), proposed(2, "trial 1", "confirm", 8))
    search.emit(proposed(3, "trial 0", "confirm", 8), proposed(4, "baseline", "confirm", 9))
    tracker.finish(SearchStatus("done"), 10)
    runs = [search.store.run(trial) for trial in range(5)]
    assert [search.store.runs[run]["name"] for run in runs] == [
        "baseline", "trial 1", "confirm trial 1, seed 8", "confirm baseline, seed 8", "confirm baseline, seed 9",
    ]  # fmt: skip
    assert [search.store.tags[run]["baseline"] for run in runs] == ["true", "false", "false", "true", "true"]
    assert [search.store.tags[run]["kind"] for run in runs] == ["search", "search", "confirm", "confirm", "confirm"]


def test_a_retried_trial_goes_on_and_its_points_stay_single(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0)[:4], Retried(0, "worker lost", 30.0), Started(0, "other", 8, "", 31.0))
    search.emit(Reported(0, 3, {"objective": 1 / 3}, 0.5, 32.0))
    wait_until(lambda: tracker.waiting == 0)
    run = search.store.run(0)
    assert search.store.runs[run]["status"] == "RUNNING"
    assert search.store.tags[run]["reason"] == "worker lost"
    assert search.store.tags[run]["host"] == "other"
    assert len([point for point in search.store.metrics[run] if point.key == "objective"]) == 2
    tracker.finish(SearchStatus("done"), 10)


def test_the_searchs_own_run(search: Search, tmp_path: Path) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(Phase("search", 1.0), *life(0), Phase("done", 50.0))
    note = "# Use it\n" + "x" * 9000
    verdict = SearchStatus("done", note, {"best": 0.5, "worst": math.inf}, {"best.lr": 0.1}, [tmp_path / "best.yaml"])
    parent = tracker.finish(verdict, 10).parent
    assert parent is not None
    assert search.store.runs[parent]["status"] == "FINISHED"
    assert search.store.params[parent] == {"budget.steps": "9"}
    found = {point.key: (point.value, point.step) for point in search.store.metrics[parent]}
    assert found == {"best": (0.5, 0), "best_so_far": (1 / 9, 9)}
    tags = search.store.tags[parent]
    assert {"model": "fit", "phase": "done", "best.lr": "0.1", "status": "done"}.items() <= tags.items()
    assert tags["mlflow.note.content"].startswith("# Use it")
    assert len(tags["mlflow.note.content"]) == 8000
    assert search.store.files == [Path("best.yaml")]


def test_the_winner_and_its_version(search: Search, tmp_path: Path) -> None:
    version = Registration("fits", "winner/trial-3", "Good.", {"trial": 3})
    verdict = SearchStatus("done", folder="winner/trial-3", winner=[tmp_path / "best.yaml"], version=version)
    for _ in range(2):  # the same command after the end
        tracker = search.tracker()
        tracker.start()
        summary = tracker.finish(ENDED.validate_python(json.loads(json.dumps(asdict(verdict), default=str))), 10)
        assert (summary.version, summary.message, search.said) == ("1", "", [])
    assert summary.parent is not None
    assert search.store.versions == [(summary.parent, version)]
    assert search.store.files == [Path("winner/trial-3/best.yaml")] * 2


@pytest.mark.parametrize(("name", "file"), [("taken", "best.yaml"), ("fits", "gone")])
def test_a_version_that_cannot_be_made_is_said_and_loses_nothing(
    search: Search, tmp_path: Path, name: str, file: str
) -> None:
    tracker = search.tracker()
    tracker.start()
    verdict = SearchStatus(
        "done", "# Use it", folder="w", winner=[tmp_path / file], version=Registration(name, "w", "")
    )
    summary = tracker.finish(verdict, 10)
    assert (summary.closed, summary.version, search.store.versions) == (True, "", [])
    assert f"--register {name}" in search.said[-1]
    assert "hunter2" not in "".join(search.said)


def test_a_verdict_that_is_sent_again_does_not_repeat_its_files(search: Search, tmp_path: Path) -> None:
    write, failed = search.store.write, []

    def once(run: str, metrics: Sequence[Point], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        if tags.get("status") == "done" and not failed:
            failed.append(run)
            raise Away("just now")
        write(run, metrics, params, tags)

    search.store.write = once  # type: ignore[method-assign]
    tracker = search.tracker()
    tracker.start()
    assert tracker.finish(SearchStatus("done", artifacts=[tmp_path / "best.yaml"]), 10).closed
    assert failed and search.store.files == [Path("best.yaml")]


def test_many_events_of_a_run_are_one_request(search: Search) -> None:
    tracker = search.tracker()
    search.emit(*life(0, steps=range(1, 51)))
    tracker.start()
    tracker.finish(SearchStatus("done"), 10)
    # open; the search: create, params; the trial: create, params and metrics, end; the best; the verdict: tags, end
    trial = ["create", "write", "set_status"]
    assert search.store.calls == ["open", "create", "write", *trial, "write", "write", "set_status"]


def test_250_knobs_and_long_values(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    values = {f"knob{number}": number for number in range(250)} | {"long": "x" * 7000}
    search.emit(Proposed(0, values, 1, "search", "tpe", 10.0))
    tracker.finish(SearchStatus("done"), 10)
    params = search.store.params[search.store.run(0)]
    assert len(params) == 251
    assert len(params["long"]) == 6000
    assert params["long"].endswith("…")
