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

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
BEST, WINDOW = 25, 150
"""TPE's group of good trials never holds more than 25, and the others lose weight with age: the best 25 and the newest
others carry nearly all that it uses, if the size of the good group goes by all trials. Without a window a proposal
takes 40 ms at 2,000 trials, and grows on."""


def make_sampler(kind: Literal["tpe", "random"], seed: int, finished: int) -> BaseSampler:
    """A sampler without a past, for one proposal. Another kind is another case here.

    `finished`: trials that have ended, those that the window leaves out counted in.
    """
    match kind:
        case "tpe":
            with warnings.catch_warnings():
                # `group` is marked experimental since Optuna 2.8; without it conditional knobs are sampled one by one.
                warnings.simplefilter("ignore", ExperimentalWarning)
                # `gamma` is marked deprecated until Optuna 6, without a successor; constraints.txt pins 5.
                warnings.filterwarnings("ignore", "`gamma` has been deprecated", FutureWarning)
                return TPESampler(
                    seed=seed,
                    multivariate=True,
                    group=True,
                    constant_liar=True,
                    n_startup_trials=10,
                    n_ei_candidates=24,
                    gamma=lambda _: good(finished),
                )
        case "random":
            return RandomSampler(seed=seed)
        case _:
            assert_never(kind)


def good(finished: int) -> int:
    """The size of TPE's group of good trials: min(⌈n / 10⌉, 25), Optuna's default."""
    return min(-(-finished // 10), BEST)


def draw_seed(seed: int, number: int, attempt: int) -> int:
    """32 bits that depend on all three and on nothing else: neither the process nor the machine."""
    digest = hashlib.sha256(f"{seed}:{number}:{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def window(trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """All running trials, the best 25 finished ones and the newest others, `WINDOW` finished in all; by number.

    Failed trials are left out: samplers ignore them.
    """
    finished = [trial for trial in trials if trial.state in ENDED]
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
