"""The commands of the user's own script that train a config: `train_main.py --optimization-level …`. No torch."""

from trainables.tts.config import Config
from trainables.tts.levels import CUSTOM, KEYS, LEVELS, UNSET_LEVEL, preset
from trainables.tts.schedule import Stage, stage

SHOWN = {"learning_rate": "--lr", "gradient_clip_norm": "--gradient-clip"}


def commands(config: Config) -> list[str]:
    """Lines to read and commands to run: one command per level, the second from the first one's checkpoint."""
    training, switch = config.training, config.training.level_switch
    first = stage(config, 0)
    if switch.rule == "never":
        return [*_notes(first, config), _command(first, config, training.epochs)]
    second = stage(config, training.epochs, 0 if switch.rule == "plateau" else None)
    if switch.rule == "epoch":
        until = switch.epoch
        lines = [*_notes(first, config), _command(first, config, until)]
    else:
        until = training.epochs
        lines = [
            f"Stop the first command when the validation error has not fallen by {switch.minimum_gain:g} of itself in "
            f"{switch.window} epochs:",
            *_notes(first, config),
            _command(first, config, until),
        ]
    resumed = f"{_command(second, config, training.epochs)} --resume-checkpoint CHECKPOINT"
    return [*lines, "then from its last checkpoint:", *_notes(second, config), resumed]


def _command(now: Stage, config: Config, epochs: int) -> str:
    level = [f"--optimization-level {now.level}"] if now.level in LEVELS and now.level != CUSTOM else []
    flags = [f"{flag} {getattr(now.values, key)!r}" for key, flag in SHOWN.items()]
    resumed = config.training.resume_checkpoint
    start = [f"--resume-checkpoint {resumed}"] if resumed is not None and not now.after else []
    return " ".join(
        ["python train_main.py", *level, f"--batch-size {config.data.batch_size}", *flags, f"--epochs {epochs}", *start]
    )


def _notes(now: Stage, config: Config) -> list[str]:
    """What the command has no flag for, where it differs from the documented level's or the native default."""
    level = preset(now.level, config.model.size, {}) if now.level in LEVELS else {}
    other = [
        f"{key}: {str(value).lower() if isinstance(value, bool) else value}"
        for key in KEYS
        if key not in SHOWN and level.get(key, getattr(UNSET_LEVEL, key)) != (value := getattr(now.values, key))
    ]
    return [f"with training: {{{', '.join(other)}}} in its config"] if other else []
