"""What sharing would save, before anything is trained: configs drawn from the space, and where their trainings part.

Looked at are the first and the last unit of each interval between evaluations, which is quick and may say too much of
schedules that part in between and meet again; keys are exact. A controller that waits for results is taken to part two
configs as soon as it may act at all, which says too little.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from search.prefixes.key import digest
from spaces.paths import with_values
from spaces.problems import BadInput
from spaces.space import Space
from spaces.values import thaw
from trainables.prefix import Sharing
from trainables.run import Model

DRAWN = 60
WORTH = 0.2
"""From this share of the units on, `share: auto` switches it on."""
ALIKE = 0.9
"""Share of the pairs that train alike up to the step before which no rung can tell trials apart."""


@dataclass(frozen=True)
class Lengths:
    """Of every training of a search, in the model's unit."""

    horizon: int
    every: int
    begins: int = 0
    """The step that all trainings start from."""

    def intervals_before(self, step: int) -> int:
        """Whole ones, from the start to `step`."""
        return max(0, step - self.begins) // self.every

    def after(self, intervals: int) -> int:
        """The step after so many."""
        return self.begins + intervals * self.every


class Outline:
    """A config's training in the rough: what two of them have in common is seen without working out all of it."""

    def __init__(self, model: Model[Any, Any], sharing: Sharing[Any], config: Any, lengths: Lengths) -> None:
        self._config, self._lengths = config, lengths
        self._values = sharing.rough or sharing.realised
        controller = sharing.controller
        static = controller.unacted(config) if controller is not None else (sharing.static or model.static)(config)
        self._static = digest(static)
        self._settings = "" if controller is None else digest(controller.settings(config))
        earliest = lengths.horizon if controller is None else min(lengths.horizon, controller.earliest(config))
        self._whole = lengths.intervals_before(lengths.horizon)
        self._calm = lengths.intervals_before(earliest)  # intervals before the controller may act
        self._intervals: list[str] = []

    def common(self, other: "Outline") -> int:
        """The evaluation up to which two trainings are the same; the start where they are not at the next."""
        most = self._whole
        if self._settings != other._settings:
            most = min(most, self._calm, other._calm)
        return self._alike(other, most)

    def scheduled(self, other: "Outline") -> int:
        """As `common`, as long as no controller acts."""
        return self._alike(other, self._whole)

    def differs_in_settings(self, other: "Outline") -> bool:
        """Whether the controllers would do something else once they act."""
        return self._settings != other._settings

    def _alike(self, other: "Outline", most: int) -> int:
        alike = 0
        if self._static == other._static:
            alike = next((i for i in range(most) if self._interval(i) != other._interval(i)), most)
        return self._lengths.after(alike)

    def _interval(self, index: int) -> str:
        """What an interval takes from the schedules, at its ends."""
        every = self._lengths.every
        while len(self._intervals) <= index:
            first = self._lengths.after(len(self._intervals))
            ends = sorted({first, first + every - 1})
            self._intervals.append(digest([self._values(self._config, at) for at in ends]))
        return self._intervals[index]


@dataclass(frozen=True)
class Prediction:
    """What a dry run over drawn configs says of sharing."""

    outlines: tuple[Outline, ...] = field(compare=False, repr=False)
    lengths: Lengths
    begun: tuple[int, ...]
    """Of each config, in the order drawn: the step up to which an earlier one has trained the same."""
    together: int
    """The step up to which nearly all pairs of configs train alike: no comparison means anything before."""

    @property
    def share(self) -> float:
        """Of all units, when every config trains in full, those that need not be trained."""
        begins, horizon = self.lengths.begins, self.lengths.horizon
        return sum(step - begins for step in self.begun) / (len(self.begun) * (horizon - begins)) if self.begun else 0.0

    @property
    def beginners(self) -> int:
        """Configs that begin as an earlier one does."""
        return sum(step > self.lengths.begins for step in self.begun)

    def trained(self, units: int) -> float:
        """Units that a config trains itself of the first `units` after the start, in the mean."""
        upto = self.lengths.begins + units
        return sum(max(0, upto - step) for step in self.begun) / len(self.begun) if self.begun else float(units)


def predict(
    model: Model[Any, Any], sharing: Sharing[Any], space: Space, base: Mapping[str, Any], lengths: Lengths
) -> Prediction:
    """What sharing would save a search over `space` of different configs, `base` the first that is trained."""
    drawn = [Outline(model, sharing, config, lengths) for config in _configs(model, space, base)]
    begun = [max((one.common(other) for other in drawn[:at]), default=lengths.begins) for at, one in enumerate(drawn)]
    pairs = sorted(one.common(other) for at, one in enumerate(drawn) for other in drawn[:at])
    together = pairs[int((1 - ALIKE) * len(pairs))] if pairs else lengths.begins
    return Prediction(tuple(drawn), lengths, tuple(begun), together)


def forks(one: Outline, others: Sequence[Outline], lengths: Lengths) -> dict[int, int]:
    """The steps at which `one` parts from each of the others after a common beginning -> from how many."""
    steps = (one.common(other) for other in others)
    return Counter(step for step in steps if lengths.begins < step < lengths.horizon)


def _configs(model: Model[Any, Any], space: Space, base: Mapping[str, Any]) -> Iterator[Any]:
    rng = np.random.default_rng(0)
    draws: list[Mapping[str, Any]] = [{}, *(space.sample(rng, base) for _ in range(DRAWN - 1))]
    seen: set[str] = set()
    for values in draws:
        native = with_values(base, {path: thaw(value) for path, value in values.items()})
        if (key := digest([native])) in seen:  # a small space: no search trains the same config twice
            continue
        seen.add(key)
        with suppress(BadInput):  # not every model takes every point of its space
            yield model.parse(native, "a config")
