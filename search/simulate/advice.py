"""What another first rung would have done: a finished search's trials again, in other orders, on a simulated clock.

Only whole curves can be replayed. In a search that stops early these are mostly its winners, among which every rung
looks less telling than it is; a control group (`early_stopping.control`) or `kind: none` shows it as it is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.simulate.clock import simulate
from search.simulate.ours import RungPolicy, Source
from search.simulate.table import Array
from search.stopping.bracket import Bracket
from search.stopping.ladder import ladder
from search.stopping.rungs import Rule

LEAST = 8  # complete curves below which replays say nothing
REPLAYS = 200
MOST = 60  # configs in a replay: more take longer, and say the same
SHARE = 0.95  # of the replays, in which the winner should be kept
WORKERS = 4
ENDLESS = 10**9
CHOICES = 8  # first rungs that are tried, at most


@dataclass(frozen=True)
class Replay:
    """What came of a first rung, over all replays."""

    first_rung: int  # steps; the horizon: no early stopping
    kept: float  # share of replays in which the best config of all, or its equal, was trained to the horizon
    steps: float  # mean number of steps that a replay trained


@dataclass(frozen=True)
class Advice:
    """What replays say about the first rung that a search had."""

    text: str
    had: Replay | None = None
    """What came of the search's own first rung; None: it stopped no trial early."""
    instead: bool = False
    """Whether another first rung is advised."""

    @property
    def safe(self) -> bool:
        """Whether the search's own first rung keeps the winner nearly always."""
        return self.had is not None and self.had.kept >= SHARE


def replay(
    curves: Array,
    firsts: Sequence[int],
    reduction: int,
    every: int,
    baseline: int | None = None,
    settled: Sequence[int] = (),
) -> tuple[Replay, ...]:
    """Promotion with each of the first rungs `firsts` (steps) over the configs with these `curves`.

    curves    (n, evaluations), lower is better, NaN from where a training diverged on.
    baseline  its row, if it is among them: it comes first, and does not count as a winner.
    settled   from which step each config is compared; empty: all from the first rung on.

    A replay draws n configs (at most MOST) with replacement and runs them in random order; all first rungs meet the
    same draws. Configs whose final values differ by no more than the `noise` count as equals: who wins is luck.
    """
    horizon = curves.shape[1] * every
    others = [row for row in range(len(curves)) if row != baseline]
    rng = np.random.default_rng(0)
    draws = [rng.choice(others, min(len(others), MOST)).tolist() for _ in range(REPLAYS)]
    plain: list[list[float]] = curves.tolist()
    worst, alike = float(np.nanmax(curves)), noise(curves)
    found = []
    for first in firsts:
        rungs = (horizon,) if first >= horizon else ladder(first, reduction, horizon, every)
        rule = Rule("promote", rungs, reduction, "min", worst)
        kept, evaluations = 0, 0
        for draw in draws:
            order = draw if baseline is None else [baseline, *draw]
            bracket = Bracket(rule)
            if settled:
                bracket.settled = [settled[row] for row in order].__getitem__
            policy = RungPolicy(bracket, Listed([plain[row] for row in order]), len(order))
            evaluations += simulate(policy, WORKERS, ENDLESS, every=every).evaluations
            kept += _kept(bracket, {t: plain[row][-1] for t, row in enumerate(order) if row != baseline}, alike)
        found.append(Replay(first, kept / REPLAYS, evaluations * every / REPLAYS))
    return tuple(found)


def noise(curves: Array) -> float:
    """The standard deviation of the difference of two evaluations, from the last two of each curve: 1.48 · MAD(Δ)."""
    if curves.shape[1] < 2:
        return 0.0
    steps = curves[:, -1] - curves[:, -2]
    steps = steps[np.isfinite(steps)]
    return float(1.4826 * np.median(np.abs(steps - np.median(steps)))) if len(steps) else 0.0


def _kept(bracket: Bracket, finals: Mapping[int, float], alike: float) -> bool:
    """Whether a trial of the best final value, or `alike` it, was trained to the horizon; True where all diverge."""
    best = min((final for final in finals.values() if math.isfinite(final)), default=None)
    whole = [trial for trial in bracket.rungs[-1].scores if trial in finals and trial not in bracket.diverged]
    return best is None or any(finals[trial] <= best + alike for trial in whole)


class Listed(Source):
    """Configs in a given order; there is nothing to learn."""

    def __init__(self, curves: Sequence[Sequence[float]]) -> None:
        self._curves = curves

    def propose(self, trial: int) -> Sequence[float] | None:
        """The curve that is next; None at the end of the list."""
        return self._curves[trial] if trial < len(self._curves) else None


def choices(horizon: int, every: int, current: int) -> list[int]:
    """First rungs to try, in steps, ascending: multiples of `every` below the horizon, evenly spread in the logarithm,
    the current one among them."""
    last = horizon // every - 1
    spread = {round(float(at)) for at in np.geomspace(1, max(1, last), CHOICES)} if last >= 1 else set()
    return sorted({at * every for at in spread} | ({current} if current < horizon else set()))


def advise(replays: Sequence[Replay], current: int, horizon: int) -> Advice:
    """What follows from the replays of `choices`; `current` is the first rung that the search had (the horizon: no
    early stopping), and must be among the replays unless it is that.

    The cheapest first rung that keeps the winner in 95% of the replays is recommended, or else the one that keeps it
    most often.
    """
    by_first = {each.first_rung: each for each in replays}
    good = [each for each in replays if each.kept >= SHARE]
    best = min(good, key=lambda r: (r.steps, r.first_rung)) if good else max(replays, key=lambda r: (r.kept, -r.steps))
    if current >= horizon:
        if best.first_rung == horizon:
            text = "on your history, every first rung would have lost the winner in over 5% of replays: keep kind none"
            return Advice(text)
        whole = by_first[horizon].steps
        return Advice(
            f"on your history, first rung {best.first_rung} would have kept the winner in {best.kept:.0%} of replays "
            f"at {best.steps / whole:.2g}× the steps of training everything in full"
        )
    had = by_first[current]
    if best is had:
        what = "no other is cheaper and as safe" if good else "no other keeps it more often"
        return Advice(
            f"on your history, first rung {current} kept the winner in {had.kept:.0%} of replays; {what}", had
        )
    return Advice(
        f"on your history, first rung {best.first_rung} instead of {current} would have kept the winner in "
        f"{best.kept:.0%} of replays ({current}: {had.kept:.0%}) at {best.steps / had.steps:.2g}× the steps",
        had,
        instead=True,
    )
