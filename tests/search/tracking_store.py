"""A search that is tracked, its journal in memory, and a store of runs in memory."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tracking_thread import Tracking

from search.history.events import Ended, Event, Proposed, Reported, Started, Status
from search.tracking.types import KEY_TAG, Pace, Registration, TrackingInfo
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
