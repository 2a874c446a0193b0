"""What a search with several objectives hands over beside its best config: the front of those that nothing beats in
all of them, each ready to be trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from rich.table import Column, Table

from search.history.records import Records, Trial
from search.results.export import as_config, head
from search.results.shortlist import point, scored
from search.results.tables import cell
from search.spec.search import Search
from search.stopping.pareto import fronts
from trainables.files import write_text
from trainables.run import Prepared


@dataclass(frozen=True)
class Member:
    """A trial on the front."""

    trial: Trial
    values: dict[str, float]
    """Metric -> its value on the search's own seed, the model's own objective first."""
    confirmed: dict[str, float]
    """Metric -> its mean over fresh seeds; empty where the config was not confirmed."""


def front(search: Search, records: Records) -> list[Member]:
    """The fully trained trials that no other beats in one objective without losing in another, best by the first
    objective first; of equal configs the first. Empty where no trial was trained in full.
    """
    objective, further = search.model.objective, search.further
    full = [t for t in scored(records) if t.step >= search.horizon or t.status == "completed"]
    unique = list({repr(sorted(t.values.items())): t for t in reversed(full)}.values())
    places = fronts([point(trial, objective, further) for trial in unique])
    best = [trial for trial, place in zip(unique, places, strict=True) if place == 0]
    named = [(objective.metric, "objective"), *((goal.metric, goal.metric) for goal in further)]
    return [
        Member(
            trial,
            {name: trial.reports[-1].metrics[key] for name, key in named},
            _confirmed(records, trial, named),
        )
        for trial in sorted(best, key=lambda trial: point(trial, objective, further))
    ]


def _confirmed(records: Records, trial: Trial, named: Sequence[tuple[str, str]]) -> dict[str, float]:
    runs = [run for run in records.compared() if run.proposed.origin == trial.name and run.status == "completed"]
    return {name: fmean(run.reports[-1].metrics[key] for run in runs) for name, key in named} if runs else {}


def shown(search: Search, members: Sequence[Member]) -> Table:
    """The front for the screen, each with the mean over fresh seeds where it was confirmed."""
    own = search.model.objective
    goals = [(own.metric, own.mode), *((goal.metric, goal.mode) for goal in search.further)]
    columns = [Column(f"{metric} ({mode})", justify="right") for metric, mode in goals]
    table = Table("config", *columns, title="nothing beats these in all objectives at once", title_justify="left")
    for member in members:
        name = "documented baseline" if member.trial.baseline else member.trial.name
        values = member.confirmed or member.values
        seeds = "" if member.confirmed else ", one seed"
        table.add_row(f"{name}{seeds}", *(f"{value:.4g}" for value in values.values()))
    return table


def front_table(members: Sequence[Member], knobs: Sequence[str]) -> pd.DataFrame:
    """One row per member: trial, baseline, each objective, each confirmed mean, one column per knob."""
    rows: list[dict[str, Any]] = [
        {
            "trial": member.trial.number,
            "baseline": member.trial.baseline,
            **member.values,
            **{f"{name} (fresh seeds)": member.confirmed.get(name) for name in member.values},
            **{knob: cell(member.trial.values.get(knob)) for knob in knobs},
        }
        for member in members
    ]
    return pd.DataFrame(rows)


def write_front(folder: Path, search: Search, prepared: Prepared, members: Sequence[Member]) -> None:
    """`pareto.csv`, and `pareto/t0007.yaml` for each member, ready for `python -m trainables.train`."""
    write_text(folder / "pareto.csv", front_table(members, [k.path for k in search.space.knobs]).to_csv(index=False))
    place = folder / "pareto"
    place.mkdir(exist_ok=True)
    files = {place / f"t{member.trial.number:04d}.yaml": member for member in members}
    for old in set(place.glob("t*.yaml")) - set(files):  # of an earlier sitting; the front has moved on
        old.unlink()
    for file, member in files.items():
        provenance = {"objectives": member.values, "confirmed": member.confirmed or None}
        what, trial = "A config on the search's Pareto front", member.trial
        text = as_config(
            head(what, file), search, prepared, trial.values, trial.proposed.seed, trial.number, provenance
        )
        write_text(file, text)
