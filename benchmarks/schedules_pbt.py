"""Population based training for `schedules.py`, as Ray's `PopulationBasedTraining(synch=True)` does it.

Its options as they come: the worse quarter takes over weights and values of trials of the better quarter, each value
drawn anew with chance .25, else multiplied by .8 or 1.2; that happens every tenth of a training, as our `kind: pbt` has
it. Ray's class itself wants Tune's loop, so its rule stands here again. The population is as large as the steps of the
search allow when each member trains to its end. The first member is the documented baseline.

What it hands over is what it found: a training whose values change on the way, trained so again on the fresh seeds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from benchmarks.schedules_training import Course, Curve
from search.execution.ray_schedulers import RESAMPLE, explore
from search.sampling.proposer import Proposer
from search.spec.search import Search
from spaces.paths import with_values
from spaces.problems import BadInput
from trainables.run import score

QUANTILE = 0.25

Values = Mapping[str, Any]


class PbtPolicy:
    """The population; a member is a trial."""

    def __init__(
        self,
        search: Search,
        begin: Callable[[Course], Curve],
        draws: Proposer,
        seed: int,
        steps: int,
        marks: Sequence[int],
    ) -> None:
        self._search, self._begin, self._draws, self._marks = search, begin, draws, marks
        self._evaluations = search.horizon // search.every
        self._size = max(2, steps // search.horizon)
        self._interval = max(1, self._evaluations // 10)
        self._changeable = {k.path: k.domain for k in search.space.knobs if k.path in search.model.changeable}
        self._rng = np.random.default_rng(seed)
        self._members: list[Curve] = []
        self._scores: list[float] = []  # newest, lower is better
        self._trained = 0  # evaluations of those that wait
        self._waiting: list[int] = []  # for the others, at the end of the interval
        self._ready: list[int] = []  # for a worker
        self._spent = 0
        self._handed: list[list[Course]] = []  # at each mark

    def take(self) -> int | None:
        """A member that is to be trained to the next interval; None while the others are awaited."""
        if len(self._members) < self._size:
            values = self._draws.propose(len(self._members))
            assert values is not None, "the space is run through"
            self._members.append(self._begin(((0, values),)))
            self._scores.append(math.inf)
            return len(self._members) - 1
        if len(self._waiting) == self._size:
            self._exploit(at=self._trained)
            self._ready, self._waiting = self._waiting, []
        return self._ready.pop(0) if self._ready else None

    def curve(self, trial: int) -> Sequence[float]:
        """What the member reports, whatever its weights are."""
        return _Member(self._members, trial)

    def report(self, trial: int, step: int, value: float) -> bool:
        """Take in an evaluation; whether the member goes on to the next one at once."""
        self._spent += 1
        if self._spent in self._marks:
            self._handed.append([member.course for member in self._members])
        at = step // self._search.every
        objective = self._search.model.objective
        self._scores[trial] = value if math.isfinite(value) else score(objective.worst, objective.mode)
        if at == self._evaluations:
            return False
        if at % self._interval:
            return True
        self._trained = at
        self._waiting.append(trial)
        return False

    def handed_over(self, mark: int, trial: int) -> Course:
        """How the member was trained until a mark."""
        return (self._handed[mark] if mark < len(self._handed) else [each.course for each in self._members])[trial]

    def _exploit(self, at: int) -> None:
        """The worse quarter goes on from the better one."""
        ranks = sorted(range(self._size), key=lambda trial: -self._scores[trial])
        count = min(math.ceil(self._size * QUANTILE), self._size // 2)
        worse, better = ranks[:count], ranks[-count:]
        members = list(self._members)
        for trial in worse:
            source = members[better[int(self._rng.integers(count))]]
            self._members[trial] = source.forked(self._explored(source.course[-1][1]), at)
            members[trial].close()

    def _explored(self, values: Values) -> Values:
        new = explore(values, self._changeable, RESAMPLE, self._rng)
        try:
            self._search.model.parse(with_values(self._search.base, new), "a member")
        except BadInput:  # two knobs that don't go together
            return values
        return new


@dataclass(frozen=True)
class _Member(Sequence[float]):
    """What a member reports, by whichever weights it has when it is asked."""

    members: Sequence[Curve]
    trial: int

    def __len__(self) -> int:
        return len(self.members[self.trial])

    @overload
    def __getitem__(self, at: int) -> float: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[float]: ...
    def __getitem__(self, at: int | slice) -> float | Sequence[float]:
        return self.members[self.trial][at]
