"""A user's config as its own file holds it: whatever keys it has are known, and their values tell their kinds."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from spaces.domain import Categorical, Float
from spaces.paths import get, has
from spaces.problems import Problem
from spaces.schema import NativeSection, Section
from spaces.space import Space


class OwnConfig(NativeSection):
    """Any keys; none is unknown, for there is no other schema than the file."""

    inferred: ClassVar[bool] = True

    @property
    def native(self) -> Mapping[str, Any]:
        """The keys and their values."""
        return self.model_extra or {}


class OwnData(Section):
    """Nothing: a user's code finds its data by its config."""


def kind_problems(space: Space, base: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Say which knobs would put a value of another kind into the config than the one that stands there."""
    for knob in space.knobs:
        if not has(base, knob.path):
            continue  # said by the space's own check
        held = get(base, knob.path)
        for value in knob.domain.choices if isinstance(knob.domain, Categorical) else (knob.domain.low,):
            if held is not None and value is not None and _kind(held) != _kind(value):
                what = f"the config holds {held!r}, {_kind(held)}; the space would put {value!r} there, {_kind(value)}"
                yield Problem(f"{where} space.{knob.path}", f"{what}; give values of the same kind")
                break
        else:
            if type(held) is int and isinstance(knob.domain, Float) and not knob.of:
                what = f"the config holds {held}, a whole number; write it as {float(held)!r}, or search it with int:"
                yield Problem(f"{where} space.{knob.path}", what)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Mapping():
            return "a section"
        case _:
            return "a list"
