"""Equal fidelity: the steps at which trials can be compared, and what each trial scored there."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.history.records import Trial
from search.report.material import Material, value_at

ENOUGH = 20
"""Trials that an importance should rest on: of later rungs only promoted ones are left, which differ less."""


@dataclass(frozen=True)
class Level:
    """The trials that have a value at a step."""

    step: int
    trials: tuple[int, ...]
    values: tuple[float, ...]
    """Their objectives there; the worst for those that had diverged by then."""
    diverged: int
    """So many of them had."""


def levels(material: Material) -> tuple[Level, ...]:
    """One level per rung that at least two trials have reached, in order of steps."""
    found = (level(material.trials, step, material.model.objective.worst) for step in material.rungs)
    return tuple(one for one in found if len(one.trials) > 1)


def level(trials: Sequence[Trial], step: int, worst: float) -> Level:
    """Every trial's value at `step`, of those that have one."""
    known = [(trial, value) for trial in trials if (value := value_at(trial, step, worst)) is not None]
    diverged = sum(trial.status == "diverged" and trial.step <= step for trial, _ in known)
    return Level(step, tuple(t.number for t, _ in known), tuple(v for _, v in known), diverged)


def telling(found: Sequence[Level]) -> Level | None:
    """The level to learn from: the highest with enough trials; else the one with most, the higher of equals."""
    enough = [one for one in found if len(one.trials) >= ENOUGH]
    if enough:
        return enough[-1]
    return max(found, key=lambda one: (len(one.trials), one.step), default=None)
