"""Which knobs matter, by two measures that look at different things, both on trials at equal steps.

PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255; conditional knobs as in Optuna 5) asks which knobs the best trials
have in common. The permutation importance (Breiman 2001) asks how much worse a forest of extremely randomised trees
(Geurts et al. 2006) predicts the ranks of held-out trials once a knob's values are shuffled among them.
"""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import create_trial
from scipy.stats import norm, rankdata

from search.history.records import Trial
from search.report.material import Material, value_at
from search.sampling.codec import code
from search.sampling.study import quiet
from spaces.knob import Knob

Array = NDArray[np.float64]

ENOUGH = 20
"""Trials that an importance should rest on: of later rungs only promoted ones are left, which differ less."""
LEAST = 8
"""Trials without which neither measure says anything."""
BEST = 0.25
"""PED-ANOVA looks at this share of the trials: so few do rest a top decile on two or three."""
FOLDS, TREES, SHUFFLES = 4, 60, 8
INACTIVE = -1.0  # the place of a knob that a config doesn't have


@dataclass(frozen=True)
class Level:
    """The trials that have a value at a step."""

    step: int
    trials: tuple[int, ...]
    values: tuple[float, ...]
    """Their objectives there; the worst for those that had diverged by then."""
    diverged: int
    """So many of them had."""


def levels(material: Material) -> tuple[Level, ...]:
    """One level per rung that at least two trials have reached, in order of steps."""
    found = (level(material.trials, step, material.model.objective.worst) for step in material.rungs)
    return tuple(one for one in found if len(one.trials) > 1)


def level(trials: Sequence[Trial], step: int, worst: float) -> Level:
    """Every trial's value at `step`, of those that have one."""
    known = [(trial, value) for trial in trials if (value := value_at(trial, step, worst)) is not None]
    diverged = sum(trial.status == "diverged" and trial.step <= step for trial, _ in known)
    return Level(step, tuple(t.number for t, _ in known), tuple(v for _, v in known), diverged)


def telling(found: Sequence[Level]) -> Level | None:
    """The level to learn from: the highest with enough trials; else the one with most, the higher of equals."""
    enough = [one for one in found if len(one.trials) >= ENOUGH]
    if enough:
        return enough[-1]
    return max(found, key=lambda one: (len(one.trials), one.step), default=None)


@dataclass(frozen=True)
class Importance:
    """Per knob, most important first by the mean of both measures."""

    knobs: tuple[str, ...]
    ped_anova: tuple[float, ...]
    """Shares of their sum, from 0 to 1."""
    permutation: tuple[float, ...]
    """By how much of the ranks' variance the prediction gets worse; about 0 for a knob that doesn't matter."""
    skill: float
    """Share of the ranks' variance that the forest predicts of held-out trials; at 0 or below it has learnt nothing."""
    level: Level


def importance(
    level: Level | None, trials: Mapping[int, Trial], knobs: Sequence[Knob], lower: bool
) -> Importance | None:
    """Both measures on the trials of `level`; None with fewer than LEAST of them. `lower`: lower is better."""
    if level is None or len(level.trials) < LEAST or not knobs:
        return None
    of_level = [trials[number] for number in level.trials]
    values = np.array(level.values)
    shares = ped_anova(of_level, values, knobs, lower)
    places = np.array([[knob.place(trial.values, INACTIVE) for knob in knobs] for trial in of_level], dtype=np.float64)
    drops, skill = permutation(places, scores(values))
    total = drops.clip(0).sum()
    both = shares + (drops.clip(0) / total if total > 0 else 0)
    order = sorted(range(len(knobs)), key=lambda i: (-both[i], i))
    return Importance(
        tuple(knobs[i].path for i in order),
        tuple(float(shares[i]) for i in order),
        tuple(float(drops[i]) for i in order),
        skill,
        level,
    )


def scores(values: Array) -> Array:
    """Normal scores of the ranks (van der Waerden): a diverged trial counts as the worst, and not by how much."""
    return np.asarray(norm.ppf(rankdata(values) / (len(values) + 1)), dtype=np.float64)


def permutation(x: Array, y: Array) -> tuple[Array, float]:
    """Mean loss of prediction per column over FOLDS folds and SHUFFLES shuffles, and the share of variance predicted.

    `x` is (n, k) and `y` (n,), both without gaps. Deterministic.
    """
    from sklearn.ensemble import ExtraTreesRegressor  # a second to import, which a search of few trials needs not
    from sklearn.model_selection import KFold

    rng = np.random.default_rng(0)
    lost, error, spread = np.zeros(x.shape[1]), 0.0, 0.0
    for train, test in KFold(min(FOLDS, len(y)), shuffle=True, random_state=0).split(x):
        forest = ExtraTreesRegressor(TREES, min_samples_leaf=2, bootstrap=True, random_state=0, n_jobs=1)
        forest.fit(x[train], y[train])
        plain = float(np.square(forest.predict(x[test]) - y[test]).sum())
        error += plain
        spread += float(np.square(y[test] - y[train].mean()).sum())
        for column in range(x.shape[1]):
            shuffled = np.concatenate([_with_shuffled(x[test], column, rng) for _ in range(SHUFFLES)])
            wrong = forest.predict(shuffled) - np.tile(y[test], SHUFFLES)
            lost[column] += float(np.square(wrong).sum()) / SHUFFLES - plain
    if spread == 0:
        return np.zeros(x.shape[1]), 0.0
    return lost / spread, 1 - error / spread


def _with_shuffled(x: Array, column: int, rng: np.random.Generator) -> Array:
    out = x.copy()
    out[:, column] = rng.permutation(out[:, column])
    return out


def ped_anova(trials: Sequence[Trial], values: Array, knobs: Sequence[Knob], lower: bool) -> Array:
    """Optuna's PED-ANOVA, as shares that add up to 1 (all 0 where it finds nothing)."""
    from optuna.importance import PedAnovaImportanceEvaluator  # imports scikit-learn, see above

    codes = [code(knob.path, knob.domain) for knob in knobs]
    with quiet():
        study = optuna.create_study(direction="minimize" if lower else "maximize")
    for trial, value in zip(trials, values, strict=True):
        params = {}
        for known in codes:
            with suppress(KeyError, ValueError):  # inactive, or a documented choice that the space leaves out
                params[known.path] = known.encode(trial.values[known.path])
        distributions = {known.path: known.distribution for known in codes if known.path in params}
        study.add_trial(create_trial(params=params, distributions=distributions, value=float(value)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few trials, ties: what it says of them stands beside the chart
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST)
        seen = {path for trial in study.get_trials(deepcopy=False) for path in trial.params}
        found = evaluator.evaluate(study, params=[knob.path for knob in knobs if knob.path in seen]) if seen else {}
    raw = np.array([max(0.0, found.get(knob.path, 0.0)) for knob in knobs])
    return raw / raw.sum() if raw.sum() > 0 else raw
