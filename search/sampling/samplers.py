"""What a sampler is told of a search: its rungs and baseline, and of its trials a bounded, ranked past."""

import hashlib
import math
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
BEST, WINDOW = 25, 100
"""TPE's group of good trials never holds more than 25, and the others lose weight with age: the best 25 and the newest
others carry nearly all that it uses, if the size of the good group goes by all trials. Without a window a proposal
takes 40 ms at 2,000 trials, and grows on."""


@dataclass(frozen=True)
class SamplerContext:
    """What a sampler that models learning curves is told of the search; values as Optuna keeps them."""

    horizon: int | None = None
    """A trial's full length, in steps."""
    rungs: Sequence[int] = ()
    """Steps at which trials are compared, ascending."""
    baseline: Mapping[str, Any] = field(default_factory=dict)
    active: Callable[[Mapping[str, Any]], Collection[str]] | None = None
    """The knobs that a config has, from its values; None: all of them."""
    project: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    """What a config becomes when it is proposed; None: it stays as it is."""


def draw_seed(seed: int, number: int, attempt: int) -> int:
    """32 bits that depend on all three and on nothing else: neither the process nor the machine."""
    digest = hashlib.sha256(f"{seed}:{number}:{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


Rank = tuple[int, float, float]


class Standing:
    """A search's trials as samplers see them, by number and by rank, kept up to date one trial at a time: so that a
    proposal costs as much in a long search as in a short one."""

    def __init__(self, direction: StudyDirection) -> None:
        self._direction = direction
        self._trials: list[FrozenTrial] = []  # by number, from 0 without gaps
        self._running: set[int] = set()
        self._ranks: dict[int, Rank] = {}
        self._ranked: list[tuple[Rank, int]] = []  # ascending: best first

    def put(self, trial: FrozenTrial) -> None:
        """Take in a new trial or the present state of one that is known."""
        number = trial.number
        if number == len(self._trials):
            self._trials.append(trial)
        self._trials[number] = trial
        if (before := self._ranks.pop(number, None)) is not None:
            del self._ranked[bisect_left(self._ranked, (before, number))]
        self._running.discard(number)
        if trial.state == TrialState.RUNNING:
            self._running.add(number)
        elif trial.state in ENDED:
            self._ranks[number] = rank(trial, self._direction)
            insort(self._ranked, (self._ranks[number], number))

    @property
    def finished(self) -> int:
        """How many have ended with a result."""
        return len(self._ranked)

    def all(self) -> list[FrozenTrial]:
        """All trials that run or have ended with a result, by number: without the failed, which samplers ignore."""
        return [trial for trial in self._trials if trial.number in self._ranks or trial.number in self._running]

    def window(self, best: int = BEST, size: int = WINDOW) -> list[FrozenTrial]:
        """Of all of them the running ones, the `best` finished and the newest others, `size` finished in all."""
        kept = {number for _, number in self._ranked[:best]}
        for number in reversed(range(len(self._trials))):
            if len(kept) >= min(size, self.finished):
                break
            if number in self._ranks:
                kept.add(number)
        return [self._trials[number] for number in sorted(kept | self._running)]


def rank(trial: FrozenTrial, direction: StudyDirection) -> Rank:
    """The order in which TPE ranks finished trials, best first: completed by value, pruned by step reached and then
    value, and those that violate a constraint."""
    sign = 1.0 if direction == StudyDirection.MINIMIZE else -1.0
    if trial.system_attrs and any(value > 0 for value in trial.constraints.values()):
        return 2, 0.0, 0.0
    if trial.state == TrialState.COMPLETE:
        assert trial.value is not None
        return 0, sign * trial.value, 0.0
    if not trial.intermediate_values:
        return 1, math.inf, 0.0
    step = max(trial.intermediate_values)
    return 1, -float(step), sign * trial.intermediate_values[step]
