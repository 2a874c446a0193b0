"""Whether two configs of a model train alike up to a step: then one training up to there serves both."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from spaces.paths import get, leaves, with_values
from spaces.problems import BadInput
from spaces.schema import NativeSection
from trainables.own.model import OwnModel
from trainables.prefix import sharing_of
from trainables.run import Model, Native

MOST = 512
"""Of longer trainings, so many steps spread evenly are compared, and as many before the end: where schedules that part
late have parted."""


def alike(model: Model[Any, Any], one: NativeSection, other: NativeSection, until: int) -> bool:
    """Whether both train alike in the steps before `until`: all that acts there has the same value in both. What a
    controller would do counts from the step on at which it may act."""
    sharing = sharing_of(model)
    if sharing is None:
        beside: Callable[[Any], Native] = model.unscheduled if isinstance(model, OwnModel) else model.static
        return beside(one) == beside(other) and _realised_alike(model.knobs, one, other, until)
    static, controller = sharing.static or model.static, sharing.controller
    if controller is not None:
        static = controller.unacted
        calm = until <= min(controller.earliest(one), controller.earliest(other))
        if not calm and controller.settings(one) != controller.settings(other):
            return False
    return bool(static(one) == static(other)) and _realised_alike(sharing.rough or sharing.realised, one, other, until)


def _realised_alike(values: Callable[[Any, int], Any], one: NativeSection, other: NativeSection, until: int) -> bool:
    return all(values(one, step) == values(other, step) for step in looked_at(until))


def differing(model: Model[Any, Any], mine: Native, theirs: Native, until: int) -> Iterator[tuple[str, Any, Any]]:
    """The keys in which two whole native configs differ so that they don't train alike before `until`, each with both
    values; nothing where they do train alike."""
    config = model.parse(mine, "")
    if alike(model, config, model.parse(theirs, ""), until):
        return
    ours, others = _flat(mine), _flat(theirs)
    unlike = [path for path in dict.fromkeys([*ours, *others]) if ours.get(path) != others.get(path)]
    alone = [path for path in unlike if path in ours and path in others and _matters(model, mine, path, others, until)]
    for path in alone or unlike:  # none alone: they act together
        yield path, ours.get(path), others.get(path)


def _matters(model: Model[Any, Any], mine: Native, path: str, others: Mapping[str, Any], until: int) -> bool:
    try:
        changed = model.parse(with_values(mine, {path: others[path]}), "")
    except BadInput:  # not without the other keys
        return True
    return not alike(model, model.parse(mine, ""), changed, until)


@lru_cache(maxsize=64)
def looked_at(until: int) -> Sequence[int]:
    """The steps that are compared, those first where most configs part."""
    steps: list[int] = list(range(until))
    if until > 2 * MOST:
        steps = [*map(int, np.linspace(0, until - MOST, MOST)), *range(until - MOST, until)]
    return tuple(dict.fromkeys([*steps[-1:], *steps[:1], *reversed(steps)]))


def _flat(native: Native) -> dict[str, Any]:
    return {path: get(native, path) for path in leaves(native)}
