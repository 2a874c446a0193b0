"""What a search hands over: `best.yaml`, and the user's own file with the winning values."""

import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.common.commands import python
from search.common.git import TRAINERS, git_commit, installed, tool_version
from search.history.records import Records
from search.results.procedure import Estimate
from search.results.verdict import Candidate, Verdict
from search.results.winner import run_of
from search.spec.search import Search
from spaces import strict_yaml
from spaces.paths import with_values
from trainables.files import write_text
from trainables.layout import trial_folder
from trainables.own.model import COMMAND, OwnModel
from trainables.run import Prepared
from trainables.start import given_state

PACKAGES = ("torch", "numpy", "ray", "optuna", "mlflow", "pandas")


def write_artifacts(folder: Path, records: Records, verdict: Verdict) -> Path | None:
    """Copy into `artifacts/` what the run that best.yaml repeats left to be looked at; None if it left nothing."""
    run, place = run_of(records, verdict), folder / "artifacts"
    source = trial_folder(folder, run.number) / "artifacts" if run is not None else None
    if source is None or not source.is_dir() or not any(source.iterdir()):
        return None
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(source, place)
    return place


def write_best(
    folder: Path, search: Search, prepared: Prepared, verdict: Verdict, records: Records | None = None
) -> None:
    """`best.yaml`, ready for `python -m trainables.train`, and `native/`: of the winner, or, where the verdict is to
    keep the user's own config, of that. `records` know on which machine type its number came about."""
    chosen, file = verdict.handed_over, folder / "best.yaml"
    seed, objective = next(iter(chosen.by_seed.items()))
    evidence = {
        "objective": {"metric": search.model.objective.metric, "value": objective},
        "machine": dict(_machine(records, verdict)) if records is not None else {},
        **_start(search, records, seed),
        "verdict": verdict.decision,
        "why": verdict.why,
        "confirmed": _evidence(chosen),
        "baseline": _evidence(verdict.baseline) if verdict.baseline else None,
        "gain": _interval(verdict.gain) if verdict.gain else None,
        **_part(verdict),
        **({"most_promising": _evidence(verdict.winner)} if verdict.decision == "undecided" else {}),
        **({"seeds_needed": verdict.needed} if verdict.needed is not None else {}),
    }
    kept = not verdict.to_switch
    what = "Your own config: none that the search found is surely better" if kept else "The best config found"
    above = head(what, file) + _how_it_starts(search)
    write_text(file, as_config(above, search, prepared, chosen.values, seed, chosen.trial, evidence))
    _write_native(folder / "native", search, chosen.values, kept, seed)


def _part(verdict: Verdict) -> dict[str, Any]:
    """How many of a trial's changes the winner has, and what all of them come to."""
    part, whole = verdict.winner.part, verdict.whole
    if part is None or whole is None or verdict.whole_gain is None:
        return {}
    gain = _interval(verdict.whole_gain)
    return {"changes": {"kept": part[0], "of": part[1], "all": {"confirmed": _evidence(whole), "gain": gain}}}


def _machine(records: Records, verdict: Verdict) -> Mapping[str, Any]:
    """The machine type that trained last what best.yaml repeats; empty where it is not known."""
    run = run_of(records, verdict) or records.trials[verdict.handed_over.trial]
    return next((start.machine for start in reversed(run.starts) if start.machine), {})


def _start(search: Search, records: Records | None, seed: int) -> dict[str, Any]:
    """What the trial started from, for the provenance."""
    if search.start is None or records is None:
        return {}
    known = records.given or records.starts.get(seed)
    digest = {} if known is None else {"state": known.digest}
    return {"start": {"step": search.start.step, "source": search.start.source, **digest}}


def _how_it_starts(search: Search) -> str:
    """Comment lines on what training it again begins with."""
    point = search.start
    if point is None:
        return ""
    unit = search.model.unit
    if point.trained:
        return (
            f"# That trains it from {unit} 0: first the {point.step} {unit}s that the search trained once for all its\n"
            "# trials, to the same bits, then what it tried.\n"
        )
    return (
        f"# That goes on at {unit} {point.step} from the state below start:, a copy of {point.source}.\n"
        "# Keep that file: the config alone does not say how to get there.\n"
    )


def head(what: str, file: Path) -> str:
    """The comment above a config."""
    return f"# {what}. Train it again, to the same number:\n#   {python('trainables.train', [str(file)])}\n"


def as_config(
    head: str,
    search: Search,
    prepared: Prepared,
    values: Mapping[str, Any],
    seed: int,
    trial: int,
    evidence: Mapping[str, Any],
) -> str:
    """The text, below `head`, of a file that `python -m trainables.train` reads: provenance, `evidence` in it, and the
    whole config of a trial."""
    content = {
        "model": search.model.name,
        **({"trainable": search.trainable} if search.trainable is not None else {}),
        "data": search.data_dump,
        "seed": seed,
        "steps": search.horizon,
        "evaluate_every": search.every,
        **({"start": {"checkpoint": given_state(search.begins)}} if search.start and not search.start.trained else {}),
        "provenance": {
            "search": search.name,
            "search_hash": search.digest,
            "trial": trial,
            "seed": seed,
            **evidence,
            **({"checked": dict(search.checked)} if search.checked else {}),
            "data": prepared.digest,
            "git_commit": git_commit(),
            "schedule_search": tool_version(),
            "python": platform.python_version(),
            "packages": installed((*PACKAGES, *(TRAINERS if isinstance(search.model, OwnModel) else ()))),
        },
        "config": with_values(search.base, values),
    }
    return head + strict_yaml.dumps(content)


def _write_native(folder: Path, search: Search, values: Mapping[str, Any], kept: bool, seed: int) -> None:
    """The user's file with `values`, and the model's other native forms; with `kept` the user's file as it is. The
    user's own command line where they brought one.
    """
    source, name = search.base_source, Path(search.base_name).name
    if kept and source is not None:
        files: Mapping[str, str] = {name: source}
    else:
        config = search.model.parse(with_values(search.base, values), "the winning config")
        files = search.model.write_native(source, name, config)
    if isinstance(search.model, OwnModel):
        typed = search.model.typed(folder.resolve(), with_values(search.base, values), seed)
        files = {**files, **({COMMAND: f"{typed}\n"} if typed is not None else {})}
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():  # of an earlier hand-over: the search has gone on since
        if old.name not in files:
            old.unlink()
    for file, text in files.items():
        write_text(folder / file, text)


def _evidence(candidate: Candidate) -> dict[str, Any]:
    by_seed = {int(seed): value for seed, value in candidate.by_seed.items()}
    return {"trial": candidate.trial, **_interval(candidate.estimate), "by_seed": by_seed}


def _interval(estimate: Estimate) -> dict[str, Any]:
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "seeds": estimate.n}
