"""Which of the winner's changes carry the gain: the way from the baseline to it, one change at a time.

Ablation (Fawcett & Hoos 2016, Analysing differences between algorithm configurations through ablation, Journal of
Heuristics 22), with a model of the trials in place of trainings (Biedenkapp et al. 2017, Efficient parameter importance
analysis via ablation with surrogates, AAAI). From the baseline on, the change is made that promises the best config
next; ties go to the space's order:

    c_0 = baseline,  c_i = argmin over k in D_i of m(c_{i-1} with k as in the winner),  c_n = winner

D_i: the knobs in which c_{i-1} and the winner still differ. A knob brings those that are active with its new value, and
takes away those that no longer are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.history.records import Records, Trial
from search.sampling.forest.trees import Forest, fit
from search.spec.effect import same_effect
from spaces.knob import Knob
from spaces.paths import get, with_values
from spaces.problems import BadInput
from spaces.space import Space
from spaces.values import freeze, same, thaw
from trainables.run import Model

Array = NDArray[np.float64]
Values = Mapping[str, Any]

LEAST = 8
"""Trials without which a model says nothing."""
MOST = 500
"""Of more trials it looks at so many, evenly chosen, as the cost grows with each."""
TREES, LEAF, FOLDS = 100, 2, 4
INACTIVE = -0.5
"""The feature of a knob that a config doesn't have: outside of [0, 1], so that a split can tell it from all values."""
FENCE = 1.5
"""Scores beyond the upper quartile by more than so many interquartile ranges count as lying there (Tukey 1977): one
that diverged is bad, and not by how much."""


@dataclass(frozen=True)
class Change:
    """One change on the way."""

    knobs: tuple[str, ...]
    """The knob and those that it brings or takes away; several that have no effect by themselves are one change."""
    values: Values
    """The config with this change and those before it."""
    predicted: float
    """Its objective at a whole training, in the objective's own sign."""
    acts: bool = True
    """False for what the model says changes nothing in training."""


@dataclass(frozen=True)
class Ablation:
    """The way from the baseline to the winner, by the predictions of a model."""

    start: float
    """The predicted objective of the baseline."""
    changes: tuple[Change, ...]
    skill: float
    """Share of the variance between trials at equal steps that the model predicts of held-out ones; at 0 or below it
    has learnt nothing."""

    @property
    def shares(self) -> tuple[float, ...]:
        """Each change's share of the predicted gain, negative for one that makes it worse; none without a gain."""
        gone = [self.start, *(change.predicted for change in self.changes)]
        whole = gone[0] - gone[-1]
        return tuple((one - other) / whole for one, other in pairwise(gone)) if whole else ()


@dataclass(frozen=True)
class Setting:
    """What configs of a search mean."""

    space: Space
    base: Mapping[str, Any]
    model: Model[Any, Any]
    horizon: int
    rungs: tuple[int, ...]

    def takes(self, values: Values) -> bool:
        """Whether the model takes the config."""
        try:
            self.model.parse(with_values(self.base, values), "a config")
        except BadInput:
            return False
        return True

    def alike(self, one: Values, other: Values) -> bool:
        """Whether two configs train alike."""
        return same_effect(self.model, with_values(self.base, one), with_values(self.base, other), self.horizon)


def ablation(records: Records, setting: Setting, winner: Values) -> Ablation | None:
    """The way from the baseline to `winner`, by what the search's own trials taught; None where they are too few, or
    where there is no baseline or no difference."""
    baseline = records.baseline
    if baseline is None or not differing(baseline.values, winner):
        return None
    learnt = learn(records, setting)
    if learnt is None:
        return None
    objective = setting.model.objective  # its `score` leads to scores and back
    changes = way(setting, baseline.values, winner, learnt.predict)
    start = objective.score(float(learnt.predict([baseline.values])[0]))
    told = [Change(each.knobs, each.values, objective.score(each.predicted), each.acts) for each in changes]
    return Ablation(start, tuple(told), learnt.skill)


def differing(one: Values, other: Values) -> list[str]:
    """The knobs that two configs don't share."""
    paths = dict.fromkeys([*one, *other])
    return [p for p in paths if p not in one or p not in other or not same(freeze(one[p]), freeze(other[p]))]


def way(setting: Setting, before: Values, after: Values, score: Callable[[Sequence[Values]], Array]) -> list[Change]:
    """The changes that lead from `before` to `after`, the most promising first; `score`: lower is better.

    What changes nothing in training, and what the model refuses on the way there, comes last, as one change.
    """
    found: list[Change] = []
    now = dict(before)
    order = [knob.path for knob in setting.space.knobs]
    while left := differing(now, after):
        tried = [flipped(setting, now, after, path) for path in sorted(left, key=order.index)]
        changing = [values for values in tried if differing(now, values)]
        options = [values for values in changing if setting.takes(values) and not setting.alike(now, values)]
        if not options:
            predicted = found[-1].predicted if found else float(score([before])[0])
            alike = setting.alike(now, after)
            last = predicted if alike else float(score([after])[0])
            return [*found, Change(tuple(sorted(left, key=order.index)), after, last, not alike)]
        predictions = score(options)
        best = int(np.argmin(predictions))
        knobs = differing(now, options[best])
        now = options[best]
        found.append(Change(tuple(sorted(knobs, key=order.index)), dict(now), float(predictions[best])))
    return found


def flipped(setting: Setting, now: Values, after: Values, path: str) -> dict[str, Any]:
    """`now` with the knob at `path` as in `after`. What becomes active has its value of `after`, or where it isn't
    active there its documented one."""
    wanted = {key: value for key, value in now.items() if key != path}
    wanted |= {path: after[path]} if path in after else {}
    chosen: dict[str, Any] = {}
    for knob in setting.space.knobs:
        if setting.space.is_active(knob, chosen, setting.base):
            own = after[knob.path] if knob.path in after else thaw(freeze(get(setting.base, knob.path)))
            chosen[knob.path] = wanted.get(knob.path, own)
    return chosen


@dataclass(frozen=True)
class Learnt:
    """A forest over (config, step), of which the last step is a whole training."""

    forest: Forest
    knobs: tuple[Knob, ...]
    horizon: int
    skill: float

    def predict(self, configs: Sequence[Values]) -> Array:
        """The scores of whole trainings, lower is better; shape (configs,)."""
        return self.forest.predict(_rows(self.knobs, configs, [self.horizon] * len(configs)))[0]


def learn(records: Records, setting: Setting) -> Learnt | None:
    """What the search's own trials teach; None from fewer than LEAST."""
    known = [(trial, readings) for trial in records.of_kind("search") if (readings := _readings(trial, setting))]
    if len(known) < LEAST:
        return None
    kept = {i * len(known) // MOST for i in range(MOST)} if len(known) > MOST else range(len(known))
    seen = [(trial, *reading) for i, (trial, readings) in enumerate(known) if i in kept for reading in readings]
    knobs = setting.space.knobs
    steps = np.array([step for _, step, _ in seen], dtype=np.float64)
    y = _fenced(np.array([score for _, _, score in seen]), steps)
    x = _rows(knobs, [trial.values for trial, _, _ in seen], steps)
    of = np.array([trial.number for trial, _, _ in seen])
    return Learnt(_fitted(x, y), knobs, setting.horizon, _skill(x, y, of, steps))


def _readings(trial: Trial, setting: Setting) -> list[tuple[int, float]]:
    """(rung, score) at the rungs that the trial reached; where it ended for good, at the last one, too."""
    objective, reports = setting.model.objective, {report.step: report for report in trial.reports}
    if trial.status == "failed" or trial.copied or trial.changed is not None:
        return []
    found = {
        rung: objective.score(reports[rung].metrics["objective"])
        for rung in setting.rungs
        if rung in reports and reports[rung].outcome != "diverged"
    }
    if trial.status == "diverged":
        found[setting.horizon] = objective.score(objective.worst)
    elif trial.reports and trial.reports[-1].outcome == "ended":
        found[setting.horizon] = objective.score(trial.reports[-1].metrics["objective"])
    return sorted(found.items())


def _fenced(y: Array, steps: Array) -> Array:
    fenced = y.copy()
    for step in np.unique(steps):
        at = steps == step
        low, high = np.quantile(y[at], (0.25, 0.75))
        fenced[at] = np.minimum(y[at], high + FENCE * (high - low))
    return fenced


def _rows(knobs: Sequence[Knob], configs: Sequence[Values], steps: Sequence[float] | Array) -> Array:
    """Where each value lies in its domain, and log2(1 + step); shape (configs, knobs + 1)."""
    places = [[knob.place(values, INACTIVE) for knob in knobs] for values in configs]
    return np.column_stack((np.array(places, dtype=np.float64), np.log2(1.0 + np.asarray(steps, dtype=np.float64))))


def _fitted(x: Array, y: Array) -> Forest:
    return fit(x, y, np.random.default_rng(0), TREES, LEAF)


def _skill(x: Array, y: Array, of: Array, steps: Array) -> float:
    """1 − the squared errors of held-out trials over those of the mean of the others at the same step."""
    numbers = np.random.default_rng(0).permutation(np.unique(of))
    error = spread = 0.0
    for fold in range(FOLDS):
        test = np.isin(of, numbers[fold::FOLDS])
        forest = _fitted(x[~test], y[~test])
        error += float(np.square(forest.predict(x[test])[0] - y[test]).sum())
        for step in np.unique(steps[test]):
            there = y[~test & (steps == step)]
            mean = there.mean() if len(there) else y[~test].mean()
            spread += float(np.square(y[test & (steps == step)] - mean).sum())
    return 1 - error / spread if spread else 0.0
