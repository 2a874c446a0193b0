"""When each knob acts: two configs that differ in one knob train alike up to the step where their schedules part."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search.spec.effect import taken
from search.spec.search import Search
from spaces.domain import sample
from spaces.paths import with_values

DRAWN = 15
"""Configs in each of which every knob is changed on its own."""

Course = list[Mapping[str, float]]


def acting(search: Search) -> Mapping[str, int]:
    """The knobs that act late, with the step up to which half of the pairs that differ in them alone train alike.

    A knob that is in no schedule (dropout, batch size) acts from the first step. Looked at is every unit at which
    training may be evaluated, and the last one.
    """
    rng = np.random.default_rng(0)
    places = looked_at(search)
    partings: dict[str, list[int]] = {knob.path: [] for knob in search.space.knobs}
    for _ in range(DRAWN):
        one = search.space.sample(rng, search.base)
        course = course_of(search, one, places)
        for knob in search.space.knobs:
            other = {**one, knob.path: sample(knob.domain, rng)}
            if course is None or knob.path not in one or other == one:
                continue
            if {each.path for each in search.space.active(other, search.base)} != set(one):
                continue  # it switches other knobs on or off
            changed = course_of(search, other, places)
            if changed is not None and changed != course:
                partings[knob.path].append(next(p for p, a, b in zip(places, course, changed, strict=True) if a != b))
    halves = {path: sorted(steps)[len(steps) // 2] for path, steps in partings.items() if steps}
    return {path: half for path, half in halves.items() if half > search.begins}


def looked_at(search: Search) -> Sequence[int]:
    """Every unit at which training may be evaluated, and the last one, ascending."""
    return sorted({*range(search.begins, search.horizon, search.every), search.horizon - 1})


def course_of(search: Search, values: Mapping[str, Any], places: Sequence[int]) -> Course | None:
    """The values in force at each of the places; None for what is no config: not every model takes every point of its
    space."""
    configs = taken(search.model, [with_values(search.base, values)])
    return [search.model.knobs(configs[0], at) for at in places] if configs else None
