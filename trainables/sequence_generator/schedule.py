"""What changes during training as a pure function of the epoch: the trainer reads these values nowhere else."""

from collections.abc import Sequence
from functools import lru_cache
from typing import assert_never

from trainables.schedules import (
    Constant,
    Cosine,
    Curriculum,
    Linear,
    OneCycle,
    PhaseTable,
    Span,
    hold_table,
    teacher_forcing,
    warm_restarts,
)
from trainables.schedules import Phase as Schedule
from trainables.sequence_generator.config import Config, Phase
from trainables.sequence_generator.plan import phases_of

HELD = ("weight_decay", "noise_level", "clip_grad_norm", "alpha", "max_lag")  # one value for a whole phase


def rate(phase: Phase) -> Schedule:
    """The learning rate inside one phase."""
    n, start, end = phase.epochs, phase.start_lr, phase.min_lr
    match phase.lr_schedule:
        case "constant":
            return Span(n, Constant(start))
        case "linear":
            return Linear(n, start, end)
        case "cosine":
            return Cosine(n, start, end)
        case "one_cycle":
            return OneCycle(n, phase.warmup_lr, start, end, phase.warmup_fraction)
        case "restarts":  # a phase shorter than its cycles has one for each epoch
            return warm_restarts(n, start, end, min(phase.lr_cycles, n))
        case other:
            assert_never(other)


def knobs(config: Config, step: int) -> dict[str, float]:
    """Values in force while training epoch `step` (0-based); after the last phase, those of its last epoch."""
    tables = _tables(config.model_dump_json())
    values = {key: table.at(step) for key, table in tables.items()}
    curriculum = Curriculum(config.curriculum_epochs).at(step)
    return {"phase": tables["lr"].phase_at(step)[0] + 1.0, **values, "curriculum": curriculum}


@lru_cache(maxsize=64)
def _tables(config: str) -> dict[str, PhaseTable]:
    """The schedules of a whole training by knob; each phase's decay ends exactly at its last epoch.

    A config is asked for its knobs epoch by epoch: its schedules are laid out once.
    """
    found = Config.model_validate_json(config)
    phases = phases_of(found)
    epochs = [phase.epochs for phase in phases]
    forced = tuple(teacher_forcing(p.epochs, p.teacher_forcing_start, p.teacher_forcing_end) for p in phases)
    return {
        "lr": PhaseTable(tuple(map(rate, phases))),
        "teacher_forcing": PhaseTable(forced) if found.teacher_forcing else hold_table(epochs, [0.0] * len(epochs)),
        **{key: hold_table(epochs, [float(getattr(phase, key)) for phase in phases]) for key in HELD},
    }


def settles(config: Config) -> int:
    """The epoch by which the first phase's warmup is over and sequences come in free order; later phases are plan."""
    return max(_tables(config.model_dump_json())["lr"].settles, config.curriculum_epochs)


def last_epochs(config: Config) -> list[int]:
    """The number of epochs trained when each phase is over."""
    ends: list[int] = []
    for phase in phases_of(config):
        ends.append((ends[-1] if ends else 0) + phase.epochs)
    return ends


def describe(config: Config) -> str:
    """The plan for people, a line per phase."""
    lines = ["phase  epochs      lr                               teacher forcing  decay  noise  clip  alpha  max_lag"]
    first = 1
    for number, phase in enumerate(phases_of(config), 1):
        span = f"{first}–{first + phase.epochs - 1}"
        lines.append(
            f"{number:>5}  {span:<10}  {_rate_text(phase):<31}  {_forcing_text(config, phase):<15}  "
            f"{phase.weight_decay:<5g}  {phase.noise_level:<5g}  {phase.clip_grad_norm:<4g}  {phase.alpha:<5g}  "
            f"{phase.max_lag}"
        )
        first += phase.epochs
    return "\n".join(lines)


def _rate_text(phase: Phase) -> str:
    start, end = f"{phase.start_lr:.4g}", f"{phase.min_lr:.4g}"
    match phase.lr_schedule:
        case "constant":
            return f"{start} fixed"
        case "one_cycle":
            return f"{phase.warmup_lr:.4g} → {start} → {end} one_cycle"
        case "restarts":
            return f"{start} → {end} × {phase.lr_cycles}"
        case _:
            return f"{start} → {end} {phase.lr_schedule}"


def _forcing_text(config: Config, phase: Phase) -> str:
    ends: Sequence[float] = (phase.teacher_forcing_start, phase.teacher_forcing_end)
    if not config.teacher_forcing:
        return "off"
    return " → ".join(f"{value:.3g}" for value in dict.fromkeys(ends))
