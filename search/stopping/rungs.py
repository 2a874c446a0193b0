"""Rungs of asynchronous successive halving (ASHA: Li et al. 2020, arXiv 1810.05934): who is promoted, who is stopped.

A *rung* is a step at which trials are compared. In mode `promote` (the paper's own, Algorithm 2) a trial is paused at
each rung and the best 1/η of the rung go on; in mode `stop` it runs on unless it is worse than the rung's cutoff.
Scores are "lower is better" and finite in here. Nothing in this module does I/O, draws random numbers or knows Ray.
"""

import hashlib
import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import Literal, NamedTuple

from search.stopping import pareto
from trainables.run import Outcome, score

Mode = Literal["promote", "stop"]
Ruling = Literal["continue", "pause", "stop", "complete"]
"""`stop`: early-stopped or diverged. `complete`: trained to the horizon, or ended by its own patience."""

TELLING = 0.7
RECENT = 100
"""The numbers of `tells`; measured in benchmarks/README.md."""
WITNESSES = 3
"""So many trials that have not settled pass a rung and reach the next one before it is asked whether it tells."""


@dataclass(frozen=True)
class Goal:
    """One of several objectives."""

    metric: str
    mode: Literal["min", "max"]


def further_scores(goals: Sequence[Goal], metrics: Mapping[str, float], outcome: Outcome) -> tuple[float, ...]:
    """The objectives `goals` of a report as scores: lower is better; none of a diverged trial.

    Raises ValueError where `metrics` lacks one.
    """
    if outcome == "diverged":
        return ()
    missing = [goal.metric for goal in goals if goal.metric not in metrics]
    if missing:
        raise ValueError(f"{', '.join(missing)}: objectives that were not reported, only {sorted(metrics)}")
    return tuple(score(metrics[goal.metric], goal.mode) for goal in goals)


class Entry(NamedTuple):
    """A trial in a rung; entries order by score, ties by trial number."""

    score: float
    trial: int


@dataclass
class Rung:
    """The trials that have reached a step, best first."""

    step: int
    ranked: list[Entry] = field(default_factory=list)  # every trial once
    open: list[Entry] = field(default_factory=list)  # those of them that may still be promoted
    scores: dict[int, float] = field(default_factory=dict)  # trial -> score; with several objectives its place, from 0
    points: dict[int, pareto.Point] = field(default_factory=dict)  # with several objectives: trial -> all its scores
    seen: dict[int, float] = field(default_factory=dict)  # trial -> score at the step, also of those that pass the rung

    def record(self, point: pareto.Point, trial: int, *, open_: bool) -> None:
        """Enter a trial, once, by its score or by its scores in several objectives."""
        assert trial not in self.scores, f"trial {trial} is in rung {self.step} already"
        if len(point) > 1:
            self._rank(point, trial, open_=open_)
            return
        entry = Entry(point[0], trial)
        self.scores[trial] = entry.score
        insort(self.ranked, entry)
        if open_:
            insort(self.open, entry)

    def point(self, trial: int) -> pareto.Point:
        """A trial's score, or scores."""
        return self.points.get(trial) or (self.scores[trial],)

    def _rank(self, point: pareto.Point, trial: int, *, open_: bool) -> None:
        """Rank all trials anew: a newcomer moves others to another front."""
        waiting = {entry.trial for entry in self.open} | ({trial} if open_ else set())
        self.points[trial] = point
        trials = sorted(self.points)
        places = pareto.order([self.points[t] for t in trials])
        self.ranked = [Entry(float(place), trials[i]) for place, i in enumerate(places)]
        self.scores = {entry.trial: entry.score for entry in self.ranked}
        self.open = [entry for entry in self.ranked if entry.trial in waiting]

    def close(self, trial: int) -> None:
        """The trial has been promoted, or never will be."""
        if trial in self.scores:
            entry = Entry(self.scores[trial], trial)
            at = bisect_left(self.open, entry)
            if at < len(self.open) and self.open[at] == entry:
                del self.open[at]


def promotable(ranked: Sequence[Entry], open_: Sequence[Entry], reduction: int) -> Iterator[int]:
    """The trials that a rung promotes, best first (ASHA, Algorithm 2).

    promotable = { t ∈ open : rank(t) < ⌊n / η⌋ },  n = |ranked|, rank by (score, trial number), from 0.
    """
    top = len(ranked) // reduction
    if top:
        last = ranked[top - 1]
        for entry in open_:
            if entry > last:
                return
            yield entry.trial


def tells(here: dict[int, float], there: dict[int, float]) -> bool:
    """Whether the scores at a rung tell of those at the next one (ours, not ASHA's).

    tells ⟺ s > 0 and s ≥ TELLING · d,

    s = the mean distance of the better half of the scores at the rung to their median (trials that explode are in the
    other half), d = the mean absolute deviation from their median of the changes from there to the next rung; both of
    the RECENT trials that came last. Where changes are independent of scores these are correlated by s / √(s² + d²),
    .57 at least. Unlike a correlation that is measured, s and d don't hang on the best trials alone having come to the
    next rung.

    Args:
        here: trial -> score at the rung, in the order in which trials came.
        there: trial -> score at the next one.

    """
    changes = [score - here[trial] for trial, score in newest(there) if trial in here]
    scores = [score for _, score in newest(here)]
    middle = median(scores)
    spread = _mean([middle - score for score in scores if score <= middle])
    about = median(changes) if changes else 0.0
    return spread > 0 and spread >= TELLING * _mean([abs(change - about) for change in changes])


def newest(scores: dict[int, float]) -> Iterator[tuple[int, float]]:
    """The RECENT trials that came last, with their scores: a decision costs as much however many trials there are."""
    return islice(reversed(scores.items()), RECENT)


def _mean(values: Sequence[float]) -> float:
    """Infinite where the sum is, which `fmean` would raise at."""
    return sum(values) / len(values) if values else 0.0


def beyond_cutoff(ranked: Sequence[Entry], score: float, reduction: int) -> bool:
    """Whether a trial that reaches a rung is stopped there (stopping ASHA, as Ray's AsyncHyperBandScheduler decides).

    stop ⟺ n > 0 and −score < Q(1 − 1/η),

    Q = the linearly interpolated quantile of the rewards (−score) of the n trials recorded before it.
    """
    if not ranked:
        return False
    share = (1 - 1 / reduction) * 100 / 100  # by way of percent, for equality with numpy.percentile to the last bit
    place = (len(ranked) - 1) * share
    at = math.floor(place)
    low = -ranked[len(ranked) - 1 - at].score
    high = -ranked[max(0, len(ranked) - 2 - at)].score
    weight = place - at
    cutoff = low + (high - low) * weight if weight < 0.5 else high - (high - low) * (1 - weight)
    return -score < cutoff


@dataclass(frozen=True)
class Rule:
    """What decides: fixed for a search, and with the history of reports enough to repeat every decision."""

    mode: Mode
    rungs: tuple[int, ...]  # steps, ascending; the last one is the horizon
    reduction: int  # η: one in η goes on
    objective: Literal["min", "max"]
    worst: float  # the objective of a diverged trial, in the objective's own sign
    further: tuple[Goal, ...] = ()
    """Objectives beside the first: a rung is then ranked by non-dominated fronts and crowding (`pareto`)."""
    stops: Callable[[Sequence[Entry], float, int], bool] = beyond_cutoff
    """In mode `stop`: whether a trial is stopped at a rung, by its earlier entries, its own score and `reduction`."""

    def __post_init__(self) -> None:
        if self.reduction < 2:
            raise ValueError(f"reduction is {self.reduction}; it must be at least 2")
        if not self.rungs or self.rungs[0] < 1 or any(a >= b for a, b in zip(self.rungs, self.rungs[1:], strict=False)):
            raise ValueError(f"rungs are {self.rungs}; they must be positive and ascend")
        if not math.isfinite(self.worst):
            raise ValueError(f"worst is {self.worst}; it must be a finite number")

    @property
    def horizon(self) -> int:
        """The full budget of a trial, in steps."""
        return self.rungs[-1]

    def score(self, objective: float) -> float:
        """The objective as a score: lower is better. Not finite if the objective isn't."""
        return score(objective, self.objective)


def controlled(trial: int, seed: int, share: float) -> bool:
    """Whether the trial is in the control group: a random `share` of the trials, the same ones for equal seeds, that
    train to the horizon whatever the rungs say. Never trial 0, the baseline, which does so anyway."""
    digest = hashlib.sha256(f"control:{seed}:{trial}".encode()).digest()
    return trial > 0 and int.from_bytes(digest[:4], "big") < share * 2**32
