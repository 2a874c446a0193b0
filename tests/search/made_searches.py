"""Searches on disk without training: the folder that a search of given curves would have left."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from small_search import small_search

from search.compare.sources import Source, from_folders
from search.history.events import Ended, Event, Phase, Proposed, Reported, Started, Status
from search.history.journal import Journal, read
from search.spec.plan import make_plan
from search.tracking.mlflow_reader import TrackedRun
from search.tracking.updates import PARENT, Point, Trials, Update

HORIZON = 18
BASELINE = {"lr": 1e-3, "batch_size": 256, "warmup_epochs": 1}


def run(
    number: int,
    curve: Mapping[int, float],
    status: Status = "completed",
    values: Mapping[str, Any] | None = None,
    origin: str = "tpe",
    seed: int = 0,
    confirm: bool = False,
    gpu: str = "",
    at: float = 0.0,
) -> list[Event]:
    """A trial's events, a second between two of them; `curve`: step -> objective, two seconds of work each."""
    kind = "confirm" if confirm else "search"
    found: list[Event] = [
        Proposed(number, BASELINE if values is None else values, seed, kind, origin, at),  # type: ignore[arg-type]
        Started(number, "box", 7, gpu, at),
    ]
    for step, value in curve.items():
        at += 1
        last = step == max(curve)
        outcome = "diverged" if last and status == "diverged" else "running"
        if last and status == "completed" and step < HORIZON:
            outcome = "ended"
        metrics = {"objective": value, "val_mae_prior_sd": value}
        found.append(Reported(number, step, metrics, 2.0, at, outcome))  # type: ignore[arg-type]
    return [*found, Ended(number, status, "", at + 1)]


def a_search(
    winner: float, base: float = 0.5, values: Mapping[str, Any] | None = None, seed: int = 0, gpu: str = ""
) -> list[Event]:
    """A finished search of three trials, whose winner and baseline score these on two fresh seeds, give or take .01."""
    values = {"lr": 5e-3, "batch_size": 32, "warmup_epochs": 0} if values is None else values
    trials = [
        run(0, {6: 0.9, 18: base}, origin="baseline", at=10.0, gpu=gpu),
        run(1, {6: 0.7, 18: winner - 0.05}, values=values, at=20.0, gpu=gpu),
        run(2, {6: 0.95}, "stopped", values={**values, "lr": 1e-4}, at=30.0, gpu=gpu),
    ]
    confirms = [
        run(3 + 2 * i + j, {18: value}, values=config, origin=origin, seed=seed + 1 + i, confirm=True, at=at)
        for i, (sign, at) in enumerate(((1, 50.0), (-1, 60.0)))
        for j, (value, config, origin) in enumerate(
            ((base + 0.009 * sign, BASELINE, "trial 0"), (winner + 0.01 * sign, values, "trial 1"))
        )
    ]
    searched = sorted((event for trial in trials for event in trial), key=lambda event: event.at)
    confirmed = [event for trial in confirms for event in trial]
    return [Phase("search", 10.0), *searched, Phase("confirm", 50.0), *confirmed, Phase("done", 70.0)]


def write(
    results: Path, name: str, events: Sequence[Event], *overrides: str, data: str = "d1", extra: str = ""
) -> Path:
    """The search's folder under `results`."""
    beside = results / ".yaml" / name
    beside.mkdir(parents=True)
    search = small_search(beside, f"name={name}", *overrides, extra=extra)
    folder = results / name
    folder.mkdir()
    (folder / "search.yaml").write_text(search.to_yaml(data), encoding="utf-8")
    (folder / "plan.json").write_text(json.dumps(make_plan(search).as_dict()), encoding="utf-8")
    with Journal(folder / "journal.jsonl") as journal:
        for event in events:
            journal.append(event)
    return folder


def seeded(results: Path, name: str, winners: Sequence[float], *overrides: str, extra: str = "") -> list[Path]:
    """Searches `name-0`, `name-1`… that differ in their seed, with these winners."""
    return [
        write(results, f"{name}-{seed}", a_search(winner, seed=seed), f"sampler.seed={seed}", *overrides, extra=extra)
        for seed, winner in enumerate(winners)
    ]


def sources(*folders: Path) -> list[Source]:
    return from_folders(folders)[0]


class FakeRuns:
    """An experiment that holds what the tracker would have sent of searches in folders."""

    def __init__(self, *folders: Path) -> None:
        self.found: list[TrackedRun] = []
        self.metrics: dict[str, list[Point]] = {}
        self.folders: dict[str, Path] = {}
        for folder in folders:
            self._add(folder)

    def _add(self, folder: Path) -> None:
        updates: dict[int, Update] = {}
        trials = Trials((6, 18), "min")
        for event in read(folder / "journal.jsonl")[0]:
            trials.fold(event, updates)
        parent = f"{folder.name}-parent"
        self.folders[parent] = folder
        tags = {"kind": "search", "search": folder.name, **updates.pop(PARENT).tags}
        self.found.append(TrackedRun(parent, {}, tags, 10_000, 70_000))
        for number, update in updates.items():
            run = f"{folder.name}-{number}"
            end = update.ended[1] if update.ended else None
            tags = {**update.tags, "mlflow.parentRunId": parent}
            self.found.append(TrackedRun(run, update.params, tags, update.start or 0, end))
            self.metrics[run] = update.metrics

    def runs(self) -> list[TrackedRun]:
        return self.found

    def points(self, run: str, metric: str) -> list[Point]:
        return [point for point in self.metrics[run] if point.key == metric]

    def read_text(self, run: str, path: str) -> str | None:
        file = self.folders[run] / path
        return file.read_text(encoding="utf-8") if file.exists() else None
