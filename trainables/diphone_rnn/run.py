"""One training of diphone_rnn, batch by batch; it fulfils `trainables.run.Run`.

A batch: take the knob values of its step, draw the trials and their noise that belong to (seed, step), and take one
optimiser step. With the run's own early stopping, the training itself validates every `batches_per_val_step`, so that
its end does not depend on how often anyone calls `evaluate`.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.ahead import Ahead
from trainables.builtin_run import BuiltInRun, bfloat16, this_device
from trainables.diphone_rnn.augment import augment, smooth, smoothing_taps
from trainables.diphone_rnn.batches import Batch, Sampling, ready
from trainables.diphone_rnn.config import Config, init_path
from trainables.diphone_rnn.data import Corpus, read
from trainables.diphone_rnn.losses import composite_loss
from trainables.diphone_rnn.metrics import OBJECTIVE
from trainables.diphone_rnn.model import DiphoneRnn, groups, start_with
from trainables.diphone_rnn.schedule import describe, knobs
from trainables.diphone_rnn.validation import Validation
from trainables.interval import Interval
from trainables.run import Prepared
from trainables.schedules import due
from trainables.seeding import derive

LOG = logging.getLogger("trainables.diphone_rnn")
UNREAD = 50  # batches after which a GPU's losses are read at the latest: each reading waits for it


class DiphoneRun(BuiltInRun[Config, DiphoneRnn]):
    """A training in progress; the weights at step 0 and every draw follow from (config, corpus, seed)."""

    objective = OBJECTIVE

    def __init__(self, config: Config, corpus: Corpus, seed: int) -> None:
        super().__init__(config, seed, this_device())
        self._amp = bfloat16(config.use_amp)
        self._taps = smoothing_taps(config.dataset.data_transforms)
        self._taps = None if self._taps is None else self._taps.to(self._device)

        torch.manual_seed(derive(seed, "weights"))  # on the CPU, so that every device starts from the same weights
        self.network = DiphoneRnn(config, len(corpus.sessions))
        if (start := init_path(config)) is not None:
            start_with(self.network, start)
        self.network.to(self._device)
        self._weights = [weights for weights in self.network.parameters() if weights.requires_grad]
        # Decoupled weight decay (Loshchilov & Hutter 2019). Rates and decays are set anew for every batch.
        self.optimizer = torch.optim.AdamW(
            groups(self.network, config),
            lr=config.lr_max,
            betas=(config.beta0, config.beta1),
            eps=config.epsilon,
            fused=True,
        )
        sampling = Sampling(config, corpus, seed)
        threads = config.dataset.num_dataloader_workers if self._device.type == "cuda" else 0
        self._ahead = Ahead(lambda step: ready(sampling.trials(step), config.model, self._device), threads, 2 * threads)
        self._validation = Validation(config, corpus, self._taps, self._device, min(threads, 1))
        self._metrics: dict[str, float] | None = None  # of the current weights
        LOG.info("%s", describe(config))
        for items, what in ((corpus.dropped, "not trained on"), (corpus.unaligned, "validated without a loss")):
            for item in items:
                LOG.info("%s, as CTC can't align it: %s", what, item)

    @property
    def ended(self) -> str | None:
        """Why the run stopped before its budget, if it did."""
        config = self._config
        if not config.early_stopping or self._patience.since < config.early_stopping_val_steps:
            return None
        every = config.batches_per_val_step
        return (
            f"the PER has not fallen below {self._patience.best:.6g} in {config.early_stopping_val_steps} validations, "
            f"one every {every} batches"
        )

    def train(self, until: int) -> dict[str, float]:
        """Train to batch `until`, or to where the patience ends. Raises Diverged."""
        config, now = self._config, {}
        interval = Interval(UNREAD if self._device.type == "cuda" else 1)
        while self._step < until and self.ended is None:
            now = knobs(config, self._step)
            parts = self.train_batch(self._ahead.step(self._step, until), now)
            self._step += 1
            interval.note(self._step, parts)
            if due(self._step, config.batches_per_train_log):
                said = {**interval.newest(), **now}
                LOG.info("batch %d: %s", self._step, ", ".join(f"{key} {value:.6g}" for key, value in said.items()))
            if config.early_stopping and due(self._step, config.batches_per_val_step):
                interval.read()
                self._patience = self._patience.step(self.evaluate()[OBJECTIVE.metric])
        return {**interval.means(), **now}

    def train_batch(self, batch: Batch, now: Mapping[str, float]) -> dict[str, Tensor]:
        """One optimiser step with the knob values `now`: the losses and the norm of the gradient, on the device."""
        self._metrics = None
        self.network.train()
        for group in self.optimizer.param_groups:
            day = group["name"] == "day"
            group["lr"] = now["lr_day" if day else "lr"]
            if group["name"] != "bias":
                group["weight_decay"] = now["weight_decay_day" if day else "weight_decay"]
        torch.manual_seed(derive(self._seed, "dropout", self._step))
        batch = self._prepared(batch.to(self._device), now)
        losses = composite_loss(self._logits(batch), batch.targets, now["alpha"])
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._weights, now["grad_norm_clip_value"] or math.inf)
        self.optimizer.step()
        parts = {"train_loss": losses.total, "train_loss_phoneme": losses.phoneme, "train_loss_diphone": losses.diphone}
        return {**{key: loss.detach() for key, loss in parts.items() if loss is not None}, "gradient_norm": norm}

    def _prepared(self, batch: Batch, now: Mapping[str, float]) -> Batch:
        """The batch with its noise, cut and smoothed."""
        change, seed = self._config.dataset.data_transforms, self._seed
        noise = derive(seed, "noise", self._step)
        features = augment(batch.features, batch.bins, now, change.random_walk_axis, noise)
        cut = int(np.random.default_rng(derive(seed, "cut", self._step)).integers(int(now["random_cut"]) + 1))
        batch = replace(batch, features=features).without_start(cut, self._config.model)
        return replace(batch, features=smooth(batch.features, self._taps))

    def _logits(self, batch: Batch) -> Tensor:
        # The GRU is an exception: under autocast, torch hands cuDNN float16, whatever type is asked for
        # (ATen/cudnn/AutocastRNN.cpp). Losses and what follows the logits are float32.
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._amp):
            logits: Tensor = self.network(batch.features, batch.day, batch.targets.frames)
        return logits

    def evaluate(self) -> dict[str, float]:
        """Validation metrics of the current weights, over every trial once. Raises Diverged."""
        if self._metrics is None:
            self.network.eval()
            with torch.no_grad():
                found = self._validation.metrics(self._logits)
            self._metrics = {key: self._finite(key, value) for key, value in found.items()}
        return dict(self._metrics)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. All knobs come from this run's own config at the next batch."""
        super().restore(state)
        self._metrics = None
        now = knobs(self._config, self._step)
        LOG.info("goes on at batch %d: alpha %g, lr %.6g", self._step, now["alpha"], now["lr"])

    def close(self) -> None:
        """End the threads that read ahead."""
        self._ahead.close()
        self._validation.close()


def build(config: Config, prepared: Prepared, seed: int) -> DiphoneRun:
    """A run at step 0 on prepared data, on this machine's GPU if it has one. Raises BadInput."""
    return DiphoneRun(config, read(prepared.path, config), seed)
