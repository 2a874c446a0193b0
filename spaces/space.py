"""A search space: knobs over a native config, some of them active only under conditions.

`base` is the native config that the search starts from, complete (defaults filled in). It decides what a condition on a
key that is not searched says, and it is the baseline.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spaces.domain import contains, describe, sample, typed
from spaces.knob import Condition, Knob, in_order, in_steps, knob_as_dict
from spaces.parse import Place, parse_knobs
from spaces.paths import get
from spaces.problems import nearest, raise_any
from spaces.revise import is_value, revise_knobs, say_unknown
from spaces.values import Value, freeze, show

Native = Mapping[str, Any]


@dataclass(frozen=True)
class Space:
    """What is searched. `knobs` is brought into an order in which a condition's knob precedes those that need it.

    Raises ValueError for two knobs with one path and for conditions in a circle.
    """

    knobs: tuple[Knob, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "knobs", in_order(self.knobs))

    @property
    def by_path(self) -> dict[str, Knob]:
        """The knobs by their dotted path, in the space's order."""
        return {knob.path: knob for knob in self.knobs}

    def as_dict(self) -> dict[str, Any]:
        """The YAML form (path -> knob) of JSON-able values; `parse_space` gives an equal space back."""
        return {knob.path: knob_as_dict(knob) for knob in self.knobs}

    def revised(self, raw: Mapping[str, Any], where: str, base: Native) -> tuple["Space", Mapping[str, Value]]:
        """The space after a search's own `space:` section, and the keys taken out of it: their values (path -> value)
        belong into the base before the space is used.

        Per dotted key, `raw` holds a scalar or `{fixed: value}`: not searched, fixed to it; a mapping with a domain:
        replaces the knob's domain and adds the knob if only `base` has the key; a mapping without a domain: changes
        just what it gives (log, step, when, why, documented). What a mapping omits stays; `when: null` drops the
        conditions. Raises BadInput with every problem.
        """
        place = Place(where, "space", [])
        knobs, fixed = revise_knobs(self.knobs, raw, base, place)
        raise_any(place.problems)
        return Space(tuple(knobs)), fixed

    def only(self, paths: Iterable[str], where: str) -> "Space":
        """The space of just the knobs at `paths`; the config decides what conditions on the others say.

        Raises BadInput for paths that are no knobs of the space.
        """
        kept = list(paths)
        known = self.by_path
        place = Place(where, "", [])
        for path in kept:
            if path not in known:
                place.say(f"the space has no knob {path!r}{nearest(path, known)}")
        raise_any(place.problems)
        return Space(tuple(knob for knob in self.knobs if knob.path in kept))

    def in_steps(self, horizon: int) -> "Space":
        """The space for runs of `horizon` steps: shares of the budget (`of: budget`) as whole numbers of steps.

        All that searches, keeps or exports values works on this one, so that a value is always what the config holds.
        """
        return Space(tuple(in_steps(knob, horizon) for knob in self.knobs))

    def check(self, base: Native, unsearchable: Mapping[str, str], where: str, prefix: str = "space") -> None:
        """Raise BadInput, with every problem, unless each knob can be searched from `base`.

        Refused: a knob that is no value of `base`; one that is, or lies in, a key of `unsearchable` (key -> reason);
        a condition on a key that neither has, on a share of the budget, or on values that its knob's domain can't take;
        a share of the budget where the config holds no whole number.
        """
        place = Place(where, prefix, [])
        known = self.by_path
        for knob in self.knobs:
            here = place.at(knob.path)
            if not is_value(base, knob.path):
                say_unknown(knob.path, base, {}, here)
            elif knob.of and type(get(base, knob.path)) is not int:
                here.at("of").say(f"the config holds {show(get(base, knob.path))}, no whole number of steps; drop of")
            for key, reason in unsearchable.items():
                if knob.path == key or knob.path.startswith(f"{key}."):
                    here.say(f"can't be searched: {reason}; take it out of the space")
            for condition in knob.when:
                at_condition = here.at("when").at(condition.knob)
                if condition.knob in known:
                    _check_condition(condition, known[condition.knob], at_condition)
                elif not is_value(base, condition.knob):
                    say_unknown(condition.knob, base, known, at_condition)
        raise_any(place.problems)

    def is_active(self, knob: Knob, chosen: Mapping[str, Any], base: Native) -> bool:
        """Whether the knob's conditions hold, where `chosen` has the values of the active knobs before it."""
        return self._first_failing(knob, chosen, base) is None

    def active(self, values: Mapping[str, Any], base: Native) -> tuple[Knob, ...]:
        """The knobs that are active under `values`, in order; values of knobs that are not count for nothing."""
        chosen: dict[str, Any] = {}
        active: list[Knob] = []
        for knob in self.knobs:
            if self.is_active(knob, chosen, base):
                active.append(knob)
                if knob.path in values:
                    chosen[knob.path] = values[knob.path]
        return tuple(active)

    def sample(self, rng: np.random.Generator, base: Native) -> dict[str, Value]:
        """A random point: path -> value of the active knobs.

        Takes one number from `rng` per knob, active or not, so that equal states give equal values knob by knob.
        """
        chosen: dict[str, Value] = {}
        for knob in self.knobs:
            value = sample(knob.domain, rng)
            if self.is_active(knob, chosen, base):
                chosen[knob.path] = value
        return chosen

    def baseline(self, base: Native) -> dict[str, Value]:
        """The point that `base` itself is: its values of the active knobs, even where outside their domains."""
        values = {knob.path: freeze(get(base, knob.path)) for knob in self.knobs}
        return {knob.path: values[knob.path] for knob in self.active(values, base)}

    def outside(self, values: Mapping[str, Any], base: Native) -> list[str]:
        """Why `values` is no point of the space, one line per reason; empty for a point of it."""
        known = self.by_path
        reasons = [f"{path}: no knob of the space{nearest(path, known)}" for path in values if path not in known]
        active = self.active(values, base)
        chosen = {knob.path: values[knob.path] for knob in active if knob.path in values}
        for knob in self.knobs:
            if knob not in active:
                if knob.path in values:
                    failing = self._first_failing(knob, chosen, base)
                    reasons.append(f"{knob.path}: given, but active only when {_told(failing)}")
            elif knob.path not in values:
                reasons.append(f"{knob.path}: missing; give a value of {describe(knob.domain)}")
            elif not contains(knob.domain, values[knob.path]):
                reasons.append(f"{knob.path}: {show(values[knob.path])} is not in {describe(knob.domain)}")
        return reasons

    def _first_failing(self, knob: Knob, chosen: Mapping[str, Any], base: Native) -> Condition | None:
        searched = {other.path for other in self.knobs}
        for condition in knob.when:
            if condition.knob not in searched:
                holds = condition.allows(get(base, condition.knob))
            else:  # without a value it is inactive itself, and then whatever hangs on it is, too
                holds = condition.knob in chosen and condition.allows(chosen[condition.knob])
            if not holds:
                return condition
        return None


def parse_space(raw: Any, where: str, prefix: str = "space") -> Space:
    """The space of a mapping dotted path -> knob, as spaces/<model>.yaml has it (see spaces.parse for a knob's form).

    Raises BadInput with every problem, each at `where` and its key path, which starts with `prefix`.
    """
    place = Place(where, prefix, [])
    knobs = parse_knobs(raw, place)
    raise_any(place.problems)
    return Space(tuple(knobs))


def _check_condition(condition: Condition, knob: Knob, place: Place) -> None:
    if knob.of:
        place.say(f"{knob.path!r} is a share of the {knob.of}, which no condition can name; drop the condition")
        return
    for value in condition.allowed:
        try:
            taken = contains(knob.domain, typed(knob.domain, value))
        except ValueError:
            taken = False
        if not taken:
            place.say(f"{show(value)} is never taken by {knob.path!r}, which is {describe(knob.domain)}")


def _told(condition: Condition | None) -> str:
    if condition is None:
        return "its conditions hold"
    values = ", ".join(map(show, condition.allowed))
    return f"{condition.knob} is {values if len(condition.allowed) == 1 else f'one of {values}'}"
