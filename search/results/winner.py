"""The winner as something to take away: the run that best.yaml repeats, its weights, and what a registry is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.history.records import Records, Trial
from search.results.parsimony import conclude
from search.results.verdict import Verdict
from search.spec.config import Confirm
from search.spec.search import Search, objective_name
from search.tracking.types import Registration
from trainables import checkpoints, storage
from trainables.layout import trial_folder
from trainables.objects import Prefix
from trainables.run import Objective

PARTS = ("best.yaml", "native")
"""Of a search's folder: what a winner is made of beside its weights."""


def run_of(records: Records, verdict: Verdict) -> Trial | None:
    """The confirmation run that best.yaml repeats; None where the winner was not confirmed."""
    origin, seed = verdict.handed_over.origin, next(iter(verdict.handed_over.by_seed))
    runs = records.on_fresh_seeds()
    return next((run for run in runs if run.pair == (origin, seed) and run.status != "stopped"), None)


def number_of(records: Records, objective: Objective, confirm: Confirm) -> int | None:
    """The number of the run that best.yaml repeats, if there is one."""
    verdict = conclude(records, objective, confirm)
    run = run_of(records, verdict) if verdict is not None else None
    return run.number if run is not None else None


def weights(folder: Path, records: Records, verdict: Verdict) -> Path | None:
    """The checkpoint at the end of the run that best.yaml repeats; None where it was never written, or is deleted."""
    run = run_of(records, verdict)
    if run is None or not run.over:
        return None
    place = trial_folder(folder, run.number) / "checkpoints"
    path = place / f"{run.step:09d}.pt"
    return path if run.step in checkpoints.steps(place) else None


def bring(store: Prefix, number: int | None, folder: Path) -> None:
    """Copy what the run `number`, which best.yaml repeats, has left in `store` into the search's folder."""
    for part in ("checkpoints", "artifacts") if number is not None else ():
        storage.download(store, f"trials/t{number:04d}/{part}", folder)


def parts(folder: Path, records: Records, verdict: Verdict) -> list[Path]:
    """The files and folders that make up the winner."""
    found = [folder / name for name in PARTS if (folder / name).exists()]
    saved = weights(folder, records, verdict)
    return found if saved is None else [*found, saved]


def place(verdict: Verdict) -> str:
    """The folder for a winner among artifacts. A search that grows may find another one: each has its own."""
    chosen = verdict.handed_over
    part = "" if chosen.part is None else f"-changes-{chosen.part[0]}"
    return f"winner/trial-{chosen.trial}{part}-seed-{next(iter(chosen.by_seed))}"


def registration(name: str, search: Search, verdict: Verdict, saved: Path | None, folder: str) -> Registration:
    """The winner as a version of the registered model `name`; `saved` is its checkpoint, `folder` its `place`."""
    objective, winner = search.model.objective, verdict.handed_over
    seed, value = next(iter(winner.by_seed.items()))
    called = f"{'the ' * winner.baseline}{winner.name}"
    lines = [
        f"**{search.name}**, {called}, seed {seed}: {objective.metric} {value:.6g} {objective.unit}",
        "",
        f"Over fresh seeds: {winner.estimate}"
        + (f"; the documented baseline: {verdict.baseline.estimate}" if verdict.baseline is not None else ""),
        "",
        f"Verdict: {verdict.decision} – {verdict.why}",
        "",
        "- `best.yaml`: the whole config; `python -m trainables.train best.yaml` trains it again, to this number",
        "- `native/`: the user's own file with the winning values in it",
        _weights_line(saved),
    ]
    tags: Mapping[str, Any] = {
        "search": search.name,
        "search_hash": search.digest,
        "model": search.model.name,
        "trial": winner.trial,
        "seed": seed,
        "baseline": winner.baseline,
        "objective": objective_name(objective),
        "value": value,
        "confirmed_mean": winner.estimate.mean,
        "verdict": verdict.decision,
        "weights": saved is not None,
    }
    return Registration(name, folder, "\n".join(lines), tags)


def _weights_line(saved: Path | None) -> str:
    if saved is None:
        return "- its weights are not kept: only a confirmed winner's are, until room is needed"
    return (
        f"- `{saved.name}`: its weights and optimizer; `trainables.checkpoints.newest(FOLDER, 'cpu')` checks and "
        "reads it (plain tensors, no code), and `restore(state['run'])` of the model's run takes it up"
    )
