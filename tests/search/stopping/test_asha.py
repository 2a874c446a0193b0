import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rung_history import Gone, Record, Start, replay

from search.stopping.bracket import Bracket, Report
from search.stopping.rungs import RECENT, TELLING, WITNESSES, Entry, Mode, Rule, beyond_cutoff, promotable, tells
from trainables.run import Outcome

WORST = 90.0


def rule(mode: Mode = "promote", rungs: tuple[int, ...] = (1, 3, 9, 27), reduction: int = 3) -> Rule:
    return Rule(mode, rungs, reduction, "min", WORST)


@pytest.mark.parametrize("bad", [{"rungs": ()}, {"rungs": (3, 3)}, {"rungs": (0, 3)}, {"reduction": 1}])
def test_rule_refuses(bad: dict[str, tuple[int, ...] | int]) -> None:
    with pytest.raises(ValueError, match="must"):
        Rule("stop", **{"rungs": (1, 3), "reduction": 3, "objective": "min", "worst": 1.0} | bad)  # type: ignore[arg-type]


def test_a_max_objective_is_scored_upside_down() -> None:
    assert Rule("stop", (1, 3), 3, "max", 0.0).score(0.7) == -0.7


# The two decisions, each against its definition.


@given(st.lists(st.integers(-4, 4), max_size=40), st.integers(2, 5), st.data())
def test_promotable_is_the_top_share_that_is_not_promoted_yet(scores: list[int], eta: int, data: st.DataObject) -> None:
    ranked = sorted(Entry(float(s), t) for t, s in enumerate(scores))
    open_ = sorted(data.draw(st.sets(st.sampled_from(ranked)) if ranked else st.just(set())))
    top = ranked[: math.floor(len(ranked) / eta)]
    assert list(promotable(ranked, open_, eta)) == [e.trial for e in top if e in open_]


@given(
    st.lists(st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float), min_size=1, max_size=40),
    st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float),
    st.integers(2, 7),
)
def test_cutoff_is_the_percentile_to_the_last_bit(scores: list[float], score: float, eta: int) -> None:
    ranked = sorted(Entry(s, t) for t, s in enumerate(scores))
    cutoff = np.percentile([-s for s in scores], (1 - 1 / eta) * 100)
    assert beyond_cutoff(ranked, score, eta) == bool(-score < cutoff)


# Promotion against the paper's Algorithm 2, on simulated asynchronous searches.


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


@settings(max_examples=250, deadline=None)
@given(searches())
def test_promotion_is_the_papers_algorithm_and_leaves_nobody_behind(search: Search) -> None:
    bracket = search.bracket
    assert not bracket.running
    assert next(bracket.promotions(), None) is None
    for trial in bracket.reached:  # accounted for: over, gone, or waiting at a rung that doesn't promote it
        assert bracket.final(trial) != (trial in bracket.waiting)
    gone = {r.trial for r in search.history if isinstance(r, Gone)}
    hopeful = set(bracket.reached) - bracket.diverged - gone - bracket.ended
    candidates = {t for t in hopeful if not bracket.exempt(t)}
    if candidates and not bracket.ended:  # somebody is trained in full, if anybody could be
        assert candidates & set(bracket.rungs[-1].scores)


@settings(max_examples=150, deadline=None)
@given(searches(), st.data())
def test_replaying_gives_the_same_state_at_any_moment(search: Search, data: st.DataObject) -> None:
    history = search.history[: data.draw(st.integers(0, len(search.history)))]
    live, again, reports = (
        Bracket(rule(), exempt=search.bracket.exempt, settled=search.bracket.settled) for _ in range(3)
    )
    replay(live, history)
    doubled = [r for record in history for r in ([record, record] if isinstance(record, Report) else [record])]
    replay(again, doubled)  # a report that arrives twice changes nothing
    assert again == live
    replay(reports, [r for r in history if not isinstance(r, Start)])
    assert [r.ranked for r in reports.rungs] == [r.ranked for r in live.rungs]
    flying = {r.trial for r in history if isinstance(r, Start)} & live.running
    for mine, full in zip(reports.rungs, live.rungs, strict=True):  # but for promotions in flight
        assert {e.trial for e in mine.open} - flying == {e.trial for e in full.open}


@pytest.mark.parametrize(("change", "telling"), [(0.1, True), (10.0, False)])
def test_late_trials_are_compared_at_a_rung_once_three_have_shown_that_it_tells(change: float, telling: bool) -> None:
    rng = np.random.default_rng(0)
    own = rng.normal(size=40)
    search = simulate(
        workers=2,
        trials=40,
        exempt=set(),
        score=lambda t, k: float(own[t] + change * rng.normal() * (k > 0)),
        fates={},
        pick=lambda n: int(rng.integers(n)),
        first=lambda _: 1,
    )
    assert tells(search.bracket.rungs[0].seen, search.bracket.rungs[1].seen) is telling
    assert WITNESSES <= search.paper.passed < 10 if telling else search.paper.passed == 40


def test_what_a_rung_tells() -> None:
    spread = {trial: float(trial) for trial in range(5)}
    assert tells(spread, spread)
    assert not tells(
        dict.fromkeys(range(5), 1.0), dict.fromkeys(range(5), 1.0)
    )  # a plateau: all alike, and so they stay
    assert not tells(dict.fromkeys(range(5), 1.0), spread)
    assert not tells(dict.fromkeys(range(5), 1.0) | {9: 1e308, 8: 1e308}, spread)  # a few that explode
    assert not tells(spread | {9: 1e308}, spread | {9: -1e308})
    old = dict.fromkeys(range(500), 0.0) | {1000 + trial: float(trial) for trial in range(RECENT)}
    assert tells(old, old)  # the newest count


def test_the_live_state_is_the_replayed_one() -> None:
    rng = np.random.default_rng(0)
    search = simulate(4, 60, {0}, lambda _t, _k: float(rng.normal()), {}, lambda n: int(rng.integers(n)))
    again = Bracket(rule())
    again.exempt = search.bracket.exempt
    replay(again, search.history)
    assert again == search.bracket


def test_one_worker_and_stable_ranks_give_the_textbook_rungs() -> None:
    search = simulate(1, 27, set(), lambda t, _k: float(t), {}, lambda _n: 0)
    assert [len(r.ranked) for r in search.bracket.rungs] == [27, 9, 3, 1]


@pytest.mark.parametrize("trials", [1, 2, 3, 5, 8, 26])
def test_a_small_search_hands_over_a_trained_trial(trials: int) -> None:
    search = simulate(2, trials, set(), lambda t, _k: float(-t), {}, lambda _n: 0)
    assert len(search.bracket.rungs[-1].ranked) >= 1


# Single rules.


def test_exempt_trials_count_but_never_wait() -> None:
    bracket = Bracket(rule(), exempt={0}.__contains__)
    assert [bracket.report(Report(0, s, 5.0)) for s in (1, 3, 9, 27)] == [
        "continue",
        "continue",
        "continue",
        "complete",
    ]
    assert [bracket.report(Report(t, 1, float(t))) for t in (1, 2)] == ["pause", "pause"]
    assert list(bracket.promotions()) == [1]  # three of them are in the rung, by the exempt one
    stopping = Bracket(rule("stop"), exempt={3}.__contains__)
    assert [stopping.report(Report(t, 1, float(t))) for t in (0, 1, 2, 3)] == ["continue", "stop", "stop", "continue"]


def test_a_trial_is_compared_from_its_settled_step_on() -> None:
    for mode, waits in (("promote", "pause"), ("stop", "continue")):
        bracket = Bracket(rule(mode), settled={0: 0, 1: 2, 2: 10, 3: 99}.__getitem__)  # type: ignore[arg-type]
        assert [bracket.report(Report(0, s, 5.0)) for s in (1,)] == [waits]
        assert [bracket.report(Report(1, s, 5.0)) for s in (1, 2, 3)] == ["continue", "continue", waits]
        assert [bracket.report(Report(2, s, 5.0)) for s in (1, 3, 9, 27)] == ["continue"] * 3 + ["complete"]
        assert [bracket.report(Report(3, s, 5.0)) for s in (1, 3, 9, 27)] == ["continue"] * 3 + ["complete"]
        assert [set(rung.scores) for rung in bracket.rungs] == [{0}, {1}, set(), {2, 3}]


def test_a_diverged_trial_is_entered_where_it_would_have_come_next() -> None:
    bracket = Bracket(rule())
    assert bracket.report(Report(0, 1, 0.0)) == "pause"
    bracket.start(0)
    assert bracket.report(Report(0, 2, 0.5)) == "continue"
    assert bracket.report(Report(0, 2, 0.5, "diverged")) == "stop"
    assert bracket.rungs[1].scores == {0: WORST}
    assert bracket.report(Report(0, 3, 0.5)) == "stop"  # whatever comes late
    assert bracket.closing() is None and not bracket.waiting


@pytest.mark.parametrize("mode", ["promote", "stop"])
def test_worse_than_the_worst_value_is_as_bad_as_that(mode: Mode) -> None:
    bracket = Bracket(rule(mode))
    for trial, score in enumerate([WORST + 2, WORST + 1, WORST]):
        assert bracket.report(Report(trial, 1, score)) == ("pause" if mode == "promote" else "continue")
    assert bracket.rungs[0].scores == dict.fromkeys(range(3), WORST)
    assert list(bracket.promotions()) == ([0] if mode == "promote" else [])
    assert bracket.report(Report(3, 2, WORST + 1, "ended")) == "complete"
    assert bracket.rungs[0].scores[3] == WORST
    assert bracket.report(Report(4, 1, math.inf)) == "stop" and bracket.diverged == {4}


@pytest.mark.parametrize("change", [0.1, 10.0])
def test_until_three_trials_show_that_how_much_worse_tells(change: float) -> None:
    bracket = Bracket(rule("stop"), exempt=lambda _: True)
    for trial in range(8):
        assert bracket.report(Report(trial, 1, WORST + trial)) == "continue"
        assert bracket.report(Report(trial, 3, WORST + trial + change * (-1) ** trial)) == "continue"
    told = {trial: WORST + (trial if trial >= WITNESSES and change < 1 else 0) for trial in range(8)}
    assert bracket.rungs[0].scores == told
    assert bracket.report(Report(0, 27, WORST + 5)) == "complete"
    assert bracket.rungs[-1].scores == {0: WORST + 5}  # nothing is decided there


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_the_worst(score: float) -> None:
    for mode in ("promote", "stop"):
        bracket = Bracket(rule(mode))  # type: ignore[arg-type]
        assert bracket.report(Report(0, 1, score)) == "stop"
        assert bracket.rungs[0].scores == {0: WORST} and bracket.diverged == {0}


def test_stopping_looks_at_rungs_only() -> None:
    bracket = Bracket(rule("stop"))
    for trial in range(6):
        bracket.report(Report(trial, 1, float(trial)))
    assert bracket.report(Report(6, 2, 99.0)) == "continue"
    assert bracket.report(Report(6, 3, 99.0)) == "continue"  # nobody to compare with there
    assert bracket.report(Report(6, 27, 99.0)) == "complete"


def test_ten_thousand_trials_are_fine() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=10_000)
    bracket = Bracket(rule())
    began = time.process_time()
    for trial in range(10_000):
        bracket.report(Report(trial, 1, float(scores[trial])))
        while (best := next(bracket.promotions(), None)) is not None:
            bracket.start(best)
            bracket.report(Report(best, bracket.rule.rungs[bracket.reached[best]], float(scores[best])))
    assert time.process_time() - began < 5  # about 0.2 s: a slip to O(n) per decision would take minutes
