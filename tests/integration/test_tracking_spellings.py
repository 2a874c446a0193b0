"""One search, its results folder and tracking store reached in several ways: each run is in MLflow once."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from test_tracking_mlflow import SHOWN, STATUSES, Journal, check_complete, life, rows
from test_tracking_mlflow import database as database  # the environment without MLflow's variables
from test_tracking_mlflow import server as server
from tracking_servers import Server

from search.common.store_uri import resolve_uri
from search.tracking.types import SearchStatus, Summary

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:The ``noload``:DeprecationWarning"),  # MLflow 3.17 on SQLAlchemy 2.1
]


def send_again(journal: Journal, uri: str, folder: Path, best: Path) -> Summary:
    """The finished search's events once more, as `--resume` sends them from a new process."""
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()
    journal.uri, journal.folder = uri, folder
    journal.open()
    return journal.tracker.finish(SearchStatus("done", artifacts=[best]), 60)


def test_a_folder_reached_in_five_ways(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "best.yaml").write_text("lr: 0.1\n")
    journal = Journal(results / "demo", resolve_uri(None, results))
    journal.open()
    journal.emit(*[event for trial, status in enumerate(STATUSES[:-1]) for event in life(trial, status)])
    last = life(3, STATUSES[-1])
    journal.emit(*last[:4])
    first = journal.tracker.finish(SearchStatus("interrupted", artifacts=[results / "best.yaml"]), 60)
    assert first.closed, journal.said
    journal.emit(*last[4:])
    (tmp_path / "link").symlink_to(results)
    monkeypatch.chdir(tmp_path)
    spellings = [Path("results"), tmp_path / "link", Path("link/../results"), tmp_path / "moved"]
    for place in spellings:
        if place.name == "moved":
            results.rename(place)
        summary = send_again(journal, resolve_uri(None, place), place / "demo", place / "best.yaml")
        assert (summary.parent, summary.closed, summary.runs) == (first.parent, True, 5), journal.said
        check_complete(place / "mlflow.db", first.parent, SHOWN)
        assert not rows(place / "mlflow.db", "select 1 from runs where status = 'RUNNING'")
    assert not results.exists(), "artifacts went to where the folder was before"
    (kept,) = rows(tmp_path / "moved" / "mlflow.db", "select artifact_location from experiments where name = 'fits'")
    assert kept == ((tmp_path / "moved" / "mlartifacts").as_uri(),)
    assert len(list((tmp_path / "moved" / "mlartifacts").rglob("best.yaml"))) == 1


@pytest.mark.slow
def test_a_server_reached_in_five_ways(server: Server, tmp_path: Path) -> None:
    server.start()
    journal = Journal(tmp_path / "demo", server.uri)
    journal.open()
    journal.emit(*[event for trial, status in enumerate(STATUSES) for event in life(trial, status)])
    first = journal.tracker.finish(SearchStatus("done"), 60)
    assert first.closed, journal.said
    port = server.uri.rpartition(":")[2]
    best = tmp_path / "best.yaml"
    best.write_text("lr: 0.1\n")
    for uri in (f"{server.uri}/", f"http://localhost:{port}", f"HTTP://LOCALHOST:{port}/", f"HTTP://127.0.0.1:{port}"):
        summary = send_again(journal, uri, tmp_path / "demo", best)
        assert (summary.parent, summary.closed, summary.runs) == (first.parent, True, 5), (uri, journal.said)
        check_complete(tmp_path / "server.db", first.parent, SHOWN)
    journal.said.clear()
    send_again(journal, f"http://127.1:{port}", tmp_path / "demo", best)
    assert "does not take calls under this name of it" in journal.said[0]


@pytest.mark.slow
def test_the_command_that_brings_a_deleted_experiment_back(database: Path, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    journal = Journal(tmp_path / "demo", resolve_uri(None, tmp_path))
    journal.open()
    journal.emit(*life(0, "completed"))
    journal.tracker.finish(SearchStatus("done"), 60)
    MlflowClient(journal.uri).delete_experiment("1")
    journal.open()
    summary = journal.tracker.finish(SearchStatus("done"), 5)
    assert not summary.closed and "is deleted" in summary.message
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = journal.said[-1].split("`")[1]
    done = subprocess.run(command, shell=True, cwd=elsewhere, capture_output=True, text=True, env=os.environ)  # noqa: S602
    assert done.returncode == 0, (command, done.stderr)
    assert shlex.split(command)[0].startswith("MLFLOW_TRACKING_URI=sqlite:////") and not list(elsewhere.iterdir())
    journal.open()
    assert journal.tracker.finish(SearchStatus("done"), 60).closed


@pytest.mark.parametrize("folder", ["nobody/may/write", "a-file"])
def test_why_a_database_can_not_be_made_is_said_at_once(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "a-file").write_text("")
    if folder != "a-file":
        from search.tracking import mlflow_store

        def refused(file: Path) -> None:
            raise PermissionError(13, "Permission denied", str(file))

        monkeypatch.setattr(mlflow_store, "_make", refused)
    journal = Journal(tmp_path / "demo", f"sqlite:///{tmp_path / folder}/mlflow.db")
    journal.open()
    journal.emit(*life(0, "completed"))
    summary = journal.tracker.finish(SearchStatus("done"), 2)
    assert not summary.closed
    cause = "Permission denied" if folder != "a-file" else "a-file"
    assert any(cause in line for line in [*journal.said, str(journal.warning)]) and cause in summary.message
