"""The knobs of a training as pure functions of the optimizer step. No torch.

The clock of a run is the epoch, so that trials with other batch sizes hear the same speech for the same budget. Within
an epoch, every value belongs to an optimizer step; `knobs(config, epoch)` tells those of the epoch's last step, and the
mean rates over it, by which configs with other rates in an epoch can be told apart.
"""

import math
from functools import lru_cache
from typing import Any

from trainables.builtin import paths
from trainables.schedules import Constant, Curriculum, Freeze, Schedule, Warmup, warmup_cosine, warmup_linear
from trainables.whisper_child.config import Config


def learning_rate(config: Config) -> Schedule:
    """Linear warmup, then a line or a cosine to 0 at `total_steps`; where the warmup is no shorter, warmup alone."""
    training, total = config.training, config.total_steps
    if training.warmup_steps >= total:
        return Warmup(training.warmup_steps, Constant(training.learning_rate))
    shape = warmup_cosine if training.lr_scheduler_type == "cosine" else warmup_linear
    return shape(training.learning_rate, training.warmup_steps, total)


def freeze(config: Config) -> Freeze:
    """The factor on the encoder's rate."""
    return Freeze(config.model.freeze_encoder_steps, config.model.unfreeze_warmup_steps)


def curriculum(config: Config) -> Curriculum:
    """Epochs in order of age."""
    return Curriculum(config.data.curriculum_epochs if config.data.curriculum_learning else 0)


def step_knobs(config: Config, step: int) -> dict[str, float]:
    """Values in force while training optimizer step `step` (0-based). The trainer reads them from here alone."""
    data, training = config.data, config.training
    rate, masks = learning_rate(config).at(step), int(data.specaugment)
    encoder = 0.0 if config.model.freeze_encoder else freeze(config).at(step)
    return {
        "learning_rate": rate,
        "learning_rate_encoder": rate * encoder,
        "encoder_frozen": float(config.model.freeze_encoder or freeze(config).frozen(step)),
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "freq_mask_param": float(data.freq_mask_param * masks),
        "time_mask_param": float(data.time_mask_param * masks),
        "freq_mask_count": float(data.freq_mask_count * masks),
        "time_mask_count": float(data.time_mask_count * masks),
        "dropout": config.model.dropout,
        "batch_size": float(training.batch_size),
        "gradient_accumulation_steps": float(training.gradient_accumulation_steps),
        "curriculum": curriculum(config).at(step // config.steps_per_epoch),
    }


def knobs(config: Config, epoch: int) -> dict[str, float]:
    """Values in force at the last step of epoch `epoch` (0-based), and the epoch's mean rates."""
    steps = config.steps_per_epoch
    mean, encoder = _means(learning_rate(config), freeze(config), epoch, steps)  # type: ignore[arg-type]  # frozen
    return {
        **step_knobs(config, (epoch + 1) * steps - 1),
        "learning_rate_mean": mean,
        "learning_rate_encoder_mean": 0.0 if config.model.freeze_encoder else encoder,
    }


def realised(config: Config, epoch: int) -> list[list[float]]:
    """All that an epoch takes from the schedules: the values in force at each of its steps."""
    steps = config.steps_per_epoch
    return [list(step_knobs(config, step).values()) for step in range(epoch * steps, (epoch + 1) * steps)]


@lru_cache(maxsize=4096)
def _means(rate: Schedule, factor: Freeze, epoch: int, steps: int) -> tuple[float, float]:
    """The mean rates of the decoder and of the encoder over an epoch of so many steps."""
    first = epoch * steps
    rates = [rate.at(step) for step in range(first, first + steps)]
    mean = math.fsum(rates) / steps
    if first >= factor.settles:
        return mean, mean
    return mean, math.fsum(rate * factor.at(step) for step, rate in enumerate(rates, first)) / steps


def static(config: Config) -> dict[str, Any]:
    """What training depends on beside the knobs: values that another one keeps from acting are left out."""
    model, data, training = config.model, config.data, config.training
    patience = training.early_stopping_patience
    return {
        "model": model.model_dump(include={"pretrained", "random_init", "language", "task", "freeze_encoder"}),
        "data": data.model_dump(
            include={
                *paths("val_ratio stratify_by normalize_audio target_length num_mel_bins normalize_text"),
                "train_utterances",
            }
        ),
        "training": training.model_dump(include={"seed", "optim", "fp16", "bf16"}),
        "epochs": min(training.num_epochs, training.max_epochs),
        "patience": (patience, training.eval_steps) if patience else None,
        "evaluation": config.evaluation.model_dump(exclude={"save_predictions", "predictions_file"}),
        "max_length": config.inference.max_length,
    }


def settles(config: Config) -> int:
    """The epoch by which warmup, freeze, the warmup after it and the curriculum are over."""
    thaw = 0 if config.model.freeze_encoder else freeze(config).settles
    steps = max(learning_rate(config).settles, thaw)
    return max(-(-steps // config.steps_per_epoch), curriculum(config).settles)


def describe(config: Config) -> str:
    """The schedules for people."""
    training, model, data = config.training, config.model, config.data
    lines = [
        f"an epoch: {data.train_utterances} utterances, {config.batches_per_epoch} batches, {config.steps_per_epoch} "
        f"optimizer steps",
        f"learning rate: 0 → {training.learning_rate:g} over {training.warmup_steps} steps, then "
        f"{training.lr_scheduler_type} to 0 at step {config.total_steps}",
    ]
    if model.freeze_encoder:
        lines.append("encoder: frozen for good")
    elif model.freeze_encoder_steps:
        lines.append(
            f"encoder: frozen until step {model.freeze_encoder_steps}, then to the full rate over "
            f"{model.unfreeze_warmup_steps} steps"
        )
    if data.curriculum_learning:
        lines.append(f"order: youngest first for {data.curriculum_epochs} epochs, then free")
    return "\n".join(lines)
