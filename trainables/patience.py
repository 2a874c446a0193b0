"""A run's own early stopping, as state that a checkpoint holds."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Validations since the lowest value of what a run watches (a loss, an error rate)."""

    best: float = math.inf
    since: int = 0

    def step(self, value: float) -> "Patience":
        """After a validation that gave `value`."""
        return Patience(value, 0) if value < self.best else Patience(self.best, self.since + 1)
