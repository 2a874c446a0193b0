"""`kind: asha`: asynchronous successive halving on the model's own step."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from search.common.quantities import Span, units
from search.stopping.bracket import Bracket
from search.stopping.kind import Lengths, Objectives, StoppingKind
from search.stopping.ladder import ALL_SETTLED, SETTLED, auto_first_rung, ladder
from search.stopping.rungs import Mode, Rule, controlled
from spaces.problems import BadInput
from spaces.schema import Real, Whole


class Asha(StoppingKind):
    """Asynchronous successive halving (Li et al. 2020, arXiv 1810.05934) on the model's own step."""

    several_objectives: ClassVar[bool] = True
    has_rungs: ClassVar[bool] = True

    kind: Literal["asha"]
    """Asynchronous successive halving."""
    mode: Mode = "promote"
    """`promote`: pause at a rung, resume the best 1/reduction. `stop`: Ray's variant, stop the worst at a rung."""
    first_rung: Span = "auto"
    """`auto`: the first rung by which a tenth of the space's configs have left warmup, freeze and ramp."""
    from_settled: bool = True
    """A trial passes the rungs at which it is still in warmup, freeze or ramp, until three that did so have shown that
    such a rung tells of the next one. false: it is compared there, too, and `auto` is the first rung by which 90% have
    left them."""
    reduction: Annotated[Whole, Field(ge=2)] = 3
    """One in so many goes on from a rung."""
    baseline: Literal["auto", "full"] = "auto"
    """`auto`: the documented config waits or stops at rungs like any trial, for it is trained in full on fresh seeds.
    Where that is not so (`confirm.seeds: 0`), or there are `objectives`, it trains in full. `full`: in any case."""
    control: Annotated[Real, Field(ge=0, le=0.5)] = 0.0
    """This share of the trials, drawn at random, trains in full regardless: it shows what stopping early costs."""

    @property
    def waits(self) -> bool:
        """As `from_settled` says."""
        return self.from_settled

    def rungs(self, lengths: Lengths) -> tuple[int, ...]:
        """first, first·reduction, … and the horizon; the horizon alone where no fair rung fits below it."""
        where = "early_stopping.first_rung"
        if self.first_rung == "auto":
            if not lengths.settles:
                what = f"auto needs to know when schedules settle; give a number of {lengths.unit}s, or say in "
                raise BadInput.of(where, f"{what}trainable.settles from when on configs can be compared (0: at once)")
            share = SETTLED if self.from_settled else ALL_SETTLED
            first = auto_first_rung(lengths.settles, lengths.horizon, lengths.every, share)
            if first >= lengths.horizon:
                return (lengths.horizon,)
        else:
            first = units(self.first_rung, lengths.unit, where)
        try:
            return ladder(first, self.reduction, lengths.horizon, lengths.every)
        except ValueError as error:
            raise BadInput.of(where, str(error)) from error

    def in_full(self, trial: int, seed: int, confirmed: bool) -> bool:
        """The control group, and the baseline as `baseline` says."""
        if trial == 0:
            return self.baseline == "full" or not confirmed
        return controlled(trial, seed, self.control)

    def bracket(self, rungs: tuple[int, ...], objectives: Objectives) -> Bracket | None:
        """The rungs; None where there is nothing to stop."""
        if len(rungs) == 1:
            return None
        own, further = objectives
        return Bracket(Rule(self.mode, rungs, self.reduction, own.mode, own.worst, further))
