"""Pieces of work measured turn and turn about, so that what else the machine does falls on all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of `clock` that `work()` takes."""
    started = clock()
    work()
    return clock() - started


def in_turns(work: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each piece of work says that it took in each round: in one order, then in the other. A round before them
    warms up.
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name in list(work)[:: -1 if turn % 2 else 1]:
            spent = work[name]()
            if turn:
                times[name].append(spent)
    return times


def ratio(times: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    """The median over the rounds of what `one` took over what `other` took."""
    return statistics.median(a / b for a, b in zip(times[one], times[other], strict=True))
