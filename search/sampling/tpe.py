"""`kind: tpe`: Optuna's tree-structured Parzen estimator (Bergstra et al. 2011)."""

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler

from search.sampling import samplers
from search.sampling.samplers import BEST, SamplerContext

WINDOW = BEST, samplers.WINDOW


def make(seed: int, finished: int, context: SamplerContext) -> BaseSampler:  # noqa: ARG001
    """TPE over all knobs together, with a group of good trials that goes by all that have finished."""
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


def good(finished: int) -> int:
    """The size of TPE's group of good trials: min(⌈n / 10⌉, 25), Optuna's default."""
    return min(-(-finished // 10), BEST)
