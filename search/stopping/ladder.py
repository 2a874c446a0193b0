"""Which steps are rungs: a ladder from the first fair comparison to the full budget. All in steps, multiples of the
interval between evaluations."""

import math
from collections.abc import Sequence

SETTLED = 0.1  # share of sampled configs that have left warmup, freeze or ramp by an automatic first rung
ALL_SETTLED = 0.9  # the same where all trials are judged at every rung
RUNGS_SHARE = 25  # an automatic first rung is at least about horizon / 25 (measured on curves of RNNs and MLPs)


def ladder(first: int, reduction: int, horizon: int, every: int) -> tuple[int, ...]:
    """The rungs first, first·η, first·η², … below `horizon`, then `horizon`; all in steps and multiples of `every`.

    Raises ValueError where an evaluation would miss a rung or the first rung leaves nothing to stop early.
    """
    for name, value, least in (("reduction", reduction, 2), ("evaluate_every", every, 1), ("first_rung", first, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")
    if horizon % every:
        below = horizon - horizon % every
        near = f"{below} or {below + every}" if below else str(every)
        raise ValueError(f"steps is {horizon}, no multiple of evaluate_every {every}; set steps to {near}")
    if first >= horizon:
        raise ValueError(f"first_rung is {first}; it must lie below steps {horizon}: lower it, or set kind: none")
    if first % every:
        near = str(first - first % every + every)
        raise ValueError(f"first_rung is {first}, no multiple of evaluate_every {every}; set it to {near} or to auto")
    rungs = [first]
    while rungs[-1] * reduction < horizon:
        rungs.append(rungs[-1] * reduction)
    return (*rungs, horizon)


def auto_first_rung(settles: Sequence[int], horizon: int, every: int, share: float = SETTLED) -> int:
    """The earliest step at which comparing trials is fair, from the settling steps of sampled configs.

    first = min(horizon, every · ⌈max(⌊horizon / 25⌋, every, the `share`-quantile of `settles`) / every⌉)

    Returns `horizon` if nothing is left below it: then no trial can be stopped early, and the caller says so.
    """
    needed = max(horizon // RUNGS_SHARE, every)
    if settles:
        needed = max(needed, sorted(settles)[max(0, math.ceil(share * len(settles) - 1e-9) - 1)])
    return min(horizon, -(-needed // every) * every)
