"""What the five models do alike: read a strict schema, ask the schedules, build a run when one is needed."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from pydantic import model_validator

from spaces.schema import NativeSection, Section, parse
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


class Source(Section):
    """The part of `data:` that says where the data comes from: exactly one of `generate` and the user's own folder."""

    generate: Any = None
    """The model's own section of what to generate."""
    folder_key: ClassVar[str] = "data_dir"
    made: ClassVar[str] = "simulated data"
    """What `generate` gives."""

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        given = [self.generate is not None, getattr(self, self.folder_key) is not None]
        if sum(given) != 1:
            had = "both" if all(given) else "neither"
            what = f"expected one of generate and {self.folder_key}, got {had}"
            raise ValueError(f"{what}; use {{generate: {{}}}} for {self.made}")
        return self

    def folder(self, generated: Callable[[Any], Path]) -> Path:
        """The user's folder, or the one that `generated` gives for `generate`."""
        named = getattr(self, self.folder_key)
        return generated(self.generate) if named is None else Path(named).expanduser().absolute()


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
