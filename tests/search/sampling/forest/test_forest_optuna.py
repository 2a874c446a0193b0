"""Optuna's own expectations of a sampler, from `optuna.testing`."""

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

from search.sampling.forest.sampler import ForestSampler, Recipe


def without_starts() -> ForestSampler:
    return ForestSampler(seed=0, recipe=Recipe(starts=1, explore=0.0))


class TestForestSampler(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture(params=[ForestSampler, without_starts])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        made: Callable[[], BaseSampler] = request.param
        return made
