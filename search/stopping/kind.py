"""What a kind of early stopping is: its settings in the YAML, what they mean for the plan, and how it decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from search.stopping.bracket import Bracket
from search.stopping.rungs import Goal
from spaces.problems import BadInput
from spaces.schema import Section
from trainables.run import Objective

Objectives = tuple[Objective, tuple[Goal, ...]]
"""The model's own objective, and those beside it."""


@dataclass(frozen=True)
class Lengths:
    """A trial's full length and the interval between evaluations, in the model's `unit`."""

    horizon: int
    every: int
    unit: str
    settles: Sequence[int] = ()
    """Of configs drawn from the space: the step by which each has left its warmup, freeze or ramp."""


def below_horizon(name: str, value: int, lengths: Lengths) -> int:
    """`value`, of the key `name`. Raises BadInput where it is no shorter than a trial."""
    if value >= lengths.horizon:
        raise BadInput.of("early_stopping", f"{name} is {value}; it must lie below steps {lengths.horizon}")
    return value


class StoppingKind(Section):
    """The settings of one kind, and its rule. A kind states what differs from "every trial runs to the horizon".

    Example:
        class Half(StoppingKind):
            kind: Literal["half"]

            def rungs(self, lengths):
                return (lengths.horizon // 2, lengths.horizon)

            def bracket(self, rungs, objectives):
                own, further = objectives
                return Bracket(Rule("stop", rungs, 2, own.mode, own.worst, further))

    """

    groups_trials: ClassVar[bool] = False
    """Trials are grouped before the first one runs: all are proposed at once, so `budget.trials` must say how many."""
    several_objectives: ClassVar[bool] = False
    has_rungs: ClassVar[bool] = False
    moves_knobs: ClassVar[bool] = False
    """A trial's knobs may change while it trains, and its state come from another trial."""

    kind: str

    @property
    def waits(self) -> bool:
        """Whether a trial passes the rungs before the step by which it has settled."""
        return False

    def rungs(self, lengths: Lengths) -> tuple[int, ...]:
        """The steps at which trials are compared, ascending, the horizon last. Raises BadInput for settings that do not
        fit the lengths."""
        return (lengths.horizon,)

    def in_full(self, trial: int, seed: int, confirmed: bool) -> bool:  # noqa: ARG002
        """Whether a trial, by its number, trains in full whatever the rungs say. `seed`: the search's. `confirmed`:
        whether the documented config, trial 0, is trained in full on fresh seeds anyway."""
        return False

    def bracket(self, rungs: tuple[int, ...], objectives: Objectives) -> Bracket | None:  # noqa: ARG002
        """The empty rungs that decide; None where one of Ray's own schedulers does."""
        return None
