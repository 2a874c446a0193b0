"""One draw from a sampler: values of a space's active knobs, from nothing but (seed, number, past)."""

import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from optuna.pruners import NopPruner
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection

from search.sampling.codec import Code, code
from search.sampling.kinds import sampler_module
from search.sampling.samplers import SamplerContext, Standing, draw_seed
from search.sampling.study import View
from search.sampling.trial_history import Problem
from spaces.space import Space
from spaces.values import thaw

Snap = Callable[[Mapping[str, Any]], dict[str, Any]]


class Draws:
    """Draws for the proposals of one search. `codes` are the space's knobs as Optuna sees them."""

    def __init__(self, problem: Problem, seed: int, direction: StudyDirection, snap: Snap | None = None) -> None:
        space, base = problem.space, problem.base
        self._space, self._base, self._seed, self._direction, self._name = space, base, seed, direction, problem.name
        self.codes: Mapping[str, Code] = {knob.path: code(knob.path, knob.domain) for knob in space.knobs}
        self._context = SamplerContext(
            horizon=problem.horizon,
            rungs=tuple(problem.rungs),
            baseline=_nearest(space.baseline(base), self.codes),
            active=activity(space, base, self.codes),
            project=None if snap is None else _projection(snap, self.codes),
        )

    def draw(self, kind: str, number: int, attempt: int, standing: Standing, index: int) -> dict[str, Any]:
        """Values for the search's trial `number`, which will be the study's trial `index`."""
        seed = draw_seed(self._seed, number, attempt)
        if kind == "random":  # without Optuna: a study per draw takes several times as long, and teaches nothing
            drawn = self._space.sample(np.random.default_rng(seed), self._base)
            return {path: thaw(value) for path, value in drawn.items()}
        module = sampler_module(kind)
        past = standing.window(*module.WINDOW)
        sampler: BaseSampler = module.make(seed, standing.finished, self._context)
        view = View(self._name, self._direction, past, number=index)
        trial = Study(self._name, view, sampler, NopPruner()).ask()
        values: dict[str, Any] = {}
        for knob in self._space.knobs:
            if self._space.is_active(knob, values, self._base):
                values[knob.path] = self.codes[knob.path].suggest(trial)
        return values


def _projection(snap: Snap, codes: Mapping[str, Code]) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """`snap` between values as Optuna keeps them."""

    def project(kept: Mapping[str, Any]) -> dict[str, Any]:
        became = snap({path: codes[path].decode(value) for path, value in kept.items()})
        return {path: codes[path].encode(value) for path, value in became.items()}

    return project


def _nearest(values: Mapping[str, Any], codes: Mapping[str, Code]) -> dict[str, Any]:
    """The values as Optuna keeps them, the nearest ones where they lie outside; without those that have no nearest."""
    kept = {}
    for path, value in values.items():
        with contextlib.suppress(ValueError):
            kept[path] = codes[path].encode(value)
    return kept


def activity(
    space: Space, base: Mapping[str, Any], codes: Mapping[str, Code]
) -> Callable[[Mapping[str, Any]], Collection[str]] | None:
    """Which knobs a config has, from its values as Optuna keeps them; None where no knob depends on another.

    What is active follows from the knobs that conditions name, and these take few values: each case is worked out once.
    """
    switches = [path for path in codes if any(path == c.knob for knob in space.knobs for c in knob.when)]
    if not switches:
        return None
    known: dict[tuple[tuple[type, Any], ...], frozenset[str]] = {}

    def active(kept: Mapping[str, Any]) -> frozenset[str]:
        key = tuple((type(kept.get(path)), kept.get(path)) for path in switches)  # 1 and True are two values
        if key not in known:
            values = {path: codes[path].decode(kept[path]) for path in switches if path in kept}
            known[key] = frozenset(knob.path for knob in space.active(values, base))
        return known[key]

    return active
