"""Tracking into MLflow on a real PostgreSQL that is restarted in the middle, directly and through a server."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_tracking_mlflow import Journal, life
from tracking_servers import Postgres, Server, check_tracked, parent_of, postgres, requires_postgres, serving

from benchmarks.faults_arena import SMALL, Arena
from search.history.events import Ended, Proposed, Reported
from search.tracking.types import SearchStatus

pytestmark = [
    pytest.mark.integration,
    requires_postgres,
    pytest.mark.filterwarnings("ignore:The ``noload``:DeprecationWarning"),  # MLflow 3.17 on SQLAlchemy 2.1
]

SIZE = replace(SMALL, trials=6, seeds=1, pause=0.8)


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as made:
        yield made


@pytest.fixture(scope="module")
def server(database: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(Server(tmp_path_factory.mktemp("server"), database.uri)) as made:
        yield made


def test_the_database_goes_and_comes_back(database: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    journal = Journal(tmp_path / "demo", database.uri)
    tracker = journal.open()
    assert journal.warning is None
    journal.emit(*life(0, "completed"))
    journal.drained()
    search = journal.live(range(1, 30))
    time.sleep(0.5)
    database.stop()  # in the middle of requests
    search.join()
    assert tracker.waiting > 0
    database.start()
    summary = tracker.finish(SearchStatus("done", "# Done"), 60)
    assert (summary.closed, summary.waiting) == (True, 0), journal.said
    assert summary.parent is not None
    check_tracked(database.rows, summary.parent, journal.events)
    assert "can't be used now" in journal.said[0] and "answers again" in journal.said[-1]


def test_what_a_database_may_refuse_arrives(
    database: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite takes everything; PostgreSQL knows lengths, and no NUL in a text."""
    monkeypatch.chdir(tmp_path)
    journal = Journal(tmp_path / "odd", database.uri)
    journal.open()
    first, started, *_ = life(0, "failed")
    assert isinstance(first, Proposed)
    odd = "NUL \0, a byte \udcff, 😀 " + "😀" * 9000
    values = {"kind": odd, "a" * 300: 1e-320, "nul\0key": 1}
    reports = [Reported(0, 2**40, {"objective": 1e308, "tiny": 5e-324, "zero": -0.0}, 1e-9, first.at)]
    journal.emit(replace(first, values=values), started, *reports, Ended(0, "failed", odd, first.at, odd))
    summary = journal.tracker.finish(SearchStatus("done", odd, tags={"odd": odd}), 60)
    assert (summary.closed, journal.said) == (True, [])
    told = dict(database.rows("select key, value from metrics where step = %s", 2**40))
    assert told == {"objective": 1e308, "best_so_far": 1e308, "tiny": 5e-324, "zero": 0.0, "train_seconds": 1e-9}
    (kind,) = database.rows("select value from params where key = 'kind'")[0]
    assert kind.startswith("NUL ?, a byte ?, 😀 ") and len(kind) == 6000 and kind.endswith("…")
    tags = dict(database.rows("select key, value from tags where key in ('reason', 'traceback', 'odd')"))
    assert {len(value) for value in tags.values()} == {5000} and len(tags) == 3


@pytest.mark.slow
def test_a_search_survives_restarts_of_the_database_and_of_the_server(
    database: Postgres, server: Server, tmp_path: Path
) -> None:
    arena = Arena(tmp_path, SIZE, variables={"MLFLOW_TRACKING_URI": server.uri})
    try:
        arena.start()
        arena.until(lambda: (arena.path / "tracking.jsonl").exists() and "described" in _notes(arena), "its run")
        arena.wait(3)
        database.stop()
        arena.wait(5)
        database.start()
        arena.until(lambda: "answers again" in arena.output, "the end of the outage")
        server.stop()
        arena.wait(arena.reports() + 1)
        server.start()
        arena.finish()
    finally:
        arena.clear()
    assert arena.output.count("can't be used now") == 2 and "Traceback" not in arena.output, arena.output
    assert arena.sittings == 1, arena.output
    check_tracked(database.rows, parent_of(arena.path), arena.events())


@pytest.mark.slow
def test_two_searches_at_once_do_not_mix(database: Postgres, server: Server, tmp_path: Path) -> None:
    """Of the same name, in the same experiment, which neither finds when it starts; the database is restarted, too."""
    own = {"MLFLOW_TRACKING_URI": server.uri}
    pair = [Arena(tmp_path / n, SIZE, settings=["tracking.experiment=shared"], variables=own) for n in ("one", "two")]
    try:
        for arena in pair:
            arena.start()
        pair[1].wait(4)
        database.stop()
        pair[1].wait(7)
        database.start()
        for arena in pair:
            arena.finish()
    finally:
        for arena in pair:
            arena.clear()
    parents = [parent_of(arena.path) for arena in pair]
    assert len(set(parents)) == 2
    for arena, parent in zip(pair, parents, strict=True):
        check_tracked(database.rows, parent, arena.events())
    runs = sum(1 + len({event.trial for event in arena.events() if hasattr(event, "trial")}) for arena in pair)
    query = (
        "select count(*), count(distinct e.experiment_id) from runs r join experiments e"
        " on e.experiment_id = r.experiment_id where e.name = 'shared' and r.lifecycle_stage = 'active'"
    )
    assert database.rows(query) == [(runs, 1)]


def _notes(arena: Arena) -> str:
    return (arena.path / "tracking.jsonl").read_text()
