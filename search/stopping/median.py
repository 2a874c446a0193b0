"""`kind: median`: Ray's own median stopping rule."""

from typing import Annotated, Literal

from pydantic import Field

from search.common.quantities import Span, units
from search.stopping.kind import Lengths, StoppingKind, below_horizon
from spaces.schema import Whole


class Median(StoppingKind):
    """Ray's median stopping rule (Golovin et al. 2017): stop below the median of the others' running means."""

    kind: Literal["median"]
    """Ray's median stopping rule."""
    grace: Span = "auto"
    """No trial is stopped before. `auto`: a fifth of a full training."""
    min_trials: Annotated[Whole, Field(ge=1)] = 3
    """Trials at a step below which there is no median."""

    def grace_steps(self, lengths: Lengths) -> int:
        """`grace` in the model's unit. Raises BadInput for another unit, and where no trial is longer."""
        auto = self.grace == "auto"
        steps = max(1, lengths.horizon // 5) if auto else units(self.grace, lengths.unit, "early_stopping.grace")
        return below_horizon("grace", steps, lengths)

    def rungs(self, lengths: Lengths) -> tuple[int, ...]:
        """None but the horizon. Raises BadInput as `grace_steps`."""
        self.grace_steps(lengths)
        return super().rungs(lengths)
