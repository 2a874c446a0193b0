"""What a tournament says: mean regrets with their standard errors over tasks, and paired differences."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from search.simulate.clock import Handover
from search.simulate.table import Array
from search.simulate.tournament import Game


@dataclass(frozen=True)
class Score:
    """A mean over tasks at each mark: tasks count alike within their benchmark, benchmarks count alike."""

    mean: Array  # (marks,)
    error: Array  # (marks,), the standard error over tasks (over seeds, with a single task); NaN below two
    tasks: int
    seeds: int  # the fewest of any task


class Standings:
    """All games of a tournament, by policy."""

    def __init__(self, games: Iterable[Game], marks: Sequence[int], handover: Handover) -> None:
        """Raises ValueError where there is no game."""
        self.marks = np.asarray(marks)
        self._groups: dict[str, str] = {}
        self._games: dict[str, dict[str, dict[int, Array]]] = {}  # policy -> task -> seed -> regrets
        for game in games:
            self._groups[game.task] = game.group
            self._games.setdefault(game.policy, {}).setdefault(game.task, {})[game.seed] = np.asarray(
                game.regrets(handover)
            )
        if not self._games:
            raise ValueError("there is no game to sum up")

    @property
    def policies(self) -> list[str]:
        """Names, in the order in which they came."""
        return list(self._games)

    def score(self, policy: str) -> Score:
        """The policy's regret."""
        return self._over({task: list(seeds.values()) for task, seeds in self._games[policy].items()})

    def difference(self, policy: str, reference: str) -> Score:
        """Regret minus the reference's, over the (task, seed) that both have played; below 0 is better."""
        theirs = self._games[reference]
        pairs = {
            task: [regrets - theirs[task][seed] for seed, regrets in seeds.items() if seed in theirs.get(task, {})]
            for task, seeds in self._games[policy].items()
        }
        return self._over({task: found for task, found in pairs.items() if found})

    def reach(self, policy: str, level: float) -> int | None:
        """The first mark from which on the policy's mean regret stays at or below `level`; None if it does not."""
        above = np.flatnonzero(self.score(policy).mean > level)
        first = int(above[-1]) + 1 if len(above) else 0
        return int(self.marks[first]) if first < len(self.marks) else None

    def at(self, mark: int) -> int:
        """The place of a mark."""
        return int(np.flatnonzero(self.marks == mark)[0])

    def _over(self, tasks: dict[str, list[Array]]) -> Score:
        if not tasks:
            raise ValueError("the two policies have no (task, seed) in common")
        by_group: dict[str, list[Array]] = {}
        for task, runs in tasks.items():
            by_group.setdefault(self._groups[task], []).extend([np.mean(runs, axis=0)] if len(tasks) > 1 else runs)
        means = [np.mean(each, axis=0) for each in by_group.values()]
        squares = [self._square(each) for each in by_group.values()]
        error = np.sqrt(np.sum(squares, axis=0)) / len(by_group)
        return Score(np.mean(means, axis=0), error, len(tasks), min(map(len, tasks.values())))

    def _square(self, values: list[Array]) -> Array:
        """The squared standard error of a mean at each mark."""
        if len(values) < 2:
            return np.full(len(self.marks), np.nan)
        square: Array = np.var(values, axis=0, ddof=1) / len(values)
        return square
