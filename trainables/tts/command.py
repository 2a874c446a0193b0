"""The commands of the user's own script that train a config: `train_main.py --optimization-level …`. No torch."""

from trainables.tts.config import Config
from trainables.tts.levels import CUSTOM, KEYS, LEVELS, preset
from trainables.tts.schedule import Stage, stage

SHOWN = {"learning_rate": "--lr", "gradient_clip_norm": "--gradient-clip"}


def commands(config: Config) -> list[str]:
    """Lines to read and commands to run: one command per level, the second from the first one's checkpoint."""
    training, switch = config.training, config.training.level_switch
    first = stage(config, 0)
    if switch.rule == "never":
        return [*_notes(first, config), _command(first, config, training.epochs)]
    second = stage(config, switch.epoch, 0) if switch.rule == "epoch" else stage(config, 0, 0)
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
    lines += ["then from its last checkpoint:", *_notes(second, config), _resumed(second, config, second.end)]
    if switch.back_after:
        third = stage(config, second.end, None if switch.rule == "epoch" else 0)
        lines += ["and again from its last:", *_notes(third, config), _resumed(third, config, training.epochs)]
    return lines


def _resumed(now: Stage, config: Config, epochs: int) -> str:
    return f"{_command(now, config, epochs)} --resume-checkpoint CHECKPOINT"


def _command(now: Stage, config: Config, epochs: int) -> str:
    level = [f"--optimization-level {now.level}"] if now.level in LEVELS and now.level != CUSTOM else []
    flags = [f"{flag} {getattr(now.values, key)!r}" for key, flag in SHOWN.items()]
    resumed = config.training.resume_checkpoint
    start = [f"--resume-checkpoint {resumed}"] if resumed is not None and now.first == 0 and not now.after else []
    return " ".join(
        ["python train_main.py", *level, f"--batch-size {config.data.batch_size}", *flags, f"--epochs {epochs}", *start]
    )


def _notes(now: Stage, config: Config) -> list[str]:
    """What the command has no flag for, where it differs from the documented level's or the native default."""
    level = preset(now.level, config.model.as_size, {}) if now.level in LEVELS else {}
    absent = Config().values(after=False)
    other = [
        f"{key}: {str(value).lower() if isinstance(value, bool) else value}"
        for key in KEYS
        if key not in SHOWN and level.get(key, getattr(absent, key)) != (value := getattr(now.values, key))
    ]
    return [f"with training: {{{', '.join(other)}}} in its config"] if other else []
