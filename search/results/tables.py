"""All trials of a search, and all their evaluations, as tables: `trials.csv` and `history.parquet`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from search.history.records import Records, Trial
from trainables.files import replacing, write_text

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula, which it would run."""


def cell(value: Any) -> Any:
    """A value for a CSV file: text that would be run as a formula stands behind an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def from_cell(text: str) -> str:
    """The text that `cell` was given."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def trials_table(records: Records, knobs: Sequence[str]) -> pd.DataFrame:
    """One row per trial: number, status, objective, steps, seconds, where it came from, one column per knob.
    `replayed` of the steps were another trial's, where trials shared prefixes."""
    steps = ["steps", "replayed"] if records.replayed_steps else ["steps"]
    return pd.DataFrame(
        [_row(trial, knobs) for trial in records.trials.values()],
        columns=["number", "kind", "origin", "status", "objective", *steps, "seconds", "seed", "reason", *knobs],
    )


def _row(trial: Trial, knobs: Sequence[str]) -> dict[str, Any]:
    return {
        "number": trial.number,
        "kind": trial.proposed.kind,
        "origin": trial.proposed.origin,
        "status": trial.status,
        "objective": trial.objective,
        "steps": trial.step,
        "replayed": trial.replayed,
        "seconds": round(trial.seconds, 3),
        "seed": trial.proposed.seed,
        "reason": cell(trial.reason),
        **{knob: cell(trial.values.get(knob)) for knob in knobs},
    }


def history_table(records: Records) -> pd.DataFrame:
    """One row per evaluation: trial, kind, step, objective, seconds, at (unix seconds), one column per metric. Where
    trials shared prefixes, `replayed` says which evaluations are another trial's."""
    rows = [
        {
            "trial": trial.number,
            "kind": trial.proposed.kind,
            "step": report.step,
            "seconds": report.seconds,
            "at": report.at,
            **({"replayed": report.step <= trial.own_from} if records.replayed_steps else {}),
            **report.metrics,
        }
        for trial in records.trials.values()
        for report in trial.reports
    ]
    return pd.DataFrame(rows, columns=None if rows else ["trial", "kind", "step", "seconds", "at", "objective"])


def write_tables(folder: Path, records: Records, knobs: Sequence[str]) -> None:
    """`trials.csv` and `history.parquet`; also of an unfinished search."""
    write_text(folder / "trials.csv", trials_table(records, knobs).to_csv(index=False))
    with replacing(folder / "history.parquet") as partial:
        history_table(records).to_parquet(partial)
