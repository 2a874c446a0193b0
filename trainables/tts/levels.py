"""Optimisation levels as data: which values each level sets over a file's own. No torch.

The user's training script applies a level over the file: where the level has a value, it wins over the file's, and only
a command-line override wins over the level. Source: the table of levels in the model's training document (models.md,
section 4); a cell that it leaves open is the file's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Annotated, Any, Literal

from spaces.schema import Flag, NativeSection, Script
from trainables.kinds import Clip, Count, Rate, Weight

Scheduler = Literal["noam", "cosine", "cosine_restarts", "warmup_cosine"]
Period = Annotated[Count, Script("your script divides by it, and ends")]

CUSTOM = "custom"
"""The level that sets nothing, as without the flag `--optimization-level`: the file's own values count."""
LARGE_SIZES = frozenset({"normal"})
"""Model sizes for which the enhanced level clips at `LARGE_CLIP`."""
LARGE_CLIP = 0.8


class LevelValues(NativeSection):
    """What a level or an override may set; None: it leaves the value as it is."""

    learning_rate: Rate | None = None
    mel_loss_weight: Weight | None = None
    kl_loss_weight: Weight | None = None
    gradient_clip_norm: Clip | None = None
    scheduler: Scheduler | None = None
    restart_period: Period | None = None  # epochs
    use_adaptive_loss_weights: Flag | None = None
    use_label_smoothing: Flag | None = None
    use_huber_loss: Flag | None = None


@dataclass(frozen=True)
class Values:
    """Every value that levels differ in, resolved."""

    learning_rate: float
    mel_loss_weight: float
    kl_loss_weight: float
    gradient_clip_norm: float
    scheduler: Scheduler
    restart_period: int
    use_adaptive_loss_weights: bool
    use_label_smoothing: bool
    use_huber_loss: bool


KEYS = tuple(field.name for field in fields(Values))

_CELLS: Mapping[str, tuple[Any, Any, Any]] = {  # basic, enhanced, plateau_breaker
    "learning_rate": (1e-5, 1e-4, 1.5e-5),
    "mel_loss_weight": (1.0, 2.5, 2.0),
    "kl_loss_weight": (1.0, 1.8, 1.2),
    "gradient_clip_norm": (0.5, 0.5, 0.3),
    "scheduler": ("noam", "cosine_restarts", "cosine_restarts"),
    "restart_period": (None, None, 100),
    "use_adaptive_loss_weights": (False, True, True),
    "use_label_smoothing": (False, True, True),
    "use_huber_loss": (False, True, True),
}
_ROWS = dict(zip(("basic", "enhanced", "plateau_breaker"), zip(*_CELLS.values(), strict=True), strict=True))
LEVELS: Mapping[str, LevelValues] = MappingProxyType(
    {level: LevelValues(**dict(zip(_CELLS, row, strict=True))) for level, row in _ROWS.items()}
    | {CUSTOM: LevelValues()}
)


def preset(level: str, size: str, own: Mapping[str, LevelValues]) -> dict[str, Any]:
    """What `level` sets for a network of `size`: the documented row, and over it what the file's `levels` says.

    Raises KeyError for a level that is neither documented nor the file's own.
    """
    if level not in LEVELS and level not in own:
        raise KeyError(level)
    row = given(LEVELS.get(level, LevelValues()))
    if level == "enhanced" and size in LARGE_SIZES:
        row["gradient_clip_norm"] = LARGE_CLIP
    return {**row, **given(own.get(level, LevelValues()))}


def resolve(*sources: Mapping[str, Any]) -> Values:
    """Each value from the first of `sources` that holds it; the last one, the file, holds them all."""
    chosen = {key: next(source[key] for source in sources if source.get(key) is not None) for key in KEYS}
    return Values(**chosen)


def given(values: LevelValues) -> dict[str, Any]:
    """What is set."""
    return {key: value for key in KEYS if (value := getattr(values, key)) is not None}
