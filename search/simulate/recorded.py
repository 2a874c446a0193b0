"""A finished search's own trials as a table of curves."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from search.history import journal
from search.history.events import Ended, Event, Proposed, Reported
from search.history.records import Records
from search.results.tables import from_cell
from search.simulate import fairness
from search.simulate.advice import LEAST, Advice
from search.simulate.table import Table, unit_point
from search.spec.settling import as_recorded
from spaces import strict_yaml
from spaces.domain import Categorical, Domain, Int
from spaces.problems import BadInput
from spaces.space import Space, parse_space
from spaces.values import thaw

JOURNAL, DESCRIPTION, PLAN = "journal.jsonl", "search.yaml", "plan.json"
TRIALS, HISTORY = "trials.csv", "history.parquet"
MOST_CONTROL = 0.5  # share that a search may train regardless of its rungs
NEEDED = ("settings", "space", "base", "horizon", "every", "objective")


@dataclass(frozen=True)
class Recorded:
    """A search that has run, as far as it can be replayed."""

    table: Table  # of the trials with complete curves
    trials: int  # that the search had
    advice: Advice | None


def is_search(path: Path) -> bool:
    """Whether the folder holds a search."""
    return (path / DESCRIPTION).is_file()


def read_search(folder: Path) -> Recorded:
    """The trials of a search whose whole curve is known, by its journal, or by its tables where that is gone.

    Raises BadInput for a folder that holds no search, and for one with too few complete curves.
    """
    described = _described(folder)
    mode: Literal["min", "max"] = "max" if str(described["objective"]).endswith("(max)") else "min"
    space = parse_space(described["space"], str(folder / DESCRIPTION))
    records = _records(folder, space)
    horizon, every = int(described["horizon"]), int(described["every"])
    trials = records.of_kind("search")
    whole = [trial for trial in trials if fairness.complete(trial, horizon) and trial.changed is None]
    if len(whole) < LEAST:
        what = f"{len(whole)} of its {len(trials)} trials have a whole curve, and {LEAST} are needed to replay it: "
        raise BadInput.of(str(folder), what + _remedy(LEAST - len(whole), len(trials)))
    seen = np.array([fairness.curve(trial, horizon, every, mode) for trial in whole])
    rungs, reduction = _rungs(folder, described, horizon)
    rungs = [rung - records.begins for rung in rungs]
    return Recorded(
        Table(
            name=str(described.get("name", folder.name)),
            group="recorded",
            space=space,
            base=described["base"],
            values=[trial.values for trial in whole],
            unit=np.array([unit_point(space, trial.values) for trial in whole]),
            seen=seen,
            true=seen[:, -1],
            every=every,
            baseline=next((row for row, trial in enumerate(whole) if trial.baseline), None),
            unit_name=str(_plan(folder).get("unit", "step")),
        ),
        len(trials),
        fairness.first_rung_advice(
            records, rungs, reduction, mode, every, as_recorded(described, str(folder / DESCRIPTION))
        ),
    )


def _remedy(missing: int, trials: int) -> str:
    share = math.ceil(20 * missing / trials) / 20 if trials else 1.0
    if share > MOST_CONTROL:
        return "run a search in which none is stopped early (early_stopping kind: none)"
    return f"let a search train more of them in full (early_stopping control: {share:g}), or all (kind: none)"


def _described(folder: Path) -> Mapping[str, Any]:
    if not is_search(folder):
        raise BadInput.of(str(folder), f"holds no search: there is no {DESCRIPTION} in it")
    described = strict_yaml.load(folder / DESCRIPTION)
    missing = [key for key in NEEDED if not isinstance(described, dict) or key not in described]
    if missing:
        raise BadInput.of(str(folder / DESCRIPTION), f"does not describe a search: {', '.join(missing)} is missing")
    found: Mapping[str, Any] = described
    return found


def _plan(folder: Path) -> Mapping[str, Any]:
    path = folder / PLAN
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _rungs(folder: Path, described: Mapping[str, Any], horizon: int) -> tuple[Sequence[int], int]:
    """The rungs that the search had (only the horizon where it stopped none early), and its reduction factor."""
    stopping = described["settings"].get("early_stopping", {})
    rungs = [int(rung) for rung in _plan(folder).get("rungs", [])] if stopping.get("kind") == "asha" else []
    return rungs or [horizon], int(stopping.get("reduction", 3))


def _records(folder: Path, space: Space) -> Records:
    if (folder / JOURNAL).is_file():
        return Records(journal.read(folder / JOURNAL)[0])
    for name in (TRIALS, HISTORY):
        if not (folder / name).is_file():
            raise BadInput.of(str(folder), f"there is neither {JOURNAL} nor {name} in it: let the search finish")
    return Records(_events(folder, space))


def _events(folder: Path, space: Space) -> list[Event]:
    """What the tables of a search tell of its trials."""
    import pandas as pd  # slow to import, and needed only where the journal is gone

    trials = pd.read_csv(folder / TRIALS, keep_default_na=False, dtype=str).to_dict("records")
    history = pd.read_parquet(folder / HISTORY).sort_values(["trial", "step"])
    curves: dict[int, list[tuple[int, float]]] = {}
    for number, step, value in zip(history["trial"], history["step"], history["objective"], strict=True):
        curves.setdefault(int(number), []).append((int(step), float(value)))
    events: list[Event] = []
    for row in trials:
        number, status = int(row["number"]), row["status"]
        if row["kind"] != "search":
            continue
        values = {k.path: _read(k.domain, from_cell(row[k.path])) for k in space.knobs if row.get(k.path, "") != ""}
        events.append(Proposed(number, values, int(row["seed"]), "search", row["origin"], 0.0))
        reports = curves.get(number, [])
        for place, (step, value) in enumerate(reports, 1):
            diverged = status == "diverged" and place == len(reports)
            outcome: Literal["running", "diverged"] = "diverged" if diverged else "running"
            events.append(Reported(number, step, {"objective": value}, 0.0, 0.0, outcome))
        if status in {"completed", "stopped", "diverged", "failed"}:
            events.append(Ended(number, status, row["reason"], 0.0))
    return events


def _read(domain: Domain, text: str) -> Any:
    """A knob's value from its text in the table."""
    if isinstance(domain, Categorical):
        choices = [thaw(choice) for choice in domain.choices]
        return next((choice for choice in choices if str(choice) == text), text)
    return int(float(text)) if isinstance(domain, Int) else float(text)
