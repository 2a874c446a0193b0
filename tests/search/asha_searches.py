"""Simulated asynchronous searches by ASHA, beside the paper's Algorithm 2."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from rung_history import Gone, Record, Start

from search.stopping.bracket import Bracket, Report
from search.stopping.rungs import TELLING, WITNESSES, Mode, Rule
from trainables.run import Outcome

WORST = 90.0


def rule(mode: Mode = "promote", rungs: tuple[int, ...] = (1, 3, 9, 27), reduction: int = 3) -> Rule:
    return Rule(mode, rungs, reduction, "min", WORST)


@dataclass
class Paper:
    """ASHA, written from the paper: rungs as dictionaries, everything recomputed. Then our additions, each on its own
    lines: exempt trials go on by themselves, diverged ones never, ended ones for free; late ones pass rungs that have
    not been seen to tell."""

    eta: int
    last: int
    exempt: set[int]
    scores: dict[int, dict[int, float]] = field(default_factory=dict)
    promoted: dict[int, set[int]] = field(default_factory=dict)
    diverged: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    late: dict[int, int] = field(default_factory=dict)  # trial -> rung by which it has settled
    seen: dict[int, dict[int, float]] = field(default_factory=dict)  # also of trials that passed the rung
    passed: int = 0

    def passes(self, t: int, k: int, score: float) -> bool:
        self.seen.setdefault(k, {})[t] = score
        if k >= self.late[t]:
            return False
        both = [u for u in self.seen[k] if u in self.seen.get(k + 1, {})]
        if sum(k < self.late[u] for u in both) < WITNESSES:
            return True
        here = np.array(list(self.seen[k].values()))
        changes = np.array([self.seen[k + 1][u] - self.seen[k][u] for u in both])
        spread = (np.median(here) - here[here <= np.median(here)]).mean()
        return bool(spread == 0 or spread < TELLING * np.abs(changes - np.median(changes)).mean())

    def next(self, t: int, k: int) -> int:
        """Where a trial that ends on its way to rung k would have been compared."""
        return k if any(t in rung for rung in self.scores.values()) else max(k, self.late[t])

    def candidates(self, k: int) -> list[int]:
        rung = self.scores.get(k, {})
        top = sorted(rung, key=lambda t: (rung[t], t))[: len(rung) // self.eta]
        barred = self.promoted.get(k, set()) | self.diverged | self.exempt | self.gone
        return [t for t in top if t not in barred]

    def get_job(self) -> tuple[int, int] | None:
        for k in range(self.last - 1, -1, -1):
            for t in self.candidates(k):
                self.promoted.setdefault(k, set()).add(t)
                return t, k + 1
        return None

    def closing(self) -> tuple[int, int] | None:
        if any(t not in self.exempt | self.diverged for t in self.scores.get(self.last, {})):
            return None
        for k in range(self.last - 1, -1, -1):
            barred = self.promoted.get(k, set()) | self.diverged | self.exempt | self.gone
            rest = sorted((s, t) for t, s in self.scores.get(k, {}).items() if t not in barred)
            if rest:
                if rest[0][1] in self.ended:
                    return None
                self.promoted.setdefault(k, set()).add(rest[0][1])
                return rest[0][1], k + 1
        return None

    def told(self, verdict: str, report: Report, k: int) -> bool:
        """Take in a report and check what became of the trial; whether it runs on."""
        if report.outcome != "running":
            k = self.next(report.trial, k)
        elif self.passes(report.trial, k, report.score):
            assert verdict == "continue"
            self.passed += 1
            return True
        free = report.outcome == "running" and report.trial in self.exempt and k < self.last
        match report.outcome:
            case "diverged":
                self.diverged.add(report.trial)
                assert verdict == "stop"
            case "ended":
                self.ended.add(report.trial)
                assert verdict == "complete"
            case "running":
                assert verdict == ("complete" if k == self.last else "continue" if free else "pause")
        self.put(report.trial, k, WORST if report.outcome == "diverged" else report.score)
        return free

    def put(self, t: int, k: int, score: float) -> None:
        for j in range(k, self.last + 1 if t in self.exempt & self.ended else k + 1):
            self.scores.setdefault(j, {})[t] = score
        moved = True
        while moved:
            moved = False
            for j in range(self.last):
                for e in self.candidates(j):
                    if e in self.ended:
                        self.promoted.setdefault(j, set()).add(e)
                        self.scores.setdefault(j + 1, {})[e] = self.scores[j][e]
                        moved = True


@dataclass
class Search:
    """What a simulated search left behind."""

    bracket: Bracket
    history: list[Record]
    jobs: list[tuple[int, int]]
    paper: Paper


Fate = tuple[Outcome | str, int]  # what happens to a trial on its way to which rung


def simulate(
    workers: int,
    trials: int,
    exempt: set[int],
    score: Callable[[int, int], float],
    fates: dict[int, Fate],
    pick: Callable[[int], int],
    first: Callable[[int], int] | None = None,
) -> Search:
    """Run promotion ASHA and the paper's algorithm side by side; they must take the same jobs.
    `first`: at which rung a trial is compared first; None: at the first one."""
    r = rule()
    entry = first or (lambda _: 0)
    last = len(r.rungs) - 1
    bracket = Bracket(r, exempt=exempt.__contains__, settled=lambda trial: r.rungs[entry(trial)])
    paper = Paper(3, last, exempt)
    running: list[tuple[int, int]] = []
    new = 0
    done = Search(bracket, [], [], paper)

    def begin(trial: int, k: int) -> None:
        bracket.start(trial)
        done.history.append(Start(trial))
        running.append((trial, k))
        done.jobs.append((trial, k))

    while True:
        while len(running) < workers:
            ours, theirs = next(bracket.promotions(), None), paper.get_job()
            assert ours == (theirs[0] if theirs else None)
            if theirs is not None:
                begin(*theirs)
            elif new < trials:
                paper.late[new] = entry(new)
                begin(new, 0)
                new += 1
            elif not running:
                ours, theirs = bracket.closing(), paper.closing()
                assert ours == (theirs[0] if theirs else None)
                if theirs is None:
                    return done
                begin(*theirs)
            else:
                break
        trial, k = running.pop(pick(len(running)))
        kind, at = fates.get(trial, ("running", -1))
        if at != k:
            kind = "running"
        if kind == "gone":
            bracket.leave(trial)
            paper.gone.add(trial)
            done.history.append(Gone(trial))
            continue
        assert kind in ("running", "ended", "diverged")
        step = r.rungs[k] if kind == "running" else max(1, r.rungs[k] - 1)
        for before in r.rungs[:k]:
            assert bracket.report(Report(trial, before, score(trial, 0))) == "continue"  # reported before
        report = Report(trial, step, math.nan if kind == "diverged" else score(trial, k), kind)  # type: ignore[arg-type]
        done.history.append(report)
        if paper.told(bracket.report(report), report, k):
            running.append((trial, k + 1))
        assert [rung.scores for rung in bracket.rungs] == [paper.scores.get(k, {}) for k in range(last + 1)]


@st.composite
def searches(draw: st.DrawFn) -> Search:
    trials = draw(st.integers(0, 45))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse, late = draw(st.booleans()), draw(st.booleans())  # many ties; trials that pass rungs
    table = rng.integers(0, 4, (trials, 4)) if coarse else rng.normal(size=(trials, 4))
    numbers = st.integers(0, max(trials - 1, 0))
    kinds = st.tuples(st.sampled_from(["ended", "diverged", "gone"]), st.integers(0, 3))
    return simulate(
        workers=draw(st.integers(1, 9)),
        trials=trials,
        exempt=draw(st.sets(numbers, max_size=3)),
        score=lambda t, k: float(table[t, k]),
        fates=draw(st.dictionaries(numbers, kinds, max_size=trials)),
        pick=lambda n: int(rng.integers(n)),
        first=(lambda t: int(table[t, 0] * 97) % 4) if late else None,
    )
