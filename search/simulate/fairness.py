"""Did early stopping throw away the right trials? What the trials that went on say about the rungs that they passed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from search.history.records import Records, Trial
from search.simulate import advice
from trainables.run import score

FEWEST = 5  # trials below which neither a correlation nor a chance is given
DRAWS = 2000


@dataclass(frozen=True)
class RungCheck:
    """One rung of a search, looked back at. Of the trials compared most were promoted, so where early stopping worked
    the correlation is that among good ones, and less than among all."""

    step: int
    entered: int  # trials with a value at this step
    stopped: int  # of these, never went further: stopped, or waiting to be promoted
    diverged: int  # trials that diverged after the rung before, up to this step
    compared: int  # trials with a value here and at the horizon
    correlation: float | None  # Spearman's, between the two values over them; None below 5 or without any spread
    cut_best: float | None
    """Chance, by bootstrap over them, that the best one at the horizon would lie outside the best 1/reduction here."""


def rung_checks(
    records: Records, rungs: Sequence[int], reduction: int, mode: Literal["min", "max"]
) -> tuple[RungCheck, ...]:
    """A check of each rung, over the search's own trials; `rungs` ascend, the last one is the horizon."""
    trials = records.of_kind("search")
    values = [_values(trial, mode) for trial in trials]
    checks = []
    for before, step in zip((0, *rungs), rungs, strict=False):
        here = [at for at in values if step in at]
        waited = [trial for trial in trials if trial.status in {"paused", "stopped"} and trial.step == step]
        both = np.array([(at[step], at[rungs[-1]]) for at in here if rungs[-1] in at]).reshape(-1, 2)
        checks.append(
            RungCheck(
                step=step,
                entered=len(here),
                stopped=len(waited) if step < rungs[-1] else 0,
                diverged=sum(1 for trial in trials if trial.status == "diverged" and before < trial.step <= step),
                compared=len(both),
                correlation=_correlation(both),
                cut_best=_cut_best(both, reduction),
            )
        )
    return tuple(checks)


def first_rung_advice(
    records: Records,
    rungs: Sequence[int],
    reduction: int,
    mode: Literal["min", "max"],
    every: int,
    settled: Callable[[Mapping[str, Any]], int],
) -> advice.Advice | None:
    """What another first rung would have done, by replays of the trials whose whole curve is known; None where there
    are fewer than 8 of them (`control` in early_stopping, or kind none, makes some). `settled`: the step from which a
    trial with these values is compared."""
    horizon = rungs[-1]
    trials = [trial for trial in records.of_kind("search") if complete(trial, horizon)]
    length, first = horizon - records.begins, rungs[0] - records.begins  # as the YAML counts them
    if len(trials) < advice.LEAST or length // every < 3:
        return None
    curves = np.array([curve(trial, horizon, every, mode) for trial in trials])
    if not np.isfinite(curves).any():
        return None
    baseline = next((row for row, trial in enumerate(trials) if trial.baseline), None)
    firsts = advice.choices(length, every, first)
    waits = [max(0, settled(trial.values) - records.begins) for trial in trials]
    replays = advice.replay(curves, [*firsts, length], reduction, every, baseline, waits)
    offered = [each for each in replays if each.first_rung < length]
    return advice.advise(offered if first < length else replays, first, length)


def complete(trial: Trial, horizon: int) -> bool:
    """Whether the whole curve is known: trained to the horizon, ended by the trial's own patience, or diverged."""
    return trial.status == "diverged" or (trial.status == "completed" and trial.step <= horizon and bool(trial.reports))


def curve(trial: Trial, horizon: int, every: int, mode: Literal["min", "max"]) -> list[float]:
    """A complete trial's value at each evaluation up to the horizon, lower is better: NaN from where it diverged on;
    the last value on and on where its patience ended it."""
    at = _values(trial, mode)
    found: list[float] = []
    for step in range(trial.begins + every, horizon + 1, every):
        if step in at:
            found.append(at[step])
        else:
            found.append(found[-1] if found and trial.status == "completed" else float("nan"))
    return found


def _values(trial: Trial, mode: Literal["min", "max"]) -> dict[int, float]:
    """Step -> value, lower is better; without the report of a diverged trial that holds the worst value."""
    reports = [report for report in trial.reports if report.outcome != "diverged"]
    return {report.step: score(report.metrics["objective"], mode) for report in reports}


def _correlation(both: NDArray[np.float64]) -> float | None:
    if len(both) < FEWEST or any(len(np.unique(column)) < 2 for column in both.T):
        return None
    return float(stats.spearmanr(both[:, 0], both[:, 1]).statistic)


def _cut_best(both: NDArray[np.float64], reduction: int) -> float | None:
    """Share of bootstrap draws in which at least ⌊n / reduction⌋ (but one) trials are better here than the best one."""
    n = len(both)
    if n < FEWEST:
        return None
    drawn = np.random.default_rng(0).integers(n, size=(DRAWS, n))
    best = np.take_along_axis(drawn, both[drawn, 1].argmin(axis=1)[:, None], axis=1)
    ahead = (both[drawn, 0] < both[best, 0]).sum(axis=1)
    return float((ahead >= max(1, n // reduction)).mean())
