"""Declared schedules beside the values that a run reports."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainables.own.closed_forms import PerUnit
from trainables.own.model import OwnModel
from trainables.schedules import Schedule

TOLERANCE = 1e-5  # of a value: reports may come from 32-bit floats


@dataclass(frozen=True)
class Compared:
    """One declared schedule and what was reported of it."""

    name: str
    evaluations: int
    parting: tuple[int, float, float] | None = None
    """The first step at which they part, with the declared and the reported value."""
    shift: int = 0
    """By so many units the reported values are the declared ones of later units, where that explains all of them."""

    def told(self, unit: str) -> str:
        """In words."""
        if self.parting is None:
            return f"{self.name}: declared and observed agree ({self.evaluations} evaluations)"
        step, declared, reported = self.parting
        text = f"{self.name}: declared and observed part at {unit} {step}: "
        text += f"declared {declared:.6g}, reported {reported:.6g}"
        if self.shift:
            text += f"; they agree one {unit} {'later' if self.shift > 0 else 'earlier'}: is it reported after "
            text += "scheduler.step()?" if self.shift > 0 else "the wrong step?"
        return text


def compare(
    model: OwnModel, native: Mapping[str, Any], reports: Sequence[tuple[int, Mapping[str, float]]]
) -> list[Compared]:
    """Each declared schedule that the run of the config `native` reported. `reports`: (units trained, metrics)."""
    found = []
    for name, schedule in model.schedules(model.parse(native, "the config")).items():
        seen = [(step, metrics[name]) for step, metrics in reports if name in metrics]
        if not seen:
            continue
        odd = [(step, value) for step, value in seen if not _fits(schedule, step - 1, value)]
        if not odd:
            found.append(Compared(name, len(seen)))
            continue
        step, value = odd[0]
        shifts = [s for s in (1, -1) if all(_fits(schedule, at - 1 + s, v) for at, v in seen if at - 1 + s >= 0)]
        parting = (step, schedule.at(step - 1), value)
        found.append(Compared(name, len(seen), parting, shifts[0] if shifts else 0))
    return found


def _fits(schedule: Schedule, unit: int, value: float) -> bool:
    """Whether the schedule has the value while it trains `unit`: at one of its steps, where it makes several."""
    if isinstance(schedule, PerUnit):
        steps = range(math.floor(unit * schedule.steps), math.floor((unit + 1) * schedule.steps) + 1)
        values = [schedule.inner.at(step) for step in steps]
        slack = TOLERANCE * max(map(abs, values))
        return min(values) - slack <= value <= max(values) + slack
    return math.isclose(schedule.at(unit), value, rel_tol=TOLERANCE, abs_tol=1e-12)
