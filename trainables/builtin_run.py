"""What the runs of the five models do alike: count steps, say where they are, and what they would score at worst."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from trainables.patience import Patience
from trainables.run import C, Diverged, Objective
from trainables.snapshot import copied

N = TypeVar("N", bound=nn.Module)


class BuiltInRun(Generic[C, N]):
    """The common part of a `trainables.run.Run` that trains one network. A model adds what is its own, and overrides
    what it does otherwise."""

    objective: ClassVar[Objective]
    network: N
    optimizer: torch.optim.Optimizer

    def __init__(self, config: C, seed: int, device: torch.device) -> None:
        self._config, self._seed, self._device, self._step = config, seed, device, 0
        self._patience = Patience()

    @property
    def step(self) -> int:
        """Units trained."""
        return self._step

    @property
    def worst(self) -> float:
        """The objective's own: it is the same for all data."""
        return self.objective.worst

    def state(self) -> dict[str, Any]:
        """A snapshot: later training leaves it alone."""
        return {
            "step": self._step,
            "network": copied(self.network.state_dict()),
            "optimizer": copied(self.optimizer.state_dict()),
            "patience": asdict(self._patience),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. All knobs come from this run's own config at the next step."""
        self._step = int(state["step"])
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(copied(state["optimizer"]))
        self._patience = Patience(**state["patience"])

    def artifacts(self, folder: Path) -> None:
        """Nothing: its metrics say it all."""

    def close(self) -> None:
        """Nothing outlives the object."""

    def _finite(self, quantity: str, value: float, step: int | None = None) -> float:
        """The value, or Diverged at `step`: the units trained, the failing one included."""
        if not math.isfinite(value):
            raise Diverged(quantity, self.step if step is None else step, value)
        return value


def this_device(gpu: bool = True) -> torch.device:
    """The GPU of this machine, if it has one and `gpu` allows it; else the CPU."""
    return torch.device("cuda" if gpu and torch.cuda.is_available() else "cpu")


def bfloat16(wanted: bool) -> bool:
    """Whether this machine's GPU computes a network in bfloat16: not where it is emulated, slower than float32."""
    return wanted and torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
