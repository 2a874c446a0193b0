"""How long a search's trials are and what it may spend: spans, times and sizes of the YAML, read once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from search.common.quantities import seconds, size, units
from search.spec.config import Settings
from search.spec.problems import Problems
from spaces.paths import get
from spaces.problems import Problem
from trainables.run import Model

T = TypeVar("T")
Ceilings = tuple[float | None, int | None, int | None, int | None, int | None]
"""What `limits` gives."""


@dataclass(frozen=True)
class Limits:
    """How long trials are, in the model's unit, and what all of them together may take."""

    horizon: int
    """The step at which a trial is trained in full."""
    every: int
    """Units between evaluations."""
    total_steps: int | None
    wall: float | None
    """Seconds."""


def lengths(model: Model[Any, Any], settings: Settings, native: Mapping[str, Any], begins: int, where: str) -> Limits:
    """The lengths of a search whose trials start at step `begins`. Raises BadInput."""
    budget, unit = settings.budget, model.unit
    problems = Problems()

    def span(key: str, value: int | str | None) -> int | None:
        return problems.checked(lambda: units(value, unit, f"{where} budget.{key}")) if value is not None else None

    horizon = span("steps", budget.steps)
    horizon = horizon or int(get(native, model.length_key)) - begins
    every = span("evaluate_every", budget.evaluate_every) or _cadence(horizon)
    total = span("total_steps", budget.total_steps)
    limit = budget.wall
    wall = problems.checked(lambda: seconds(limit, f"{where} budget.wall")) if limit is not None else None
    if every > horizon or horizon % every:
        near = max(e for e in range(1, min(every, horizon) + 1) if horizon % e == 0)
        what = (
            f"{every} {unit}s does not divide budget.steps, {horizon}: evaluations would miss the last rung; try {near}"
        )
        problems.found.append(Problem(f"{where} budget.evaluate_every", what))
    problems.stop()
    return Limits(begins + horizon, every, total, wall)


def limits(settings: Settings, where: str) -> Ceilings:
    """Seconds that a trial may be silent; bytes of memory, and of GPU memory, that it may hold; bytes of disk that all
    may hold."""
    problems = Problems()

    def read(value: int | float | str | None, reader: Callable[[Any, str], T], key: str) -> T | None:
        return None if value is None else problems.checked(lambda: reader(value, f"{where} {key}"))

    timeout = read(settings.trial_timeout, seconds, "trial_timeout")
    memory = read(settings.resources.memory, size, "resources.memory")
    gpu_memory = read(settings.resources.gpu_memory, size, "resources.gpu_memory")
    disk = read(settings.resources.disk, size, "resources.disk")
    prefixes = read(settings.resources.prefixes, size, "resources.prefixes")
    problems.stop()
    return timeout, memory, gpu_memory, disk, prefixes


def _cadence(horizon: int) -> int:
    """The longest interval between evaluations that divides `horizon` into at least 25 parts, or else 1."""
    return max((every for every in range(1, max(1, horizon // 25) + 1) if horizon % every == 0), default=1)
