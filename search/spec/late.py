"""Which knobs act only after the step that every trial starts from, and with which of their values.

A config that differs from the baseline before that step is no continuation of the training that stands there.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any

import numpy as np

from search.spec.effect import inert, taken
from search.spec.fit import possible
from spaces.domain import Categorical, Domain, Float, Int, contains, describe, grid, size
from spaces.knob import Knob
from spaces.paths import get, with_values
from spaces.problems import Problem, raise_any
from spaces.space import Space
from trainables.alike import alike
from trainables.run import Model

Native = Mapping[str, Any]
Late = Callable[[Any], bool]
"""Whether a value of a knob changes nothing before the start."""
POINTS = 3  # of the space, at which a knob is tried that the base itself does not have
DRAWN = 60  # configs of the narrowed space that are looked at
HALVINGS = 30  # of the interval in which a real knob's bound lies


@dataclass(frozen=True)
class Start:
    """The baseline's config and the step from which its training goes on."""

    model: Model[Any, Any]
    base: Native
    step: int
    horizon: int

    def keeps(self, values: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> bool:
        """Whether the base trains alike up to the start with `values` in it and with `beside`; False where the model
        refuses one of them."""
        configs = taken(self.model, [with_values(self.base, each) for each in (values, beside or {})])
        return len(configs) == 2 and alike(self.model, configs[0], configs[1], self.step)


@dataclass(frozen=True)
class Later:
    """A space of what acts after the start alone."""

    space: Space
    early: tuple[str, ...]
    """Knobs that are left out, for they act before the start: the baseline's values stay."""
    left_out: Mapping[str, str]
    """Knobs that can't act any more, with the reason."""
    narrowed: Mapping[str, str]
    """Knobs of which some values act before the start, with those that are left."""


def acting_after(start: Start, space: Space, named: Collection[str], given: Collection[str], where: str) -> Later:
    """`space` without what acts before the start.

    `named`: the knobs that the search YAML names, `given`: those whose domain stands there. Raises BadInput for named
    ones that can't act after the start alone, and for given domains that only partly do.
    """
    early: list[str] = []
    narrowed: dict[str, Knob] = {}
    for knob in space.knobs:
        domain = _narrowed(knob.domain, _late(start, space, knob), get(start.base, knob.path))
        if domain is None:
            early.append(knob.path)
        elif domain != knob.domain:
            narrowed[knob.path] = replace(knob, domain=domain)
    kept = Space(tuple(narrowed.get(knob.path, knob) for knob in space.knobs if knob.path not in early))
    early += _together(start, kept)
    rest = Space(tuple(knob for knob in kept.knobs if knob.path in narrowed and knob.path not in early))
    early += [knob.path for knob in inert(start.model, rest, start.base, start.horizon)]  # what is left of them
    fitted = possible(Space(tuple(knob for knob in kept.knobs if knob.path not in early)), start.base, named)
    left = {path: describe(knob.domain) for path, knob in narrowed.items() if path in fitted.space.by_path}
    when = f"before {start.model.unit} {start.step}, where every trial starts"
    problems = [
        Problem(f"{where} {path}", f"acts {when}: take it out, or start earlier") for path in early if path in named
    ]
    problems += [
        Problem(f"{where} space.{path}", f"some of its values act {when}: narrow it to {domain}")
        for path, domain in left.items()
        if path in given
    ]
    raise_any(problems)
    return Later(fitted.space, tuple(early), fitted.left_out, left)


def _late(start: Start, space: Space, knob: Knob) -> Late:
    """The test of a value: at the base, or, for a knob that the base does not have, at some points that do."""
    if knob in space.active(space.baseline(start.base), start.base):
        return lambda value: start.keeps({knob.path: value})
    rng = np.random.default_rng(0)
    drawn = (space.sample(rng, start.base) for _ in range(200))
    having = (values for values in drawn if knob.path in values)
    switches = {condition.knob for condition in knob.when}
    points = [{path: v for path, v in values.items() if path in switches} for values in islice(having, POINTS)]
    return lambda value: all(start.keeps({**point, knob.path: value}, point) for point in points)


def _narrowed(domain: Domain, late: Late, base: Any) -> Domain | None:
    """The part of a domain that changes nothing before the start; None where that is one value at most."""
    if isinstance(domain, Categorical):
        choices = tuple(choice for choice in domain.choices if late(choice))
        return replace(domain, choices=choices) if len(choices) > 1 else None
    ends = grid(domain, 3)
    if all(late(value) for value in ends):
        return domain
    points = sorted({*grid(domain, 9), *([base] if contains(domain, base) else [])})
    runs = _runs([late(value) for value in points])
    if not runs:
        return None
    first, last = next(
        ((a, b) for a, b in runs if base in points[a : b + 1]), max(runs, key=lambda run: run[1] - run[0])
    )
    low = points[0] if first == 0 else _edge(domain, late, points[first], points[first - 1])
    high = points[-1] if last == len(points) - 1 else _edge(domain, late, points[last], points[last + 1])
    found = replace(domain, low=low, high=high)
    return found if size(found) != 1 else None


def _runs(good: Sequence[bool]) -> list[tuple[int, int]]:
    """The first and last index of each stretch of points that are good."""
    runs = [[*run] for is_good, run in groupby(range(len(good)), key=lambda index: good[index]) if is_good]
    return [(run[0], run[-1]) for run in runs]


def _edge(domain: Float | Int, late: Late, inside: Any, outside: Any) -> Any:
    """The last late value between a late and an early one."""
    if isinstance(domain, Int) or domain.step is not None:
        step = domain.step or 1
        count = round(abs(outside - inside) / step)
        sign = 1 if outside > inside else -1
        low, high = 0, count
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if late(type(inside)(inside + sign * middle * step)) else (low, middle)
        return type(inside)(inside + sign * low * step)
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if late(middle) else (inside, middle)
    return inside


def _together(start: Start, space: Space) -> list[str]:
    """The knobs that act before the start only with some values of the others."""
    blamed: list[str] = []
    rng = np.random.default_rng(0)
    for _ in range(DRAWN):
        values = {path: value for path, value in space.sample(rng, start.base).items() if path not in blamed}
        while not start.keeps(values):
            mended = [path for path in values if start.keeps({k: v for k, v in values.items() if k != path})]
            if not (mended or values):
                break
            worst = mended[-1] if mended else list(values)[-1]
            blamed.append(worst)
            del values[worst]
    return list(dict.fromkeys(blamed))
