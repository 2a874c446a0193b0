"""Is the winner really better? The best configs and the baseline on fresh seeds, and what follows from that.

A search's own best value flatters (the winner's curse): only the values of the confirmation runs are reported as the
result. All candidates train on the same seeds, so that the difference of two of them is paired.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Literal

from scipy import stats

from search.history.events import Proposed
from search.history.records import Records, Trial
from search.stopping.pareto import Point, order
from search.stopping.rungs import Goal
from trainables.run import Objective, score

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95% Student t interval (both ends None below two seeds)."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """Estimate the mean behind `values`, at least one."""
        mean, n = fmean(values), len(values)
        if n < 2:
            return cls(mean, None, None, n)
        half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * stdev(values) / n**0.5
        return cls(mean, mean - half, mean + half, n)

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" [{self.low:.4g}, {self.high:.4g}]"
        return f"{self.mean:.4g}{interval}"


@dataclass(frozen=True)
class Candidate:
    """A config of the search with its objective on each fresh seed."""

    trial: int
    baseline: bool
    values: Mapping[str, Any]
    by_seed: Mapping[int, float]

    @property
    def estimate(self) -> Estimate:
        """Its mean over the seeds."""
        return Estimate.of(list(self.by_seed.values()))


@dataclass(frozen=True)
class Verdict:
    """What to do, and on what evidence."""

    decision: Literal["switch", "keep", "unconfirmed"]
    why: str
    winner: Candidate
    """Best mean; without confirmation, the best trial of the search with its own value."""
    baseline: Candidate | None
    gain: Estimate | None
    """Winner against baseline, paired by seed; above zero is better, whatever the objective's mode."""
    ranking: tuple[Candidate, ...]
    """All candidates, best mean first."""

    @property
    def handed_over(self) -> Candidate:
        """The config that the user is given: the winner, or their own where it is to be kept."""
        return self.baseline if self.decision == "keep" and self.baseline is not None else self.winner


def scored(records: Records) -> list[Trial]:
    """The search's own trials that have a value: neither diverged nor failed."""
    own = records.of_kind("search")
    return [trial for trial in own if trial.objective is not None and trial.status not in {"diverged", "failed"}]


def _own(records: Records) -> list[Trial]:
    """The scored trials that have trained something themselves: the others' values are copies."""
    return [trial for trial in scored(records) if not trial.copied]


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
    usable = [trial for trial in _own(records) if not trial.baseline]
    if further:
        return _unequal(_fronts_first(usable, objective, further), records, top)
    return _unequal(
        sorted(usable, key=lambda t: (objective.score(t.objective or 0.0), -t.step, t.number)), records, top
    )


def furthest(records: Records, objective: Objective) -> Trial | None:
    """The best of the trials trained furthest, the baseline left out: what stands for the search unconfirmed, for its
    value is that of a whole training, if any is."""
    usable = [trial for trial in _own(records) if not trial.baseline]
    ranked = sorted(usable, key=lambda t: (-t.step, objective.score(t.objective or 0.0), t.number))
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


def confirmation(
    records: Records, objective: Objective, top: int, seeds: Sequence[int], now: float, further: Sequence[Goal] = ()
) -> list[Proposed]:
    """The confirmation runs still to be proposed, the baseline's first; numbers follow the search's trials."""
    if all(trial.objective is None for trial in records.of_kind("search")):
        return []  # none has ever reported: fresh seeds would not either
    baseline = records.baseline
    configs = ([baseline] if baseline else []) + candidates(records, objective, top, further)
    done = {(trial.proposed.origin, trial.proposed.seed) for trial in records.of_kind("confirm")}
    number = max(records.trials, default=-1)
    runs = []
    for seed in seeds:
        for trial in configs:
            origin = f"trial {trial.number}"
            if (origin, seed) not in done:
                number += 1
                runs.append(Proposed(number, trial.values, seed, "confirm", origin, now))
    return runs


def judge(records: Records, objective: Objective) -> Verdict | None:
    """The verdict on what is recorded so far; None where no trial has a value."""
    ranking = sorted(_confirmed(records, objective), key=lambda c: objective.score(c.estimate.mean))
    baseline = next((c for c in ranking if c.baseline), None)
    if not ranking or baseline is None:
        return _unconfirmed(records, objective)
    winner = ranking[0]
    if winner is baseline:
        why = f"no config beat the baseline's mean of {baseline.estimate} {objective.unit} on fresh seeds"
        return Verdict("keep", why, winner, baseline, None, tuple(ranking))
    common = sorted(set(winner.by_seed) & set(baseline.by_seed))
    gain = Estimate.of([objective.score(baseline.by_seed[s] - winner.by_seed[s]) for s in common]) if common else None
    if gain is None or gain.low is None:
        why = "one seed gives no interval: confirm on at least two (confirm.seeds)"
        return Verdict("unconfirmed", why, winner, baseline, gain, tuple(ranking))
    measured = f"paired gain {gain} {objective.unit} over {gain.n} fresh seeds"
    if gain.low > 0:
        return Verdict("switch", f"{measured}: above zero", winner, baseline, gain, tuple(ranking))
    return Verdict("keep", f"{measured}: not above zero", winner, baseline, gain, tuple(ranking))


def _confirmed(records: Records, objective: Objective) -> list[Candidate]:
    by_origin: dict[str, dict[int, float]] = {}
    for run in records.of_kind("confirm"):
        if run.status == "completed" and run.objective is not None:
            by_origin.setdefault(run.proposed.origin, {})[run.proposed.seed] = run.objective
        elif run.status == "diverged":
            score = run.objective if run.objective is not None else objective.worst
            by_origin.setdefault(run.proposed.origin, {})[run.proposed.seed] = score
    return [
        Candidate(trial.number, trial.baseline, trial.values, by_origin[f"trial {trial.number}"])
        for trial in records.of_kind("search")
        if f"trial {trial.number}" in by_origin
    ]


def _unconfirmed(records: Records, objective: Objective) -> Verdict | None:
    def own(trial: Trial) -> Candidate:
        assert trial.objective is not None
        return Candidate(trial.number, trial.baseline, trial.values, {trial.proposed.seed: trial.objective})

    baseline = records.baseline
    base = own(baseline) if baseline and baseline.objective is not None else None
    best = furthest(records, objective)
    if best is not None:
        winner = own(best)
    elif base is not None and baseline is not None and baseline.status not in {"diverged", "failed"}:
        winner = base
    else:
        return None
    ranking = sorted(
        [winner, *([base] if base and base is not winner else [])], key=lambda c: objective.score(c.estimate.mean)
    )
    why = "nothing was trained on fresh seeds, and a search's own best value flatters"
    return Verdict("unconfirmed", why, winner, base, None, tuple(ranking))
