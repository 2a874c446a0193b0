"""Which knobs a config has, where a space is only known by the trials that were drawn from it (define by run)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.sampling.forest.columns import Column

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
ABSENT = -1.0


@dataclass(frozen=True)
class Switch:
    """Knob `column` is there or not as the value of knob `by` says; for a value never seen it is there."""

    column: int
    by: int
    absent_at: Array
    """Places of `by`, `ABSENT` among them if it can be absent itself."""


def learn(columns: Sequence[Column], units: Array) -> tuple[Switch, ...]:
    """The switches that explain `units`, shape (trials, columns), NaN where a trial has no such knob.

    A knob that only some trials have hangs on the first discrete knob before it whose value alone tells which. Where
    there is none, it counts as there: its value is proposed, and not asked for.
    """
    present = ~np.isnan(units)
    places = np.where(present, units, ABSENT)
    found = []
    for column in np.flatnonzero(present.any(axis=0) & ~present.all(axis=0)):
        for by in range(column):
            if columns[by].count is None:
                continue
            with_it, without = set(places[present[:, column], by]), set(places[~present[:, column], by])
            if not with_it & without:
                found.append(Switch(int(column), by, np.array(sorted(without))))
                break
    return tuple(found)


def apply(switches: Sequence[Switch], units: Array) -> Mask:
    """Which knobs configs have, shape (configs, columns), from a value for every knob."""
    mask = np.ones(units.shape, dtype=bool)
    for switch in switches:  # in the order of columns, so that `by` has been decided before
        place = np.where(mask[:, switch.by], units[:, switch.by], ABSENT)
        mask[:, switch.column] = ~np.isclose(place[:, None], switch.absent_at[None, :], atol=1e-9).any(axis=1)
    return mask
