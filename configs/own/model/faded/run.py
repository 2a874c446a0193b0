"""One training of it. Every draw is a function of (seed, step), so that a pause changes nothing."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainables.run import Diverged, Metrics


class FadedRun:
    """Full-batch descent of a small network."""

    ended: str | None = None

    def __init__(self, model: Any, config: Any, points: int, seed: int) -> None:
        self._model, self._config, self._seed = model, config, seed
        self.step, self.worst = 0, model.objective.worst
        self._train, self._validation = (_points(points, 1), _points(points, 2))  # whatever the trial's seed is
        torch.manual_seed(seed)
        self._network = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
        self._optimizer = torch.optim.SGD(self._network.parameters(), lr=config.lr, momentum=0.9)

    def train(self, until: int) -> Metrics:
        """Train to step `until`."""
        x, y = self._train
        values: Metrics = {}
        while self.step < until:
            values = self._model.knobs(self._config, self.step)
            draw = torch.Generator().manual_seed(self._seed * 1_000_003 + self.step)
            self._optimizer.param_groups[0]["lr"] = values["lr"]
            self._optimizer.zero_grad()
            loss = (self._network(x + values["noise"] * torch.randn(x.shape, generator=draw)) - y).square().mean()
            if not math.isfinite(loss.item()):
                raise Diverged("loss", self.step, loss.item())
            loss.backward()
            self._optimizer.step()
            self.step += 1
        return {**values, "train_mse": loss.item()}

    def evaluate(self) -> Metrics:
        """The error on clean inputs: no searched value enters it."""
        x, y = self._validation
        with torch.no_grad():
            return {"val_mse": (self._network(x) - y).square().mean().item()}

    def state(self) -> dict[str, Any]:
        """Weights, momenta and the step."""
        return {"step": self.step, "network": self._network.state_dict(), "optimizer": self._optimizer.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.step = state["step"]
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])

    def artifacts(self, folder: Path) -> None:
        """Nothing to look at."""

    def close(self) -> None:
        """Nothing is open."""


def _points(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return x, (x.sum(1, keepdim=True)).sin() * 2
