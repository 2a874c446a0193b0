"""The forest sampler: which config is worth training, learned from all trials at all rungs.

An Optuna sampler that works wherever Optuna does:

    study = optuna.create_study(sampler=ForestSampler(seed=0))

Every (trial, step) is an observation: knobs and log step are features, the normal score of the rank among all
observations is the target. A forest of extremely randomised trees is fitted anew for each proposal, predicts
candidates at the horizon, and the candidate with the least lower confidence bound is proposed. So trials that were
stopped early teach what they can and no more: that they were stopped at a small step is a feature, not a result.

Sources: SMAC's forests and local candidates (Hutter, Hoos & Leyton-Brown 2011), trees by Geurts, Ernst & Wehenkel
(2006), several objectives by ParEGO (Knowles 2006), confidence bounds by Srinivas et al. (2010). What was measured, and
what was tried in vain: benchmarks/README.md.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.sampling.forest import conditional_params
from search.sampling.forest.columns import Column
from search.sampling.forest.observations import Observations, last_step, observe, thinned
from search.sampling.forest.trees import fit
from search.sampling.samplers import ENDED

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Active = Callable[[Mapping[str, Any]], Collection[str]]
Project = Callable[[Mapping[str, Any]], Mapping[str, Any]]
INACTIVE = -0.5
"""The feature of a knob that a config doesn't have: outside of [0, 1], so that a split can tell it from all values."""


@dataclass(frozen=True)
class Recipe:
    """The numbers in the algorithm; measured in benchmarks/README.md."""

    starts: int = 10
    """Trials with an observation before the model is asked."""
    explore: float = 0.1
    """Share of proposals drawn at random."""
    trees: int = 30
    min_leaf: int = 3
    """Of few observations; of many, a 250th of them: as good there, and quicker."""
    kappa: float = 1.0
    """Weight of the standard deviation over trees in mean − κ·sd."""
    random: int = 300
    parents: int = 5
    children: int = 10
    """Candidates: so many random ones, and around each of so many best configs and the baseline so many children."""
    spread: float = 0.1
    """Standard deviation of a child's change, as a share of a knob's range."""
    share: float = 0.5
    """Share of the knobs that a child changes."""
    window: int = 1500
    """Observations that are fitted: the best quarter and the newest others."""
    projected: int = 50
    """The best candidates, which are judged again as what they become; where `project` is given."""


RECIPE = Recipe()


class ForestSampler(BaseSampler):
    """Proposes configs by a random forest over (knobs, step); for one or several objectives."""

    def __init__(
        self,
        seed: int | None = None,
        *,
        horizon: int | None = None,
        rungs: Sequence[int] | None = None,
        baseline: Mapping[str, Any] | None = None,
        active: Active | None = None,
        project: Project | None = None,
        recipe: Recipe = RECIPE,
    ) -> None:
        """`horizon`: a trial's full length in steps; None: the largest step reported so far.
        `rungs`: steps at which reports are looked at, ascending; None or only one: the horizon and thirds of it.
        `baseline`: values to begin with (those of trial 0) and to search around.
        `active`: from a value for every knob, the names of those that a config has; None: learned from past trials.
        `project`: what a config becomes when it is proposed (a row of a table, say); None: it stays as it is.
        """
        self._horizon, self._baseline, self._active, self._project = horizon, baseline or {}, active, project
        self._rungs = tuple(rungs or ()) if len(rungs or ()) > 1 else ()
        self._recipe = recipe
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)

    def reseed_rng(self) -> None:
        """Go on from fresh entropy: Optuna calls it in each of several processes."""
        self._rng = np.random.default_rng()
        self._random.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every knob that a trial has had, as the newest of them had it."""
        found: dict[str, BaseDistribution] = {}
        for past in _past(study, trial):
            found |= past.distributions
        return {name: distribution for name, distribution in found.items() if not distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A value for each knob of the space: of those that the config doesn't have, too; they are not asked for."""
        if not search_space:
            return {}
        rng = np.random.default_rng(self._rng.integers(2**63))
        columns = [Column(name, distribution) for name, distribution in search_space.items()]
        past = _past(study, trial)
        horizon = self._horizon or last_step(past)
        weights = rng.dirichlet(np.ones(len(study.directions)))
        seen = observe(past, study.directions, self._rungs or thinned(horizon), horizon, weights)
        explores = rng.random() < self._recipe.explore
        if explores or len(np.unique(seen.trial)) < self._recipe.starts:
            chosen = _snapped(columns, rng.random((1, len(columns))))[0]
        else:
            chosen = self._best(rng, columns, past, seen, horizon)
        found = zip(columns, chosen.tolist(), strict=True)
        return {column.name: column.value(unit) for column, unit in found if not np.isnan(unit)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The baseline's value in the first trial; else a random one: no trial has had this knob, or not like this."""
        if trial.number == 0 and param_name in self._baseline:
            value = self._baseline[param_name]
            if Column(param_name, param_distribution).holds(value):
                return value
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _best(
        self,
        rng: np.random.Generator,
        columns: Sequence[Column],
        past: Sequence[FrozenTrial],
        seen: Observations,
        horizon: int,
    ) -> Array:
        """The place of the candidate with the least lower confidence bound, shape (columns,)."""
        recipe = self._recipe
        units = np.stack(
            [column.units([trial.params.get(column.name) for trial in past]) for column in columns], axis=1
        )
        kept = _window(seen, recipe.window)
        trial, step, target = seen.trial[kept], seen.step[kept], seen.target[kept]
        orders = [_order(column, units[trial, i], target) for i, column in enumerate(columns)]
        leaf = max(recipe.min_leaf, len(kept) // 250)
        x = _features(units[trial], ~np.isnan(units[trial]), orders, step)
        forest = fit(x, target, rng, recipe.trees, leaf)

        def bound(places: Array, mask: Mask) -> Array:
            mean, sd = forest.predict(_features(places, mask, orders, np.full(len(places), float(horizon))))
            return mean - recipe.kappa * sd

        candidates = self._candidates(rng, columns, units, seen)
        mask = self._mask(columns, past, units, candidates)
        fresh = _unknown(units, np.where(mask, candidates, np.nan))
        candidates, mask = candidates[fresh], mask[fresh]
        bounds = bound(candidates, mask)
        if self._project:
            best = np.argsort(bounds, kind="stable")[: recipe.projected]
            candidates = _projected(columns, candidates[best], mask[best], self._project)
            bounds = bound(candidates, ~np.isnan(candidates))
        return np.asarray(candidates[np.argmin(bounds)])

    def _candidates(
        self, rng: np.random.Generator, columns: Sequence[Column], units: Array, seen: Observations
    ) -> Array:
        """Random configs, and children of the best ones and of the baseline; shape (candidates, columns)."""
        recipe, d = self._recipe, len(columns)
        parents = units[_best_trials(seen, recipe.parents)]
        if self._baseline:
            baseline = [column.units([self._baseline.get(column.name)])[0] for column in columns]
            parents = np.vstack((parents, baseline))
        parents = np.repeat(parents, recipe.children, axis=0)
        parents = np.where(np.isnan(parents), rng.random(parents.shape), parents)  # a knob that the parent has not
        moved = rng.random(parents.shape) < recipe.share
        moved[np.arange(len(moved)), rng.integers(d, size=len(moved))] = True  # at least one
        changed = np.clip(parents + rng.normal(0.0, recipe.spread, parents.shape), 0.0, 1.0)
        for i, column in enumerate(columns):
            if column.categorical:  # no value is nearer than another
                changed[:, i] = rng.random(len(changed))
        children = np.where(moved, changed, parents)
        return _snapped(columns, np.vstack((rng.random((recipe.random, d)), children)))

    def _mask(self, columns: Sequence[Column], past: Sequence[FrozenTrial], units: Array, candidates: Array) -> Mask:
        """Which knobs each candidate has, shape of `candidates`."""
        if self._active is None:
            ended = [i for i, trial in enumerate(past) if trial.state in ENDED]  # a running one may not have all yet
            return conditional_params.apply(conditional_params.learn(columns, units[ended]), candidates)
        mask = np.zeros(candidates.shape, dtype=bool)
        for row, place in enumerate(candidates):
            names = self._active(_Values(columns, place))
            mask[row] = [column.name in names for column in columns]
        return mask


class _Values(Mapping[str, Any]):
    """A candidate's values, each worked out when it is looked at: what is active hangs on few of them."""

    def __init__(self, columns: Sequence[Column], place: Array) -> None:
        self._places = {column.name: (column, unit) for column, unit in zip(columns, place, strict=True)}

    def __getitem__(self, name: str) -> Any:
        column, unit = self._places[name]
        return column.value(float(unit))

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _past(study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
    """All trials that have ended with a result or run, but for the new one."""
    states = (*ENDED, TrialState.RUNNING)
    return [past for past in study.get_trials(deepcopy=False, states=states) if past.number != trial.number]


def _snapped(columns: Sequence[Column], units: Array) -> Array:
    return np.stack([column.snapped(units[:, i]) for i, column in enumerate(columns)], axis=1)


def _projected(columns: Sequence[Column], places: Array, mask: Mask, project: Project) -> Array:
    """What configs become, shape of `places`; NaN for a knob that one doesn't have then."""
    became = []
    for place, has in zip(places.tolist(), mask, strict=True):
        values = {column.name: column.value(u) for column, u, there in zip(columns, place, has, strict=True) if there}
        became.append(project(values))
    return np.stack([column.units([values.get(column.name) for values in became]) for column in columns], axis=1)


def _best_trials(seen: Observations, count: int) -> NDArray[np.intp]:
    """The healthy trials observed at the largest steps, of equal ones those with the lowest target."""
    furthest = np.append(seen.trial[1:] != seen.trial[:-1], True)  # a trial's rows are in the order of steps
    furthest &= ~np.isin(seen.trial, seen.trial[~seen.healthy])
    order = np.lexsort((seen.target[furthest], -seen.step[furthest]))
    return np.asarray(seen.trial[furthest][order[:count]])


def _unknown(units: Array, candidates: Array) -> Mask:
    """Which candidates no trial has had; all of them if there is none."""
    known = {row.tobytes() for row in np.round(units, 9)}
    fresh = np.array([row.tobytes() not in known for row in np.round(candidates, 9)])
    return fresh if fresh.any() else np.ones(len(fresh), dtype=bool)


def _window(seen: Observations, size: int) -> NDArray[np.intp]:
    """The best quarter of `size` and the newest others, in order; all where there are no more."""
    if len(seen) <= size:
        return np.arange(len(seen))
    order = np.argsort(seen.target, kind="stable")
    best, others = order[: size // 4], np.sort(order[size // 4 :])
    return np.sort(np.concatenate((best, others[len(others) - (size - len(best)) :])))


def _order(column: Column, units: Array, target: Array) -> Array | None:
    """Features of a categorical knob's choices: their order by mean target, in which one split parts any best ones from
    the rest (Fisher 1958). A choice that was seen little lies near the middle. None for other knobs."""
    if not column.categorical or column.count is None:
        return None
    there = ~np.isnan(units)
    index = np.floor(units[there] * column.count).astype(int)
    sums = np.bincount(index, target[there], minlength=column.count)
    means = sums / (np.bincount(index, minlength=column.count) + 1.0)
    return np.asarray((np.argsort(np.argsort(means, kind="stable")) + 0.5) / column.count)


def _features(units: Array, mask: Mask, orders: Sequence[Array | None], step: Array) -> Array:
    """Rows for the forest: knobs and log2(1 + step), shape (rows, columns + 1)."""
    x = np.where(mask, units, INACTIVE)
    for i, order in enumerate(orders):
        if order is not None:
            x[mask[:, i], i] = order[np.floor(units[mask[:, i], i] * len(order)).astype(int)]
    return np.column_stack((x, np.log2(1.0 + step)))
