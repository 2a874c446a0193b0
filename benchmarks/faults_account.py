"""The account of what has come of a search, from its files and from MLflow's store; and what was trained twice."""

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.faults_model import KNOBS, Trained, mark
from search.history.events import Ended, Event, Paused, Promoted, Proposed, Reported
from search.history.journal import read
from spaces import strict_yaml


@dataclass(frozen=True)
class Outcome:
    """What a search has come to, as its files and MLflow show it."""

    trials: tuple[tuple[object, ...], ...]
    """number, kind, origin, status, objective, steps, seed and knobs of each."""
    evaluations: Mapping[tuple[int, int], Mapping[str, float]]
    """(trial, step) → metrics."""
    decisions: tuple[tuple[object, ...], ...]
    """Pauses, promotions and ends, in order."""
    best: object
    """Config and value of best.yaml; None without one."""
    tracked: Mapping[int, tuple[str, tuple[tuple[int, float], ...]]]
    """Trial → status of its MLflow run, and the objective by step in it."""
    doubled: int
    """MLflow runs beyond one for the search and one per trial, and points that a run holds twice."""
    open_runs: int
    """MLflow runs left RUNNING."""

    def differences(self, other: "Outcome") -> list[str]:
        """In what it differs from `other`, in words."""
        found = []
        for name in ("trials", "evaluations", "decisions", "best", "tracked"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                found.append(f"{name}: {_first_difference(mine, theirs)}")
        return found


def outcome(folder: Path, database: Path) -> Outcome:
    """The account of the search in `folder`, tracked in `database`."""
    events = read(folder / "journal.jsonl")[0]
    trials = _table(folder / "trials.csv")
    tracked, doubled, still = _tracked(database, len(trials))
    return Outcome(
        trials=trials,
        evaluations={(e.trial, e.step): e.metrics for e in events if isinstance(e, Reported)},
        decisions=tuple(_decisions(events)),
        best=_best(folder / "best.yaml"),
        tracked=tracked,
        doubled=doubled,
        open_runs=still,
    )


def repeated(journal: Path, begun: Sequence[Trained]) -> tuple[int, int]:
    """Evaluations begun more than once: those whose report was in the journal by then, and those where it was not."""
    reported: dict[tuple[str, int], int] = {}  # where the journal holds the report of (mark, step)
    marks: dict[int, str] = {}
    at = 0
    for event, line in zip(read(journal)[0], journal.read_bytes().splitlines(keepends=True), strict=False):
        at += len(line)
        if isinstance(event, Proposed):
            marks[event.trial] = mark(event.values, event.seed)
        elif isinstance(event, Reported):
            reported.setdefault((marks[event.trial], event.step), at)
    seen: Counter[tuple[str, int]] = Counter()
    again = in_flight = 0
    for one in begun:
        key = (one.mark, one.step)
        if seen[key]:
            known = reported.get(key, sys.maxsize) <= one.known
            again, in_flight = again + known, in_flight + (not known)
        seen[key] += 1
    return again, in_flight


def _table(path: Path) -> tuple[tuple[object, ...], ...]:
    columns = ["number", "kind", "origin", "status", "objective", "steps", "seed", *KNOBS]
    table = pd.read_csv(path)[columns].astype(object)
    return tuple(tuple(row) for row in table.where(table.notna(), None).itertuples(index=False, name=None))


def _decisions(events: Sequence[Event]) -> list[tuple[object, ...]]:
    """In order. That nothing waiting will be promoted any more is one decision, in whatever order it is written."""
    found: list[tuple[object, ...]] = []
    let_go: list[tuple[object, ...]] = []
    for event in events:
        match event:
            case Ended(status="stopped"):
                let_go.append(("Ended", event.trial, event.status))
                continue
            case Ended():
                one: tuple[object, ...] = ("Ended", event.trial, event.status)
            case Paused() | Promoted():
                one = (type(event).__name__, event.trial, event.step)
            case _:
                continue
        found += [*sorted(let_go, key=str), one]
        let_go = []
    return found + sorted(let_go, key=str)


def _best(path: Path) -> object:
    if not path.exists():
        return None
    found = strict_yaml.load(path)
    kept = ("trial", "seed", "objective", "verdict", "confirmed", "baseline", "gain")
    return {"config": found["config"], **{key: found["provenance"][key] for key in kept}}


def _tracked(database: Path, trials: int) -> tuple[dict[int, Any], int, int]:
    """What MLflow's database holds: per trial, runs and points too many, runs left open."""
    with _connected(database) as store:
        runs = store.execute("select run_uuid, status from runs where lifecycle_stage = 'active'").fetchall()
        tags = store.execute("select run_uuid, value from tags where key = 'trial'").fetchall()
        points = store.execute(
            "select run_uuid, step, value from metrics where key = 'objective' order by step, timestamp"
        ).fetchall()
        twice = store.execute(
            "select count(*) from (select 1 from metrics group by run_uuid, key, step having count(*) > 1)"
        ).fetchone()[0]
    number = {run: int(trial) for run, trial in tags}
    curves: dict[str, list[tuple[int, float]]] = {}
    for run, step, value in points:
        curves.setdefault(run, []).append((step, value))
    tracked = {number[run]: (status, tuple(curves.get(run, ()))) for run, status in runs if run in number}
    return tracked, max(0, len(runs) - 1 - trials) + twice, sum(status == "RUNNING" for _, status in runs)


@contextmanager
def _connected(database: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def _first_difference(mine: Any, theirs: Any) -> str:
    if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
        keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
        return f"{len(keys)} differ, at first {keys[0]}: {mine.get(keys[0])} for {theirs.get(keys[0])}"[:300]
    if isinstance(mine, tuple) and isinstance(theirs, tuple):
        for index, (a, b) in enumerate(zip(mine, theirs, strict=False)):
            if a != b:
                return f"at {index}: {a} for {b}"[:300]
        return f"{len(mine)} for {len(theirs)}"
    return f"{json.dumps(mine, default=str)[:150]} for {json.dumps(theirs, default=str)[:150]}"
