"""Schedules: the knobs that change during training, each a pure function of the step.

A schedule is a small frozen record with two answers:

- `at(step)`: the value in force while training unit `step`. Steps count from 0 in the model's own unit (batches or
  epochs), so `at(0)` is what the very first unit trains with. The same step always gives the same value, whatever was
  asked before; a negative step is a ValueError.
- `settles`: the first step after the *slow start*: from it on no warmup holds the value down, nothing is frozen, no
  ramp climbs, no curriculum orders the data. So it is also how many steps the slow start takes, 0 where there is none:
  a trial that has trained `settles` steps has it behind it. Before that, two trials differ in how far their slow starts
  have come as much as in how good they are; from then on they can be compared. It does not mean constant from there on:
  decays, restarts and later phases are how a trial is meant to run, and waiting for them would leave nothing to stop.

| schedule | settles at |
|---|---|
| Constant, CosineRestarts | 0 |
| Linear, Cosine | 0 when it falls (a decay), its length when it rises (a ramp) |
| OneCycle | the step after its peak |
| PhaseTable, Span | where its first phase does: a later phase is planned change, not a slow start |
| Warmup, warmup_linear, warmup_cosine | the length of the warmup: that step is the first at the peak |
| EpochWarmup, Noam | the length of the warmup, whose own last step is at the peak already; a warmup of 1 is none |
| AlphaRamp | the first step at the end value |
| Freeze | the length of the freeze and of the warmup after it |
| Curriculum | the first unit in free order |

What depends on results is not a schedule but state: `ReduceOnPlateau` moves a `PlateauState` and `PlateauSwitch` a
`SwitchState`, which belong in the checkpoint. Wrong arguments raise ValueError with name, bound and value when the
record is made, never while training.
"""

from trainables.schedules.core import Constant, Phase, Schedule
from trainables.schedules.gates import AlphaRamp, Curriculum, Freeze, due
from trainables.schedules.phases import (
    Cosine,
    Linear,
    OneCycle,
    PhaseTable,
    Span,
    hold_table,
    teacher_forcing,
    warm_restarts,
)
from trainables.schedules.plateau import PlateauState, PlateauSwitch, ReduceOnPlateau, SwitchState
from trainables.schedules.rates import (
    CosineRestarts,
    EpochWarmup,
    Noam,
    Warmup,
    warmup_cosine,
    warmup_linear,
)

__all__ = [
    "AlphaRamp",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Curriculum",
    "EpochWarmup",
    "Freeze",
    "Linear",
    "Noam",
    "OneCycle",
    "Phase",
    "PhaseTable",
    "PlateauState",
    "PlateauSwitch",
    "ReduceOnPlateau",
    "Schedule",
    "Span",
    "SwitchState",
    "Warmup",
    "due",
    "hold_table",
    "teacher_forcing",
    "warm_restarts",
    "warmup_cosine",
    "warmup_linear",
]
