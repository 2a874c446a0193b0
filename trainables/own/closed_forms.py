"""The schedules of torch and of Hugging Face as functions of the scheduler's step, in closed form.

Each gives the rate in force while the scheduler has made `step` steps, as torch.optim.lr_scheduler and
transformers.get_scheduler (their documentation has the formulas) set it.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainables.schedules import Schedule


@dataclass(frozen=True)
class Closed:
    """A value per step, and the first step after its slow start."""

    value: Callable[[int], float]
    settles: int = 0

    def at(self, step: int) -> float:
        """The value at `step`."""
        return self.value(step)


@dataclass(frozen=True)
class PerUnit:
    """A schedule whose scheduler makes several steps per unit trained: the value at the unit's first one."""

    inner: Schedule
    steps: float

    def at(self, step: int) -> float:
        """The value while training unit `step` (0-based)."""
        return self.inner.at(math.floor(step * self.steps))

    @property
    def settles(self) -> int:
        """The first unit after the slow start."""
        return math.ceil(self.inner.settles / self.steps)


def constant_lr(base: float, factor: float, total_iters: int) -> Closed:
    """Torch's ConstantLR."""
    return Closed(lambda t: base * factor if t < total_iters else base, total_iters if factor < 1 else 0)


def linear_lr(base: float, start: float, end: float, total_iters: int) -> Closed:
    """Torch's LinearLR."""
    whole = max(total_iters, 1)
    return Closed(
        lambda t: base * (start + (end - start) * min(t, total_iters) / whole), total_iters if start < end else 0
    )


def step_lr(base: float, step_size: int, gamma: float) -> Closed:
    """Torch's StepLR."""
    return Closed(lambda t: base * gamma ** (t // step_size))


def multi_step_lr(base: float, milestones: Sequence[int], gamma: float) -> Closed:
    """Torch's MultiStepLR."""
    ordered = sorted(milestones)
    return Closed(lambda t: base * gamma ** bisect_right(ordered, t))


def exponential_lr(base: float, gamma: float) -> Closed:
    """Torch's ExponentialLR."""
    return Closed(lambda t: base * gamma**t)


def cosine_annealing_lr(base: float, t_max: int, eta_min: float) -> Closed:
    """Torch's CosineAnnealingLR, which rises again after `t_max`."""
    return Closed(lambda t: eta_min + (base - eta_min) * (1 + math.cos(math.pi * t / t_max)) / 2)


def polynomial_lr(base: float, total_iters: int, power: float) -> Closed:
    """Torch's PolynomialLR."""
    return Closed(lambda t: base * (1 - min(t, total_iters) / total_iters) ** power)


def one_cycle_lr(
    peak: float, total_steps: int, pct_start: float, linear: bool, divisors: tuple[float, float]
) -> Closed:
    """Torch's OneCycleLR in two phases; `divisors`: div_factor and final_div_factor."""
    start = peak / divisors[0]
    end = start / divisors[1]
    top, last = pct_start * total_steps - 1, total_steps - 1

    def between(a: float, b: float, share: float) -> float:
        return a + (b - a) * share if linear else b + (a - b) / 2 * (math.cos(math.pi * share) + 1)

    def value(t: int) -> float:
        if t <= top:
            return between(start, peak, t / top)
        return between(peak, end, (min(t, last) - top) / (last - top))

    return Closed(value, max(math.ceil(top), 0))


def sequential(pieces: Sequence[Closed], milestones: Sequence[int]) -> Closed:
    """Torch's SequentialLR: each piece begins at 0 at its milestone."""
    starts, ends = (0, *milestones), (*milestones, None)

    def value(t: int) -> float:
        index = bisect_right(milestones, t)
        return pieces[index].at(t - starts[index])

    slow = [
        start + (piece.settles if end is None else min(piece.settles, end - start))
        for piece, start, end in zip(pieces, starts, ends, strict=True)
        if piece.settles
    ]
    return Closed(value, max(slow, default=0))


def nanogpt(peak: float, warmup: int, decay: int, floor: float) -> Closed:
    """NanoGPT's get_lr: warmup as (t + 1)/(warmup + 1), half a cosine to `floor` at step `decay`, constant after."""

    def value(t: int) -> float:
        if t < warmup:
            return peak * (t + 1) / (warmup + 1)
        if t > decay:
            return floor
        share = (t - warmup) / (decay - warmup)
        return floor + 0.5 * (1 + math.cos(math.pi * share)) * (peak - floor)

    return Closed(value, warmup)


def huggingface(kind: str, peak: float, warmup: int, total: int, more: dict[str, float]) -> Closed:
    """The schedule that `lr_scheduler_type` names: but for `constant` a linear warmup from 0, then `peak` times a shape
    of the step. Raises KeyError for one that is not such a function."""
    rest = max(1, total - warmup)

    def share(t: int) -> float:
        return (t - warmup) / rest

    def inverse_sqrt(t: int) -> float:
        scale = more.get("timescale") or (warmup or 10_000)
        return 1.0 / math.sqrt((t + scale - warmup) / scale)

    def restarts(t: int) -> float:
        if share(t) >= 1:
            return 0.0
        return max(0.0, 0.5 * (1 + math.cos(math.pi * ((more.get("num_cycles", 1) * share(t)) % 1.0))))

    def polynomial(t: int) -> float:
        end = more.get("lr_end", 1e-7)
        if t > total:
            return end / peak
        return ((peak - end) * math.pow(1 - share(t), more.get("power", 1.0)) + end) / peak

    def cosine(t: int) -> float:
        return max(0.0, 0.5 * (1 + math.cos(math.pi * more.get("num_cycles", 0.5) * 2 * share(t))))

    def cosine_with_min(t: int) -> float:
        lowest = more["min_lr"] / peak if "min_lr" in more else more.get("min_lr_rate", 0.0)
        return max(0.0, cosine(t) * (1 - lowest) + lowest)

    shapes: dict[str, Callable[[int], float]] = {
        "linear": lambda t: max(0.0, (total - t) / rest),
        "cosine": cosine,
        "cosine_with_restarts": restarts,
        "polynomial": polynomial,
        "constant_with_warmup": lambda t: 1.0,  # noqa: ARG005
        "inverse_sqrt": inverse_sqrt,
        "cosine_with_min_lr": cosine_with_min,
    }
    if kind == "constant":
        return Closed(lambda t: peak)  # noqa: ARG005
    shape = shapes[kind]
    return Closed(lambda t: peak * (t / max(1, warmup) if t < warmup else shape(t)), warmup)


KINDS = (
    "constant",
    "constant_with_warmup",
    "cosine",
    "cosine_with_min_lr",
    "cosine_with_restarts",
    "inverse_sqrt",
    "linear",
    "polynomial",
)
"""What `huggingface` knows."""
