"""Which trials of a search are worth confirming, and in which order."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from search.history.records import Records, Trial
from search.stopping.pareto import Point, order
from search.stopping.rungs import Goal
from trainables.run import Objective, score


def scored(records: Records) -> list[Trial]:
    """The search's own trials that have a value: neither diverged nor failed."""
    own = records.of_kind("search")
    return [trial for trial in own if trial.objective is not None and trial.status not in {"diverged", "failed"}]


def _own(records: Records) -> list[Trial]:
    """The scored trials but the baseline that have trained something themselves: the others' values are copies."""
    return [trial for trial in scored(records) if not trial.copied and not trial.baseline]


def point(trial: Trial, objective: Objective, further: Sequence[Goal]) -> Point:
    """A trial's last scores in all objectives, lower is better; infinite in one that it never reported."""
    metrics = trial.reports[-1].metrics
    values = [(metrics["objective"], objective.mode), *((metrics.get(g.metric), g.mode) for g in further)]
    return tuple(math.inf if v is None else score(v, mode) for v, mode in values)


def candidates(records: Records, objective: Objective, top: int, further: Sequence[Goal] = ()) -> list[Trial]:
    """The `top` trials worth confirming, best first: by their newest value, wherever they were paused or stopped, of
    equal ones the one trained furthest. A value that is better after less training is better: on recorded curves the
    best of three chosen so is clearly better than of those trained furthest (benchmarks/README.md, Policies).

    With `further` objectives those trained furthest come first: the best by the first objective, then what a rung would
    promote. Equal configs once; the baseline and what diverged or failed are left out.
    """
    usable = _own(records)
    ranked = _fronts_first(usable, objective, further) if further else _best_first(usable, objective)
    return _unequal(ranked, records, top)


def certain(records: Records, objective: Objective, top: int, undecided: Collection[int]) -> list[Trial]:
    """Those of the candidates, best first, that stay among them whatever the trials come to that are `undecided`, by
    number: each of these can take one place, and no other one trains any more."""
    rivals = [records.trials[number].values for number in undecided if not records.trials[number].baseline]
    still = [trial for trial in _own(records) if trial.number not in undecided and trial.values not in rivals]
    return _unequal(_best_first(still, objective), records, max(0, top - len(rivals)))


def _best_first(trials: Sequence[Trial], objective: Objective) -> list[Trial]:
    return sorted(trials, key=lambda t: (objective.score(t.objective or 0.0), -t.step, t.number))


def furthest(records: Records, objective: Objective) -> Trial | None:
    """The best of the trials trained furthest, the baseline left out: what stands for the search unconfirmed, for its
    value is that of a whole training, if any is."""
    ranked = sorted(_own(records), key=lambda t: (-t.step, objective.score(t.objective or 0.0), t.number))
    return next(iter(_unequal(ranked, records, 1)), None)


def _fronts_first(usable: Sequence[Trial], objective: Objective, further: Sequence[Goal]) -> list[Trial]:
    """Those trained furthest first; among them the best by the first objective, then by fronts and crowding."""
    ranked: list[Trial] = []
    for step in sorted({trial.step for trial in usable}, reverse=True):
        alike = [trial for trial in usable if trial.step == step]
        points = [point(trial, objective, further) for trial in alike]
        first = min(range(len(alike)), key=lambda i: (points[i], alike[i].number))
        ranked += [alike[first], *(alike[i] for i in order(points) if i != first)]
    return ranked


def _unequal(ranked: Sequence[Trial], records: Records, top: int) -> list[Trial]:
    """The first `top` that differ from one another and from the baseline."""
    baseline = records.baseline
    seen: list[Mapping[str, Any]] = [baseline.values] if baseline else []
    best: list[Trial] = []
    for trial in ranked:
        if trial.values not in seen and len(best) < top:
            seen.append(trial.values)
            best.append(trial)
    return best
