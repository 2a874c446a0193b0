"""The plan of phases in both of its forms: values as they are, and shares of what came before.

Both directions round: values to 12 significant digits, shares to 15. So .0005 · .2 is .0001, what a file says comes
back out of its shares to the digit, and going there and back again changes nothing more.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from spaces.problems import BadInput, Problem, raise_any
from spaces.schema import parse
from trainables.sequence_generator.config import Config, Phase, PhasePlan

VALUE_DIGITS, SHARE_DIGITS, RISEN_DIGITS = 12, 15, 6
HELD = ("weight_decay", "noise_level", "clip_grad_norm")  # one value per phase, falling from phase to phase
UNUSED = {"lr_warmup": 0.5, "lr_warmup_fraction": 0.3, "lr_cycles": 1}  # of phases whose kind of rate has no use for it
ANCHORS = ("start_lr", "teacher_forcing_start", *HELD)  # the config's own keys: what the first phase starts with

DOCUMENTED = tuple(
    Phase(
        epochs=100,
        start_lr=start,
        min_lr=end,
        lr_schedule=schedule,
        warmup_lr=start / 2,
        teacher_forcing_start=forcing[0],
        teacher_forcing_end=forcing[1],
        weight_decay=decay,
        noise_level=noise,
        clip_grad_norm=clip,
        alpha=alpha,
        max_lag=lag,
    )
    for start, end, schedule, forcing, decay, noise, clip, alpha, lag in (
        (1e-3, 5e-4, "one_cycle", (0.7, 0.6), 0.01, 0.05, 1.0, 0.8, 10),
        (5e-4, 1e-4, "linear", (0.6, 0.5), 0.008, 0.04, 0.9, 0.75, 15),
        (1e-4, 5e-5, "linear", (0.5, 0.4), 0.005, 0.03, 0.8, 0.7, 15),
        (5e-5, 1e-5, "linear", (0.4, 0.3), 0.003, 0.02, 0.7, 0.65, 20),
        (1e-5, 1e-5, "constant", (0.3, 0.3), 0.001, 0.01, 0.6, 0.6, 20),
    )
)
"""The documented table (models.md, section 2); phases after the first are continuations, whose rate falls linearly."""


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def below(value: float, share: float) -> float:
    """The value that is `share` of `value`; a share above 1 of a 0 is what it exceeds 1 by."""
    if share == 1:
        return value
    if value == 0:
        return _rounded(max(0.0, share - 1), RISEN_DIGITS)
    return _rounded(value * share, VALUE_DIGITS)


def share_of(value: float, before: float) -> float:
    """The share of `before` that `value` is: the inverse of `below`."""
    if value == before:
        return 1.0
    return 1 + _rounded(value, RISEN_DIGITS) if before == 0 else _rounded(value / before, SHARE_DIGITS)


def lengths(shares: Sequence[float], epochs: int) -> list[int]:
    """Whole epochs of each phase, at least one, together `epochs`; each takes its share of those that are left."""
    left, found = epochs, []
    for place, share in enumerate(shares):
        after = len(shares) - 1 - place
        found.append(left if not after else min(max(1, round(share * left)), left - after))
        left -= found[-1]
    return found


def phases_of(config: Config) -> tuple[Phase, ...]:
    """The config's phases with their values as they are. Raises BadInput for one that is out of its bounds."""
    problems: list[Problem] = []
    found: list[Phase] = []
    for name, values in _values(config):
        try:
            found.append(parse(Phase, values, "", f"plan.{name}"))
        except BadInput as error:
            problems += error.problems
    raise_any(problems)
    return tuple(found)


def _values(config: Config) -> list[tuple[str, dict[str, Any]]]:
    counts = lengths([phase.length for phase in config.plan.values()], config.epochs)
    rate, forcing = config.start_lr, config.teacher_forcing_start
    held = {key: float(getattr(config, key)) for key in HELD}
    rows: list[tuple[str, dict[str, Any]]] = []
    for (name, shares), epochs in zip(config.plan.items(), counts, strict=True):
        start = below(rate, shares.lr_start)
        rate = start if shares.lr_schedule == "constant" else below(start, shares.lr_end)
        forced = below(forcing, shares.teacher_forcing_start)
        forcing = below(forced, shares.teacher_forcing_end)
        held = {key: below(value, getattr(shares, key)) for key, value in held.items()}
        values = {
            "epochs": epochs,
            "start_lr": start,
            "min_lr": rate,
            "lr_schedule": shares.lr_schedule,
            "warmup_lr": below(start, shares.lr_warmup),
            "warmup_fraction": shares.lr_warmup_fraction,
            "lr_cycles": shares.lr_cycles,
            "teacher_forcing_start": forced,
            "teacher_forcing_end": forcing,
            **held,
            "alpha": shares.alpha,
            "max_lag": shares.max_lag,
        }
        rows.append((name, values))
    return rows


def plan_of(phases: Sequence[Phase]) -> tuple[dict[str, float], dict[str, PhasePlan]]:
    """The config's own keys of the first phase, and the plan, of phases with their values as they are."""
    first = phases[0]
    anchors = {key: float(getattr(first, key)) for key in ANCHORS}
    left = sum(phase.epochs for phase in phases)
    rate, forcing = first.start_lr, first.teacher_forcing_start
    held = {key: anchors[key] for key in HELD}
    plan = {}
    for number, phase in enumerate(phases, 1):
        constant = phase.lr_schedule == "constant"
        plan[f"phase_{number}"] = PhasePlan(
            length=_rounded(phase.epochs / left, SHARE_DIGITS),
            lr_schedule=phase.lr_schedule,
            lr_start=share_of(phase.start_lr, rate),
            lr_end=1.0 if constant else share_of(phase.min_lr, phase.start_lr),
            **_kind(phase),
            teacher_forcing_start=share_of(phase.teacher_forcing_start, forcing),
            teacher_forcing_end=share_of(phase.teacher_forcing_end, phase.teacher_forcing_start),
            **{key: share_of(getattr(phase, key), value) for key, value in held.items()},
            alpha=phase.alpha,
            max_lag=phase.max_lag,
        )
        left -= phase.epochs
        rate, forcing = phase.start_lr if constant else phase.min_lr, phase.teacher_forcing_end
        held = {key: getattr(phase, key) for key in HELD}
    return anchors, plan


def _kind(phase: Phase) -> dict[str, Any]:
    """What only some kinds of rates have; for the others always the same, as it makes no difference."""
    kind = dict(UNUSED)
    if phase.lr_schedule == "one_cycle":
        kind["lr_warmup"] = share_of(phase.warmup_lr, phase.start_lr)
        kind["lr_warmup_fraction"] = phase.warmup_fraction
    if phase.lr_schedule == "restarts":
        kind["lr_cycles"] = phase.lr_cycles
    return kind


def unused(phase: Phase) -> frozenset[str]:
    """The keys that say nothing about a phase, as its kind of rate has no use for them."""
    warmup = frozenset() if phase.lr_schedule == "one_cycle" else frozenset({"warmup_lr", "warmup_fraction"})
    return warmup | (frozenset() if phase.lr_schedule == "restarts" else frozenset({"lr_cycles"}))


def in_plan_form(phases: Sequence[Phase]) -> Mapping[str, Any]:
    """The keys of a native config that stand for these phases."""
    anchors, plan = plan_of(phases)
    total = sum(phase.epochs for phase in phases)
    return {"epochs": total, **anchors, "plan": {name: shares.model_dump() for name, shares in plan.items()}}
