"""Every combination of a space's grid values, conditions honoured: a knob counts only where it is active."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from spaces.domain import Domain, Int, grid, size
from spaces.space import Space
from spaces.values import Value, thaw

COUNTED = 10_000
"""Spaces with more configs than this are not counted: no search tries them all."""


def combinations(space: Space, base: Mapping[str, Any], points: int) -> Iterator[dict[str, Any]]:
    """The values of the active knobs, lexicographic in dependency order, the last knob fastest; none comes twice.

    Numeric knobs take at most `points` values (both ends included), categorical ones all of theirs.
    """
    return _products(space, base, [grid(knob.domain, points) for knob in space.knobs])


def every_config(space: Space, base: Mapping[str, Any]) -> Iterator[dict[str, Any]] | None:
    """All configs of a space, in the order of `combinations`; None where a knob takes a continuum of values."""
    if any(size(knob.domain) is None for knob in space.knobs):
        return None
    return _products(space, base, [_values(knob.domain) for knob in space.knobs])


def config_count(space: Space, base: Mapping[str, Any], kind: str, points: int) -> int | None:
    """How many configs a sampler of this kind can try, the baseline among them; None for more than `COUNTED`."""
    configs = combinations(space, base, points) if kind == "grid" else every_config(space, base)
    if configs is None:
        return None
    baseline = {path: thaw(value) for path, value in space.baseline(base).items()}
    count, known = 0, False
    for values in islice(configs, COUNTED + 1):
        count += 1
        known = known or values == baseline
    return None if count > COUNTED else count + (not known)


def _values(domain: Domain) -> Iterable[Value]:
    """All values of a finite domain, without making a list of a long one."""
    if isinstance(domain, Int):
        return range(domain.low, domain.high + 1, domain.step)
    return grid(domain, size(domain) or 1)


def _products(space: Space, base: Mapping[str, Any], axes: Sequence[Iterable[Value]]) -> Iterator[dict[str, Any]]:
    def extend(values: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
        if depth == len(axes):
            yield values
            return
        knob = space.knobs[depth]
        if not space.is_active(knob, values, base):
            yield from extend(values, depth + 1)
            return
        for choice in axes[depth]:
            yield from extend({**values, knob.path: thaw(choice)}, depth + 1)

    return extend({}, 0)
