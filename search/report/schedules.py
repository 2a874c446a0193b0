"""The schedules of two configs over a training: each knob as a curve of the step, computed, not recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search.report.material import Material
from spaces.paths import Missing, with_values
from spaces.problems import BadInput
from trainables.run import Model

POINTS = 400
"""Steps at which a long schedule is asked for its values."""


@dataclass(frozen=True)
class Course:
    """One knob over training. `documented` and `new` hold a value per step; None where the config has no such knob."""

    name: str
    documented: tuple[float, ...] | None
    new: tuple[float, ...] | None
    seen_documented: tuple[tuple[int, float], ...] = ()
    """(step, value) that a run reported where it differs from the plan: a plateau that lowered the rate, a switch."""
    seen_new: tuple[tuple[int, float], ...] = ()

    @property
    def constant(self) -> bool:
        """Whether it never moves, in either config and in no run."""
        moving = [values for values in (self.documented, self.new) if values is not None and len(set(values)) > 1]
        return not moving and not self.seen_documented and not self.seen_new

    @property
    def logarithmic(self) -> bool:
        """Whether it is best drawn on a logarithmic axis: more than two decades of positive values."""
        values = [v for of in (self.documented, self.new) if of is not None for v in of]
        positive = [v for v in values if v > 0]
        return bool(positive) and max(positive) > 200 * min(positive) and len(positive) == len(values)


@dataclass(frozen=True)
class Schedules:
    """All knobs at `steps` (0-based: the value while training that unit)."""

    steps: tuple[int, ...]
    courses: tuple[Course, ...]
    trouble: str = ""
    """Why nothing can be drawn, if nothing can."""


def schedules(material: Material, new: Mapping[str, Any] | None) -> Schedules:
    """The documented config's schedules and, where `new` gives the winner's values by knob path, the winner's."""
    steps = sampled(material.horizon)
    try:
        documented = curves(material.model, material.base, steps)
        found = curves(material.model, with_values(material.base, new), steps) if new is not None else {}
    except (BadInput, Missing) as error:
        return Schedules((), (), f"{material.model.name} refuses the recorded config: {error}")
    names = list(dict.fromkeys([*documented, *found]))
    return Schedules(steps, tuple(Course(name, documented.get(name), found.get(name)) for name in names))


def sampled(horizon: int) -> tuple[int, ...]:
    """Steps from 0 to horizon − 1: all of them, or `POINTS` spread evenly with both ends."""
    if horizon <= POINTS:
        return tuple(range(horizon))
    return tuple(sorted({round(i * (horizon - 1) / (POINTS - 1)) for i in range(POINTS)}))


def curves(model: Model[Any, Any], native: Mapping[str, Any], steps: Sequence[int]) -> dict[str, tuple[float, ...]]:
    """Each knob's values at `steps`. Raises BadInput where the model refuses the config."""
    config = model.parse(native, "the recorded config")
    rows = [model.knobs(config, step) for step in steps]
    return {name: tuple(float(row[name]) for row in rows) for name in (rows[0] if rows else {})}


def with_seen(
    planned: Schedules,
    model: Model[Any, Any],
    native: Mapping[str, Any],
    reports: Sequence[tuple[int, Mapping[str, float]]],
    new: bool,
) -> Schedules:
    """`planned` with what a run of the config `native` really had in force, where that is not what was planned.

    `reports`: (step, metrics) of its evaluations; the values in them are those of the last unit trained before.
    """
    if planned.trouble or not reports:
        return planned
    config = model.parse(native, "the recorded config")
    expected = {step: model.knobs(config, step - 1) for step, _ in reports if step > 0}
    courses = []
    for course in planned.courses:
        known = [
            (s, m[course.name], expected[s].get(course.name)) for s, m in reports if s in expected and course.name in m
        ]
        differing = any(plan is None or abs(value - plan) > 1e-9 + 1e-6 * abs(plan) for _, value, plan in known)
        seen = tuple((step, value) for step, value, _ in known) if differing else ()
        courses.append(replace(course, seen_new=seen) if new else replace(course, seen_documented=seen))
    return Schedules(planned.steps, tuple(courses))
