"""`kind: hyperband`: Ray's own synchronous HyperBand."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from search.stopping.kind import Lengths, StoppingKind
from spaces.problems import BadInput
from spaces.schema import Whole


class Hyperband(StoppingKind):
    """Ray's synchronous HyperBand (Li et al. 2018, arXiv 1603.06560)."""

    groups_trials: ClassVar[bool] = True

    kind: Literal["hyperband"]
    """Brackets of successive halving, Ray's."""
    reduction: Annotated[Whole, Field(ge=2)] = 3
    """One in so many of a bracket goes on."""

    def rungs(self, lengths: Lengths) -> tuple[int, ...]:
        """Ray's own are not known before; here the horizon. Raises BadInput for a reduction above it."""
        if self.reduction > lengths.horizon:
            what = f"reduction is {self.reduction}; it must be at most steps {lengths.horizon}"
            raise BadInput.of("early_stopping", what)
        return super().rungs(lengths)
