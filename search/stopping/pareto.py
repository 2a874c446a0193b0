"""Ranking by several objectives at once: non-dominated fronts, then crowding (NSGA-II: Deb et al. 2002, section III).

A point is a tuple of scores, lower is better, all points of one length. A score may be infinite (what diverged), never
NaN.
"""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Point = tuple[float, ...]


def fronts(points: Sequence[Point]) -> npt.NDArray[np.int64]:
    """The front of each point, from 0: front k is what no other point dominates once the fronts before it are gone.

    a dominates b ⟺ a ≤ b in every objective and a < b in one.
    """
    found = np.zeros(len(points), dtype=np.int64)
    if not points:
        return found
    if len(points[0]) <= 2:
        return _swept(points)
    table = np.asarray(points, dtype=np.float64)  # (n, objectives)
    no_worse = np.all(table[:, None] <= table[None], axis=2)
    ahead = np.asarray(no_worse & np.any(table[:, None] < table[None], axis=2))  # (n, n): i dominates j
    left = np.ones(len(points), dtype=bool)
    front = 0
    while left.any():
        here = left & ~ahead[left].any(axis=0)
        found[here] = front
        left &= ~here
        front += 1
    return found


def _swept(points: Sequence[Point]) -> npt.NDArray[np.int64]:
    """`fronts` of points in one or two objectives in O(n log n), by a sweep along the first (Jensen 2003).

    Of the points met so far in a front the last has the least second score. Front by front these ends only get worse:
    so a point's front is the first whose end does not dominate it.
    """
    found = np.zeros(len(points), dtype=np.int64)
    ends: list[tuple[float, float]] = []  # of each front: second and first score of the point met last
    for i in sorted(range(len(points)), key=points.__getitem__):
        end = (points[i][-1], points[i][0])
        front = bisect_left(ends, end)
        found[i] = front
        ends[front : front + 1] = [end]
    return found


def crowding(points: Sequence[Point]) -> npt.NDArray[np.float64]:
    """How lonely each point of one front is: the sum over the objectives of the distance between its two neighbours, as
    a share of the front's extent; infinite at both ends. Objectives in which all are equal count for nothing.
    """
    table = np.asarray(points, dtype=np.float64).reshape(len(points), -1)
    found = np.zeros(len(points))
    for column in table.T:
        order = np.argsort(column, kind="stable")
        if column[order[0]] == column[order[-1]] or not np.isfinite(column).all():
            continue
        extent = column[order[-1]] - column[order[0]]
        found[order[[0, -1]]] = np.inf
        found[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / extent
    return found


def order(points: Sequence[Point]) -> list[int]:
    """The indices of the points, best first: by front, within a front the loneliest first, then as they come.

    The loneliest first keeps the ends of a front and a spread between them where only some of it may go on.
    """
    front = fronts(points)
    lonely = np.zeros(len(points))
    for each in np.unique(front):
        members = np.flatnonzero(front == each).tolist()
        lonely[members] = crowding([points[i] for i in members])
    return sorted(range(len(points)), key=lambda i: (front[i], -lonely[i], i))
