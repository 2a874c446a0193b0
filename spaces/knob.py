"""Knobs: where in the config, which values, under which conditions; and the order that conditions impose."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from spaces.domain import Categorical, Domain, Float, Int, snap, to_unit
from spaces.values import ABSENT, Absent, Value, freeze, same, thaw


@dataclass(frozen=True)
class Condition:
    """Holds while the knob (or config key) at path `knob` has one of the values `allowed`."""

    knob: str
    allowed: tuple[Value, ...]

    def allows(self, value: Any) -> bool:
        """Whether `value` is an allowed one; numbers compare by value, True is not 1."""
        try:
            frozen = freeze(value)
        except ValueError:
            return False
        return any(same(frozen, allowed) for allowed in self.allowed)


@dataclass(frozen=True)
class Knob:
    """One searched key of a native config."""

    path: str  # dotted path into the config
    domain: Domain
    when: tuple[Condition, ...] = ()  # active while all of them hold; each names another knob or key, once
    why: str = ""  # the reason to search it, for people
    documented: Value | Absent = ABSENT  # what the model's own documents say, inside the domain or not
    of: Literal["budget"] | None = None  # the domain is a share of a run's length, the config's key a number of steps

    def __post_init__(self) -> None:
        assert self.of is None or isinstance(self.domain, Float), f"{self.path!r} is a share, of {self.domain}"
        names = [condition.knob for condition in self.when]
        assert len({self.path, *names}) == 1 + len(names), f"conditions of {self.path!r} on {names}"

    def place(self, values: Mapping[str, Any], inactive: float) -> float:
        """Where its value lies in its domain, 0 to 1: at the nearest end for one outside of it, in the middle for a
        documented choice that the space leaves out; `inactive` where it has none."""
        if self.path not in values:
            return inactive
        try:
            return to_unit(self.domain, snap(self.domain, values[self.path]))
        except ValueError:
            return 0.5


def knob_as_dict(knob: Knob) -> dict[str, Any]:
    """The knob's YAML form, made of JSON-able values; parsing it gives an equal knob."""
    raw = _domain_as_dict(knob.domain)
    if knob.of is not None:
        raw["of"] = knob.of
    if knob.when:
        # A list means "one of these", so a single value that is itself a list needs the list around it.
        raw["when"] = {
            c.knob: thaw(c.allowed[0] if len(c.allowed) == 1 and not isinstance(c.allowed[0], tuple) else c.allowed)
            for c in knob.when
        }
    if knob.why:
        raw["why"] = knob.why
    if not isinstance(knob.documented, Absent):
        raw["documented"] = thaw(knob.documented)
    return raw


def in_steps(knob: Knob, horizon: int) -> Knob:
    """The knob over a run of `horizon` steps: a share of the budget becomes its whole number of steps.

    A share of 0 is 0 steps, any other at least 1. The documented value is a share, too.
    """
    if knob.of is None:
        return knob
    assert isinstance(knob.domain, Float)
    domain = Int(_steps(knob.domain.low, horizon), _steps(knob.domain.high, horizon), knob.domain.log)
    documented = _steps(knob.documented, horizon) if isinstance(knob.documented, float) else ABSENT
    return replace(knob, domain=domain, documented=documented, of=None)


def _steps(share: float, horizon: int) -> int:
    return max(1, round(share * horizon)) if share else 0


def _domain_as_dict(domain: Domain) -> dict[str, Any]:
    if isinstance(domain, Categorical):
        return {"choice": thaw(domain.choices)}
    kind, no_step = ("float", None) if isinstance(domain, Float) else ("int", 1)
    raw: dict[str, Any] = {kind: [domain.low, domain.high]}
    if domain.log:
        raw["log"] = True
    if domain.step != no_step:
        raw["step"] = domain.step
    return raw


def in_order(knobs: Iterable[Knob]) -> tuple[Knob, ...]:
    """`knobs` such that each stands after the knobs that its conditions name; else as they were.

    Raises ValueError for a path that stands twice and for conditions in a circle.
    """
    waiting = list(knobs)
    needs = dependencies(waiting)
    if len(needs) < len(waiting):
        raise ValueError("a knob's path stands twice in the space")
    ordered: dict[str, Knob] = {}
    while waiting:
        ready = next((knob for knob in waiting if ordered.keys() >= set(needs[knob.path])), None)
        if ready is None:
            raise ValueError(f"conditions in a circle: {' -> '.join(circles(needs)[0])}")
        waiting.remove(ready)
        ordered[ready.path] = ready
    return tuple(ordered.values())


def dependencies(knobs: Iterable[Knob]) -> dict[str, list[str]]:
    """For each knob's path the paths of the space's knobs that its conditions name, each once."""
    given = tuple(knobs)
    known = {knob.path for knob in given}
    return {knob.path: list(dict.fromkeys(c.knob for c in knob.when if c.knob in known)) for knob in given}


def circles(needs: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The shortest circle through each path that lies on one, each circle once, written a, b, …, a."""
    found: dict[frozenset[str], list[str]] = {}
    for start in needs:
        came_from: dict[str, str] = {}
        waiting = [start]
        for path in waiting:  # breadth first: `waiting` grows while it is read
            for other in needs.get(path, ()):
                if other not in came_from:
                    came_from[other] = path
                    waiting.append(other)
        if start in came_from:
            circle = [start]
            while (path := came_from[circle[-1]]) != start:
                circle.append(path)
            found.setdefault(frozenset(circle), [start, *reversed(circle)])
    return list(found.values())
