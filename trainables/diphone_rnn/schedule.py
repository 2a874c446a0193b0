"""What changes during training as a pure function of the batch: the trainer reads these values nowhere else."""

from typing import Any

from trainables.builtin import paths
from trainables.diphone_rnn.config import Config, init_path
from trainables.diphone_rnn.phonemes import N_PHONEMES
from trainables.schedules import AlphaRamp, Constant, Schedule, Warmup, warmup_cosine, warmup_linear


def alpha_schedule(config: Config) -> Schedule:
    """The weight α of the phoneme loss beside the diphone loss.

    Phonemes alone are α = 1, and 1681 classes without the composite loss are diphones alone, α = 0.
    """
    if config.dataset.n_classes == N_PHONEMES:
        return Constant(1.0)
    if not config.use_composite_loss:
        return Constant(0.0)
    if not config.use_alpha_schedule:
        return Constant(config.composite_loss_alpha)
    return AlphaRamp(
        config.alpha_schedule_start,
        config.alpha_schedule_end,
        config.alpha_schedule_step_size,
        config.alpha_schedule_step_interval,
    )


def rates(config: Config) -> tuple[Warmup, Warmup]:
    """Learning rates of the network and of the day layers."""
    shape = warmup_linear if config.lr_scheduler_type == "linear" else warmup_cosine
    return (
        shape(config.lr_max, config.lr_warmup_steps, config.lr_decay_steps, config.lr_min),
        shape(config.lr_max_day, config.lr_warmup_steps_day, config.lr_decay_steps_day, config.lr_min_day),
    )


def knobs(config: Config, step: int) -> dict[str, float]:
    """Values in force while training batch `step` (0-based)."""
    network, day = rates(config)
    change = config.dataset.data_transforms
    days_train = config.model.input_network.input_trainable
    return {
        "alpha": alpha_schedule(config).at(step),
        "lr": network.at(step),
        "lr_day": day.at(step) if days_train else 0.0,
        "weight_decay": config.weight_decay,
        "weight_decay_day": config.weight_decay_day if days_train else 0.0,
        "grad_norm_clip_value": config.grad_norm_clip_value,
        "white_noise_std": change.white_noise_std,
        "constant_offset_std": change.constant_offset_std,
        "random_walk_std": change.random_walk_std,
        "static_gain_std": change.static_gain_std,
        "random_cut": change.random_cut,
    }


def static(config: Config) -> dict[str, Any]:
    """What training depends on beside the knobs: values that another one keeps from acting are left out."""
    model, dataset = config.model.model_dump(), config.dataset
    if config.model.n_layers == 1:
        del model["rnn_dropout"]  # it lies between layers
    change = dataset.data_transforms
    patience = (config.early_stopping_val_steps, config.batches_per_val_step) if config.early_stopping else None
    return {
        "model": model,
        "use_amp": config.use_amp,
        "start": init_path(config),
        "patience": patience,
        "adamw": (config.beta0, config.beta1, config.epsilon),
        "smoothing": (change.smooth_kernel_size, change.smooth_kernel_std) if change.smooth_data else None,
        "walk": change.random_walk_axis if change.random_walk_std else None,
        "dataset": dataset.model_dump(
            include={
                *paths("batch_size n_classes max_seq_elements days_per_batch must_include_days feature_subset"),
                *paths("bad_trials_dict sessions dataset_probability_val"),
            }
        ),
    }


def settles(config: Config) -> int:
    """The first batch after both warmups and with α at its end value: until then the loss itself changes meaning."""
    return max(alpha_schedule(config).settles, *(rate.settles for rate in rates(config)))


def alpha_table(config: Config) -> list[tuple[int, int | None, float]]:
    """α as (first batch, last batch, α) per stair; the last stair has no last batch."""
    schedule = alpha_schedule(config)
    if not isinstance(schedule, AlphaRamp):
        return [(0, None, schedule.at(0))]
    starts = range(0, schedule.settles + 1, schedule.step_interval)
    ends = [start + schedule.step_interval - 1 for start in starts[:-1]]
    return [(start, end, schedule.at(start)) for start, end in zip(starts, [*ends, None], strict=True)]


def describe(config: Config) -> str:
    """The schedules for people: the α table and the learning rates."""
    lines = ["alpha (weight of the phoneme loss; the rest is the diphone loss):"]
    for first, last, alpha in alpha_table(config):
        batches = f"{first}+" if last is None else f"{first}" if first == last else f"{first}–{last}"
        lines.append(f"  {batches:>15} → {alpha:g}")
    curve = "line" if config.lr_scheduler_type == "linear" else "cosine"
    for name, suffix in (("lr", ""), ("lr of the day layers", "_day")):
        high, low = getattr(config, f"lr_max{suffix}"), getattr(config, f"lr_min{suffix}")
        warmup, decay = getattr(config, f"lr_warmup_steps{suffix}"), getattr(config, f"lr_decay_steps{suffix}")
        lines.append(f"{name}: 0 → {high:g} over {warmup} batches, then a {curve} to {low:g} at batch {decay}")
    return "\n".join(lines)
