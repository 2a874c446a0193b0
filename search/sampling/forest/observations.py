"""Trials as observations: every (trial, step) at which configs are compared, with a rank among all of them."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtri

from search.sampling.parego import scalars

Array = NDArray[np.float64]
THINNING = 3
"""Where no rungs are given, reports are taken at R, R/3, R/9, …: early steps lie close together in what they tell."""
LEVELS = 5
"""… so many of them."""


@dataclass(frozen=True)
class Observations:
    """One row per (trial, step). Rows are in the order of trials, a trial's in the order of steps."""

    trial: NDArray[np.intp]
    """Which of the trials, counted from 0."""
    step: Array
    target: Array
    """Normal score of the rank among all rows: lower is better, 0 the median."""
    healthy: NDArray[np.bool_]
    """False where a constraint is violated or the value is no number."""

    def __len__(self) -> int:
        return len(self.trial)


def last_step(trials: Sequence[FrozenTrial]) -> int:
    """The largest step that any trial has reported; 1 where none has."""
    return max((max(t.intermediate_values) for t in trials if t.intermediate_values), default=1)


def thinned(horizon: int) -> tuple[int, ...]:
    """Steps to look at where no rungs are given: `horizon` and thirds of it, ascending."""
    return tuple(sorted({max(1, horizon // THINNING**level) for level in range(LEVELS)}))


def observe(
    trials: Sequence[FrozenTrial],
    directions: Sequence[StudyDirection],
    rungs: Sequence[int],
    horizon: int,
    weights: Array,
) -> Observations:
    """What `trials` say.

    A trial counts at each rung with its last report up to there. A completed one counts at `horizon` with its
    value; what it ended by itself before, it would have kept. One that violates a constraint (diverged, say) is worse
    at `horizon` than all that do not, and the more the worse; so is a report or value that is not a number.
    Several objectives become one by `weights` (`search.sampling.parego`).
    """
    signs = [1.0 if direction == StudyDirection.MINIMIZE else -1.0 for direction in directions]
    finals = _scalars(trials, signs, weights)
    rows: list[tuple[int, int, float, float]] = []
    for index, trial in enumerate(trials):
        for step, value in _readings(trial, rungs, horizon):
            rows.append((index, step, 0.0, math.inf if math.isnan(value) else signs[0] * value))
        if trial.state == TrialState.COMPLETE or (trial.state == TrialState.PRUNED and _violation(trial)):
            rows.append((index, horizon, _violation(trial), finals.get(index, math.inf)))
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    of, at, violation, score = table.T
    healthy = (violation == 0) & np.isfinite(score)
    return Observations(of.astype(np.intp), at, normal_scores(violation, score), healthy)


def normal_scores(first: Array, then: Array) -> Array:
    """Φ⁻¹((rank − ½) / n) of rows ordered by `first` and `then`; equal rows share their mean rank. Shape (n,)."""
    order = np.lexsort((then, first))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(first[order]) != 0) | (then[order][1:] != then[order][:-1])
    group = np.cumsum(new) - 1
    ends = np.cumsum(np.bincount(group, minlength=1))
    starts = np.concatenate(([0], ends[:-1]))
    out = np.empty(len(order))
    out[order] = ndtri(((starts + ends) / 2 / max(len(order), 1))[group])
    return out


def _readings(trial: FrozenTrial, rungs: Sequence[int], horizon: int) -> list[tuple[int, float]]:
    """(step, value) of the last report up to each rung, if there is one since the rung before.

    The last rung of a completed trial is left to its value.
    """
    values = trial.intermediate_values
    steps = sorted(values)
    found: list[tuple[int, float]] = []
    seen = 0
    for rung in rungs:
        upto = bisect_right(steps, rung)
        if upto > seen and not (rung == horizon and trial.state == TrialState.COMPLETE):
            found.append((steps[upto - 1], values[steps[upto - 1]]))
        seen = upto
    return found


def _scalars(trials: Sequence[FrozenTrial], signs: Sequence[float], weights: Array) -> dict[int, float]:
    """One number per completed trial, lower is better, by its place in `trials`."""
    done = [index for index, trial in enumerate(trials) if trial.state == TrialState.COMPLETE and trial.values]
    values = np.array([trials[index].values for index in done], dtype=np.float64).reshape(len(done), len(signs))
    values = np.where(np.isnan(values * signs), math.inf, values * signs)
    single = values[:, 0] if len(signs) == 1 else scalars(values, weights)
    return dict(zip(done, single.tolist(), strict=True))


def _violation(trial: FrozenTrial) -> float:
    """By how much a trial violates its constraints; 0 for one that violates none."""
    if not trial.system_attrs:  # reading constraints takes longer than all else here, and few trials have any
        return 0.0
    return sum(value for value in trial.constraints.values() if value > 0)
