"""The tracker's own process: what happens when it, or the store behind it, is lost."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from mlflow.tracking import MlflowClient

from search.history.events import Ended, Event, Proposed, Reported
from search.history.journal import Journal, read
from search.tracking.sender import Sender
from search.tracking.types import Pace, SearchStatus, TrackingInfo

pytestmark = pytest.mark.integration

EVENTS: list[Event] = [
    Proposed(0, {"lr": 0.1}, 0, "search", "baseline", 1.0),
    Reported(0, 1, {"objective": 0.5}, 0.1, 2.0),
    Ended(0, "completed", "", 3.0),
]


def sender(folder: Path, said: list[str]) -> Sender:
    journal = folder / "journal.jsonl"
    info = TrackingInfo(uri=f"sqlite:///{folder}/mlflow.db", experiment="e", search="s", folder=folder)
    first = len(read(journal)[0]) if journal.exists() else 0
    return Sender(info, journal, first, said.append, Pace(gather=0.05))


def started(one: Sender) -> psutil.Process:
    """Its child, just started."""
    before = set(psutil.Process().children())
    assert one.start() is None
    (child,) = set(psutil.Process().children()) - before
    return child


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_what_a_killed_sender_leaves_unsent_is_sent_in_the_next_sitting(tmp_path: Path) -> None:
    said: list[str] = []
    with Journal(tmp_path / "journal.jsonl") as journal:
        first = sender(tmp_path, said)
        started(first).kill()
        for event in EVENTS:
            journal.append(event)
        summary = first.finish(SearchStatus("interrupted"), timeout=1.0)
    assert not summary.closed and "--resume" in summary.message
    second = sender(tmp_path, said)
    second.start()
    summary = second.finish(SearchStatus("done", note="**good**"), timeout=60.0)
    assert summary.closed and summary.sent == len(EVENTS) and summary.message == ""
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("e")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.status for run in runs) == ["FINISHED", "FINISHED"]
    assert said == []


def test_the_sender_ends_with_its_driver(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").touch()
    script = f"""
import time
from pathlib import Path
from tests.integration.test_sender import sender, started
print(started(sender(Path({str(tmp_path)!r}), [])).pid, flush=True)
time.sleep(120)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        child = psutil.Process(int(driver.stdout.readline()))
        driver.kill()
    deadline = time.monotonic() + 30
    while (alive := lives(child)) and time.monotonic() < deadline:
        time.sleep(0.1)
    if alive:
        child.kill()
    assert not alive
