"""Which runs show what each of the winner's changes brings: the configs on the way to it, on its own fresh seeds.

They are trials of a kind of their own, `explain`, and enter no verdict. The way follows from the search's own trials
alone (`search.results.ablation`), which fresh seeds don't change; what is proposed already stays as it is.
"""

import re
from collections.abc import Mapping
from typing import Any

from search.history.events import Proposed
from search.history.records import Records
from search.results.ablation import LEAST, Setting, ablation, differing
from search.results.confirm import missing
from search.results.verdict import Verdict, counted, judge, part_origin
from trainables.run import Objective

_ORIGIN = re.compile(r"trial (\d+), (\d+) of (\d+) changes")
Values = Mapping[str, Any]


def parts(records: Records, trial: int) -> dict[tuple[int, int], Values]:
    """The configs on the way to `trial` that runs were proposed of, by (changes, of how many)."""
    found: dict[tuple[int, int], Values] = {}
    for run in records.of_kind("explain"):
        said = _ORIGIN.fullmatch(run.proposed.origin)
        if said is not None and int(said[1]) == trial:
            found.setdefault((int(said[2]), int(said[3])), run.proposed.values)
    return found


def by_seed(records: Records, trial: int, values: Values, objective: Objective) -> dict[int, float]:
    """What the config with these of the changes of `trial` came to on each fresh seed."""
    for key, part in parts(records, trial).items():
        if not differing(part, values):
            return values_of(records, objective, part_origin(trial, *key))
    return {}


def values_of(records: Records, objective: Objective, origin: str) -> dict[int, float]:
    """What the runs of `origin` came to on each fresh seed; the worst value where one diverged."""
    runs = [run for run in records.of_kind("explain") if run.proposed.origin == origin]
    return {run.proposed.seed: value for run in runs if (value := counted(run, objective)) is not None}


def explaining(records: Records, setting: Setting, most: int | None, now: float) -> list[Proposed]:
    """The runs still to be proposed; numbers follow the search's trials. None unless the verdict is to switch, and
    where there is one change only, or too few trials to learn from. `most`: as `judge` has it."""
    verdict = judge(records, setting.model.objective, most)
    if verdict is None or verdict.decision != "switch":
        return []
    trial = verdict.winner.trial
    configs = parts(records, trial)
    of = {many for _, many in configs}
    way = ablation(records, setting, verdict.winner.values)
    if way is not None and of <= {len(way.changes)}:
        configs = {(i, len(way.changes)): change.values for i, change in enumerate(way.changes[:-1], 1)} | configs
    wanted = [(part_origin(trial, *key), seed, configs[key]) for seed in verdict.pairs for key in sorted(configs)]
    return missing(records, "explain", wanted, now)


def unexplained(records: Records, setting: Setting, verdict: Verdict) -> str | None:
    """Why no run explains a verdict to switch; None where some do, or where there is no such verdict."""
    if verdict.decision != "switch" or parts(records, verdict.winner.trial):
        return None
    way = ablation(records, setting, verdict.winner.values)
    if way is None:
        return f"fewer than {LEAST} trials have values, too few to learn the order of the changes from"
    return "the new config makes one change" if len(way.changes) == 1 else None
