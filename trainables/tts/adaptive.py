"""Adaptive loss weights: within 5% of the set ones, toward the loss that has fallen least; state of the checkpoint."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

SPAN = 0.05  # the most that a weight may differ from the set one, as a share of it
LEAST, MOST = 1.0, 5.0  # a weight is never moved out of these
ADAPTED = ("mel", "kl")
"""The parts whose documented weights lie between `LEAST` and `MOST`."""
TEMPERATURE = 0.1  # change of a loss relative to the others at which most of the span is used


@dataclass(frozen=True)
class AdaptiveState:
    """Where the controller stands."""

    last: tuple[float, ...] | None = None
    """Mean losses of the epoch before, in the order of `ADAPTED`."""
    lean: tuple[float, ...] = tuple(0.0 for _ in ADAPTED)
    """How far each weight leans, in [−1, 1]: 1 is the whole span above the set weight."""

    def weights(self, given: Mapping[str, float]) -> dict[str, float]:
        """The weights in force where `given` are set, by part."""
        moved = {part: adapted(given[part], lean) for part, lean in zip(ADAPTED, self.lean, strict=True)}
        return {**given, **moved}

    def step(self, means: Mapping[str, float]) -> "AdaptiveState":
        """After an epoch with these mean losses by part.

        lean_i = tanh((r_i − mean r)/τ), r_i = loss now/loss before: a loss that falls more slowly than the others gets
        more weight. Source: the descent rates of Liu et al., CVPR 2019 (dynamic weight average), bounded.
        """
        now = tuple(means[part] for part in ADAPTED)
        if self.last is None:
            return AdaptiveState(now, self.lean)
        rates = [new / max(old, 1e-8) for new, old in zip(now, self.last, strict=True)]
        middle = math.fsum(rates) / len(rates)
        return AdaptiveState(now, tuple(math.tanh((rate - middle) / TEMPERATURE) for rate in rates))


def adapted(given: float, lean: float) -> float:
    """The weight `given`, leaning within its span and within [1, 5]; one that was set outside of these stays."""
    if not LEAST <= given <= MOST:
        return given
    return min(max(given * (1 + SPAN * lean), LEAST), MOST)
