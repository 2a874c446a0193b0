"""The scheduler on a small stand-in for Ray's controller; `mode: stop` against Ray's own class.

Where `mode: stop` differs from Ray's AsyncHyperBandScheduler on purpose:
- a score that is not finite: Ray lets NaN pass every cutoff and run to the end; here it is the worst score, and stops;
- a report between rungs: Ray enters it at the rung below, even one that the trial has passed; here it is not judged;
- a report without step or objective: Ray skips it silently; here it is an error;
- brackets: Ray may draw one per trial from numpy's global generator; here there is one;
- exempt trials: here alone;
- the reduction factor is a whole number, so that rungs are steps.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import AsyncHyperBandScheduler
from rung_history import Gone, Record, Start, replay

from search.execution.ray_scheduler import RungScheduler
from search.history.events import Paused, Promoted
from search.stopping.bracket import Bracket, Report
from search.stopping.ladder import ladder
from search.stopping.rungs import Mode, Rule
from trainables.run import DIVERGED, ENDED, OBJECTIVE, STEP


@dataclass(eq=False)
class Trial:
    """As much of Ray's trial as a scheduler sees."""

    number: int
    status: str = "PENDING"
    saving: bool = False
    step: int = 0
    saved: int = 0

    @property
    def config(self) -> dict[str, int]:
        return {"trial": self.number}

    @property
    def trial_id(self) -> str:
        return f"id{self.number}"


def scheduler(
    mode: Mode = "promote",
    rungs: tuple[int, ...] = (1, 3, 9, 27),
    objective: str = "min",
    reduction: int = 3,
    workers: int = 1,
    exhausted: Callable[[], bool] = lambda: False,
    emit: Callable[[Paused | Promoted], None] = lambda _: None,
    exempt: Callable[[int], bool] = lambda _: False,
    history: list[Record] | None = None,
) -> RungScheduler:
    rule = Rule(mode, rungs, reduction, objective, -9.0 if objective == "max" else 9.0)  # type: ignore[arg-type]
    bracket = Bracket(rule, exempt=exempt)
    replay(bracket, history or [])
    return RungScheduler(bracket, lambda: workers, exhausted, emit)


def result(step: int, objective: float, **more: str) -> dict[str, Any]:
    return {STEP: step, OBJECTIVE: objective, **more}


# mode: stop, against Ray.


@pytest.mark.parametrize("block", range(10))
def test_stopping_decides_as_ray(block: int) -> None:
    for seed in range(100 * block, 100 * block + 100):
        compare_with_ray(np.random.default_rng(seed))


def compare_with_ray(rng: np.random.Generator) -> None:
    """A random stream of reports from interleaved trials, to both."""
    reduction, first = int(rng.choice([2, 3, 4, 5])), int(rng.choice([1, 2, 5]))
    power = first * reduction ** int(rng.integers(1, 5))
    horizon = power if rng.random() < 0.5 else int(rng.integers(first + 1, 200))
    objective = str(rng.choice(["min", "max"]))
    ours = scheduler("stop", ladder(first, reduction, horizon, 1), objective, reduction, workers=99)
    theirs = AsyncHyperBandScheduler(STEP, OBJECTIVE, objective, horizon, first, reduction)
    live = [Trial(n) for n in range(int(rng.integers(1, 26)))]
    for trial in live:
        ours.on_trial_add(None, trial)
        theirs.on_trial_add(None, trial)
    coarse = rng.random() < 0.5  # ties, and scores that hit the cutoff exactly
    while live:
        trial = live[int(rng.integers(len(live)))]
        trial.step += 1
        report = result(trial.step, float(rng.integers(0, 6)) if coarse else float(rng.normal()))
        decision = ours.on_trial_result(None, trial, report)
        assert decision == theirs.on_trial_result(None, trial, report), (trial.number, trial.step)
        if decision == "STOP":
            ours.on_trial_complete(None, trial, report)
            theirs.on_trial_complete(None, trial, report)
            live.remove(trial)
    assert ours.free() == 99


def ray_asha() -> AsyncHyperBandScheduler:
    return AsyncHyperBandScheduler(STEP, OBJECTIVE, "min", 27, 1, 3)


def test_ray_never_stops_a_nan_and_we_do() -> None:
    ours, theirs = scheduler("stop"), ray_asha()
    trial = Trial(0)
    for each in (ours, theirs):
        each.on_trial_add(None, trial)
    assert theirs.on_trial_result(None, trial, result(1, math.nan)) == "CONTINUE"
    assert ours.on_trial_result(None, trial, result(1, math.nan)) == "STOP"


def test_ray_judges_between_rungs_and_we_do_not() -> None:
    ours, theirs = scheduler("stop"), ray_asha()
    for each in (ours, theirs):
        for number in range(3):
            trial = Trial(number)
            each.on_trial_add(None, trial)
            assert each.on_trial_result(None, trial, result(3, 0.0)) == "CONTINUE"
        late = Trial(3)
        each.on_trial_add(None, late)
        assert each.on_trial_result(None, late, result(5, 1.0)) == ("CONTINUE" if each is ours else "STOP")


def test_a_report_without_step_or_objective_is_an_error() -> None:
    ours = scheduler("stop")
    ours.on_trial_add(None, Trial(0))
    with pytest.raises(ValueError, match="trial 0 reported no 'step' or no 'objective'; it reported \\['loss'\\]"):
        ours.on_trial_result(None, Trial(0), {"loss": 1.0})


# mode: promote, on a stand-in for Ray that pauses, saves, fails and retries as the real one does.


@dataclass
class World:
    """A controller, a searcher and workers. Invariants are checked at every event."""

    workers: int
    trials: int
    score: Callable[[int, int], float]
    pick: Callable[[int], int]
    mode: Mode = "promote"
    fails: float = 0.0  # chance of a failure per event; half of them for good
    fates: Mapping[int, str] = field(default_factory=dict)  # trial -> ENDED or DIVERGED, at step 2
    every: int = 1
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    history: list[Record] = field(default_factory=list)
    decisions: list[Paused | Promoted] = field(default_factory=list)
    abandoned: set[int] = field(default_factory=set)
    proposed: int = 0
    first_exempt: bool = True
    steps: dict[int, int] = field(default_factory=dict)  # trial -> step of its checkpoint, which survives a crash

    def boot(self) -> None:
        """Start, or start again after a crash: nothing but history, checkpoints and the proposals' count is left."""
        self.live: dict[int, Trial] = {}
        self.over: set[int] = set()
        self.scheduler = scheduler(
            self.mode,
            workers=self.workers,
            exhausted=lambda: self.proposed >= self.trials,
            emit=self.hear,
            exempt=lambda n: self.first_exempt and n == 0,
            history=self.history,
        )

    def hear(self, decision: Paused | Promoted) -> None:
        self.decisions.append(decision)
        if isinstance(decision, Promoted):
            self.history.append(Start(decision.trial))

    def stop_trial(self, trial: Trial) -> None:  # what the scheduler calls
        assert trial.status in ("PAUSED", "PENDING")
        self.scheduler.on_trial_remove(self, trial)
        self.abandoned.add(trial.number)
        self.drop(trial)

    def drop(self, trial: Trial) -> None:
        trial.status = "TERMINATED"
        del self.live[trial.number]

    def add(self, number: int) -> None:
        at = self.steps.get(number, 0)
        self.live[number] = Trial(number, step=at, saved=at)
        self.scheduler.on_trial_add(self, self.live[number])
        self.history.append(Start(number))

    def fill(self) -> None:
        """Controller steps until nothing changes: ask the searcher, ask the scheduler, give workers away."""
        while True:
            before = self.state()
            if (next_resumable := self.scheduler.next_resumable()) is not None:
                assert next_resumable not in self.live
                self.add(next_resumable)
            elif self.proposed < self.trials and self.scheduler.room():
                self.proposed += 1
                self.add(self.proposed - 1)
            chosen = self.scheduler.choose_trial_to_run(self)
            assert chosen is self.scheduler.choose_trial_to_run(self)  # idempotent
            if chosen is not None:
                assert chosen.status in ("PAUSED", "PENDING") and self.live[chosen.number] is chosen
                chosen.status = "PENDING"
            for trial in self.live.values():
                if trial.status == "PENDING" and self.busy("RUNNING") < self.workers:
                    trial.status = "RUNNING"
            if self.state() == before:
                return

    def busy(self, *status: str) -> int:
        return sum(t.status in status for t in self.live.values())

    def state(self) -> object:
        return self.proposed, sorted((n, t.status) for n, t in self.live.items())

    def event(self) -> bool:
        """One thing happens in one worker; False when the search is over."""
        self.fill()
        running = [t for t in self.live.values() if t.status == "RUNNING"]
        assert len(running) == self.busy("RUNNING", "PENDING") <= self.workers  # no early decisions
        if len(running) < self.workers:  # a worker idles only if nothing at all can run
            saving = {t.number for t in running if t.saving}
            assert self.proposed == self.trials
            assert set(self.scheduler.bracket.promotions()) <= saving | {t.number for t in running}
        if not running:
            assert self.scheduler.finished() and not self.live
            return False
        assert not self.scheduler.finished()
        trial = running[self.pick(len(running))]
        if self.rng.random() < self.fails:
            self.fail(trial)
        elif trial.saving:
            trial.saving, trial.status, trial.saved = False, "PAUSED", trial.step
            self.steps[trial.number] = trial.step
        else:
            self.train(trial)
        return True

    def fail(self, trial: Trial) -> None:
        again = self.rng.random() < 0.5
        self.scheduler.on_trial_error(self, trial)
        self.drop(trial)
        self.scheduler.lost(trial.number, again)
        if not again:
            self.history.append(Gone(trial.number))

    def train(self, trial: Trial) -> None:
        trial.step += self.every
        fate = self.fates.get(trial.number) if trial.step >= 2 else None
        report = result(trial.step, self.score(trial.number, trial.step), **({fate: "why"} if fate else {}))
        kind = {ENDED: "ended", DIVERGED: "diverged"}.get(fate or "", "running")
        self.history.append(Report(trial.number, trial.step, report[OBJECTIVE], kind))  # type: ignore[arg-type]
        # Ray doesn't ask the scheduler about a report with `done`
        decision = "STOP" if fate else self.scheduler.on_trial_result(self, trial, report)
        if decision == "PAUSE":
            trial.saving = True
        elif decision == "STOP":
            self.scheduler.on_trial_complete(self, trial, report)
            self.drop(trial)

    def run(self, limit: int = 100_000) -> None:
        assert any(not self.event() for _ in range(limit)), "the search doesn't end"

    def rungs(self) -> list[int]:
        return [len(r.ranked) for r in self.scheduler.bracket.rungs]


def by_number(trial: int, _step: int) -> float:
    return float(trial)


def first(_count: int) -> int:
    return 0


@st.composite
def worlds(draw: st.DrawFn) -> World:
    trials = draw(st.integers(0, 30))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(trials, 28))
    numbers = st.integers(0, max(trials - 1, 0))
    return World(
        workers=draw(st.integers(1, 7)),
        trials=trials,
        score=lambda t, step: float(table[t, step]),
        pick=lambda n: int(rng.integers(n)),
        mode=draw(st.sampled_from(["promote", "promote", "stop"])),
        fails=draw(st.sampled_from([0.0, 0.0, 0.05])),
        fates=draw(st.dictionaries(numbers, st.sampled_from([ENDED, DIVERGED]), max_size=8)),
        rng=rng,
        first_exempt=draw(st.booleans()),
    )


def check_accounts(world: World) -> None:
    """Every trial is over, gone, or let go of at a rung that doesn't promote it."""
    bracket = world.scheduler.bracket
    assert set(bracket.reached) == set(range(world.trials))
    assert not bracket.running
    assert next(bracket.promotions(), None) is None and bracket.closing() is None
    assert world.abandoned <= set(bracket.waiting)


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_no_trial_starves_and_no_worker_idles(world: World) -> None:
    world.boot()
    world.run()
    check_accounts(world)
    if not world.fails:  # one that failed while it saved waits, too, but Ray doesn't hold it
        assert world.abandoned == set(world.scheduler.bracket.waiting)


@settings(max_examples=150, deadline=None)
@given(worlds(), st.lists(st.integers(1, 40), min_size=1, max_size=3))
def test_a_search_that_is_killed_goes_on_from_its_history(world: World, crashes: list[int]) -> None:
    for events in crashes:
        world.boot()
        if not all(world.event() for _ in range(events)):
            break
    world.scheduler.free()  # a failure just before the crash is taken in
    before = world.scheduler.bracket
    world.boot()
    assert world.scheduler.bracket == before
    world.run()
    check_accounts(world)


@pytest.mark.parametrize("workers", [1, 2])
def test_textbook_rungs(workers: int) -> None:
    world = World(workers, 27, by_number, first, first_exempt=False)
    world.boot()
    world.run()
    assert world.rungs() == [27, 9, 3, 1]
    kinds = [type(decision) for decision in world.decisions]
    assert (kinds.count(Paused), kinds.count(Promoted), len(world.abandoned)) == (39, 13, 26)


def test_a_grown_search_promotes_further() -> None:
    world = World(2, 9, by_number, first, first_exempt=False)
    world.boot()
    world.run()
    assert world.rungs() == [9, 3, 1, 1]
    world.trials = 27
    world.boot()
    world.run()
    assert world.rungs() == [27, 9, 3, 1]


def test_a_pause_that_fails_to_save_keeps_its_place() -> None:
    world = World(1, 3, by_number, first, first_exempt=False)
    world.boot()
    assert world.event() and world.live[0].saving
    trial = world.live[0]
    world.scheduler.on_trial_error(world, trial)
    world.drop(trial)
    world.scheduler.lost(0, again=True)
    assert world.scheduler.free() == 1 and world.scheduler.next_resumable() is None
    assert sorted(world.scheduler.bracket.waiting) == [0]
    world.run()
    assert world.rungs() == [3, 1, 1, 1]


def test_a_trial_stopped_by_someone_else_is_gone() -> None:
    ours = scheduler(workers=2)
    for number in (0, 1, 2):
        ours.on_trial_add(None, trial := Trial(number, "RUNNING"))
        assert ours.on_trial_result(None, trial, result(1, float(number))) == "PAUSE"
        trial.status = "PAUSED"
        if number == 0:
            ours.on_trial_remove(None, trial)
    ours.on_trial_add(None, late := Trial(3, "RUNNING"))
    ours.on_trial_complete(None, late, {})  # stopped before its first report
    assert sorted(ours.bracket.waiting) == [1, 2] and ours.bracket.final(0) and ours.bracket.final(3)
    assert ours.choose_trial_to_run(None) is None  # 0 holds the only promotion of the rung
    assert ours.room()


def test_ray_may_pickle_it_whatever_the_callbacks_hold() -> None:
    ours = scheduler(exhausted=iter([]).__next__)
    assert ours.__getstate__() == {}
    assert ours.set_search_properties(None, None) and ours.set_search_properties(OBJECTIVE, "min")
    assert not ours.set_search_properties(OBJECTIVE, "max") and not ours.set_search_properties("loss", "min")
    assert "trials per rung {1: 0, 3: 0, 9: 0, 27: 0}" in ours.debug_string()
    with pytest.raises(ValueError, match="workers is 0"):
        scheduler(workers=0)
