"""What changes during training as a pure function of the batch: the trainer reads these values nowhere else."""

from trainables.diphone_rnn.config import Config
from trainables.diphone_rnn.phonemes import N_PHONEMES
from trainables.schedules import AlphaRamp, Constant, Schedule, Warmup, warmup_cosine


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
    return (
        warmup_cosine(config.lr_max, config.lr_warmup_steps, config.lr_decay_steps, config.lr_min),
        warmup_cosine(config.lr_max_day, config.lr_warmup_steps_day, config.lr_decay_steps_day, config.lr_min_day),
    )


def knobs(config: Config, step: int) -> dict[str, float]:
    """Values in force while training batch `step` (0-based)."""
    network, day = rates(config)
    change = config.dataset.data_transforms
    return {
        "alpha": alpha_schedule(config).at(step),
        "lr": network.at(step),
        "lr_day": day.at(step),
        "weight_decay": config.weight_decay,
        "weight_decay_day": config.weight_decay_day,
        "grad_norm_clip_value": config.grad_norm_clip_value,
        "white_noise_std": change.white_noise_std,
        "constant_offset_std": change.constant_offset_std,
        "random_walk_std": change.random_walk_std,
        "static_gain_std": change.static_gain_std,
        "random_cut": change.random_cut,
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
    for name, suffix in (("lr", ""), ("lr of the day layers", "_day")):
        high, low = getattr(config, f"lr_max{suffix}"), getattr(config, f"lr_min{suffix}")
        warmup, decay = getattr(config, f"lr_warmup_steps{suffix}"), getattr(config, f"lr_decay_steps{suffix}")
        lines.append(f"{name}: 0 → {high:g} over {warmup} batches, then a cosine to {low:g} at batch {decay}")
    return "\n".join(lines)
