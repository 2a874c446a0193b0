"""What MLflow is told of a search before its first event, chosen so that its own tables and charts can be read at once.

Trials have the searched knobs for params and nothing else; what all of them have in common are tags. Of the metrics it
gets the few that say how a training goes: parts of a sum and knobs that never move stay in history.parquet.
"""

import json

import numpy as np

from search.common.git import git_commit, tool_version
from search.common.store_uri import resolve_uri
from search.persistence.folder import Folder
from search.spec.knob_onset import course_of, looked_at
from search.spec.plan import Plan
from search.spec.search import Search, objective_name
from search.tracking.run_table import run_table
from search.tracking.types import TrackingInfo
from trainables.run import Prepared

DRAWN = 15
"""Configs that are looked at for knobs that move."""


def introduce(search: Search, prepared: Prepared, folder: Folder, plan: Plan, workers: int) -> TrackingInfo:
    """The search as its tracker needs to know it."""
    settings = search.settings
    model, commit = search.model.name, git_commit() or "unknown"
    of_all = {
        **settings.tags,  # first: what the search goes by is not to be written over
        "model": model,
        "objective": objective_name(search.model.objective),
        "git_commit": commit,
        "schedule_search": tool_version(),
        "data_hash": prepared.digest,
    }
    return TrackingInfo(
        uri=resolve_uri(settings.tracking.uri, folder.path.parent),
        experiment=settings.tracking.experiment or model,
        search=search.name,
        folder=folder.path,
        tags={
            "notes": settings.notes,
            **of_all,
            "search_hash": search.digest,
            "base": json.dumps(search.base, separators=(",", ":")),
        },
        params={
            "sampler": settings.sampler.kind,
            "early_stopping": settings.early_stopping.kind,
            "trials": plan.trials,
            "steps": search.horizon,
            "seed": settings.sampler.seed,
            "workers": workers,
        },
        trial_tags=of_all,
        rungs=plan.rungs,
        mode=search.model.objective.mode,
        left_out=() if settings.early_stopping.moves_knobs else still_knobs(search),  # it moves any of them
        run_table=run_table([knob.path for knob in search.space.knobs], search.model.objective.mode),
    )


def still_knobs(search: Search) -> tuple[str, ...]:
    """The values in force, as `Model.knobs` names them, that no config of the space moves in the course of a run."""
    rng = np.random.default_rng(0)
    places = looked_at(search)
    known: dict[str, bool] = {}  # whether it moves
    for values in ({}, *(search.space.sample(rng, search.base) for _ in range(DRAWN))):
        course = course_of(search, values, places) or []
        for name in dict.fromkeys(name for point in course for name in point):
            seen = {point.get(name) for point in course}
            known[name] = known.get(name, False) or len(seen) > 1
    return tuple(name for name, moves in known.items() if not moves)
