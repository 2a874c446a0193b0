"""One search on a simulated clock: workers that each train one evaluation per unit of time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


class Policy(Protocol):
    """Decides what workers do: a stopping rule and a sampler together."""

    def take(self) -> int | None:
        """The trial that a free worker takes up now, an older one or a new one; None where it has to wait."""

    def curve(self, trial: int) -> Sequence[float]:
        """What the trial will report, evaluation by evaluation; NaN where it diverges. Lower is better."""

    def report(self, trial: int, step: int, value: float) -> bool:
        """Take in an evaluation; whether the trial goes on at once. Always False at the end of its curve."""


Handover = Literal["newest", "furthest"]
"""Which trial a search stands for while it runs; diverged ones are left out, ties go to the older trial.

newest    the lowest newest value of all trials, wherever each one is (`search.results.confirm.candidates`)
furthest  the lowest newest value among the trials at the greatest step
"""


@dataclass(frozen=True)
class Choice:
    """The trials that a search would hand over at a moment; None before the first value."""

    newest: int | None
    furthest: int | None


@dataclass(frozen=True)
class Run:
    """What came of a simulated search."""

    chosen: tuple[Choice, ...]  # at each mark
    trials: int
    evaluations: int


def simulate(
    policy: Policy,
    workers: int,
    evaluations: int,
    marks: Sequence[int] = (),
    every: int = 1,
) -> Run:
    """Run a search until `evaluations` are done or the policy has no more to do; `every`: steps between evaluations.

    All evaluations take one unit of time. At equal times workers come in their order, and a worker that gets free takes
    the next trial before the others report. `marks`: numbers of evaluations, ascending, at which to note what the
    search would hand over; without any, the end.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; it must be at least 1")
    floor = _Floor(policy, workers)
    newest: dict[int, tuple[int, float]] = {}  # trial -> evaluations, value
    marks = marks or (evaluations,)
    chosen: list[Choice] = []
    spent = 0
    floor.fill()
    while spent < evaluations and floor.busy:
        for worker, trial in enumerate(floor.trials):
            if trial is None:
                continue
            at = floor.done[trial]
            value = floor.curves[trial][at]
            floor.done[trial] = at = at + 1
            spent += 1
            if math.isfinite(value):
                newest[trial] = at, value
            else:
                newest.pop(trial, None)
            if not policy.report(trial, at * every, value):
                floor.release(worker)
            if floor.busy < workers:
                floor.fill()
            while len(chosen) < len(marks) and spent >= marks[len(chosen)]:
                chosen.append(_choice(newest))
            if spent >= evaluations:
                break
    chosen += [_choice(newest)] * (len(marks) - len(chosen))
    return Run(tuple(chosen), len(floor.done), spent)


class _Floor:
    """Who trains what."""

    def __init__(self, policy: Policy, workers: int) -> None:
        self._policy = policy
        self.trials: list[int | None] = [None] * workers
        self.busy = 0
        self.done: dict[int, int] = {}  # trial -> its evaluations
        self.curves: dict[int, Sequence[float]] = {}

    def fill(self) -> None:
        """Give free workers what the policy has for them."""
        for worker, trial in enumerate(self.trials):
            if trial is not None:
                continue
            taken = self._policy.take()
            if taken is None:
                return
            self.trials[worker] = taken
            self.busy += 1
            if taken not in self.done:
                self.done[taken] = 0
                self.curves[taken] = self._policy.curve(taken)

    def release(self, worker: int) -> None:
        """The worker's trial is over or waits."""
        self.trials[worker] = None
        self.busy -= 1


def _choice(newest: Mapping[int, tuple[int, float]]) -> Choice:
    """Who would be handed over now."""
    if not newest:
        return Choice(None, None)
    least = min((value, trial) for trial, (_, value) in newest.items())
    furthest = min((-at, value, trial) for trial, (at, value) in newest.items())
    return Choice(least[1], furthest[2])
