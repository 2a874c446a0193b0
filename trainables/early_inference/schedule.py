"""What changes during training as a pure function of the epoch: the trainer reads these values nowhere else."""

from trainables.early_inference.config import Config
from trainables.schedules import EpochWarmup


def knobs(config: Config, step: int) -> dict[str, float]:
    """Values in force while training epoch `step` (0-based); `lr` before the plateau controller's factor."""
    penalised = config.use_uncertainty and config.use_variance_regularization
    return {
        "lr": EpochWarmup(config.lr, config.warmup_epochs).at(step),
        "weight_decay": config.weight_decay,
        "grad_clip_norm": config.grad_clip_norm,
        "variance_penalty_weight": config.variance_penalty_weight if penalised else 0.0,
        "target_variance": config.target_variance if penalised else 0.0,
    }


def settles(config: Config) -> int:
    """The warmup's length: after so many epochs every trial has left its slow start (0 and 1 epochs: no warmup)."""
    return config.warmup_epochs if config.warmup_epochs > 1 else 0


def reduces_first(config: Config) -> int:
    """The first epoch that the plateau controller may change: it looks at results from the end of the warmup on, the
    first of which is a gain."""
    return settles(config) + config.scheduler_patience + 2
