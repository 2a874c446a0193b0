"""The next process of a search that is tracked: it sends what waited and goes on with the runs there are."""

from pathlib import Path

import pytest
from tracking_store import FakeStore, Search, life, wait_until

from search.history.events import Started
from search.tracking.types import SearchStatus


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
