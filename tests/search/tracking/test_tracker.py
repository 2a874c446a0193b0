"""Tracking without MLflow: what is sent, in which order, and what a failing store does to it."""

import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from tracking_thread import Tracking

from search.history.events import (
    Ended,
    Event,
    Phase,
    Proposed,
    Reported,
    Retried,
    Started,
    Status,
)
from search.tracking.sender import ENDED
from search.tracking.tracker import waiting_note
from search.tracking.types import KEY_TAG, Pace, Registration, SearchStatus, TrackingInfo
from search.tracking.updates import Point, RunStatus

FAST = Pace(gather=0.0, retry=0.01, retry_most=0.02)


class Away(Exception):
    """The store does not answer."""


class Refused(Exception):
    """The store answers no."""


class FakeStore:
    """Runs in memory, with MLflow's rules: params are immutable, equal points are one."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, object]] = {}
        self.metrics: dict[str, set[Point]] = {}
        self.params: dict[str, dict[str, str]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.calls: list[str] = []
        self.files: list[Path] = []
        self.versions: list[tuple[str, Registration]] = []
        self.down = False
        self.lose_next_answer = False

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.down:
            raise Away("connection refused at http://user:hunter2@host/")

    def open(self) -> None:
        self._call("open")

    def find(self, key: str) -> list[str]:
        self._call("find")
        return [run for run, tags in self.tags.items() if tags[KEY_TAG] == key]

    def find_all(self, uid: str) -> Mapping[str, str]:
        self._call("find_all")
        found = [(tags[KEY_TAG], run) for run, tags in self.tags.items() if tags[KEY_TAG].startswith(f"{uid}/")]
        return dict(reversed(found))

    def create(self, name: str, tags: Mapping[str, str], start: int) -> str:
        self._call("create")
        run = f"run{len(self.runs)}"
        self.runs[run] = {"name": name, "start": start, "status": "RUNNING", "end": None}
        self.metrics[run], self.params[run], self.tags[run] = set(), {}, dict(tags)
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise Away("timed out")
        return run

    def write(self, run: str, metrics: Sequence[Point], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        self._call("write")
        assert len(metrics) + len(params) + len(tags) <= 1000
        assert len(params) <= 100
        assert len(tags) <= 100
        if any(self.params[run].get(key, value) != value for key, value in params.items()):
            raise Refused("params can't change")
        self.metrics[run].update(metrics)
        self.params[run].update(params)
        self.tags[run].update(tags)

    def set_status(self, run: str, status: RunStatus, at: int) -> None:
        self._call("set_status")
        self.runs[run].update(status=status, end=at)

    def add_file(self, run: str, path: Path, into: str = "") -> None:
        assert run in self.runs
        self._call("add_file")
        if path.name == "gone":
            raise FileNotFoundError(path)
        self.files.append(Path(into) / path.name)

    def register(self, run: str, version: Registration) -> str:
        self._call("register")
        if version.name == "taken":
            raise Refused("a prompt has this name, says http://user:hunter2@host/")
        if (run, version) not in self.versions:
            self.versions.append((run, version))
        return str(self.versions.index((run, version)) + 1)

    def delete(self, run: str) -> None:
        self._call("delete")
        for kept in (self.runs, self.metrics, self.params, self.tags):
            del kept[run]  # type: ignore[attr-defined]

    def refuses(self, error: Exception) -> bool:
        return isinstance(error, Refused)

    def explain(self, error: Exception) -> str:
        return str(error)

    def run(self, trial: int) -> str:
        (found,) = [run for run, tags in self.tags.items() if tags.get("trial") == str(trial)]
        return found


class Search:
    """A search's journal in memory, and its tracker."""

    def __init__(self, folder: Path, store: FakeStore, uri: str = "sqlite://") -> None:
        self.folder, self.store, self.uri = folder, store, uri
        self.journal: list[Event] = []
        self.said: list[str] = []

    def tracker(self, pace: Pace = FAST, down: bool = False) -> Tracking:
        return Tracking(self.info, self.store, self.journal, self.said, pace, down)

    @property
    def info(self) -> TrackingInfo:
        return TrackingInfo(
            uri=self.uri,
            experiment="fits",
            search="demo",
            folder=self.folder,
            tags={"model": "fit", "sampler": "tpe"},
            params={"budget.steps": 9},
            trial_tags={"git_commit": "abc", "data_hash": "d1"},
            rungs=(1, 3, 9),
        )

    def emit(self, *events: Event) -> None:
        self.journal.extend(events)


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(tmp_path, FakeStore())


def proposed(trial: int, origin: str = "tpe", kind: str = "search", seed: int = 1) -> Proposed:
    return Proposed(trial, {"lr": 0.1 + trial, "loss.kind": "l1", "warm": True}, seed, kind, origin, 10.0)  # type: ignore[arg-type]


def life(trial: int, status: Status = "completed", steps: Sequence[int] = (1, 3, 9)) -> list[Event]:
    reports = [Reported(trial, step, {"objective": 1 / step}, 0.5, 20.0 + step) for step in steps]
    return [proposed(trial), Started(trial, "box", 7, "", 11.0), *reports, Ended(trial, status, "why", 40.0)]


def wait_until(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


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


def test_a_store_that_fails_always_never_reaches_the_search(search: Search) -> None:
    search.store.down = True
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0))
    wait_until(lambda: search.store.calls.count("open") > 3)
    began = time.monotonic()
    summary = tracker.finish(SearchStatus("done"), 0.2)
    assert time.monotonic() - began < 1
    assert (summary.sent, summary.waiting, summary.closed, summary.parent) == (0, 6, False, None)
    assert "--resume" in summary.message
    assert len(search.said) == 1  # once per outage
    assert "hunter2" not in search.said[0]


def test_the_end_of_a_search_does_not_wait_for_the_next_try_of_a_long_outage(search: Search) -> None:
    search.store.down = True
    tracker = search.tracker(Pace(gather=0.0, retry=1.0, retry_most=60.0, farewell=0.9, farewell_retry=0.02))
    tracker.start()
    search.emit(*life(0))
    wait_until(lambda: "open" in search.store.calls)
    threading.Timer(0.1, lambda: setattr(search.store, "down", False)).start()
    assert tracker.finish(SearchStatus("done"), 5).closed


def test_what_waited_is_sent_by_the_next_process(search: Search) -> None:
    search.store.down = True
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0))
    tracker.finish(SearchStatus("done"), 0.1)
    search.store.down = False
    tracker = search.tracker()
    tracker.start()
    assert tracker.finish(SearchStatus("done"), 10).sent == 6
    assert search.store.runs[search.store.run(0)]["status"] == "FINISHED"
    assert len(search.store.runs) == 2


def test_an_outage_in_the_middle_loses_and_doubles_nothing(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0), *life(1)[:3])
    wait_until(lambda: tracker.waiting == 0)
    search.store.down = True
    search.emit(*life(1)[3:], *life(2))
    wait_until(lambda: bool(search.said))
    search.store.down = False
    summary = tracker.finish(SearchStatus("done"), 10)
    assert (summary.waiting, len(search.store.runs)) == (0, 4)
    assert [len(search.store.metrics[search.store.run(trial)]) for trial in range(3)] == [6, 6, 6]
    assert "answers again" in search.said[1]


def test_a_lost_answer_does_not_double_a_run(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    wait_until(lambda: bool(search.store.runs))
    wait_until(lambda: tracker.waiting == 0)
    search.store.lose_next_answer = True
    search.emit(*life(0))
    tracker.finish(SearchStatus("done"), 10)
    assert len(search.store.runs) == 2
    assert "find" in search.store.calls


def test_a_run_that_appears_late_is_removed(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    wait_until(lambda: bool(search.store.runs))
    find = search.store.find
    search.store.find = lambda _: []  # type: ignore[method-assign]
    search.store.lose_next_answer = True
    search.emit(*life(0))
    wait_until(lambda: tracker.waiting == 0)
    assert len(search.store.runs) == 3
    search.store.find = find  # type: ignore[method-assign]
    tracker.finish(SearchStatus("done"), 10)
    assert len(search.store.runs) == 2
    assert search.store.params[search.store.run(0)]


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_killed_between_creating_a_run_and_noting_it(search: Search, lost: int) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0), *life(1))
    tracker.finish(SearchStatus("interrupted"), 10)
    before = {run: set(found) for run, found in search.store.metrics.items()}
    file = search.folder / "tracking.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    assert '"run"' in lines[-2]
    file.write_text("".join(lines[:-lost]) + lines[-lost][:9])  # the last of what is left is torn
    tracker = search.tracker()
    tracker.start()
    assert tracker.finish(SearchStatus("done"), 10).waiting == 0
    assert {run: found for run, found in search.store.metrics.items() if run in before} == before
    assert len(search.store.runs) == 3


def test_a_resumed_search_continues_its_runs(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0), *life(1)[:4])
    summary = tracker.finish(SearchStatus("interrupted"), 10)
    run, parent = search.store.run(1), summary.parent
    assert parent is not None
    assert search.store.runs[parent]["status"] == search.store.runs[run]["status"] == "KILLED"
    assert search.store.tags[run]["status"] == "interrupted"
    tracker = search.tracker()
    tracker.start()
    search.emit(Started(1, "box", 9, "", 50.0))
    wait_until(lambda: tracker.waiting == 0)
    assert search.store.runs[parent]["status"] == search.store.runs[run]["status"] == "RUNNING"
    search.emit(*life(1)[4:])
    summary = tracker.finish(SearchStatus("done"), 10)
    assert (summary.parent, len(search.store.runs), search.store.runs[run]["status"]) == (parent, 3, "FINISHED")
    assert len(search.store.metrics[run]) == 6


def test_another_store_gets_the_whole_search(search: Search, tmp_path: Path) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0))
    tracker.finish(SearchStatus("done"), 10)
    search.store, search.uri = FakeStore(), f"sqlite:///{tmp_path}/other.db"
    tracker = search.tracker()
    tracker.start()
    assert tracker.finish(SearchStatus("done"), 10).sent == 6
    assert len(search.store.runs) == 2


def test_the_same_store_by_another_name_keeps_its_runs(search: Search, tmp_path: Path) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0), *life(1)[:4])
    first = tracker.finish(SearchStatus("interrupted"), 10)
    search.emit(*life(1)[4:])
    for uri in (f"sqlite:///{tmp_path}/moved.db", "http://mlflow:5000", "http://mlflow.example.org/x"):
        search.uri = uri
        tracker = search.tracker()
        tracker.start()
        summary = tracker.finish(SearchStatus("done"), 10)
        assert (summary.parent, summary.runs, summary.closed) == (first.parent, 3, True)
        assert [run["status"] for run in search.store.runs.values()] == ["FINISHED"] * 3
        assert len(search.store.metrics[search.store.run(1)]) == 6


def test_killed_while_runs_are_adopted(search: Search, tmp_path: Path) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0), *life(1))
    tracker.finish(SearchStatus("interrupted"), 10)
    search.uri = f"sqlite:///{tmp_path}/moved.db"
    search.store.down = True
    tracker = search.tracker()  # names the new store on disk, and gets no further
    tracker.start()
    assert not tracker.finish(SearchStatus("interrupted"), 0.05).closed
    search.store.down = False
    tracker = search.tracker()
    tracker.start()
    assert tracker.finish(SearchStatus("done"), 10).closed
    assert len(search.store.runs) == 3


def test_a_verdict_that_could_not_be_sent_says_why(search: Search) -> None:
    search.store.down = True
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0))
    message = tracker.finish(SearchStatus("done"), 0.05).message
    assert "6 events and the verdict could not be sent" in message
    assert "(connection refused at http://***@host/)" in message and "--resume sends them" in message


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


def test_what_the_store_refuses_does_not_hold_up_the_rest(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(proposed(0))
    wait_until(lambda: tracker.waiting == 0)
    search.store.params[search.store.run(0)]["lr"] = "changed by hand"
    search.emit(proposed(0), *life(1))
    assert tracker.finish(SearchStatus("done"), 10).waiting == 0
    assert search.store.runs[search.store.run(1)]["status"] == "FINISHED"
    assert "refused" in search.said[0]


def test_an_unreachable_store_is_said_once(search: Search) -> None:
    search.uri, search.store.down = "http://user:hunter2@127.0.0.1:9", True
    tracker = search.tracker(down=True)  # it was said at the start
    warning = waiting_note(search.info, "connection refused")
    assert "http://***@127.0.0.1:9" in warning and "The search goes on" in warning
    tracker.start()
    wait_until(lambda: len(search.store.calls) > 2)
    tracker.finish(SearchStatus("done"), 0.05)
    assert search.said == []
