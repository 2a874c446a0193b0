"""Where every trial of a search stands among its rungs, and what each report decides. Replayed from the journal."""

import math
from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import assert_never

from search.stopping import pareto
from search.stopping.rungs import WITNESSES, Rule, Ruling, Rung, newest, promotable, tells
from trainables.run import Outcome


@dataclass(frozen=True)
class Report:
    """An evaluation. `ended`: the trial's own patience ended it here. `diverged`: it met a non-finite quantity."""

    trial: int
    step: int
    score: float  # lower is better
    outcome: Outcome = "running"
    more: tuple[float, ...] = ()  # scores in the further objectives, if the rule has any


@dataclass
class Bracket:
    """The rungs of a search and where each trial stands: all the state that decisions need.

    `exempt` trials (by number: a control group, the documented baseline) are never paused or stopped; in the rungs they
    count like any other. A trial passes the rungs before the step by which it has `settled` (by number: out of warmup,
    freeze and ramp) until they are seen to tell (`rungs.tells`): it is compared from there on, with those that have
    come as far. A diverged trial is entered with the worst score at the rung it would have reached next and is never
    promoted. What is worse counts as that, too, at a rung that is not seen to tell: how much worse than a trivial
    predictor a trial is early on may say nothing of its end. A trial that ended by its own patience keeps its last
    score: where it would be promoted (if exempt: at every rung) it is entered at the next one at once, for there is
    nothing left to train.
    """

    rule: Rule
    exempt: Callable[[int], bool] = field(default=lambda _: False, compare=False)
    settled: Callable[[int], int] = field(default=lambda _: 0, compare=False)
    rungs: tuple[Rung, ...] = ()
    first: dict[int, int] = field(default_factory=dict)  # trial -> index of the first rung by which it has settled
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
        """The trial got, or gets, a worker to run toward its next rung: as a new trial, promoted from the rung it waits
        at, or after a failure. One that is over stays so."""
        if trial in self.over:
            return
        if trial not in self.reached:
            self.first[trial] = min(bisect_left(self.rule.rungs, self.settled(trial)), len(self.rungs) - 1)
            self.reached[trial] = self.first[trial]
        if (at := self.waiting.pop(trial, None)) is not None:
            self.rungs[at].close(trial)
        self.running.add(trial)

    def leave(self, trial: int) -> None:
        """The trial failed for good or was taken away: what it reported stays, it is never promoted."""
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
        if self._has_end():
            return None
        for rung in reversed(self.rungs[:-1]):
            if rung.open:
                best = rung.open[0].trial
                return None if best in self.ended else best  # an ended one is as fully trained as it can be
        return None

    def at_their_end(self, trials: Iterable[int]) -> bool:
        """Whether these trials, which are at work, all run to the last rung, and none is promoted after them."""
        last = len(self.rungs) - 1
        alone = all(trial in self.running and self.reached[trial] == last for trial in trials)
        return alone and self._has_end()

    def _has_end(self) -> bool:
        return any(not self.exempt(trial) and trial not in self.diverged for trial in self.rungs[-1].scores)

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
        if trial in rung.seen:  # reported before
            return "pause" if self.waiting.get(trial) == at else "continue"
        rung.seen[trial] = point[0]
        if at < self.first[trial] and not self._tells(at, late=True):
            self.reached[trial] = max(self.reached[trial], at + 1)
            return "continue"
        point = self._capped(point, at)
        free = self.exempt(trial) or at == last
        waits = self.rule.mode == "promote" and not free
        judged = self.rule.mode == "stop" and not free
        stops = judged and len(point) == 1 and self.rule.stops(rung.ranked, point[0], self.rule.reduction)
        rung.record(point, trial, open_=waits)
        if judged and len(point) > 1:  # its place among the others is known only now
            others = [entry for entry in rung.ranked if entry.trial != trial]
            stops = self.rule.stops(others, rung.scores[trial], self.rule.reduction)
        self.reached[trial] = at + 1
        if waits or stops or at == last:
            self.running.discard(trial)
        if waits:
            self.waiting[trial] = at
        if stops or at == last:
            self.over.add(trial)
        return "complete" if at == last else "pause" if waits else "stop" if stops else "continue"

    def _tells(self, at: int, late: bool) -> bool:
        """Whether this rung is seen to tell of the next one; `late`: by trials that have not settled."""
        if self.rule.further or at + 1 == len(self.rungs):
            return False
        here, there = self.rungs[at].seen, self.rungs[at + 1].seen
        witnesses = sum(at < self.first[trial] or not late for trial, _ in newest(there) if trial in here)
        return witnesses >= WITNESSES and tells(here, there)

    def _capped(self, point: pareto.Point, at: int) -> pareto.Point:
        """A score as this rung takes it: nothing is worse than the worst one, until the rung is seen to tell."""
        worst = self.rule.score(self.rule.worst)
        if len(point) > 1 or point[0] <= worst or at + 1 == len(self.rungs) or self._tells(at, late=False):
            return point
        return (worst,)

    def _end(self, trial: int, point: pareto.Point) -> None:
        """The trial is over before the horizon: enter it where it would have been compared next."""
        self.leave(trial)
        self.over.add(trial)
        healthy = trial not in self.diverged
        at, last = self.reached[trial], len(self.rungs) - 1
        if healthy and self.exempt(trial):
            for index in range(at, last + 1):  # it would go on to each of them
                self.rungs[index].record(self._capped(point, index), trial, open_=False)
            at = last
        else:
            open_ = healthy and self.rule.mode == "promote" and at < last
            self.rungs[at].record(self._capped(point, at), trial, open_=open_)
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


def due(bracket: Bracket, busy: Container[int], alone: bool) -> Iterator[int]:
    """The paused trials that free workers take up, on Ray and in the simulator, in order: those that are promoted, from
    the top rung down; with none of them, and if `alone`, the closing promotion. Where this gives too few, new trials
    follow.

    `busy`: trials that have a worker though they are paused (they still save, or run up to their rung once more).
    `alone`: no trial has a worker, and no new one will come.
    """
    some = False
    for trial in bracket.promotions():
        if trial not in busy:
            some = True
            yield trial
    if alone and not some:
        closing = bracket.closing()
        if closing is not None:
            yield closing
