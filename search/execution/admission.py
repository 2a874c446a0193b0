"""When a trial may run, and when the sitting ends: what the engine asks on every turn of Ray's loop."""

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol


class Gate(Protocol):
    """Says when a worker is free, and for whom."""

    def next_resumable(self) -> int | None:
        """A known trial that should run now and that Ray doesn't hold."""

    def room(self) -> bool:
        """Whether a worker is free that no known trial can use."""

    def spare(self) -> bool:
        """Whether a worker is free that the search hardly needs any more, while others still train for it."""

    def undecided(self) -> Collection[int] | None:
        """The search's own trials at work, by number, if no other one can change any more."""

    def finished(self) -> bool:
        """Whether nothing runs, waits or will come."""

    def has_pending_work(self) -> bool:
        """Whether one more worker would have something to do."""

    def lost(self, trial: int, again: bool) -> None:
        """A running trial failed; `again`: it is to run once more, from its checkpoint."""


@dataclass
class Slots:
    """The gate for schedulers that promote nothing of their own: so many trials at once, unfinished ones first."""

    workers: Callable[[], int]
    """How many may run or await a worker, now."""
    exhausted: Callable[[], bool]
    unfinished: list[int] = field(default_factory=list)
    """Trials of an earlier sitting, or proposed already."""
    busy: set[int] = field(default_factory=set)
    left: Callable[[int], int] = lambda _: 0
    """Units that a trial has still to train; of those that wait, the one with most comes first."""
    turn: int = 0
    """Where trials go on from their checkpoints: units that it takes to be worth it for one to make room for another
    that has more left. 0: each is trained in one go."""
    leaving: set[int] = field(default_factory=set)
    """Of the busy ones, those that make room and have not left yet."""

    def next_resumable(self) -> int | None:
        """The next unfinished trial, if a worker is free."""
        if len(self.busy) >= self.workers() or not self.unfinished:
            return None
        number = max(self.unfinished, key=self.left)
        self.unfinished.remove(number)
        return number

    def makes_room(self, trial: int) -> bool:
        """Whether a running trial is to leave its worker now to one that waits, as nobody would wait for the last ones
        then. Not while so much waits that each worker has one more trial to come anyway.
        """
        if not self.turn or len(self.unfinished) <= len(self.leaving):
            return False
        waiting = [self.left(each) for each in self.unfinished]
        longest = max(waiting)
        if longest - self.left(trial) < self.turn or sum(waiting) >= longest * self.workers():
            return False
        if gain([self.left(each) for each in self.busy], waiting) < self.turn:
            return False
        self.leaving.add(trial)
        return True

    def left_worker(self, trial: int) -> None:
        """A trial has no worker any more, nor awaits one."""
        self.busy.discard(trial)
        self.leaving.discard(trial)

    def room(self) -> bool:
        """Whether a worker is free."""
        return len(self.busy) < self.workers() and not self.unfinished

    def spare(self) -> bool:
        """Never: whatever it runs is waited for."""
        return False

    def undecided(self) -> None:
        """Not known."""

    def finished(self) -> bool:
        """Whether nothing runs and nothing will come."""
        return not self.busy and not self.unfinished and self.exhausted()

    def has_pending_work(self) -> bool:
        """Whether trials are left to be started."""
        return bool(self.unfinished) or not self.exhausted()

    def lost(self, trial: int, again: bool) -> None:
        """A failed trial comes next if it is to run again; else it is simply gone."""
        if again:
            self.unfinished.insert(0, trial)


def gain(running: Sequence[int], waiting: Sequence[int]) -> float:
    """Units by which all are trained sooner if they can take turns at the workers of the `running` ones.

    `running`, `waiting`: what each has left. In one go, those that wait take the workers as these come free, the
    longest first. In turns, all workers are busy until the end, or until the longest trial is whole (McNaughton 1959,
    Scheduling with deadlines and loss functions, theorem 3.1).
    """
    free = sorted(running)
    for each in sorted(waiting, reverse=True):
        heapq.heapreplace(free, free[0] + each)
    at_best = max(max(running), max(waiting, default=0), (sum(running) + sum(waiting)) / len(running))
    return max(free) - at_best


Kind = Literal["budget", "signal", "failures", "clock", "ray", "folder"]


@dataclass
class Halt:
    """Why the search should end now, if it should."""

    reason: str | None = None
    kind: Kind = "budget"

    @property
    def resumable(self) -> bool:
        """True: trials keep their state and go on in the next sitting. False: the search is over."""
        return self.kind != "budget"

    def call(self, reason: str, kind: Kind) -> None:
        """End the sitting at the next occasion."""
        self.reason, self.kind = reason, kind

    def clear(self) -> None:
        """Nothing should end."""
        self.reason, self.kind = None, "budget"
