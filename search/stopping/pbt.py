"""`kind: pbt`: Ray's own population based training."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from search.common.quantities import Span, units
from search.stopping.kind import Lengths, StoppingKind, below_horizon
from spaces.problems import BadInput
from spaces.schema import Real


class Pbt(StoppingKind):
    """Ray's population based training (Jaderberg et al. 2017, arXiv 1711.09846); knobs change in mid-run."""

    groups_trials: ClassVar[bool] = True
    moves_knobs: ClassVar[bool] = True

    kind: Literal["pbt"]
    """Ray's population based training."""
    perturb_every: Span | None = None
    """Units between exploit-and-explore; null: a tenth of `budget.steps`, on the grid of evaluations."""
    quantile: Annotated[Real, Field(gt=0, le=0.5)] = 0.25
    """This share of the trials is replaced, and this share is copied from."""

    def interval(self, lengths: Lengths) -> int:
        """`perturb_every` in the model's unit. Raises BadInput where evaluations would miss it, and where no trial is
        longer."""
        if self.perturb_every is None:
            tenth = max(lengths.every, lengths.horizon // 10 // lengths.every * lengths.every)
            return below_horizon("perturb_every", tenth, lengths)
        where = "early_stopping.perturb_every"
        interval = units(self.perturb_every, lengths.unit, where)
        if interval % lengths.every:
            raise BadInput.of(where, f"{interval} is no multiple of evaluate_every {lengths.every}")
        return below_horizon("perturb_every", interval, lengths)

    def rungs(self, lengths: Lengths) -> tuple[int, ...]:
        """None but the horizon. Raises BadInput as `interval`."""
        self.interval(lengths)
        return super().rungs(lengths)
