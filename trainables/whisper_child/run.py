"""One training of whisper_child; it fulfils `trainables.run.Run`.

Its clock is the epoch, its smallest part the optimizer step: take the knob values of the step, draw the utterances,
masks and dropout that belong to (seed, step), add up the gradients of its batches, clip, and step. What it computes is
what Hugging Face's Seq2SeqTrainer does; what that keeps in a running state is a function of the step here.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainables.ahead import Ahead
from trainables.interval import Interval
from trainables.patience import Patience
from trainables.run import Diverged, Prepared
from trainables.schedules import due
from trainables.seeding import derive
from trainables.snapshot import copied
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


class WhisperRun:
    """A training in progress; the weights at step 0 and every draw follow from (config, corpus, seed)."""

    def __init__(self, config: Config, corpus: Corpus, seed: int, digest: str = "") -> None:
        """`digest`: of the data, for the name of the run's own files. Raises BadInput."""
        self._config, self._corpus, self._seed = config, corpus, seed
        self._done = 0  # optimizer steps
        gpu = torch.cuda.is_available()
        self._device = torch.device("cuda" if gpu else "cpu")
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
        self._patience = Patience()
        self._metrics: dict[str, float] | None = None  # of the current weights
        self._name = run_name(config, digest, seed)
        self._say_hello()

    def _say_hello(self) -> None:
        LOG.info("%s", describe(self._config))
        LOG.info("ages, training+validation: %s", distribution(self._corpus))
        frames = [int(self._corpus.features.frames[index]) for index in self._corpus.train]
        warn_of_clamping(frames, self._config.data.num_mel_bins, step_knobs(self._config, 0))

    @property
    def step(self) -> int:
        """Epochs trained; one that patience has ended early counts."""
        return -(-self._done // self._config.steps_per_epoch)

    @property
    def ended(self) -> str | None:
        """Why the run stopped before its budget, if it did."""
        training = self._config.training
        if training.early_stopping_patience and self._patience.since >= training.early_stopping_patience:
            return (
                f"the WER has not fallen below {self._patience.best:.6g} in {training.early_stopping_patience} "
                f"evaluations, one every {training.eval_steps} steps"
            )
        if self._done >= self._config.total_steps and training.num_epochs < training.max_epochs:
            return f"its {training.num_epochs} epochs are trained, and the learning rate is 0"
        return None

    @property
    def worst(self) -> float:
        """The objective's own: it is the same for all data."""
        return OBJECTIVE.worst

    def train(self, until: int) -> dict[str, float]:
        """Train to the end of epoch `until`, or to where the run ends itself. Raises Diverged."""
        interval, training = Interval(), self._config.training
        most = UNREAD if self._device.type == "cuda" else 1
        last = until * self._config.steps_per_epoch
        while self._done < last and self.ended is None:
            now = step_knobs(self._config, self._done)
            parts = self.train_step(self._ahead.step(self._done, last), now)
            self._done += 1
            interval.unread.append((self.step, parts))  # Diverged counts in the unit of the run
            if len(interval.unread) >= most:
                interval.read()
            if due(self._done, training.logging_steps):
                interval.read()
                self._log({**{key: values[-1] for key, values in interval.values.items()}, **now})
            if training.early_stopping_patience and due(self._done, training.eval_steps):
                interval.read()
                self._patience = self._patience.step(self.evaluate()[OBJECTIVE.metric])
            if training.save_strategy == "steps" and due(self._done, training.save_steps):
                interval.read()
                self._save()
        interval.read()
        return {**interval.means(), **self._knobs()}

    def _knobs(self) -> dict[str, float]:
        """Those of the last step that was trained; none before the first."""
        if not self._done:
            return {}
        return {**knobs(self._config, (self._done - 1) // self._config.steps_per_epoch)} | step_knobs(
            self._config, self._done - 1
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
            torch.manual_seed(derive(self._seed, "dropout", self._done, number))
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
                LOG.info("step %d: the encoder is %s", self._done, "frozen" if frozen else "unfrozen")
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
            for key, value in found.items():
                if not math.isfinite(value):
                    raise Diverged(key, self.step, value)
            self._metrics = found
        return dict(self._metrics)

    def _log(self, values: Mapping[str, float]) -> None:
        LOG.info("step %d: %s", self._done, ", ".join(f"{key} {value:.6g}" for key, value in values.items()))
        if (folder := self._config.training.logging_dir) is not None:
            log_line(Path(folder).expanduser(), self._name, self._done, values)

    def _save(self) -> None:
        training = self._config.training
        assert training.output_dir is not None, "checked with the config"
        folder = Path(training.output_dir).expanduser() / self._name
        checkpoints = Checkpoints(folder, training.save_total_limit)
        checkpoints.save(self._done, self.evaluate()[OBJECTIVE.metric], self.network, self._tokenizer)

    def state(self) -> dict[str, Any]:
        """A snapshot: later training leaves it alone."""
        return {
            "step": self._done,
            "network": copied(self.network.state_dict()),
            "optimizer": copied(self.optimizer.state_dict()),
            "scaler": copied(self._scaler.state_dict()),
            "patience": asdict(self._patience),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. All knobs come from this run's own config at the next step."""
        self._done = int(state["step"])
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(copied(state["optimizer"]))
        self._scaler.load_state_dict(copied(state["scaler"]))
        self._patience, self._metrics, self._frozen = Patience(**state["patience"]), None, None
        now = step_knobs(self._config, self._done)
        LOG.info("goes on at step %d: learning rate %.6g", self._done, now["learning_rate"])

    def artifacts(self, folder: Path) -> None:
        """Nothing: its metrics say it all."""

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
