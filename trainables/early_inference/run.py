"""One training of early_inference, epoch by epoch; it fulfils `trainables.run.Run`.

An epoch: take the knob values of its step (so the warmup is in force before it), train on every curve once in the order
that belongs to (seed, epoch), then compute the validation loss, which moves the plateau controller and the patience.
Both belong to the training, so they do not depend on how often anyone calls `evaluate`. The validation loss is the
training loss without dropout, the variance penalty included; no metric uses it.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spaces.problems import BadInput
from trainables.builtin_run import BuiltInRun, this_device
from trainables.early_inference import metrics
from trainables.early_inference.config import Config
from trainables.early_inference.data import Curves, prior_sd, read, split
from trainables.early_inference.losses import clamp_log_variance, training_loss
from trainables.early_inference.model import EarlyInference
from trainables.early_inference.scaling import Array, TargetSpace, channels, known_inputs
from trainables.early_inference.schedule import knobs, settles
from trainables.run import Prepared
from trainables.schedules import PlateauState, ReduceOnPlateau
from trainables.seeding import derive, permutation

VALIDATION_BATCH = 512  # curves; fixed, so that no knob changes how validation sums are rounded


@dataclass(frozen=True)
class Rows:
    """Curves as the network sees them, on its device."""

    channels: Tensor  # (n, 3, L)
    known: Tensor  # (n, k)
    target: Tensor  # (n, p), in the network's target space
    readings: Tensor | None  # (n,), how many points of each curve are real; None: all

    def __len__(self) -> int:
        return len(self.target)

    def at(self, index: Tensor | slice) -> "Rows":
        """The rows at `index`."""
        readings = None if self.readings is None else self.readings[index]
        return Rows(self.channels[index], self.known[index], self.target[index], readings)


class EarlyInferenceRun(BuiltInRun[Config, EarlyInference]):
    """A training in progress; the weights at step 0 and every draw follow from (config, curves, seed)."""

    objective = metrics.OBJECTIVE

    def __init__(self, config: Config, curves: Curves, seed: int) -> None:
        super().__init__(config, seed, _device(config.device))
        train, validation = split(len(curves.target), config.val_split, config.seed)
        self._names = curves.target_names
        self._prior_sd = prior_sd(curves.target_names, curves.ranges, curves.sets)
        self._space = TargetSpace.fit(curves.target_names, curves.ranges, curves.target[train])
        unit = np.ones_like(self._space.spread)
        # The network's space: z-scored, or the logit itself.
        self._offset = self._space.centre if config.normalize_outputs else 0 * unit  # (p,)
        self._scale = self._space.spread if config.normalize_outputs else unit  # (p,)
        self._train, self._validation = self._rows(curves, train), self._rows(curves, validation)
        self._validation_target = curves.target[validation]  # (n, p), physical

        torch.manual_seed(derive(seed, "weights"))  # on the CPU, so that every device starts from the same weights
        self.network = EarlyInference(config, len(curves.known_names), len(curves.target_names)).to(self._device)
        self._weights = list(self.network.parameters())
        # Decoupled weight decay (Loshchilov & Hutter 2019); the document names a weight decay but no optimiser.
        self.optimizer = torch.optim.AdamW(self._weights, lr=config.lr, weight_decay=config.weight_decay, fused=True)
        self._controller = ReduceOnPlateau(
            config.lr, config.scheduler_factor, config.scheduler_patience, config.scheduler_min_lr
        )
        self._plateau = PlateauState()
        self._predicted: tuple[Tensor, Tensor | None] | None = None  # of the validation curves, by the current weights

    @property
    def ended(self) -> str | None:
        """Why the run stopped before its budget, if it did."""
        allowed = self._config.early_stopping_patience
        if allowed == 0 or self._patience.since < allowed:
            return None
        return f"the validation loss has not fallen below {self._patience.best:.6g} for {allowed} epochs"

    def train(self, until: int) -> dict[str, float]:
        """Train to epoch `until`, or to where the patience ends. Raises Diverged."""
        losses: list[float] = []
        norms: list[float] = []
        now: dict[str, float] = {}
        loss = math.nan
        while self._step < until and self.ended is None:
            now = knobs(self._config, self._step)
            now["lr"] *= self._plateau.scale
            mean_loss, mean_norm = self.train_epoch(now)
            self._step += 1
            loss = self._finite("validation loss", self._validation_loss(now))
            if self._step > settles(self._config):  # a rate still rising is no plateau
                self._plateau = self._controller.step(self._plateau, loss)
            self._patience = self._patience.step(loss)
            losses.append(mean_loss)
            norms.append(mean_norm)
        if not losses:
            return {}  # nothing was left to train
        interval = {"train_loss": math.fsum(losses) / len(losses), "gradient_norm": math.fsum(norms) / len(norms)}
        return {**interval, "val_loss": loss, **now}

    def train_epoch(self, now: Mapping[str, float]) -> tuple[float, float]:
        """One pass over the training curves with the knob values `now`: mean loss and mean gradient norm."""
        self._predicted = None
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"], group["weight_decay"] = now["lr"], now["weight_decay"]
        penalty, variance = now["variance_penalty_weight"], now["target_variance"]
        order = torch.from_numpy(permutation(len(self._train), self._seed, "order", self._step)).to(self._device)
        losses: list[Tensor] = []
        norms: list[Tensor] = []
        for number, index in enumerate(torch.split(order, self._config.batch_size)):
            batch = self._train.at(index)
            torch.manual_seed(derive(self._seed, "dropout", self._step, number))
            mean, log_variance = self.network(batch.channels, batch.known, batch.readings)
            loss = training_loss(mean, log_variance, batch.target, penalty, variance)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norms.append(nn.utils.clip_grad_norm_(self._weights, now["grad_clip_norm"] or math.inf))
            self.optimizer.step()
            losses.append(loss.detach())
        return self._means(torch.stack(losses), torch.stack(norms))

    def evaluate(self) -> dict[str, float]:
        """Validation metrics of the current weights; changes nothing. Raises Diverged."""
        mean, log_variance = self._predict()
        physical = self._offset + self._scale * _numpy(mean)  # logits, (n, p)
        lv = np.zeros_like(physical) if log_variance is None else _numpy(clamp_log_variance(log_variance))
        found = metrics.validation_metrics(
            physical, lv + 2 * np.log(self._scale), self._validation_target, self._space, self._prior_sd, self._names
        )
        return {key: self._finite(key, value) for key, value in found.items()}

    def state(self) -> dict[str, Any]:
        """A snapshot: later training leaves it alone."""
        return {**super().state(), "plateau": asdict(self._plateau)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. Learning rate and weight decay come from this run's own config at the next epoch."""
        super().restore(state)
        # Checkpoints of earlier versions don't say how long the plateaus were.
        self._plateau = PlateauState(**{"longest": None, **state["plateau"]})
        self._predicted = None

    def _rows(self, curves: Curves, index: NDArray[np.int64]) -> Rows:
        config = self._config
        seen = channels(curves.ph[index], curves.t[index], config.normalize_inputs)  # (n, 3, L)
        known = known_inputs(curves.known[index], curves.known_names, curves.ranges, config.normalize_inputs)  # (n, k)
        target = (self._space.to_logit(curves.target[index]) - self._offset) / self._scale  # (n, p)
        tensors = [torch.as_tensor(x, dtype=torch.float32, device=self._device) for x in (seen, known, target)]
        counts = curves.readings
        whole = (counts == curves.t.shape[1]).all()
        readings = None if whole else torch.as_tensor(counts[index], device=self._device)
        return Rows(tensors[0], tensors[1], tensors[2], readings)

    @torch.no_grad()
    def _predict(self) -> tuple[Tensor, Tensor | None]:
        if self._predicted is None:
            self.network.eval()
            starts = range(0, len(self._validation), VALIDATION_BATCH)
            batches = [self._validation.at(slice(start, start + VALIDATION_BATCH)) for start in starts]
            parts = [self.network(batch.channels, batch.known, batch.readings) for batch in batches]
            variances = [part.log_variance for part in parts if part.log_variance is not None]
            self._predicted = torch.cat([part.mean for part in parts]), torch.cat(variances) if variances else None
        return self._predicted

    def _validation_loss(self, now: Mapping[str, float]) -> float:
        mean, log_variance = self._predict()
        penalty, variance = now["variance_penalty_weight"], now["target_variance"]
        return float(training_loss(mean, log_variance, self._validation.target, penalty, variance))

    def _means(self, losses: Tensor, norms: Tensor) -> tuple[float, float]:
        """Means over the batches of an epoch, (batches,) each. Read once per epoch: a GPU need not wait per batch."""
        by_batch = torch.stack([losses, norms], dim=1).double().tolist()  # (batches, 2)
        for loss, norm in by_batch:
            self._finite("training loss", loss, self._step + 1)
            self._finite("gradient norm", norm, self._step + 1)
        mean_loss, mean_norm = (math.fsum(column) / len(column) for column in zip(*by_batch, strict=True))
        return mean_loss, mean_norm


def build(config: Config, prepared: Prepared, seed: int) -> EarlyInferenceRun:
    """A run at step 0 on prepared data. Raises BadInput for a device that this machine doesn't have."""
    return EarlyInferenceRun(config, _curves(prepared.path, float(config.prefix_length), prepared.digest), seed)


@lru_cache(maxsize=2)
def _curves(path: Path, prefix_length: float, digest: str) -> Curves:
    """A worker trains one trial after another on the same curves: they are read once."""
    assert digest, "the digest is there so that changed data is read again"
    return read(path, prefix_length)


def _device(name: str) -> torch.device:
    device = this_device() if name == "auto" else torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise BadInput.of(
                "device",
                f"{name!r} asked for, your script ends here, too: there are {count} GPUs; use auto or cpu",
            )
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    return device


def _numpy(x: Tensor) -> Array:
    return x.double().cpu().numpy()
