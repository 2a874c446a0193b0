"""`kind: forest`: a random forest over all trials and rungs."""

from optuna.samplers import BaseSampler

from search.sampling.forest.sampler import ForestSampler
from search.sampling.samplers import SamplerContext

WINDOW = 375, 1500
"""The forest fits no more observations than the second; each trial has one at least."""


def make(seed: int, finished: int, context: SamplerContext) -> BaseSampler:  # noqa: ARG001
    """The sampler, told of the search's rungs and of what each config has."""
    return ForestSampler(seed, **vars(context))  # whose arguments go by the same names
