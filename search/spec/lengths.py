"""How long a search's trials are and what it may spend: spans, times and sizes of the YAML, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.common.quantities import seconds, size, units
from search.spec.config import Settings
from search.spec.problems import Problems
from spaces.paths import get
from spaces.problems import Problem
from trainables.run import Model


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

    def span(key: str) -> int | None:
        return problems.read(lambda value, at: units(value, unit, at), getattr(budget, key), f"{where} budget.{key}")

    horizon = span("steps") or int(get(native, model.length_key)) - begins
    every = span("evaluate_every") or _cadence(horizon)
    total = span("total_steps")
    wall = problems.read(seconds, budget.wall, f"{where} budget.wall")
    if every > horizon or horizon % every:
        near = max(e for e in range(1, min(every, horizon) + 1) if horizon % e == 0)
        what = f"{every} {unit}s does not divide budget.steps, {horizon}: evaluations would miss the last rung; try "
        problems.found.append(Problem(f"{where} budget.evaluate_every", f"{what}{near}"))
    problems.stop()
    return Limits(begins + horizon, every, total, wall)


def ceilings(settings: Settings, where: str) -> dict[str, Any]:
    """By the names that a `Search` has for them: seconds that a trial may be silent; bytes of memory, and of GPU
    memory, that it may hold; bytes of disk that all checkpoints, and all shared states, may take."""
    problems, resources = Problems(), settings.resources
    sizes = ("memory", "gpu_memory", "disk", "prefixes")
    found: dict[str, Any] = {"trial_timeout": problems.read(seconds, settings.trial_timeout, f"{where} trial_timeout")}
    found |= {key: problems.read(size, getattr(resources, key), f"{where} resources.{key}") for key in sizes}
    problems.stop()
    return found


def _cadence(horizon: int) -> int:
    """The longest interval between evaluations that divides `horizon` into at least 25 parts, or else 1."""
    return max((every for every in range(1, max(1, horizon // 25) + 1) if horizon % every == 0), default=1)
