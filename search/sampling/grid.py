"""Every combination of a space's grid values, conditions honoured: a knob counts only where it is active."""

from collections.abc import Iterator, Mapping
from typing import Any

from spaces.domain import grid
from spaces.space import Space
from spaces.values import thaw


def combinations(space: Space, base: Mapping[str, Any], points: int) -> Iterator[dict[str, Any]]:
    """The values of the active knobs, lexicographic in dependency order, the last knob fastest; none comes twice.

    Numeric knobs take at most `points` values (both ends included), categorical ones all of theirs.
    """
    axes = [(knob, [thaw(value) for value in grid(knob.domain, points)]) for knob in space.knobs]

    def extend(values: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
        if depth == len(axes):
            yield values
            return
        knob, choices = axes[depth]
        if not space.is_active(knob, values, base):
            yield from extend(values, depth + 1)
            return
        for choice in choices:
            yield from extend({**values, knob.path: choice}, depth + 1)

    return extend({}, 0)
