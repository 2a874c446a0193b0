"""Recorded learning curves of a pool of configs: what a simulated search trains instead of a model."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.domain import Float
from spaces.knob import Knob
from spaces.problems import BadInput
from spaces.space import Space

Array = NDArray[np.float64]

NOISE = 0.005
"""Standard deviation that is added to LCBench's curves, which a surrogate has smoothed."""

LOG, NEAR_ONE = "log", "near one"
SCALES = {
    "learning_rate": LOG,
    "beta1": NEAR_ONE,
    "beta2": NEAR_ONE,
    "epsilon": LOG,
    "l1": LOG,
    "l2": LOG,
    "linear_decay": LOG,
    "exponential_decay": LOG,
}
"""How TaskSet drew its knobs (Metz et al. 2020, arXiv 2002.11887, appendix): log-uniform, the betas by 1 - beta."""


@dataclass(frozen=True, eq=False)
class Table:
    """n configs of one task with their whole curves. Lower is better throughout: maximised objectives are negated."""

    name: str
    group: str  # the benchmark that it belongs to
    space: Space
    base: Mapping[str, Any]
    values: Sequence[Mapping[str, Any]]  # n points of the space
    unit: Array  # (n, d): the same points in the unit cube, as distances are measured
    seen: Array  # (n, evaluations): what a search sees; NaN where training diverged
    true: Array  # (n,): the value at the horizon that counts, without noise and on other data where there is any
    every: int = 1  # steps between evaluations
    baseline: int | None = None  # row of the documented baseline: trial 0, if there is one
    unit_name: str = "epoch"

    def __post_init__(self) -> None:
        n = len(self.values)
        assert self.unit.shape == (n, len(self.space.knobs)) and self.true.shape == (n,) and len(self.seen) == n

    @property
    def horizon(self) -> int:
        """Steps of a full training."""
        return int(self.seen.shape[1]) * self.every

    @cached_property
    def curves(self) -> list[list[float]]:
        """`seen` as plain numbers, which are quicker to take one by one."""
        found: list[list[float]] = self.seen.tolist()
        return found

    def nearest(self, point: Array, unused: Array) -> int:
        """The unused row nearest to a point (d,) of the unit cube, of equal ones the first. `unused`: (n,), 0 or ∞."""
        return int((np.square(self.unit - point).sum(axis=1) + unused).argmin())

    def snapped(self, values: Mapping[str, Any], unused: Array) -> dict[str, Any]:
        """The values of the row that these become."""
        return dict(self.values[self.nearest(np.array(unit_point(self.space, values)), unused)])

    @cached_property
    def worst(self) -> float:
        """A finite value that no config that trains well comes near: the worst that was seen."""
        return float(np.max(self.seen[np.isfinite(self.seen)]))

    @cached_property
    def regrets(self) -> Array:
        """(n,): 0 for the pool's best config, 1 for its median, by `true`. What is worse than the median counts as 1,
        diverged configs among it: how much worse says nothing about a search.
        """
        value = np.where(np.isfinite(self.true), self.true, np.inf)
        return regret(value, float(value.min()), float(np.median(value)))


def regret(value: Array, best: float, median: float) -> Array:
    """0 for what is as good as the best, 1 for the median and what is worse."""
    if not best < median < np.inf:
        return np.where(value <= best, 0.0, 1.0)
    clipped: Array = np.clip((value - best) / (median - best), 0.0, 1.0)
    return clipped


def unit_point(space: Space, values: Mapping[str, Any]) -> list[float]:
    """Where a point of the space lies in the unit cube, knob by knob: .5 where a knob is not active, or has a choice
    that the domain lacks; at the domain's end where a value lies beyond it, as a baseline's may."""
    return [knob.place(values, 0.5) for knob in space.knobs]


def load(path: Path) -> Table:
    """The table in an `.npz` of TaskSet (`config`, `knobs`, `valid_loss`, `test_loss`) or LCBench (`config_unit`,
    `valid_error`, `test_error`) curves. Raises BadInput for another file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError) as error:
        raise BadInput.of(str(path), f"can't be read as a table of curves: {error}") from error
    if {"config", "knobs", "valid_loss", "test_loss"} <= set(arrays):
        return _taskset(path.stem, arrays)
    if {"config_unit", "valid_error", "test_error"} <= set(arrays):
        return _lcbench(path.stem, arrays)
    held = ", ".join(sorted(arrays)) or "nothing"
    what = f"holds {held}; a table needs config, knobs, valid_loss, test_loss or config_unit, valid_error, test_error"
    raise BadInput.of(str(path), what)


def _taskset(name: str, arrays: Mapping[str, NDArray[Any]]) -> Table:
    """Entry 0 of a curve is the untrained network, so the evaluation at epoch e is entry e."""
    knobs = [str(knob) for knob in arrays["knobs"]]
    columns = [_unit(arrays["config"][:, i].astype(float), SCALES.get(knob, "")) for i, knob in enumerate(knobs)]
    seen, true = arrays["valid_loss"][:, 1:].astype(float), arrays["test_loss"][:, -1].astype(float)
    return _table(name, "taskset", knobs, np.column_stack(columns), seen, true)


def _lcbench(name: str, arrays: Mapping[str, NDArray[Any]]) -> Table:
    unit, smooth = arrays["config_unit"].astype(float), arrays["valid_error"].astype(float)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    seen = smooth + NOISE * rng.standard_normal(smooth.shape)
    knobs = [f"x{i}" for i in range(unit.shape[1])]
    return _table(name, "lcbench", knobs, unit, seen, arrays["test_error"][:, -1].astype(float))


def _table(name: str, group: str, knobs: Sequence[str], unit: Array, seen: Array, true: Array) -> Table:
    """A table whose knobs are the coordinates of the unit cube: samplers see the same space in any parametrisation."""
    space = Space(tuple(Knob(knob, Float(0.0, 1.0)) for knob in knobs))
    values = [dict(zip(knobs, map(float, row), strict=True)) for row in unit]
    return Table(name, group, space, dict.fromkeys(knobs, 0.5), values, unit, seen, true)


def _unit(column: Array, scale: str) -> Array:
    """The column on its own scale, from 0 at its least value to 1 at its greatest."""
    if scale == NEAR_ONE:
        column = -np.log1p(-column)
    elif scale == LOG:
        column = np.log(column)
    low, high = float(column.min()), float(column.max())
    return (column - low) / (high - low) if high > low else np.full(len(column), 0.5)
