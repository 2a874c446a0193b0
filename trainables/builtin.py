"""What the five models do alike: read a strict schema, ask the schedules, build a run when one is needed."""

from collections.abc import Mapping
from importlib import import_module
from typing import Generic, Protocol, TypeVar

from spaces.schema import NativeSection, parse
from trainables.keys import documented
from trainables.run import C, D, Metrics, Native, Prepared, Run

PLACE = "it says where things lie or run, not how to train"
START = "it decides what a run starts from, which the search keeps equal for all"
LENGTH = "it is the run's length, which the search sets from its budget"
ROUNDING = "it says how a GPU computes, which changes the rounding of the evaluation, too"
PATIENCE = "it only ends a run sooner; the search's own early stopping does that"


def paths(names: str, section: str = "") -> tuple[str, ...]:
    """The dotted paths of keys of a section, whose `names` have spaces between them."""
    return tuple(f"{section}.{name}" if section else name for name in names.split())


def unsearched(reasons: Mapping[str, str], section: str = "") -> dict[str, str]:
    """Keys that can't be searched, by dotted path, each with the reason. `reasons`: reason → names of the section's
    keys, with spaces between them."""
    return {path: reason for reason, names in reasons.items() for path in paths(names, section)}


Read = TypeVar("Read", bound=NativeSection, contravariant=True)


class Schedules(Protocol[Read]):
    """A model's module `schedule`: pure functions of the config and the step."""

    def knobs(self, config: Read, step: int, /) -> Metrics:
        """Values in force while training unit `step` (0-based)."""

    def settles(self, config: Read, /) -> int:
        """The first step by which every scheduled knob has left its warmup, freeze or ramp."""


class BuiltIn(Generic[C, D]):
    """The common part of a `trainables.run.Model` in the package `trainables.<name>`. A model adds what is its own, and
    overrides what it does otherwise."""

    name: str
    config: type[C]
    """The schema of its native file."""
    data: type[D]
    """The schema of `data:`."""
    schedules: Schedules[C]

    def documented(self) -> Native:
        """The documented recipe."""
        return documented(self.config)

    def parse(self, native: Native, where: str) -> C:
        """The typed config; what `native` omits means what the user's script does without it. Raises BadInput."""
        return parse(self.config, native, where)

    def parse_data(self, data: Native, config: C, where: str) -> D:  # noqa: ARG002 - some models need it
        """The typed `data:` section. Raises BadInput."""
        return parse(self.data, data, where, "data")

    def knobs(self, config: C, step: int) -> Metrics:
        """Values in force while training unit `step` (0-based)."""
        return self.schedules.knobs(config, step)

    def settles(self, config: C) -> int:
        """The first step by which every scheduled knob has left its warmup, freeze or ramp."""
        return self.schedules.settles(config)

    def build(self, config: C, prepared: Prepared, seed: int) -> Run:
        """A run at step 0."""
        run: Run = import_module(f"trainables.{self.name}.run").build(config, prepared, seed)  # torch takes seconds
        return run
