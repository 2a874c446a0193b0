"""Searching and confirming, with a stand-in for Ray's loop that trains whatever it is given, in an instant."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_search import proposed, reported, small_search

from search.app import stages, start
from search.app.context import RunContext
from search.app.stages import run_confirmation, run_search
from search.execution.admission import Halt
from search.execution.engine import Stage
from search.history.events import Ended, Event, Phase, Proposed, Reported, Started
from search.history.journal import Journal, read
from search.history.ledger import Ledger
from search.history.records import Records
from search.persistence.folder import Folder
from search.spec.plan import make_plan
from search.spec.search import Search
from search.spec.start import StartPoint

QUICK = ("early_stopping={kind: none}", "sampler={kind: random}")


def objective(trial: Any) -> float:
    """The better, the higher the learning rate; the seed makes a little difference."""
    return 0.5 - 0.05 * math.log10(trial.values["lr"] / 1e-3) + 1e-4 * (trial.proposed.seed % 3)


@dataclass
class Ray:
    """Trains one trial after the other."""

    stages: list[Stage] = field(default_factory=list)
    most: int = 10**6
    """Trials, after which a signal comes."""

    def run_stage(self, stage: Stage) -> None:
        self.stages.append(stage)
        gate, emit = stage.gate, stage.ledger.emit
        while not gate.finished() and stage.halt.reason is None:
            number = gate.next_resumable()
            number = stage.propose() if number is None else number
            if number is None:  # the space is used up
                assert gate.finished()
                return
            trial = stage.ledger.records.trials[number]
            emit(Started(number, "box", 7, "", 0.0))
            emit(Reported(number, stage.job.horizon, {"objective": objective(trial)}, 2.0, 0.0))
            emit(Ended(number, "completed", "", 0.0))
            self.most -= 1
            if not self.most:
                stage.halt.call("SIGTERM", "signal")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    made = Ray()
    monkeypatch.setattr(stages, "run_stage", made.run_stage)
    return made


@contextmanager
def sitting(folder: Path, search: Search, gpu: float = 0.0, *earlier: Event) -> Iterator[RunContext]:
    path = folder / "journal.jsonl"
    history = tuple(read(path)[0]) if path.exists() else ()
    with Journal(path) as journal:
        kept = Folder(folder, history, Ledger(journal, Records(history)), "")
        cluster: Any = SimpleNamespace(say=print, room=lambda: 2, gpu=gpu, workers=2)
        for event in earlier:
            kept.ledger.emit(event)
        yield RunContext(search, make_plan(search), kept, cluster, Halt(), lambda: None, lambda: None, "")


def confirm(context: RunContext) -> None:
    """The stage as a sitting begins it."""
    context.folder.ledger.emit(Phase("confirm", 0.0))
    run_confirmation(context)


def proposals(context: RunContext) -> list[Proposed]:
    return [trial.proposed for trial in context.folder.records.trials.values()]


def test_as_many_trials_as_the_budget_has_the_baseline_first(tmp_path: Path, ray: Ray) -> None:
    search = small_search(tmp_path, *QUICK, "budget.trials=4", "sampler.seed=5")
    with sitting(tmp_path, search) as context:
        run_search(context)
        assert context.done() and context.folder.records.phase == "search"
        (stage,) = ray.stages
        assert [(each.trial, each.seed, each.kind, each.origin) for each in proposals(context)] == [
            (0, 5, "search", "baseline"),
            *((number, 5, "search", "random") for number in (1, 2, 3)),
        ]
        assert (stage.job.horizon, stage.job.start, stage.job.shown) == (18, None, 6)
        assert stage.checks["clock"]() is None and stage.checks["failures"]() is None and stage.propose() is None
    assert isinstance(read(tmp_path / "journal.jsonl")[0][0], Phase)
    with sitting(tmp_path, small_search(tmp_path, *QUICK, "budget.trials=6", "sampler.seed=5")) as context:
        run_search(context)  # the budget has grown
        assert [each.trial for each in proposals(context)] == [0, 1, 2, 3, 4, 5]
        assert len({each.values["lr"] for each in proposals(context)}) == 6


def test_a_search_ends_where_its_space_is_used_up(tmp_path: Path, ray: Ray) -> None:
    grid = ("early_stopping={kind: none}", "sampler={kind: grid, points: 2}", "knobs=[lr]", "space={}")
    with sitting(tmp_path, small_search(tmp_path, *grid)) as context:
        run_search(context)
        tried = [each.values["lr"] for each in proposals(context)]
        assert len(tried) == len({*tried}) == 3 and ray.stages[0].gate.finished()  # the baseline and the grid


def test_what_an_earlier_sitting_left_is_trained_first(tmp_path: Path, ray: Ray) -> None:
    search = small_search(tmp_path, *QUICK, "budget.trials=3")
    left = proposed(0, {"lr": 1e-3, "batch_size": 256, "warmup_epochs": 0}, origin="baseline")
    with sitting(tmp_path, search, 0.0, left) as context:
        run_search(context)
        assert [each.trial for each in proposals(context)] == [0, 1, 2] and context.done()


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ("total_steps: 37 epochs", None),
        ("total_steps: 36 epochs", "budget.total_steps 36 is spent"),
        ("trials: 9, wall: 1 h", None),
        ("trials: 9, wall: 20 s", "budget.wall 20 s is spent"),
        ("trials: 9, gpu_hours: 0.26", None),
        ("trials: 9, gpu_hours: 0.25", "budget.gpu_hours 0.25 is spent"),
    ],
)
def test_a_budget_is_spent_when_it_is_used_up(
    tmp_path: Path, ray: Ray, monkeypatch: pytest.MonkeyPatch, budget: str, told: str | None
) -> None:
    monkeypatch.setattr(stages, "now", lambda: 100.0)
    search = small_search(tmp_path, *QUICK, f"budget={{{budget}, steps: 18 epochs, evaluate_every: 1 epoch}}")
    before = [
        Phase("search", 70.0),
        *(event for n in (0, 1) for event in (proposed(n, at=70.0), reported(n, 18, 0.5, 75.0 + n * 15, 900.0))),
    ]
    monkeypatch.setattr(stages, "run_stage", ray.stages.append)
    with sitting(tmp_path, search, 0.5, *before) as context:
        run_search(context)
        assert ray.stages[0].checks["budget"]() == told


def test_the_best_and_the_baseline_are_confirmed_then_the_winner_is_explained(tmp_path: Path, ray: Ray) -> None:
    search = small_search(tmp_path, *QUICK, "budget.trials=12", "confirm={top: 1, seeds: 3, explain: true}")
    with sitting(tmp_path, search) as context:
        run_search(context)
        searched = len(proposals(context))
        best = min(context.folder.records.trials.values(), key=lambda trial: trial.objective or 1.0).number
        ray.most = 4
        confirm(context)
        assert context.halt.reason == "SIGTERM" and len(ray.stages) == 2  # nothing is explained yet
        context.halt.clear()
        confirm(context)
        confirmed = proposals(context)[searched : searched + 6]
        explained = proposals(context)[searched + 6 :]
        job = ray.stages[1].job
    assert [(each.kind, each.origin, each.seed) for each in confirmed] == [
        ("confirm", origin, seed) for seed in (1, 2, 3) for origin in ("trial 0", f"trial {best}")
    ]
    assert (job.horizon, job.shown, job.start) == (18, 1, None)
    assert explained and {each.kind for each in explained} == {"explain"}
    assert {each.seed for each in explained} == {1, 2, 3}
    assert all(each.origin.startswith(f"trial {best}, 1 of ") for each in explained[:1])
    assert all(trial.over for trial in Records(read(tmp_path / "journal.jsonl")[0]).trials.values())


def test_without_explain_the_confirmation_is_all(tmp_path: Path, ray: Ray) -> None:
    search = small_search(tmp_path, *QUICK, "budget.trials=9", "confirm={top: 1, seeds: auto}")
    with sitting(tmp_path, search) as context:
        run_search(context)
        confirm(context)
        assert {each.kind for each in proposals(context)} == {"search", "confirm"}
        pairs = [each.seed for each in proposals(context) if each.kind == "confirm"]
    assert 4 <= len(pairs) < 16  # it was decided before the last seed


@pytest.mark.parametrize("confirming", [False, True])
def test_where_the_training_up_to_the_start_ends_nothing_else_is_begun(
    tmp_path: Path, ray: Ray, monkeypatch: pytest.MonkeyPatch, confirming: bool
) -> None:
    search = small_search(tmp_path, *QUICK, "budget.trials=3", "confirm={top: 1, seeds: 2}")
    trained = list[int]()

    def cut(stage: Stage) -> None:
        trained.extend(trial.proposed.seed for trial in stage.ledger.records.trials.values())
        stage.halt.call("SIGTERM", "signal")

    monkeypatch.setattr(start, "run_stage", cut)
    with sitting(tmp_path, search) as context:
        if confirming:
            run_search(context)
        before = len(ray.stages)
        late = replace(context, search=replace(search, start=StartPoint(3, "the baseline, trained to epoch 3")))
        (confirm if confirming else run_search)(late)
        assert late.halt.reason == "SIGTERM" and len(ray.stages) == before
        assert trained == ([1, 2] if confirming else [0])  # for the seeds that are needed
    assert any(isinstance(event, Phase) for event in read(tmp_path / "journal.jsonl")[0]) is confirming
