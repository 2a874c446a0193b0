"""What changes during training as a pure function of the epoch and of when the level switched: the trainer reads these
values nowhere else.

Rates change with every optimiser step. Their clock counts from the start of a level: a switch begins the new level's
schedule anew, as a new training from a checkpoint would.
"""

from dataclasses import dataclass
from typing import Any

from trainables.schedules import Cosine, CosineRestarts, EpochWarmup, Noam, PhaseTable, Schedule, Span
from trainables.tts.config import Config
from trainables.tts.levels import Values


@dataclass(frozen=True)
class Stage:
    """A level while it is in force."""

    level: str
    values: Values
    first: int
    """Its first epoch."""
    end: int
    """The first epoch after it, as far as the config alone decides."""
    after: bool
    """Whether it is the level after the switch."""


def planned_switch(config: Config) -> int | None:
    """The first epoch under the second level, where the config alone decides it."""
    switch = config.training.level_switch
    return switch.epoch if switch.rule == "epoch" else None


def stage(config: Config, epoch: int, switched_at: int | None = None) -> Stage:
    """The level in force in `epoch` (0-based); `switched_at`: when a plateau was found, if one was."""
    if epoch < 0:
        raise ValueError(f"step must be >= 0, got {epoch!r}")
    training = config.training
    planned, switch = planned_switch(config), training.level_switch
    at = planned if switch.rule != "plateau" else switched_at
    first, before = training.optimization_level, config.values(after=False)
    if at is None or epoch < at:
        return Stage(first, before, 0, training.epochs if planned is None else planned, after=False)
    back = at + switch.back_after if switch.back_after else training.epochs
    if epoch >= back and switch.back_after:
        return Stage(first, before, back, training.epochs, after=False)
    return Stage(switch.level, config.values(after=True), at, back, after=True)


def rate(config: Config, now: Stage, per_epoch: int) -> Schedule:
    """The learning rate by optimiser steps since the stage began. Positive and finite at every step."""
    training, values = config.training, now.values
    low, high, warmup = config.low_rate, values.learning_rate, training.warmup_steps
    length = max(1, (now.end - now.first) * per_epoch)
    match values.scheduler:
        case "noam":
            return Noam(high, warmup)
        case "cosine":
            return Cosine(length, high, low)
        case "cosine_restarts":
            return CosineRestarts(values.restart_period * per_epoch, high, low, training.scheduler_params.restart_mult)
        case "warmup_cosine":
            # The n-th step of the warmup runs at n/warmup of the peak: its first one isn't wasted at 0.
            climb = min(warmup, length)
            return PhaseTable((Span(climb, EpochWarmup(high, warmup)), Cosine(max(1, length - climb), high, low)))


def knobs(config: Config, epoch: int, per_epoch: int | None = None, switched_at: int | None = None) -> dict[str, float]:
    """Values in force while training `epoch` (0-based); `lr` is that of its first optimiser step.

    `per_epoch`: optimiser steps of an epoch; None: as the config plans. Weights are those that are set, before the
    adaptive controller. A δ of 0 is L1.
    """
    training, now = config.training, stage(config, epoch, switched_at)
    per_epoch = per_epoch or config.steps_per_epoch
    values = now.values
    smooth = values.use_label_smoothing
    return {
        "lr": rate(config, now, per_epoch).at((epoch - now.first) * per_epoch),
        "mel_loss_weight": values.mel_loss_weight,
        "kl_loss_weight": values.kl_loss_weight,
        "stop_loss_weight": training.stop_loss_weight,
        "duration_loss_weight": training.duration_loss_weight,
        "attention_loss_weight": training.attention_loss_weight,
        "gradient_clip_norm": values.gradient_clip_norm,
        "weight_decay": training.weight_decay,
        "huber_delta": training.huber_delta if values.use_huber_loss else 0.0,
        "mel_label_smoothing": training.mel_label_smoothing if smooth else 0.0,
        "stop_label_smoothing": training.stop_label_smoothing if smooth else 0.0,
        "stop_token_positive_weight": training.stop_token_positive_weight,
        "adaptive": float(values.use_adaptive_loss_weights),
        "level_switched": float(now.after),
    }


def realised(config: Config, epoch: int) -> list[Any]:
    """All that an epoch takes from the schedules while no plateau has been found: the knobs, and the rate of each of
    its optimiser steps."""
    per_epoch, now = config.steps_per_epoch, stage(config, epoch)
    rates, first = rate(config, now, per_epoch), (epoch - now.first) * per_epoch
    begins = float(now.first == epoch)  # a level that begins sets the adaptive weights back, whatever its values
    return [knobs(config, epoch), begins, [rates.at(first + number) for number in range(per_epoch)]]


def settles(config: Config) -> int:
    """The first epoch after the first level's warmup. A later level is planned change, not a slow start."""
    per_epoch = config.steps_per_epoch
    return -(-rate(config, stage(config, 0), per_epoch).settles // per_epoch)


def describe(config: Config, per_epoch: int) -> str:
    """The levels and their values for people."""
    training, switch = config.training, config.training.level_switch
    lines = [_told(stage(config, 0), config, "from epoch 0", per_epoch)]
    if switch.rule == "epoch":
        lines.append(_told(stage(config, switch.epoch), config, f"from epoch {switch.epoch}", per_epoch))
    elif switch.rule == "plateau":
        when = (
            f"once the validation error has not fallen by {switch.minimum_gain:.3g} of itself in {switch.window} epochs"
        )
        lines.append(_told(stage(config, 0, 0), config, when, per_epoch))
    if switch.rule != "never" and switch.back_after:
        lines.append(f"level {training.optimization_level} again, {switch.back_after} epochs after the switch")
    return "\n".join(lines)


def _told(now: Stage, config: Config, when: str, per_epoch: int) -> str:
    values = now.values
    schedule = {
        "noam": f"Noam, warmup of {config.training.warmup_steps} steps",
        "cosine": "one cosine",
        "cosine_restarts": (
            f"cosines of {values.restart_period} epochs, each {config.training.scheduler_params.restart_mult:g} "
            "times the one before"
        ),
        "warmup_cosine": f"warmup of {config.training.warmup_steps} steps, then one cosine",
    }[values.scheduler]
    switches = ("use_adaptive_loss_weights", "use_label_smoothing", "use_huber_loss")
    on = ", ".join(key for key in switches if getattr(values, key)) or "none of the three options"
    return (
        f"level {now.level} {when}: learning rate {values.learning_rate:g} ({schedule}; {per_epoch} steps per epoch), "
        f"mel weight {values.mel_loss_weight:g}, KL weight {values.kl_loss_weight:g}, "
        f"clip {values.gradient_clip_norm:g}, {on}"
    )
