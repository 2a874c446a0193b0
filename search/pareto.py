"""Ranking by several objectives at once: non-dominated fronts, then crowding (NSGA-II: Deb et al. 2002, section III).

A point is a tuple of scores, lower is better, all points of one length. A score may be infinite (what diverged), never
NaN.
"""

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
