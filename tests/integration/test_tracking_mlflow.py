"""Tracking into real MLflow: a SQLite file, and a server that is stopped and started."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tracking_servers import Server
from tracking_thread import Tracking

from search.common.store_uri import resolve_uri, unreachable
from search.history.events import Ended, Event, Proposed, Reported, Started, Status
from search.tracking.mlflow_reader import MlflowReader
from search.tracking.mlflow_store import MlflowStore
from search.tracking.types import Pace, Registration, SearchStatus, TrackingInfo

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:The ``noload``:DeprecationWarning"),  # MLflow 3.17 on SQLAlchemy 2.1
]

QUICK = Pace(gather=0.05, retry=0.1, retry_most=0.3)


class Journal:
    """A search's journal in memory and its tracker."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder, self.uri = folder, uri
        self.events: list[Event] = []
        self.said: list[str] = []
        folder.mkdir(exist_ok=True)

    def open(self) -> Tracking:
        info = TrackingInfo(
            uri=self.uri,
            experiment="fits",
            search=self.folder.name,
            folder=self.folder,
            tags={"model": "fit"},
            params={"budget.steps": 9},
            trial_tags={"git_commit": "abc"},
            rungs=(1, 3, 9),
        )
        store = MlflowStore(info.uri, info.experiment)
        self.warning = unreachable(info.uri)
        self.tracker = Tracking(info, store, self.events, self.said, QUICK, self.warning is not None)
        self.tracker.start()
        return self.tracker

    def emit(self, *events: Event) -> None:
        self.events.extend(events)

    def live(self, trials: Iterable[int]) -> threading.Thread:
        """Early-stopped trials, an event every 10 ms, in a thread."""

        def run() -> None:
            for trial in trials:
                for event in life(trial, "stopped"):
                    self.emit(event)
                    time.sleep(0.01)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def drained(self, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while self.tracker.waiting:
            assert time.monotonic() < end, f"{self.tracker.waiting} events still wait: {self.said}"
            time.sleep(0.02)


def life(trial: int, status: Status) -> list[Event]:
    at = 1_700_000_000.0 + trial
    values = {"lr": 0.1 * (trial + 1), "loss.kind": "l1"}
    reports = [Reported(trial, step, {"objective": 1 / step, "lr": 0.1}, 0.5, at + step) for step in (1, 3, 9)]
    start = Proposed(trial, values, 1, "search", "baseline" if trial == 0 else "tpe", at)
    return [start, Started(trial, "box", 7, "H200", at), *reports, Ended(trial, status, "why", at + 10)]


def rows(database: Path, query: str, *values: object) -> list[Any]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def check_complete(database: Path, parent: str | None, statuses: list[str]) -> None:
    """One parent, one child per trial with its status, every point exactly once."""
    query = (
        "select r.status, (select count(*) from metrics m where m.run_uuid = r.run_uuid),"
        " (select count(*) from params p where p.run_uuid = r.run_uuid)"
        " from runs r join tags t on t.run_uuid = r.run_uuid and t.key = 'mlflow.parentRunId'"
        " and t.value = ? where r.lifecycle_stage = 'active' order by r.start_time"
    )
    children = rows(database, query, parent)
    assert children == [(status, 9, 2) for status in statuses]
    assert len(rows(database, "select 1 from runs where lifecycle_stage = 'active'")) == len(statuses) + 1


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HTTP_REQUEST_TIMEOUT", "HTTP_REQUEST_MAX_RETRIES", "DISABLE_TELEMETRY", "TRACKING_URI"):
        monkeypatch.setenv(f"MLFLOW_{name}", "")
        monkeypatch.delenv(f"MLFLOW_{name}")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mlflow.db"


STATUSES: list[Status] = ["completed", "stopped", "diverged", "failed"]
SHOWN = ["FINISHED", "KILLED", "FAILED", "FAILED"]


def test_a_search_in_sqlite(database: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from mlflow.tracking import MlflowClient

    journal = Journal(tmp_path / "demo", resolve_uri(None, tmp_path))
    journal.open()
    for trial, status in enumerate(STATUSES):
        journal.emit(*life(trial, status))
    (tmp_path / "best.yaml").write_text("lr: 0.1\n")
    verdict = SearchStatus(
        "done", "# Use it", {"best": 0.1}, {"best.lr": 0.1}, [tmp_path / "best.yaml", tmp_path / "gone"]
    )
    summary = journal.tracker.finish(verdict, 60)
    assert (summary.closed, summary.waiting, summary.runs) == (True, 0, 5), journal.said
    check_complete(database, summary.parent, SHOWN)
    client = MlflowClient(journal.uri)
    assert summary.parent is not None
    parent = client.get_run(summary.parent)
    assert (parent.info.status, parent.info.run_name) == ("FINISHED", "demo")
    assert parent.data.tags["mlflow.note.content"] == "# Use it"
    assert parent.data.params == {"budget.steps": "9"}
    assert [file.path for file in client.list_artifacts(summary.parent)] == ["best.yaml"]
    assert (tmp_path / "mlartifacts").is_dir()
    assert not (tmp_path / "mlruns").exists()
    assert "gone could not be added" in journal.said[0]
    (child,) = client.search_runs([parent.info.experiment_id], "tags.baseline = 'true'")
    assert (child.info.start_time, child.info.end_time) == (1_700_000_000_000, 1_700_000_010_000)
    history = client.get_metric_history(child.info.run_id, "objective")
    assert [(point.step, point.value, point.timestamp) for point in history] == [
        (step, 1 / step, 1_700_000_000_000 + step * 1000) for step in (1, 3, 9)
    ]
    assert {"gpu": "H200", "rung": "9", "reason": "why", "git_commit": "abc"}.items() <= child.data.tags.items()
    assert capfd.readouterr() == ("", "")


def test_sending_again_after_a_kill_doubles_nothing(database: Path, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "demo", resolve_uri(None, tmp_path))
    tracker = journal.open()
    journal.emit(*life(0, "completed"), *life(1, "stopped"))
    parent = tracker.finish(SearchStatus("interrupted"), 60).parent
    notes = tmp_path / "demo" / "tracking.jsonl"
    notes.write_text("".join(line for line in notes.read_text().splitlines(True) if '"run"' not in line))
    kept = notes.read_text().replace('{"acknowledged"', '{"forgotten"')
    notes.write_text(kept)
    tracker = journal.open()
    journal.emit(*life(2, "failed"))
    summary = tracker.finish(SearchStatus("done"), 60)
    assert summary.parent == parent
    check_complete(database, parent, ["FINISHED", "KILLED", "FAILED"])


@pytest.mark.slow  # it waits for the lock as long as a sender does
def test_a_locked_file_is_an_outage(database: Path, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "demo", resolve_uri(None, tmp_path))
    tracker = journal.open()
    journal.emit(*life(0, "completed"))
    journal.drained()
    lock = sqlite3.connect(database, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    journal.emit(*life(1, "stopped"))
    began = time.monotonic()
    summary = tracker.finish(SearchStatus("done"), 1.0)
    assert time.monotonic() - began < 30  # not the minutes that a database waits for a lock by itself
    assert (summary.closed, summary.waiting) == (False, 6)
    lock.execute("ROLLBACK")
    lock.close()
    tracker.join(60)  # a process would be gone by now, with what it had asked for
    summary = journal.open().finish(SearchStatus("done"), 60)
    check_complete(database, summary.parent, ["FINISHED", "KILLED"])


@pytest.mark.slow
def test_two_searches_start_together_on_a_new_file(database: Path, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[3]); import test_tracking_mlflow as t;"
        "j = t.Journal(pathlib.Path(sys.argv[1]), sys.argv[2]); k = j.open();"
        "[j.emit(*t.life(n, 'completed')) for n in range(3)];"
        "s = k.finish(t.SearchStatus('done'), 90); assert s.closed, (s, j.said); assert not j.said, j.said"
    )
    here, uri = str(Path(__file__).parent), f"sqlite:///{database}"
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (root, root / "tests" / "search")))}
    started = [
        subprocess.Popen([*command, str(tmp_path / name), uri, here], env=environment) for name in ("one", "two")
    ]
    assert [process.wait(120) for process in started] == [0, 0]
    assert len(rows(database, "select 1 from runs")) == 8
    assert rows(database, "select count(*) from experiments where name = 'fits'") == [(1,)]


def hand_over(journal: Journal, folder: Path, name: str, trial: int = 1) -> str:
    """Send a winner with its files and register it; the version's number."""
    (folder / "best.yaml").write_text("lr: 0.1\n")
    (folder / "native").mkdir(exist_ok=True)
    (folder / "native" / "mine.yaml").write_text("lr: 0.1  # mine\n")
    place = f"winner/trial-{trial}"
    version = Registration(name, place, "**Good.**", {"trial": trial, "search": "demo", "objective": "val_mae (min)"})
    files = [folder / "best.yaml", folder / "native"]
    summary = journal.open().finish(SearchStatus("done", folder=place, winner=files, version=version), 60)
    assert (summary.closed, journal.said) == (True, [])
    return summary.version


def check_registered(uri: str, name: str, folder: Path) -> None:
    """Two versions, the second of another winner; each holds its own files, and they can be had again."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    versions = sorted(client.search_model_versions(f"name = '{name}'"), key=lambda version: int(version.version))
    assert [(int(v.version), v.tags["trial"], v.status, v.description) for v in versions] == [
        (1, "1", "READY", "**Good.**"), (2, "2", "READY", "**Good.**"),
    ]  # fmt: skip
    assert versions[0].source.endswith("/artifacts/winner/trial-1")
    run = client.get_run(versions[0].run_id)
    assert run.data.tags["search"] == "demo"
    files = {file.path for file in client.list_artifacts(versions[0].run_id, "winner/trial-1")}
    assert files == {"winner/trial-1/best.yaml", "winner/trial-1/native"}
    folder.mkdir()
    code = (
        "import sys, mlflow; mlflow.set_tracking_uri(sys.argv[1]);"
        "print(mlflow.artifacts.download_artifacts(sys.argv[2], dst_path=sys.argv[3]))"
    )
    command = [sys.executable, "-c", code, uri, f"models:/{name}/1", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert (folder / "native" / "mine.yaml").read_text() == "lr: 0.1  # mine\n"


@pytest.mark.slow
def test_the_winner_is_registered_once(database: Path, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "demo", resolve_uri(None, tmp_path))
    assert hand_over(journal, tmp_path, "fits") == "1"
    assert hand_over(journal, tmp_path, "fits") == "1"  # the same command after the end
    assert hand_over(journal, tmp_path, "fits", trial=2) == "2"  # the search has grown
    check_registered(journal.uri, "fits", tmp_path / "got")


def test_what_is_read_back(database: Path, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "demo", resolve_uri(None, tmp_path))
    journal.open()
    journal.emit(*life(0, "completed"))
    (tmp_path / "search.yaml").write_text("name: demo\n")
    journal.tracker.finish(SearchStatus("done", artifacts=[tmp_path / "search.yaml"]), 60)
    reader = MlflowReader(journal.uri, "fits")
    parent, child = sorted(reader.runs(), key=lambda run: "trial" in run.tags)
    assert (child.start, child.end) == (1_700_000_000_000, 1_700_000_010_000)
    assert [(p.step, p.value, p.at) for p in reader.points(child.id, "objective")] == [
        (step, 1 / step, 1_700_000_000_000 + step * 1000) for step in (1, 3, 9)
    ]
    assert [(point.step, point.value) for point in reader.points(parent.id, "best_so_far")] == [(9, 1 / 9)]
    assert reader.read_text(parent.id, "search.yaml") == "name: demo\n"
    assert reader.read_text(parent.id, "plan.json") is None
    assert reader.read_text(child.id, "a/b.txt") is None


def test_no_secret_of_the_environment_is_tracked(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(name, "hunter2")
    journal = Journal(tmp_path / "demo", resolve_uri(None, tmp_path))
    journal.open()
    *events, end = life(0, "failed")
    assert isinstance(end, Ended)
    said = "RuntimeError: no answer from https://me:hunter2@host/x"
    journal.emit(*events, Ended(0, "failed", said, end.at, f"Traceback …\n{said}"))
    assert journal.tracker.finish(SearchStatus("done", "# Use it"), 60).closed
    for table in ("tags", "params", "metrics", "runs", "experiments", "experiment_tags"):
        assert "hunter2" not in str(rows(database, f"select * from {table}"))  # noqa: S608 - our own names
    assert rows(database, "select value from tags where key = 'reason'") == [(said.replace("me:hunter2", "***"),)]


@pytest.fixture
def server(database: Path, tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, "sqlite:///server.db")
    yield server
    server.stop()


@pytest.mark.slow
def test_a_server_that_comes_late_goes_and_comes_back(server: Server, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "demo", server.uri)
    tracker = journal.open()
    assert journal.warning is not None
    assert "refused" in journal.warning
    journal.emit(*life(0, "completed"))
    server.start()
    journal.drained()
    search = journal.live(range(1, 40))
    time.sleep(0.7)
    server.stop()  # in the middle of requests
    search.join()
    assert tracker.waiting > 0
    server.start()
    summary = tracker.finish(SearchStatus("done", "# Done"), 60)
    assert (summary.closed, summary.waiting) == (True, 0)
    check_complete(tmp_path / "server.db", summary.parent, ["FINISHED"] + ["KILLED"] * 39)
    # gone for good: the search ends in time, and the next process sends what is left
    server.stop()
    tracker = journal.open()
    journal.emit(*life(40, "failed"))
    began = time.monotonic()
    left = tracker.finish(SearchStatus("done"), 1.0)
    assert time.monotonic() - began < 30  # not the minutes that a database waits for a lock by itself
    assert (left.closed, left.waiting) == (False, 6)
    assert "--resume" in left.message
    server.start()
    summary = journal.open().finish(SearchStatus("done"), 60)
    check_complete(tmp_path / "server.db", summary.parent, ["FINISHED"] + ["KILLED"] * 39 + ["FAILED"])


@pytest.mark.slow
def test_a_winner_is_registered_at_a_server(server: Server, tmp_path: Path) -> None:
    server.start()
    journal = Journal(tmp_path / "demo", server.uri)
    assert [hand_over(journal, tmp_path, "fits", trial) for trial in (1, 1, 2)] == ["1", "1", "2"]
    check_registered(server.uri, "fits", tmp_path / "got")


OPEN = "import sys; from search.tracking.mlflow_store import MlflowStore; MlflowStore(sys.argv[1], 'e').open()"


def test_a_process_killed_while_it_makes_the_database_leaves_none(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    command = [sys.executable, "-c", OPEN, f"sqlite:///{file}"]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".mlflow.db.*.partial")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()  # MLflow makes its tables for seconds
    process.wait()
    assert not file.exists() and list(tmp_path.glob(".mlflow.db.*.partial"))
    store = MlflowStore(f"sqlite:///{file}", "e")
    store.open()
    run = store.create("r", {}, 1)
    store.set_status(run, "FINISHED", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]
