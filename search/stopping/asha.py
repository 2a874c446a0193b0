"""Early stopping by asynchronous successive halving (ASHA: Li et al. 2020, arXiv 1810.05934), as plain data and rules.

A *rung* is a step at which trials are compared. In mode `promote` (the paper's own, Algorithm 2) a trial is paused at
each rung and the best 1/η of the rung go on; in mode `stop` it runs on unless it is worse than the rung's cutoff.
Scores are "lower is better" and finite in here. Nothing in this module does I/O, draws random numbers or knows Ray.
"""

import hashlib
import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, assert_never

from search.stopping import pareto

Mode = Literal["promote", "stop"]
Outcome = Literal["running", "ended", "diverged"]
Ruling = Literal["continue", "pause", "stop", "complete"]
"""`stop`: early-stopped or diverged. `complete`: trained to the horizon, or ended by its own patience."""

_CONTROL = 2**32


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
    return tuple(-metrics[goal.metric] if goal.mode == "max" else metrics[goal.metric] for goal in goals)


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
        return -objective if self.objective == "max" else objective


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
class Start:
    """A trial got, or gets, a worker: as a new trial, promoted from the rung it waits at, or after a failure."""

    trial: int


@dataclass(frozen=True)
class Report:
    """An evaluation. `ended`: the trial's own patience ended it here. `diverged`: it met a non-finite quantity."""

    trial: int
    step: int
    score: float  # lower is better
    outcome: Outcome = "running"
    more: tuple[float, ...] = ()  # scores in the further objectives, if the rule has any


@dataclass(frozen=True)
class Gone:
    """A trial failed for good or was taken away: what it reported stays, it is never promoted."""

    trial: int


Record = Start | Report | Gone


def controlled(trial: int, seed: int, share: float) -> bool:
    """Whether the trial is in the control group: a random `share` of the trials, the same ones for equal seeds, that
    train to the horizon whatever the rungs say. Never trial 0, the baseline, which does so anyway."""
    digest = hashlib.sha256(f"control:{seed}:{trial}".encode()).digest()
    return trial > 0 and int.from_bytes(digest[:4], "big") < share * _CONTROL


def _nobody(trial: int) -> bool:  # noqa: ARG001 - the default of `exempt`
    return False


@dataclass
class Bracket:
    """The rungs of a search and where each trial stands: all the state that decisions need.

    `exempt` trials (by number: the documented baseline, a control group) are never paused or stopped; in the rungs they
    count like any other. A diverged trial is entered with the worst score at the rung it would have reached next and
    is never promoted. A trial that ended by its own patience keeps its last score: where it would be promoted (if
    exempt: at every rung) it is entered at the next one at once, for there is nothing left to train.
    """

    rule: Rule
    exempt: Callable[[int], bool] = field(default=_nobody, compare=False)
    rungs: tuple[Rung, ...] = ()
    reached: dict[int, int] = field(default_factory=dict)  # trial -> index of the rung that it reaches next
    running: set[int] = field(default_factory=set)
    waiting: dict[int, int] = field(default_factory=dict)  # paused trial -> index of its rung
    over: set[int] = field(default_factory=set)  # completed, stopped, ended or diverged: never run again
    ended: set[int] = field(default_factory=set)  # of these, ended by their own patience
    diverged: set[int] = field(default_factory=set)  # of these, diverged

    def __post_init__(self) -> None:
        self.rungs = self.rungs or tuple(Rung(step) for step in self.rule.rungs)
        self._index = {step: index for index, step in enumerate(self.rule.rungs)}

    def start(self, trial: int) -> None:
        """The trial runs toward its next rung; one that waits is thereby promoted, one that is over stays so."""
        if trial in self.over:
            return
        self.reached.setdefault(trial, 0)
        if (at := self.waiting.pop(trial, None)) is not None:
            self.rungs[at].close(trial)
        self.running.add(trial)

    def leave(self, trial: int) -> None:
        """The trial is gone for good."""
        self.running.discard(trial)
        if (at := self.waiting.pop(trial, None)) is not None:
            self.rungs[at].close(trial)

    def final(self, trial: int) -> bool:
        """Whether the trial is known and does not run or wait any more: over, or gone."""
        return trial in self.reached and trial not in self.running and trial not in self.waiting

    def report(self, report: Report) -> Ruling:
        """Enter an evaluation and decide what becomes of the trial. A step reported again is not judged again."""
        trial = report.trial
        if self.final(trial):
            return "stop"
        if trial not in self.reached:
            self.start(trial)
        if (at := self.waiting.get(trial)) is not None and report.step > self.rule.rungs[at]:
            self.start(trial)  # it must have been promoted: a history without its Start
        assert len(report.more) == len(self.rule.further) or report.outcome == "diverged", "a score for each objective"
        finite = all(map(math.isfinite, (report.score, *report.more)))
        outcome: Outcome = report.outcome if finite else "diverged"
        match outcome:
            case "running":
                verdict = self._reach(trial, report.step, (report.score, *report.more))
            case "ended":
                self._end(trial, (report.score, *report.more))
                verdict = "complete"
            case "diverged":
                self.diverged.add(trial)
                self._end(trial, self._worst())
                verdict = "stop"
            case _:
                assert_never(outcome)
        self._carry()
        return verdict

    def promotions(self) -> Iterator[int]:
        """The paused trials that are to go on, in order: from the top rung down, the best of a rung first."""
        for rung in reversed(self.rungs[:-1]):
            yield from promotable(rung.ranked, rung.open, self.rule.reduction)

    def closing(self) -> int | None:
        """The trial to promote when no trial runs, none is promotable and none will come (ours, not ASHA's).

        While no trial that is neither exempt nor diverged is in the last rung, the best of the highest rung that holds
        a paused trial goes on, so that even a search of fewer than η^rungs trials hands over a fully trained one.
        """
        if any(not self.exempt(t) and t not in self.diverged for t in self.rungs[-1].scores):
            return None
        for rung in reversed(self.rungs[:-1]):
            if rung.open:
                best = rung.open[0].trial
                return None if best in self.ended else best  # an ended one is as fully trained as it can be
        return None

    def _worst(self) -> pareto.Point:
        """What a diverged trial scores."""
        if self.rule.further:
            return (math.inf,) * (1 + len(self.rule.further))
        return (self.rule.score(self.rule.worst),)

    def _reach(self, trial: int, step: int, point: pareto.Point) -> Ruling:
        at = self._index.get(step)
        last = len(self.rungs) - 1
        if at is None:
            if step < self.rule.horizon:
                return "continue"
            at = last
        rung = self.rungs[at]
        if at < self.reached[trial]:  # reported before, or passed
            return "pause" if self.waiting.get(trial) == at else "continue"
        free = self.exempt(trial) or at == last
        waits = self.rule.mode == "promote" and not free
        judged = self.rule.mode == "stop" and not free
        stops = judged and len(point) == 1 and beyond_cutoff(rung.ranked, point[0], self.rule.reduction)
        rung.record(point, trial, open_=waits)
        if judged and len(point) > 1:  # its place among the others is known only now
            others = [entry for entry in rung.ranked if entry.trial != trial]
            stops = beyond_cutoff(others, rung.scores[trial], self.rule.reduction)
        self.reached[trial] = at + 1
        if waits or stops or at == last:
            self.running.discard(trial)
        if waits:
            self.waiting[trial] = at
        if stops or at == last:
            self.over.add(trial)
        return "complete" if at == last else "pause" if waits else "stop" if stops else "continue"

    def _end(self, trial: int, point: pareto.Point) -> None:
        """The trial is over before the horizon: enter it where it would have been compared next."""
        self.leave(trial)
        self.over.add(trial)
        healthy = trial not in self.diverged
        at, last = self.reached[trial], len(self.rungs) - 1
        if healthy and self.exempt(trial):
            for rung in self.rungs[at:]:  # it would go on to each of them
                rung.record(point, trial, open_=False)
            at = last
        else:
            self.rungs[at].record(point, trial, open_=healthy and self.rule.mode == "promote" and at < last)
        self.reached[trial] = at + 1
        if healthy:
            self.ended.add(trial)

    def _carry(self) -> None:
        """Enter ended trials at the next rung wherever they would be promoted."""
        if not self.ended:
            return
        last = len(self.rungs) - 1
        for at, rung in enumerate(self.rungs[:-1]):
            for trial in [t for t in promotable(rung.ranked, rung.open, self.rule.reduction) if t in self.ended]:
                rung.close(trial)
                self.rungs[at + 1].record(rung.point(trial), trial, open_=at + 1 < last)
                self.reached[trial] = at + 2


def replay(bracket: Bracket, history: Iterable[Record]) -> None:
    """Bring `bracket` to where `history` left it. Reports alone are enough but for promotions still in flight (the
    trials are then paused, and promotable as before); with their Starts the state is the same to the last entry."""
    for record in history:
        match record:
            case Start(trial):
                bracket.start(trial)
            case Report():
                bracket.report(record)
            case Gone(trial):
                bracket.leave(trial)
            case _:
                assert_never(record)
