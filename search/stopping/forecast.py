"""What a stopping rule is expected to cost, before anything is trained: the rule itself, played on drawn scores.

How many trials an asynchronous rule promotes hangs on the order in which good ones come: where each proposal is better
than those before it, nearly all of them are promoted. So it is played with trials that are as good early as late, with
ones that get better as the sampler learns, and with scores at one rung that tell much or little of the next.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from search.stopping.bracket import Bracket, Report, due

PLAYS = 6
"""Of each pair of the two below."""
TRENDS = 0.0, 2.0
"""By how many standard deviations of the trials' scores the last trial is expected to be better than the first."""
LASTING = 1.0, 0.3
"""Correlation between a trial's scores at two rungs."""
MOST = 100
"""Trials that are played; of more the shares are the same."""


@dataclass(frozen=True)
class Forecast:
    """How many trials reach each rung, in each play."""

    plays: tuple[tuple[int, ...], ...]

    def at(self, share: float) -> tuple[int, ...]:
        """For each rung the number of trials that reach it that `share` of the plays keep below or at."""
        return tuple(sorted(rung)[round(share * (len(rung) - 1))] for rung in zip(*self.plays, strict=True))


def forecast(make: Callable[[], Bracket | None], trials: int, workers: int) -> Forecast | None:
    """Play a search of so many trials, so many at once.

    Args:
        make: the empty rungs of the search.
        trials: of the search, the baseline among them.
        workers: trials at once.

    Returns:
        None where `make` has no rungs to give.

    """
    if make() is None:
        return None
    rng = random.Random(0)  # noqa: S311 - draws, no secret
    played = min(trials, MOST)
    found = []
    for pair in [pair for pair in product(TRENDS, LASTING) for _ in range(PLAYS)]:
        bracket = make()
        assert bracket is not None, "there is one, or none"
        trained = _play(bracket, played, workers, _scores(rng, played, *pair))
        reached = [sum(step >= rung for step in trained.values()) for rung in bracket.rule.rungs]
        found.append(tuple(round(there * trials / played) for there in reached))
    return Forecast(tuple(found))


def _scores(rng: random.Random, trials: int, trend: float, lasting: float) -> Callable[[int], float]:
    """Draws a score of a trial at a rung."""
    own = [rng.gauss(-trend * trial / trials, 1) * lasting**0.5 for trial in range(trials)]
    return lambda trial: own[trial] + rng.gauss(0, 1) * (1 - lasting) ** 0.5


def _play(bracket: Bracket, trials: int, workers: int, score: Callable[[int], float]) -> dict[int, int]:
    """Run a search to its end: how far each trial trains. A free worker takes a promoted trial, else a new one, as on
    Ray."""
    rungs, running, trained, now = bracket.rule.rungs, list[tuple[int, int, int]](), dict[int, int](), 0

    def go_on(trial: int, worker: int) -> None:
        step = next(rung for rung in rungs if rung > trained.get(trial, 0))
        heapq.heappush(running, (now + step - trained.get(trial, 0), worker, trial))
        trained[trial] = step

    while True:
        while len(running) < workers:
            trial = next(due(bracket, (), alone=not running and len(trained) == trials), len(trained))
            if trial == trials:
                break
            bracket.start(trial)
            go_on(trial, len(running))
        if not running:
            return trained
        now, worker, trial = heapq.heappop(running)
        if bracket.report(Report(trial, trained[trial], score(trial))) == "continue":
            go_on(trial, worker)
