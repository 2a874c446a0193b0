"""One training of sequence_generator, epoch by epoch; it fulfils `trainables.run.Run`.

An epoch: take the knob values of its step, train on every sequence once in the order that belongs to (seed, epoch),
then roll the validation sequences out. That moves the count of epochs without gain, which belongs to the training, so
it does not depend on how often anyone calls `evaluate`.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.builtin_run import BuiltInRun, bfloat16, this_device
from trainables.run import Prepared
from trainables.seeding import derive, permutation
from trainables.sequence_generator import saved
from trainables.sequence_generator.cahn_hilliard import Array
from trainables.sequence_generator.config import Config
from trainables.sequence_generator.data import Sequences, difficulty, read
from trainables.sequence_generator.layout import N_COMPONENTS, OBJECTIVE, split
from trainables.sequence_generator.losses import training_loss
from trainables.sequence_generator.metrics import rollout_mae, validation_metrics
from trainables.sequence_generator.model import SequenceGenerator
from trainables.sequence_generator.schedule import describe, knobs, last_epochs
from trainables.start_weights import Start

LOG = logging.getLogger("trainables.sequence_generator")
PLATEAU = 30  # epochs without a better rollout: documented as what to look out for
ROLLOUT_BATCH = 256  # sequences; fixed, so that no knob changes how sums are rounded


@dataclass(frozen=True)
class Parts:
    """Standardised sequences (n, T, 7) on the device."""

    train: Tensor
    validation: Tensor
    test: Tensor
    familiar: Tensor  # as many training sequences as there are for validation: what the gap is measured on


class SequenceRun(BuiltInRun[Config, SequenceGenerator]):
    """A training in progress; the weights at step 0 and every draw follow from (config, sequences, seed)."""

    objective = OBJECTIVE

    def __init__(self, config: Config, sequences: Sequences, seed: int) -> None:
        super().__init__(config, seed, this_device(gpu=not config.no_cuda))
        self._amp = bfloat16(config.mixed_precision)
        self._parts, self._by_difficulty = self._split(sequences)
        weights = torch.tensor(config.component_weights)
        self._component_weights = (weights / weights.mean()).to(self._device)  # (5,), of mean 1

        torch.manual_seed(derive(seed, "weights"))  # on the CPU, so that every device starts from the same weights
        self.network = SequenceGenerator(config).to(self._device)
        self._weights = list(self.network.parameters())
        # Decoupled weight decay (Loshchilov & Hutter 2019). Rate and decay are set anew for every epoch.
        self.optimizer = torch.optim.AdamW(self._weights, lr=config.start_lr, fused=True)
        self._best_step = 0
        self._rows: list[list[float]] = []  # of training.csv
        self._folder = saved.run_folder(config, seed)
        self._rolled: Tensor | None = None  # the validation sequences, by the current weights
        LOG.info("%s", describe(config))
        if config.existing_model:
            start = Start(saved.EXISTING, config.existing_model)
            self.network.load_state_dict(start.weights(self.network))
            LOG.info("starts from the weights in %s", config.existing_model)

    @property
    def ended(self) -> None:
        """It never ends before its budget: every phase of the plan is trained."""

    def train(self, until: int) -> dict[str, float]:
        """Train to epoch `until`. Raises Diverged."""
        found: list[dict[str, float]] = []
        now: dict[str, float] = {}
        while self._step < until:
            now = knobs(self._config, self._step)
            losses = self.train_epoch(now)
            self._step += 1
            losses |= {f"val_{key}": value for key, value in self._losses(self._parts.validation, now).items()}
            self._count()
            self._keep(losses, now)
            found.append(losses)
        if not found:
            return {}  # nothing was left to train
        last = {key: value for key, value in found[-1].items() if key.startswith("val_")}
        means = {key: math.fsum(losses[key] for losses in found) / len(found) for key in found[0] if key not in last}
        return {**means, **last, **now}

    def train_epoch(self, now: Mapping[str, float]) -> dict[str, float]:
        """One pass over the training sequences with the knob values `now`: means of losses and gradient norm."""
        self._rolled = None
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"], group["weight_decay"] = now["lr"], now["weight_decay"]
        found: list[Tensor] = []
        for number, index in enumerate(torch.split(self._order(now), self._config.batch_size)):
            found.append(self.train_batch(self._parts.train[index], number, now))
        return self._means(torch.stack(found))

    def train_batch(self, batch: Tensor, number: int, now: Mapping[str, float]) -> Tensor:
        """One optimiser step on sequences (B, T, 7): the three losses and the gradient norm, (4,), on the device."""
        torch.manual_seed(derive(self._seed, "dropout", self._step, number))
        target = batch[:, :, :N_COMPONENTS]
        shown = self._noised(batch, number, now["noise_level"])
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._amp):
            predicted = self.network(shown, self._forced(batch.shape[1], number, now["teacher_forcing"]))
        trajectory = torch.cat([target[:, :1], predicted.float()], dim=1)  # (B, T, 5)
        losses = training_loss(trajectory, target, now["alpha"], int(now["max_lag"]), self._component_weights)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._weights, now["clip_grad_norm"])
        self.optimizer.step()
        return torch.stack([*(loss.detach() for loss in losses), norm])

    def _order(self, now: Mapping[str, float]) -> Tensor:
        """Rows of the training sequences for this epoch: easy ones first while the curriculum lasts."""
        if now["curriculum"]:
            return self._by_difficulty
        order = permutation(len(self._parts.train), self._seed, "order", self._step)
        return torch.from_numpy(order).to(self._device)

    def _noised(self, batch: Tensor, number: int, level: float) -> Tensor:
        """The batch as the network is shown it: noise on the components of every true frame, none on the constants."""
        if level == 0:
            return batch
        generator = torch.Generator(self._device).manual_seed(derive(self._seed, "noise", self._step, number))
        shape = (*batch.shape[:2], N_COMPONENTS)
        noise = torch.randn(shape, generator=generator, device=self._device)
        return torch.cat([batch[:, :, :N_COMPONENTS] + level * noise, batch[:, :, N_COMPONENTS:]], dim=2)

    def _forced(self, frames: int, number: int, ratio: float) -> NDArray[np.bool_]:
        """Which inputs of the decoder are the truth: each with probability `ratio`, the same for a whole batch."""
        rng = np.random.default_rng(derive(self._seed, "forcing", self._step, number))
        return rng.random(frames - 1) < ratio

    def evaluate(self) -> dict[str, float]:
        """Validation metrics of the current weights; changes nothing. Raises Diverged."""
        found = validation_metrics(self._rollout(), self._parts.validation[:, :, :N_COMPONENTS])
        familiar = rollout_mae(self._roll(self._parts.familiar), self._parts.familiar[:, :, :N_COMPONENTS])
        found["train_rollout_mae"] = float(familiar)
        found["train_validation_gap"] = found[OBJECTIVE.metric] - found["train_rollout_mae"]
        if self._step:
            found["plateau_epochs"] = float(self._patience.since)
            found["best_val_rollout_mae"], found["best_epoch"] = self._patience.best, float(self._best_step)
        return {key: self._finite(key, value) for key, value in found.items()}

    def state(self) -> dict[str, Any]:
        """A snapshot: later training leaves it alone."""
        return {**super().state(), "best_step": self._best_step, "rows": [list(row) for row in self._rows]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. All knobs come from this run's own config at the next epoch."""
        super().restore(state)
        self._best_step = int(state["best_step"])
        self._rows, self._rolled = [list(row) for row in state["rows"]], None

    def _split(self, sequences: Sequences) -> tuple[Parts, Tensor]:
        train, validation, test = split(len(sequences.numbers), self._config.seed)
        features = sequences.standardised(train)
        some = train[np.linspace(0, len(train) - 1, min(len(train), len(validation))).round().astype(np.int64)]
        parts = Parts(*(self._tensor(features[rows]) for rows in (train, validation, test, some)))
        order = np.argsort(difficulty(features[train]), kind="stable")
        return parts, torch.from_numpy(order).to(self._device)

    def _tensor(self, x: Array) -> Tensor:
        # Contiguous: sums over another layout of the same numbers would be rounded otherwise.
        return torch.as_tensor(np.ascontiguousarray(x), dtype=torch.float32, device=self._device)

    def _rollout(self) -> Tensor:
        """The validation sequences rolled out by the current weights."""
        if self._rolled is None:
            self._rolled = self._roll(self._parts.validation)
        return self._rolled

    @torch.no_grad()
    def _roll(self, sequences: Tensor) -> Tensor:
        """Free-running predictions (n, T − 1, 5) of sequences (n, T, 7), of which only the first frame is read."""
        self.network.eval()
        parts = [self.network(batch).float() for batch in torch.split(sequences, ROLLOUT_BATCH)]
        return torch.cat(parts)

    def _losses(self, sequences: Tensor, now: Mapping[str, float]) -> dict[str, float]:
        """The phase's own loss and its parts, of free-running rollouts; no metric uses them. Raises Diverged."""
        predicted = self._rollout() if sequences is self._parts.validation else self._roll(sequences)
        target = sequences[:, :, :N_COMPONENTS]
        trajectory = torch.cat([target[:, :1], predicted], dim=1)
        with torch.no_grad():
            losses = training_loss(trajectory, target, now["alpha"], int(now["max_lag"]), self._component_weights)
        named = zip(("loss", "mae", "autocorrelation"), losses, strict=True)
        return {key: self._finite(f"validation {key}", float(value)) for key, value in named}

    def _count(self) -> None:
        """Whether this epoch brought a better rollout, by the metric that no phase changes."""
        score = float(rollout_mae(self._rollout(), self._parts.validation[:, :, :N_COMPONENTS]))
        self._patience = self._patience.step(score)
        if self._patience.since == 0:
            self._best_step = self._step
        if self._patience.since == PLATEAU:
            LOG.info("epoch %d: no better rollout than that of epoch %d since", self._step, self._best_step)

    def _keep(self, losses: Mapping[str, float], now: Mapping[str, float]) -> None:
        """Write the epoch's row, and at the end of a phase its checkpoint, if the config wants them."""
        if self._folder is None:
            return
        test = self._losses(self._parts.test, now).values()
        parts = [losses[f"{part}_{key}"] for part in ("train", "val") for key in ("loss", "mae", "autocorrelation")]
        self._rows.append([self._step, *parts, *test, now["lr"]])
        saved.write_table(self._folder, self._rows)
        if self._step == self._best_step:
            saved.write_state(self._folder / "best", self._step, self.state())
        if self._step in (ends := last_epochs(self._config)):
            saved.write_state(self._folder / f"phase_{ends.index(self._step) + 1}", self._step, self.state())

    def _means(self, found: Tensor) -> dict[str, float]:
        """Means over the batches of an epoch, (batches, 4). Read once per epoch: a GPU need not wait per batch."""
        names = ("train_loss", "train_mae", "train_autocorrelation", "gradient_norm")
        columns = list(zip(*found.double().tolist(), strict=True))
        for name, column in zip(names, columns, strict=True):
            for value in column:
                self._finite(name, value, self._step + 1)
        return {name: math.fsum(column) / len(column) for name, column in zip(names, columns, strict=True)}


def build(config: Config, prepared: Prepared, seed: int) -> SequenceRun:
    """A run at step 0 on prepared data, with the weights of `existing_model`. Raises BadInput."""
    return SequenceRun(config, _sequences(prepared.path, prepared.digest), seed)


@lru_cache(maxsize=2)
def _sequences(path: Path, digest: str) -> Sequences:
    """A worker trains one trial after another on the same data: it is read once."""
    assert digest, "the digest is there so that changed data is read again"
    return read(path)
