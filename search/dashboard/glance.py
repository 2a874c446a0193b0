"""What the live page shows of a search: plain values and text, bounded however many trials there are."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from search.common.clock import now
from search.dashboard.following import Following
from search.history.records import Trial
from search.report.data import thinned
from search.report.progress import knobs_of, name_of, span
from search.report.remarks import told
from search.report.shown import duration, interval, number
from search.report.story import status
from spaces.problems import BadInput

DRAWN, POINTS = 40, 200
"""Curves, and points of each."""


@dataclass(frozen=True)
class Running:
    """A trial at work."""

    name: str
    host: str
    value: str
    knobs: str


@dataclass(frozen=True)
class Rung:
    """A step at which trials are compared: how many came there, how many wait, went no further, and went on."""

    step: int
    reached: int
    waiting: int
    stopped: int
    beyond: int


@dataclass(frozen=True)
class Line:
    """One search in the list."""

    name: str
    model: str
    state: str
    status: str
    verdict: str


def brief(one: Following) -> Line:
    """The search's line in the list."""
    material, verdict = one.material, one.material.verdict
    decided = verdict.decision if verdict is not None and material.done else ""
    return Line(material.folder.name, material.model.name, material.standing.state, status(material), decided)


def facts(one: Following) -> Iterator[tuple[str, str]]:
    """The numbers at the top: name and value."""
    progress, material, at = one.progress, one.material, now()
    yield "Trained", f"{progress.trained:,} of about {progress.planned:,} {material.unit}s"
    yield "Over", progress.counts
    best = progress.best
    yield "Best", f"{progress.value(best)}" + (f" ({name_of(best)})" if best is not None else "")
    yield "Baseline", progress.documented
    if material.standing.running:
        left = progress.left(at)
        yield "Elapsed", duration(progress.elapsed(at))
        yield "Left", f"about {span(left)}" if left is not None else "not known yet"
    gain = material.verdict.gain if material.verdict is not None else None
    if gain is not None:
        yield "Gain on fresh seeds", number(gain.mean, 3) + (f" ({interval(gain)})" if gain.low is not None else "")


def remarks(one: Following) -> list[tuple[str, str]]:
    """What people wrote on the search: notes and tags; of a damaged file of notes, what is wrong with it."""
    try:
        return told(one.material.folder, one.material.settings)
    except BadInput as error:
        return [("notes", str(error))]


def running(one: Following) -> list[Running]:
    """The trials at work, by number."""
    progress = one.progress
    return [
        Running(name_of(t), t.starts[-1].host if t.starts else "", progress.value(t), knobs_of(t))
        for t in one.material.records.at_work()
    ][:DRAWN]


def rungs(one: Following) -> list[Rung]:
    """The rungs below the horizon."""
    trials = one.material.trials
    steps = [trial.step for trial in trials]
    at = Counter((trial.status, trial.step) for trial in trials)
    return [
        Rung(
            rung,
            sum(step >= rung for step in steps),
            at["paused", rung],
            at["stopped", rung],
            sum(step > rung for step in steps),
        )
        for rung in one.material.rungs[:-1]
    ]


def curves(one: Following) -> dict[str, Any]:
    """The curves that are drawn: the baseline's, the best one's, those at work, and the newest of the others."""
    records, best, baseline = one.material.records, one.progress.best, one.material.records.baseline
    trials = [t for t in one.material.trials if t.reports]
    first = [t for t in trials if t is best or t is baseline or t.status == "running"]
    named = {t.number for t in first}
    others = [t for t in trials[-DRAWN:] if t.number not in named]
    confirming = [t for t in records.on_fresh_seeds()[-DRAWN:] if t.status == "running" and t.reports]
    chosen = [*others[: max(0, DRAWN - len(first))], *first[:DRAWN], *confirming]
    objective = one.material.model.objective
    return {
        "unit": one.material.unit,
        "metric": objective.metric,
        "rungs": list(one.material.rungs[:-1]),
        "of": len(trials),
        "curves": [{"name": name_of(t), "kind": _kind(t, best, baseline), **_points(t)} for t in chosen],
    }


def _kind(trial: Trial, best: Trial | None, baseline: Trial | None) -> str:
    if trial is best:
        return "new"
    return "documented" if trial is baseline else "running" if trial.status == "running" else "other"


def _points(trial: Trial) -> dict[str, Sequence[float | None]]:
    kept = thinned(trial, -(-len(trial.reports) // POINTS))
    return {"steps": [step for step, _ in kept], "values": [v if math.isfinite(v) else None for _, v in kept]}
