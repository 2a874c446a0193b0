"""What a config does: the values in force at each step, and all else that training depends on. No training needed.

Two configs with the same effect train alike, so a knob whose values all have the same effect is inert.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Any

import numpy as np

from spaces.domain import Categorical, Domain, Float, Int, sample
from spaces.knob import Knob
from spaces.paths import Missing, get, has, leaves, with_values
from spaces.problems import BadInput
from spaces.space import Space
from spaces.values import Value, freeze, same
from trainables.run import Model

DENSE = 1024
"""Steps from the first on that are compared one by one; later ones as many again, evenly spread, and the last."""
POINTS = 4
"""Points of the space at which a knob is tried at every step compared."""
MORE_POINTS = 40
"""Further ones before it counts as inert, for it may act in few configs, at `SPARSE` steps each."""
SPARSE = 64
COARSE = 16
DRAWS = 200

Native = Mapping[str, Any]


def same_effect(model: Model[Any, Any], one: Native, other: Native, horizon: int) -> bool:
    """Whether two native configs train alike for `horizon` steps. False where one of them is refused."""
    configs = taken(model, (one, other))
    return len(configs) == 2 and _alike(model, configs, _steps(horizon, DENSE))


def changed(model: Model[Any, Any], base: Native, before: Native, after: Native, path: str, horizon: int) -> bool:
    """Whether `after`, values of knobs by path, differs from `before` in what the knob at `path` does: two values that
    act alike (a warmup of 0 and of 1 epochs) are no change, an inactive knob that becomes active is one.
    """
    if path not in before or path not in after:
        return (path in before) != (path in after)
    if same(freeze(before[path]), freeze(after[path])):
        return False
    undone = {**after, path: before[path]}
    return not same_effect(model, with_values(base, after), with_values(base, undone), horizon)


def inert(model: Model[Any, Any], space: Space, base: Native, horizon: int) -> list[Knob]:
    """The knobs of `space` that change nothing: at each of several points of the space where they are active, all the
    values tried have the same effect."""
    return [knob for knob in space.knobs if _is_inert(model, space, knob, base, horizon)]


def hiding(model: Model[Any, Any], knob: Knob, base: Native, horizon: int) -> str | None:
    """The key of `base` that keeps `knob` from acting: with another value of it, the knob acts; None if none does."""
    recipe = model.documented()
    for path in leaves(base):
        if path == knob.path:
            continue
        for value in _others(base, recipe, path):
            try:
                changed = with_values(base, {path: value})
            except Missing:
                continue
            if _acts(model, changed, knob, horizon):
                return path
    return None


def _is_inert(model: Model[Any, Any], space: Space, knob: Knob, base: Native, horizon: int) -> bool:
    rng = np.random.default_rng(0)
    drawn = (space.sample(rng, base) for _ in range(DRAWS))
    points: list[Native] = [{}] if knob in space.active(space.baseline(base), base) else []
    further = islice((values for values in drawn if knob.path in values), POINTS + MORE_POINTS)
    found = [False]  # of a knob that is active nowhere, or that no config takes, nothing is known
    for place, values in enumerate(chain(points, further)):  # nearly always the first says that it acts
        acts = _acts(model, with_values(base, values), knob, horizon, DENSE if place <= POINTS else SPARSE)
        if acts:
            return False
        found.append(acts is not None)
    return any(found)


def _acts(model: Model[Any, Any], native: Native, knob: Knob, horizon: int, dense: int = DENSE) -> bool | None:
    """Whether two values of `knob` in `native` differ in their effect; None where no two can be compared."""
    tried = [with_values(native, {knob.path: value}) for value in _tried(knob.domain)]
    configs = taken(model, tried)
    return None if len(configs) < 2 else not _alike(model, configs, _steps(horizon, dense))


def taken(model: Model[Any, Any], natives: Sequence[Native]) -> list[Any]:
    """The configs that the model takes."""
    configs = []
    for native in natives:
        with suppress(BadInput):
            configs.append(model.parse(native, "a config"))
    return configs


def _alike(model: Model[Any, Any], configs: Sequence[Any], steps: Sequence[int]) -> bool:
    """Whether all of them train alike, as far as these steps show."""
    first, *others = configs
    static = model.static(first)
    if any(model.static(other) != static for other in others):
        return False
    for step in chain(steps[::COARSE], steps):  # what acts late is found soon
        in_force = model.knobs(first, step)
        if any(model.knobs(other, step) != in_force for other in others):
            return False
    return True


def _tried(domain: Domain) -> list[Value]:
    rng = np.random.default_rng(0)
    drawn = [sample(domain, rng) for _ in range(4)]
    match domain:
        case Float() | Int():
            values: list[Value] = [domain.low, domain.high, *drawn]
        case Categorical():
            values = list(domain.choices)
    unlike: list[Value] = []
    for value in values:
        if not any(same(value, other) for other in unlike):
            unlike.append(value)
    return unlike


def _others(base: Native, recipe: Native, path: str) -> Iterator[Any]:
    value = get(base, path)
    if isinstance(value, bool):
        yield not value
    elif has(recipe, path) and (other := get(recipe, path)) != value:
        yield other


def _steps(horizon: int, dense: int) -> Sequence[int]:
    first = range(min(horizon, dense))
    if horizon <= dense:
        return first
    return [*first, *(int(step) for step in np.linspace(dense, horizon - 1, dense))]
