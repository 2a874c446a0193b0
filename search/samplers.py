"""Optuna's samplers as pure functions of a seed and a past: one sampler per proposal, one bounded past for each."""

import hashlib
import heapq
import math
import warnings
from collections.abc import Sequence
from typing import Literal, assert_never

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

BEST, WINDOW = 25, 500
"""TPE's group of good trials never holds more than 25, and the others lose weight with age: the best 25 and the newest
475 carry nearly all that it uses. Without a window a proposal takes 40 ms at 2,000 trials, and grows on."""


def make_sampler(kind: Literal["tpe", "random"], seed: int) -> BaseSampler:
    """A sampler without a past, for one proposal. Another kind is another case here."""
    match kind:
        case "tpe":
            with warnings.catch_warnings():
                # `group` is marked experimental since Optuna 2.8; without it conditional knobs are sampled one by one.
                warnings.simplefilter("ignore", ExperimentalWarning)
                return TPESampler(
                    seed=seed,
                    multivariate=True,
                    group=True,
                    constant_liar=True,
                    n_startup_trials=10,
                    n_ei_candidates=24,
                )
        case "random":
            return RandomSampler(seed=seed)
        case _:
            assert_never(kind)


def draw_seed(seed: int, number: int, attempt: int) -> int:
    """32 bits that depend on all three and on nothing else: neither the process nor the machine."""
    digest = hashlib.sha256(f"{seed}:{number}:{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def window(trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """All running trials, the best 25 finished ones and the newest others, 500 finished in all; by number.

    Failed trials are left out: samplers ignore them.
    """
    finished = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if len(finished) <= WINDOW:
        return [trial for trial in trials if trial.state != TrialState.FAIL]
    kept = {trial.number for trial in heapq.nsmallest(BEST, finished, key=lambda trial: rank(trial, direction))}
    for trial in reversed(finished):
        if len(kept) == WINDOW:
            break
        kept.add(trial.number)
    return [trial for trial in trials if trial.number in kept or trial.state == TrialState.RUNNING]


def rank(trial: FrozenTrial, direction: StudyDirection) -> tuple[int, float, float]:
    """The order in which TPE ranks finished trials, best first: completed by value, pruned by step reached and then
    value, and those that violate a constraint."""
    sign = 1.0 if direction == StudyDirection.MINIMIZE else -1.0
    if trial.system_attrs and any(value > 0 for value in trial.constraints.values()):
        return 2, 0.0, 0.0
    if trial.state == TrialState.COMPLETE:
        assert trial.value is not None
        return 0, sign * trial.value, 0.0
    if not trial.intermediate_values:
        return 1, math.inf, 0.0
    step = max(trial.intermediate_values)
    return 1, -float(step), sign * trial.intermediate_values[step]
