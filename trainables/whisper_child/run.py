"""One training of whisper_child; it fulfils `trainables.run.Run`.

Its clock is the epoch, its smallest part the optimizer step: take the knob values of the step, draw the utterances,
masks and dropout that belong to (seed, step), add up the gradients of its batches, clip, and step. What it computes is
what Hugging Face's Seq2SeqTrainer does; what that keeps in a running state is a function of the step here.
"""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import WhisperForConditionalGeneration

from trainables.ahead import Ahead
from trainables.builtin_run import BuiltInRun, this_device
from trainables.interval import Interval
from trainables.run import Prepared
from trainables.schedules import due
from trainables.seeding import derive
from trainables.whisper_child.augment import warn_of_clamping
from trainables.whisper_child.batches import Batch, Sampling, training_batches
from trainables.whisper_child.config import Config
from trainables.whisper_child.data import Corpus, corpus_at, distribution
from trainables.whisper_child.metrics import OBJECTIVE
from trainables.whisper_child.model import groups, network_of, set_frozen
from trainables.whisper_child.saving import Checkpoints, log_line, run_name
from trainables.whisper_child.schedule import describe, knobs, step_knobs
from trainables.whisper_child.tokens import labels_of, longest_labels, normalizer_of, tokenizer_of
from trainables.whisper_child.validation import Validation

LOG = logging.getLogger("trainables.whisper_child")
UNREAD = 50  # optimizer steps after which a GPU's losses are read at the latest: each reading waits for it


class WhisperRun(BuiltInRun[Config, WhisperForConditionalGeneration]):
    """A training in progress; the weights at step 0 and every draw follow from (config, corpus, seed)."""

    objective = OBJECTIVE

    def __init__(self, config: Config, corpus: Corpus, seed: int, digest: str = "") -> None:
        """`digest`: of the data, for the name of the run's own files. Raises BadInput."""
        super().__init__(config, seed, this_device())  # its `_step` counts optimizer steps
        self._corpus, gpu = corpus, self._device.type == "cuda"
        self._amp = _precision(config) if gpu else None
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._amp is torch.float16)
        self._tokenizer = tokenizer_of(config.model)
        normalizer = normalizer_of(self._tokenizer) if config.data.normalize_text else None
        labels = labels_of(corpus.utterances, self._tokenizer, normalizer, longest_labels(config.model))

        torch.manual_seed(derive(seed, "weights"))  # on the CPU, so that every device starts from the same weights
        self.network = network_of(config, self._tokenizer)
        nn.Module.to(self.network, self._device)
        # Decoupled weight decay (Loshchilov & Hutter 2019). Rates and decays are set anew for every step.
        fused = config.training.optim == "adamw_torch_fused"
        self.optimizer = torch.optim.AdamW(groups(self.network), lr=config.training.learning_rate, fused=fused)
        self._weights = [weights for group in self.optimizer.param_groups for weights in group["params"]]
        self._frozen: bool | None = None

        sampling = Sampling(config, corpus, seed)

        def make(step: int) -> list[Batch]:
            batches = training_batches(config, corpus, labels, sampling, seed, step)
            return [batch.pin() for batch in batches] if gpu and config.training.dataloader_pin_memory else batches

        workers = config.training.dataloader_num_workers if gpu else 0
        depth = workers * config.training.dataloader_prefetch_factor // config.training.gradient_accumulation_steps
        self._ahead = Ahead(make, workers, depth)
        self._validation = Validation(config, corpus, labels, self._tokenizer, self._device)
        self._metrics: dict[str, float] | None = None  # of the current weights
        self._name = run_name(config, digest, seed)
        LOG.info("%s", describe(config))
        LOG.info("ages, training+validation: %s", distribution(corpus))
        frames = [int(corpus.features.frames[index]) for index in corpus.train]
        warn_of_clamping(frames, config.data.num_mel_bins, step_knobs(config, 0))

    @property
    def step(self) -> int:
        """Epochs trained; one that patience has ended early counts."""
        return -(-self._step // self._config.steps_per_epoch)

    @property
    def ended(self) -> str | None:
        """Why the run stopped before its budget, if it did."""
        training = self._config.training
        if training.early_stopping_patience and self._patience.since >= training.early_stopping_patience:
            return (
                f"the WER has not fallen below {self._patience.best:.6g} in {training.early_stopping_patience} "
                f"evaluations, one every {training.eval_steps} steps"
            )
        if self._step >= self._config.total_steps and training.num_epochs < training.max_epochs:
            return f"its {training.num_epochs} epochs are trained, and the learning rate is 0"
        return None

    def train(self, until: int) -> dict[str, float]:
        """Train to the end of epoch `until`, or to where the run ends itself. Raises Diverged."""
        interval, training = Interval(UNREAD if self._device.type == "cuda" else 1), self._config.training
        last = until * self._config.steps_per_epoch
        while self._step < last and self.ended is None:
            now = step_knobs(self._config, self._step)
            parts = self.train_step(self._ahead.step(self._step, last), now)
            self._step += 1
            interval.note(self.step, parts)  # Diverged counts in the unit of the run
            if due(self._step, training.logging_steps):
                self._log({**interval.newest(), **now})
            if training.early_stopping_patience and due(self._step, training.eval_steps):
                interval.read()
                self._patience = self._patience.step(self.evaluate()[OBJECTIVE.metric])
            if training.save_strategy == "steps" and due(self._step, training.save_steps):
                interval.read()
                self._save()
        return {**interval.means(), **self._knobs()}

    def _knobs(self) -> dict[str, float]:
        """Those of the last step that was trained; none before the first."""
        if not self._step:
            return {}
        return {**knobs(self._config, (self._step - 1) // self._config.steps_per_epoch)} | step_knobs(
            self._config, self._step - 1
        )

    def train_step(self, batches: list[Batch], now: Mapping[str, float]) -> dict[str, Tensor]:
        """One optimizer step with the knob values `now`: the loss and the norm of the gradient, on the device.

        The loss is the mean over batches of the mean over labels, as in Seq2SeqTrainer where a model's loss is a mean.
        """
        self._metrics = None
        self.network.train()
        self._set(now)
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for number, batch in enumerate(batches):
            torch.manual_seed(derive(self._seed, "dropout", self._step, number))
            with self._autocast():
                on_device = batch.to(self._device)
                loss = self.network(input_features=on_device.features, labels=on_device.labels).loss
            self._scaler.scale(loss / len(batches)).backward()
            losses.append(loss.detach())
        self._scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self._weights, now["max_grad_norm"] or math.inf)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self._scaler.is_enabled():  # overflow at this scale: the scaler has left the step out, and scales less now
            norm = torch.where(norm.isfinite(), norm, 0.0)
        return {"train_loss": torch.stack(losses).mean(), "gradient_norm": norm}

    def _set(self, now: Mapping[str, float]) -> None:
        """Put the knob values of a step in force."""
        frozen = bool(now["encoder_frozen"])
        if frozen != self._frozen:
            set_frozen(self.network, frozen)
            if self._frozen is not None or frozen:
                LOG.info("step %d: the encoder is %s", self._step, "frozen" if frozen else "unfrozen")
            self._frozen = frozen
        for group in self.optimizer.param_groups:
            group["lr"] = now["learning_rate_encoder" if group["encoder"] else "learning_rate"]
            group["weight_decay"] = now["weight_decay"] if group["decays"] else 0.0

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, dtype=self._amp or torch.bfloat16, enabled=self._amp is not None)

    def evaluate(self) -> dict[str, float]:
        """Validation metrics of the current weights, over every utterance once. Raises Diverged."""
        if self._metrics is None:
            self.network.eval()  # type: ignore[no-untyped-call]
            with torch.no_grad(), self._autocast():
                found = self._validation.metrics(self.network)
            self._metrics = {key: self._finite(key, value) for key, value in found.items()}
        return dict(self._metrics)

    def _log(self, values: Mapping[str, float]) -> None:
        LOG.info("step %d: %s", self._step, ", ".join(f"{key} {value:.6g}" for key, value in values.items()))
        if (folder := self._config.training.logging_dir) is not None:
            log_line(Path(folder).expanduser(), self._name, self._step, values)

    def _save(self) -> None:
        training = self._config.training
        assert training.output_dir is not None, "checked with the config"
        folder = Path(training.output_dir).expanduser() / self._name
        checkpoints = Checkpoints(folder, training.save_total_limit)
        checkpoints.save(self._step, self.evaluate()[OBJECTIVE.metric], self.network, self._tokenizer)

    def state(self) -> dict[str, Any]:
        """A snapshot: later training leaves it alone."""
        return {**super().state(), "scaler": self._scaler.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. All knobs come from this run's own config at the next step."""
        super().restore(state)
        self._scaler.load_state_dict(state["scaler"])
        self._metrics, self._frozen = None, None
        now = step_knobs(self._config, self._step)
        LOG.info("goes on at step %d: learning rate %.6g", self._step, now["learning_rate"])

    def close(self) -> None:
        """End the threads that read ahead."""
        self._ahead.close()


def build(config: Config, prepared: Prepared, seed: int) -> WhisperRun:
    """A run at step 0 on prepared data, on this machine's GPU if it has one. Raises BadInput."""
    # Each generation warns of arguments that Whisper's own generation passes on; errors are still shown.
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return WhisperRun(config, corpus_at(prepared.path, prepared.digest, config), seed, prepared.digest)


def _precision(config: Config) -> torch.dtype | None:
    """What a GPU computes in."""
    if config.training.bf16 and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.float16 if config.training.fp16 else None
