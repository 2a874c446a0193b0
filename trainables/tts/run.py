"""One training of tts, epoch by epoch; it fulfils `trainables.run.Run`.

An epoch: take the level in force and its knob values, train on every clip once in the order that belongs to (seed,
epoch), validate, and let what depends on results move on: the adaptive weights, the search for a plateau, the patience
and the warnings. All of these are state, and none depends on how often anyone calls `evaluate`.
"""

import logging
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainables.builtin_run import BuiltInRun, bfloat16, this_device
from trainables.run import Prepared
from trainables.schedules import PlateauSwitch, SwitchState
from trainables.seeding import derive
from trainables.snapshot import copied
from trainables.start_weights import Start
from trainables.tts import corpus as corpora
from trainables.tts.adaptive import AdaptiveState
from trainables.tts.alarms import NAMES, History
from trainables.tts.artifacts import write_artifacts
from trainables.tts.batches import Batch, Split, epoch_order
from trainables.tts.config import RESUME, Config
from trainables.tts.epoch import Epoch
from trainables.tts.losses import PARTS, Losses, losses
from trainables.tts.metrics import OBJECTIVE
from trainables.tts.model import Tts
from trainables.tts.schedule import describe, knobs, rate, stage
from trainables.tts.validation import Validated, Validation

LOG = logging.getLogger("trainables.tts")


class TtsRun(BuiltInRun[Config, Tts]):
    """A training in progress; the weights at step 0 and every draw follow from (config, clips, seed)."""

    objective = OBJECTIVE

    def __init__(self, config: Config, clips: corpora.Loaded, seed: int) -> None:
        super().__init__(config, seed, this_device())
        training = config.training
        self._amp = bfloat16(training.use_amp)
        self._train: Split = clips.train
        self.per_epoch = config.steps_of(len(clips.train))
        torch.manual_seed(derive(seed, "weights"))  # on the CPU, so that every device starts from the same weights
        self.network = Tts(config, clips.mel_mean, clips.mel_scale)
        if training.resume_checkpoint is not None:
            start = Start(RESUME, training.resume_checkpoint)
            self.network.load_state_dict(start.weights(self.network))
        self.network.to(self._device)
        self._weights = list(self.network.parameters())
        # Decoupled weight decay (Loshchilov & Hutter 2019). The rate is set anew for every step.
        self.optimizer = torch.optim.AdamW(self._weights, lr=1.0, weight_decay=training.weight_decay, fused=True)
        self._validation = Validation(clips.validation, self._device, self._autocast, config.data.mcd_sentences)
        self._plateau = PlateauSwitch(training.level_switch.window, training.level_switch.minimum_gain)
        self._switch, self._adaptive, self._history = SwitchState(), AdaptiveState(), History()
        self._found: Validated | None = None  # of the current weights
        self._distortion: dict[str, float] | None = None
        LOG.info("%s", describe(config, self.per_epoch))
        if (planned := config.steps_per_epoch) != self.per_epoch:
            told = (planned, self.per_epoch, config.data.train_clips, len(clips.train))
            LOG.info("planned with %d optimiser steps per epoch, not %d: data.train_clips is %d, there are %d", *told)

    @property
    def ended(self) -> str | None:
        """Why the run stopped before its budget, if it did."""
        allowed = self._config.training.early_stopping_patience
        if allowed == 0 or self._patience.since < allowed:
            return None
        return f"{OBJECTIVE.metric} has not fallen below {self._patience.best:.6g} for {allowed} epochs"

    @property
    def worst(self) -> float:
        """The validation error of predicting the mean frame of the training clips."""
        return min(OBJECTIVE.worst, self._validation.trivial_error(self.network.mel_mean))

    def train(self, until: int) -> dict[str, float]:
        """Train to epoch `until`, or to where the patience ends. Raises Diverged."""
        reports: list[dict[str, float]] = []
        raised: set[str] = set()
        while self._step < until and self.ended is None:
            reports.append(self._epoch())
            raised.update(self._history.warnings())
        if not reports:
            return {}  # nothing was left to train
        mean = {key: math.fsum(report[key] for report in reports) / len(reports) for key in Epoch.MEANS}
        return {**reports[-1], **mean, **{name: float(name in raised) for name in NAMES}}

    def _epoch(self) -> dict[str, float]:
        config, step = self._config, self._step
        now = knobs(config, step, self.per_epoch, self._switch.switched_at)
        level = stage(config, step, self._switch.switched_at)
        if level.first == step and step > 0:
            LOG.info("epoch %d: the level is %s from here on", step, level.level)
            self._history = self._history.switched()
            self._adaptive = AdaptiveState()
        weights = self.weights(now)
        trained = self.train_epoch(now, weights)
        self._step += 1
        validated = self._validated(now, weights)
        error = validated.metrics[OBJECTIVE.metric]
        if now["adaptive"]:
            self._adaptive = self._adaptive.step({part: trained[f"train_loss_{part}"] for part in PARTS})
        if config.training.level_switch.rule == "plateau":
            self._switch = self._plateau.step(self._switch, error, self._step)
        self._patience = self._patience.step(error)
        self._warn(trained, validated.loss)
        in_force = {f"weight_{part}": weights[part] for part in PARTS}
        return {**trained, "val_loss": validated.loss, **now, **in_force}

    def weights(self, now: Mapping[str, float]) -> dict[str, float]:
        """The loss weights in force, by part: those of `now`, moved by the adaptive controller if it is on."""
        given = {part: now[f"{part}_loss_weight"] for part in PARTS}
        return self._adaptive.weights(given) if now["adaptive"] else given

    def train_epoch(self, now: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
        """One pass over the training clips: means of the losses and of the gradient norm. Raises Diverged."""
        self._found = self._distortion = None
        self.network.train()
        config, step = self._config, self._step
        level = stage(config, step, self._switch.switched_at)
        rates, first = rate(config, level, self.per_epoch), (step - level.first) * self.per_epoch
        epoch = Epoch(step + 1, self.network, at_once=self._device.type == "cuda")
        order = epoch_order(self._train, config.data.batch_size, self._seed, step)
        together = config.training.gradient_accumulation_steps
        for number in range(self.per_epoch):
            for group in self.optimizer.param_groups:
                group["lr"], group["weight_decay"] = rates.at(first + number), now["weight_decay"]
            chosen = order[number * together : (number + 1) * together]
            self.optimizer.zero_grad(set_to_none=True)
            for place, index in enumerate(chosen):
                torch.manual_seed(derive(self._seed, "draws", step, number * together + place))
                found = self.losses(self._train.batch(index).to(self._device), now, weights)
                part = found.total / len(chosen)
                part.backward()  # type: ignore[no-untyped-call]
                epoch.losses({name: getattr(found, name).detach() for name in found._fields})
            norm = nn.utils.clip_grad_norm_(self._weights, now["gradient_clip_norm"])
            epoch.norm(norm)
            self.optimizer.step()
        return epoch.means(now["gradient_clip_norm"])

    def losses(self, batch: Batch, now: Mapping[str, float], weights: Mapping[str, float]) -> Losses:
        """All losses of a batch, with dropout and a drawn latent while the network trains."""
        with self._autocast():
            spoken = self.network(batch.text, batch.text_counts, batch.mel, batch.mel_counts, sample=True)
        mean_frame = self.network.mel_mean
        return losses(spoken, batch.mel, batch.mel_counts, batch.text_counts, mean_frame, now, weights)

    def evaluate(self) -> dict[str, float]:
        """Validation metrics of the current weights; changes nothing. Raises Diverged."""
        training = self._config.training
        now = knobs(self._config, self._step, self.per_epoch, self._switch.switched_at)
        found = dict(self._validated(now, self.weights(now)).metrics)
        every = training.mcd_every
        if every and (self._step % every == 0 or self._step >= training.epochs):
            if self._distortion is None:
                self._distortion = self._validation.distortion(self.network)
            found |= self._distortion
        return {key: self._finite(key, value) for key, value in found.items()}

    def _validated(self, now: Mapping[str, float], weights: Mapping[str, float]) -> Validated:
        if self._found is None:
            self._found = self._validation.run(self.network, now, weights)
            self._finite(OBJECTIVE.metric, self._found.metrics[OBJECTIVE.metric])
        return self._found

    def _warn(self, trained: Mapping[str, float], validation: float) -> None:
        before = self._history.warnings()
        self._history = self._history.step(
            trained["train_loss"], validation, trained["clipped_steps"], self._patience.since
        )
        for name in self._history.warnings():
            if name not in before:
                LOG.warning("epoch %d: %s", self._step, NAMES[name])

    def state(self) -> dict[str, Any]:
        """A snapshot: later training leaves it alone."""
        return {
            **super().state(),
            "switch": asdict(self._switch),
            "adaptive": copied(asdict(self._adaptive)),
            "history": copied(asdict(self._history)),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, whatever level it was reached under. All knobs come from this run's own config."""
        super().restore(state)
        # Checkpoints of earlier versions don't say how long the plateaus were.
        self._switch = SwitchState(**{"longest": None, **state["switch"]})
        self._adaptive = AdaptiveState(**{key: _frozen(value) for key, value in state["adaptive"].items()})
        self._history = History(**{key: _frozen(value) for key, value in state["history"].items()})
        self._found = self._distortion = None
        level = stage(self._config, self._step, self._switch.switched_at)
        LOG.info("goes on at epoch %d under level %s", self._step, level.level)

    def artifacts(self, folder: Path) -> None:
        """The first validation clips spoken freely, as sound and pictures."""
        self.network.eval()
        write_artifacts(self.network, self._validation.split, self._config.data, folder)

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._amp)

    def _finite(self, quantity: str, value: float, step: int | None = None) -> float:
        if not math.isfinite(value):
            LOG.warning("epoch %d: %s is %s", self._step, quantity, value)
        return super()._finite(quantity, value, step)


def build(config: Config, prepared: Prepared, seed: int) -> TtsRun:
    """A run at step 0 on prepared data, on this machine's GPU if it has one. Raises BadInput."""
    return TtsRun(config, corpora.load(prepared.path, config.data, prepared.digest), seed)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
