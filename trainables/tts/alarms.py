"""Warnings that a training gives: in its log, and as numbers on the trial. Pure functions of the epochs so far."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

RISING = 5  # epochs of rising loss
APART = 3  # epochs whose means are compared with those before them
MARGIN = 0.01  # share by which the validation loss must have risen to be more than noise
STALE = 20  # epochs without a lower validation error: the document's own
MOST_STEPS = 0.5  # share of an epoch's steps at the clip

NAMES: Mapping[str, str] = {
    "warn_loss_rising": f"the training loss has risen for {RISING} epochs in a row: lower the learning rate",
    "warn_val_diverging": (
        f"the validation loss has risen over the last {APART} epochs while the training loss fell: the network learns "
        "its clips by heart"
    ),
    "warn_no_improvement": f"the validation error has not fallen in {STALE} epochs: a plateau",
    "warn_clipping": "the gradient norm is at the clip in most steps: the clip sets the step size, too",
}
"""Metric → what it means. NaN and infinities end a run, and are said when they do."""


@dataclass(frozen=True)
class History:
    """What the warnings look at; belongs in the checkpoint."""

    train: tuple[float, ...] = ()
    """Training losses of the last epochs under one level: another level's weights make another loss."""
    validation: tuple[float, ...] = ()
    clipped: float = 0.0
    """Share of the last epoch's steps whose gradient was clipped."""
    stale: int = 0
    """Epochs since the lowest validation error."""

    def step(self, train: float, validation: float, clipped: float, stale: int) -> "History":
        """After an epoch."""
        keep = max(RISING + 1, 2 * APART)
        return History((*self.train, train)[-keep:], (*self.validation, validation)[-keep:], clipped, stale)

    def switched(self) -> "History":
        """Under a new level."""
        return replace(self, train=(), validation=())

    def warnings(self) -> tuple[str, ...]:
        """The names of the warnings that hold now."""
        holds = {
            "warn_loss_rising": _rises(self.train[-RISING - 1 :], RISING),
            "warn_val_diverging": _apart(self.train[-2 * APART :], self.validation[-2 * APART :]),
            "warn_no_improvement": self.stale >= STALE,
            "warn_clipping": self.clipped > MOST_STEPS,
        }
        return tuple(name for name in NAMES if holds[name])


def _rises(values: Sequence[float], times: int) -> bool:
    return len(values) > times and all(a < b for a, b in itertools.pairwise(values))


def _apart(train: Sequence[float], validation: Sequence[float]) -> bool:
    """The mean over the last epochs against that over as many before them."""
    if len(train) < 2 * APART:
        return False
    sums = [(math.fsum(each[:APART]), math.fsum(each[APART:])) for each in (train, validation)]
    (train_before, train_now), (before, now) = sums
    return now > (1 + MARGIN) * before and train_now < train_before
