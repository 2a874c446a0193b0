"""A small stand-in for Ray's controller, and trials for a scheduler to decide about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rung_history import Gone, Record, Start, replay

from search.execution.ray_scheduler import RungScheduler
from search.history.events import Paused, Promoted
from search.stopping.bracket import Bracket, Report
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
