"""Means of what a training call computes, read from the device now and then: each reading waits for it."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainables.run import Diverged


@dataclass
class Interval:
    """Losses and gradient norms of the batches since a training call began, the newest perhaps still on the device."""

    most: int
    """Batches after which they are read at the latest."""
    unread: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)

    def note(self, step: int, parts: dict[str, Tensor]) -> None:
        """Add what the batch computed that ended `step`. Raises Diverged, as `read` does."""
        self.unread.append((step, parts))
        if len(self.unread) >= self.most:
            self.read()

    def read(self) -> None:
        """Fetch what is unread. Raises Diverged naming the first batch with a value that is not finite."""
        if not self.unread:
            return
        flat = torch.stack([value for _, parts in self.unread for value in parts.values()]).tolist()
        named = [(step, key) for step, parts in self.unread for key in parts]
        self.unread.clear()
        for (step, key), value in zip(named, flat, strict=True):
            if not math.isfinite(value):
                raise Diverged(key, step, value)
            self.values.setdefault(key, []).append(value)

    def newest(self) -> dict[str, float]:
        """What the last batch computed. Raises Diverged, as `read` does."""
        self.read()
        return {key: values[-1] for key, values in self.values.items()}

    def means(self) -> dict[str, float]:
        """The mean of each over the interval. Raises Diverged, as `read` does."""
        self.read()
        return {key: math.fsum(values) / len(values) for key, values in self.values.items()}
