"""The folder of a finished search that never ran: real settings and knobs, learning curves from a formula.

For `benchmarks/report.py` and for tests of the report: as many trials as one likes, in a second, always the same.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from search.history.events import Ended, Event, Paused, Phase, Promoted, Proposed, Reported, Retried, Started, Status
from search.history.journal import Journal
from search.history.records import Records
from search.results import export, tables
from search.results.verdict import judge
from search.spec.plan import Plan, make_plan
from search.spec.resolve import resolve
from search.spec.search import Search
from search.spec.storage import BASE
from spaces.domain import snap, to_unit
from spaces.paths import with_values
from trainables.run import Prepared

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 4
START = 1.7e9  # unix seconds
PREPARED = Prepared(Path("/nowhere"), "d" * 64, "no data")


@dataclass(frozen=True)
class Story:
    """What is to happen."""

    trials: int = 40
    early_stopping: bool = True
    """False: all trials run to the end, whatever they score."""
    whole: bool = True
    """The baseline runs to the end in any case."""
    diverging: int = 1
    failing: int = 2
    retried: int = 1
    seeds: int = 4
    gain: float = 1.0
    """By how much of the best trial's lead the fresh seeds bear it out; 0: not at all; below: the baseline wins."""
    scatter: float = 0.003
    """Standard deviation over the fresh seeds."""
    finished: bool = True
    """False: it is still searching; some trials run, nothing is handed over."""


@dataclass
class _Worker:
    free_at: float
    pid: int
    events: list[Event] = field(default_factory=list)


def make_folder(folder: Path, told: Story = Story(), *overrides: str, config: Path | None = None) -> Search:
    """Write `search.yaml`, `plan.json`, `journal.jsonl` and, of a finished search, all that it hands over."""
    folder.mkdir(parents=True)
    config = config or ROOT / "configs" / "diphone_rnn" / "demo.yaml"
    search = resolve(config, [f"budget.trials={told.trials}", *overrides], folder.name)
    plan = make_plan(search)
    (folder / "search.yaml").write_text(search.to_yaml(PREPARED.digest), encoding="utf-8")
    (folder / "plan.json").write_text(json.dumps(plan.as_dict(), indent=2), encoding="utf-8")
    if search.base_source is not None:
        (folder / BASE).mkdir()
        (folder / BASE / search.base_name).write_text(search.base_source, encoding="utf-8")
    events = list(_events(search, plan, told))
    with Journal(folder / "journal.jsonl") as journal:
        for event in events:
            journal.append(event)
    records = Records(events)
    tables.write_tables(folder, records, [knob.path for knob in search.space.knobs])
    verdict = judge(records, search.model.objective, search.settings.confirm.most)
    if told.finished and verdict is not None:
        export.write_best(folder, search, PREPARED, verdict)
    return search


def _events(search: Search, plan: Plan, told: Story) -> Iterator[Event]:
    rng = np.random.default_rng(7)
    baseline = search.space.baseline(search.base)
    drawn = [baseline, *(search.space.sample(rng, search.base) for _ in range(told.trials - 1))]
    values = [{path: list(v) if isinstance(v, tuple) else v for path, v in one.items()} for one in drawn]
    curves = [_curve(search, one, rng) for one in values]
    fates = _fates(told, rng)
    yield Phase("search", START)
    workers = [_Worker(START + 1.0, 1000 + i) for i in range(WORKERS)]
    yield from _searched(search, plan, told, values, curves, fates, workers)
    if not told.finished:
        return
    at = max(worker.free_at for worker in workers)
    yield Phase("confirm", at)
    yield from _confirmed(search, told, values, curves, fates, at)


def _searched(
    search: Search,
    plan: Plan,
    told: Story,
    values: Sequence[Mapping[str, Any]],
    curves: Sequence[np.ndarray],
    fates: Mapping[int, str],
    workers: list[_Worker],
) -> Iterator[Event]:
    """Rung by rung: all to the first, the best third to the next, and so on; perhaps the baseline to the end."""
    rungs = plan.rungs if told.early_stopping else (search.horizon,)
    alive = list(range(told.trials))
    for number in alive:
        origin = "baseline" if number == 0 else "tpe"
        yield Proposed(number, values[number], 0, "search", origin, START + 0.5 + 1e-4 * number)
    before = 0
    for place, rung in enumerate(rungs):
        last = rung == search.horizon
        for number in alive:
            worker = min(workers, key=lambda one: one.free_at)
            _stay(search, worker, number, curves[number], before, rung, fates, values[number], last)
        running = not told.finished and last
        gone = {n for n, fate in fates.items() if fate != "retried"}
        ranked = sorted((n for n in alive if n not in gone), key=lambda n: curves[n][rung // search.every - 1])
        keep = set(ranked[: max(1, len(ranked) // 3)]) | ({0} if told.whole else set())
        if not last:
            at = max(worker.free_at for worker in workers)
            for number in sorted(set(alive) - keep - gone):
                workers[0].events.append(Ended(number, "stopped", f"not among the best third at {rung}", at + 0.1))
            for number in sorted(keep):
                workers[0].events.append(Promoted(number, rung, at + 0.2))
            for worker in workers:
                worker.free_at = max(worker.free_at, at + 0.3)
            alive = sorted(keep, key=lambda n: (n != 0, curves[n][rung // search.every - 1]))
        events = sorted((e for worker in workers for e in worker.events), key=lambda e: e.at)
        yield from events[: -len(events) // 4 or None] if running else events
        for worker in workers:
            worker.events.clear()
        before = rung
        if place and not told.finished:
            return


def _stay(
    search: Search,
    worker: _Worker,
    number: int,
    curve: np.ndarray,
    begin: int,
    end: int,
    fates: Mapping[int, str],
    values: Mapping[str, Any],
    last: bool,
) -> None:
    """One trial on one worker from step `begin` to step `end`, or to its bad end half-way."""
    at, pace = worker.free_at + 0.05 + 1e-5 * number, 0.02  # no two things at the same time
    add = worker.events.append
    add(Started(number, "node-a" if worker.pid % 2 else "node-b", worker.pid, "", at))
    fate = fates.get(number, "")
    if fate == "retried" and begin == 0:
        at += 1.0
        add(Retried(number, "OSError: [Errno 5] Input/output error", at, "Traceback …\nOSError: [Errno 5]"))
        at += 0.5
        add(Started(number, "node-a", worker.pid, "", at))
    if fate.startswith("failed"):
        at += 2.0
        cause = fate.removeprefix("failed ")
        add(Ended(number, "failed", cause, at, f"Traceback (most recent call last):\n  …\n{cause}"))
        worker.free_at = at
        return
    for step in range(begin + search.every, end + 1, search.every):
        at += pace * search.every
        if fate == "diverged" and step > end // 2:
            worst = search.model.objective.worst
            add(Reported(number, step, {"objective": worst}, pace * search.every, at, "diverged"))
            add(Ended(number, "diverged", f"train_loss is nan at step {step - 1}", at))
            worker.free_at = at
            return
        metrics = _metrics(search, values, step, float(curve[step // search.every - 1]))
        add(Reported(number, step, metrics, pace * search.every, at))
    status: Status = "completed"
    add(Ended(number, status, "", at + 0.01) if last else Paused(number, end, at + 0.01))
    worker.free_at = at + 0.01


def _confirmed(
    search: Search,
    told: Story,
    values: Sequence[Mapping[str, Any]],
    curves: Sequence[np.ndarray],
    fates: Mapping[int, str],
    at: float,
) -> Iterator[Event]:
    rng = np.random.default_rng(8)
    best = min((n for n in range(1, told.trials) if n not in fates), key=lambda n: curves[n][-1])
    workers = [_Worker(at + 0.5, 2000 + i) for i in range(WORKERS)]
    number = told.trials
    for seed in range(1, told.seeds + 1):
        for of in (0, best):
            curve = curves[0] + (told.gain if of else 0.0) * (curves[best] - curves[0])
            noisy = curve + rng.normal(0, told.scatter, len(curve))
            worker = min(workers, key=lambda one: one.free_at)
            worker.events.append(Proposed(number, values[of], seed, "confirm", f"trial {of}", at + 0.1))
            _stay(search, worker, number, noisy, 0, search.horizon, {}, values[of], True)
            number += 1
    yield from sorted((e for worker in workers for e in worker.events), key=lambda e: e.at)
    yield Phase("done", max(worker.free_at for worker in workers) + 0.1)


def _fates(told: Story, rng: np.random.Generator) -> dict[int, str]:
    """Trials that end badly, by number: never the baseline."""
    count = told.diverging + told.failing + told.retried
    chosen = [int(n) for n in rng.permutation(np.arange(1, told.trials))[:count]]
    causes = ["diverged"] * told.diverging
    causes += [f"failed RuntimeError: out of memory, {100 + i} MiB asked" for i in range(told.failing)]
    causes += ["retried"] * told.retried
    return dict(zip(chosen, causes, strict=False))


def _curve(search: Search, values: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    """(evaluations,): an exponential fall whose rate and end depend on the first two knobs."""
    places = [
        to_unit(knob.domain, snap(knob.domain, values[knob.path])) if knob.path in values else 0.5
        for knob in search.space.knobs[:2]
    ]
    steps = np.arange(search.every, search.horizon + 1, search.every) / search.horizon
    end = 0.25 + 0.6 * (places[0] - 0.62) ** 2 + 0.2 * (places[-1] - 0.4) ** 2
    fall = np.exp(-steps * (3 + 4 * places[0]))
    return end + (0.95 - end) * fall + rng.normal(0, 0.008, len(steps))


def _metrics(search: Search, values: Mapping[str, Any], step: int, objective: float) -> dict[str, float]:
    """What a real run reports: the objective, its knobs' values in force, and a dozen more."""
    key = tuple(sorted((path, str(value)) for path, value in values.items()))
    if key not in _CONFIGS:
        _CONFIGS[key] = search.model.parse(with_values(search.base, values), "a drawn config")
    rest = {f"val_{name}": objective * (1 + i / 10) for i, name in enumerate("abcdefghij")}
    knobs = search.model.knobs(_CONFIGS[key], step - 1)
    loss = objective + math.exp(-step / search.horizon)
    return {"objective": objective, search.model.objective.metric: objective, "train_loss": loss, **knobs, **rest}


_CONFIGS: dict[tuple[tuple[str, str], ...], Any] = {}
