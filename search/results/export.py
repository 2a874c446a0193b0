"""What a search hands over: tables of all trials, `best.yaml`, and the user's own file with the winning values."""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from search.common.commands import python
from search.history.records import Records, Trial
from search.results.confirm import Candidate, Estimate, Verdict
from search.spec.resolve import Search
from spaces import strict_yaml
from spaces.paths import with_values
from trainables.run import Prepared
from trainables.tune import trial_folder

PACKAGES = ("torch", "numpy", "ray", "optuna", "mlflow", "pandas")


def trials_table(records: Records, knobs: Sequence[str]) -> pd.DataFrame:
    """One row per trial: number, status, objective, steps, seconds, where it came from, one column per knob."""
    return pd.DataFrame(
        [_row(trial, knobs) for trial in records.trials.values()],
        columns=["number", "kind", "origin", "status", "objective", "steps", "seconds", "seed", "reason", *knobs],
    )


def _row(trial: Trial, knobs: Sequence[str]) -> dict[str, Any]:
    return {
        "number": trial.number,
        "kind": trial.proposed.kind,
        "origin": trial.proposed.origin,
        "status": trial.status,
        "objective": trial.objective,
        "steps": trial.step,
        "seconds": round(trial.seconds, 3),
        "seed": trial.proposed.seed,
        "reason": trial.reason,
        **{knob: trial.values.get(knob) for knob in knobs},
    }


def history_table(records: Records) -> pd.DataFrame:
    """One row per evaluation: trial, kind, step, objective, seconds, at (unix seconds), one column per metric."""
    rows = [
        {
            "trial": trial.number,
            "kind": trial.proposed.kind,
            "step": report.step,
            "seconds": report.seconds,
            "at": report.at,
            **report.metrics,
        }
        for trial in records.trials.values()
        for report in trial.reports
    ]
    return pd.DataFrame(rows, columns=None if rows else ["trial", "kind", "step", "seconds", "at", "objective"])


def write_tables(folder: Path, records: Records, knobs: Sequence[str]) -> None:
    """`trials.csv` and `history.parquet`; also of an unfinished search."""
    write_text(folder / "trials.csv", trials_table(records, knobs).to_csv(index=False))
    partial = folder / ".history.parquet.partial"
    history_table(records).to_parquet(partial)
    partial.replace(folder / "history.parquet")


def write_artifacts(folder: Path, records: Records, verdict: Verdict) -> Path | None:
    """Copy into `artifacts/` what the run that best.yaml repeats left to be looked at; None if it left nothing."""
    origin, seed = f"trial {verdict.winner.trial}", next(iter(verdict.winner.by_seed))
    place = folder / "artifacts"
    for run in records.of_kind("confirm"):
        source = trial_folder(folder, run.number) / "artifacts"
        if run.proposed.origin == origin and run.proposed.seed == seed and source.is_dir() and any(source.iterdir()):
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(source, place)
            return place
    return None


def write_best(folder: Path, search: Search, prepared: Prepared, verdict: Verdict) -> None:
    """`best.yaml`, ready for `python -m trainables.train`, and `native/`."""
    winner, file = verdict.winner, folder / "best.yaml"
    seed, objective = next(iter(winner.by_seed.items()))
    evidence = {
        "objective": {"metric": search.model.objective.metric, "value": objective},
        "verdict": verdict.decision,
        "why": verdict.why,
        "confirmed": _evidence(winner),
        "baseline": _evidence(verdict.baseline) if verdict.baseline else None,
        "gain": _interval(verdict.gain) if verdict.gain else None,
    }
    what = "The best config that the search found"
    write_text(file, as_config(file, what, search, prepared, winner.values, seed, winner.trial, evidence))
    _write_native(folder / "native", search, winner.values)


def as_config(
    file: Path,
    what: str,
    search: Search,
    prepared: Prepared,
    values: Mapping[str, Any],
    seed: int,
    trial: int,
    evidence: Mapping[str, Any],
) -> str:
    """The text of `file`, which `python -m trainables.train` reads: provenance, `evidence` in it, and the whole config
    of a trial."""
    content = {
        "model": search.model.name,
        "data": search.data_dump,
        "seed": seed,
        "steps": search.horizon,
        "evaluate_every": search.every,
        "provenance": {
            "search": search.name,
            "search_hash": search.digest,
            "trial": trial,
            "seed": seed,
            **evidence,
            "data": prepared.digest,
            "git_commit": git_commit(),
            "python": platform.python_version(),
            "packages": {name: version(name) for name in PACKAGES},
        },
        "config": with_values(search.base, values),
    }
    head = f"# {what}. Train it again, to the same number:\n#   {python('trainables.train', [str(file)])}\n"
    return head + strict_yaml.dumps(content)


def _write_native(folder: Path, search: Search, values: Mapping[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    config = search.model.parse(with_values(search.base, values), "the winning config")
    source, name = search.base_source, search.base_name
    changes = {**search.fixed, **values}
    for file, text in search.model.write_native(source, name, changes, config).items():
        write_text(folder / file, text)


def _evidence(candidate: Candidate) -> dict[str, Any]:
    by_seed = {int(seed): value for seed, value in candidate.by_seed.items()}
    return {"trial": candidate.trial, **_interval(candidate.estimate), "by_seed": by_seed}


def _interval(estimate: Estimate) -> dict[str, Any]:
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "seeds": estimate.n}


def write_text(path: Path, text: str) -> None:
    """Replace the file whole or not at all."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    except OSError:
        Path(partial).unlink(missing_ok=True)
        raise


def git_commit() -> str | None:
    """The commit of the working folder, with `+` for uncommitted changes; None outside a repository."""
    submitted = os.environ.get("SCHEDULE_SEARCH_COMMIT")  # from where the search was submitted to a cluster
    if submitted:
        return submitted

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=True)  # noqa: S603, S607
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    return commit and commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
