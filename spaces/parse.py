"""Knobs read from a space's YAML form, strictly: every problem is collected, with its key path.

lr: {float: [1e-4, 1e-2], log: true, why: "…", documented: 1e-3}
batch_size: {choice: [64, 128, 256]}
warmup_epochs: {int: [0, 10], step: 5, when: {scheduler: [cosine, plateau]}}
warmup_steps: {float: [0, 0.1], of: budget, documented: 0.02}  # shares of a run's length; the config holds steps
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from spaces.domain import Categorical, Domain, Float, Int, describe, typed
from spaces.faults import DomainError, value_faults
from spaces.foreign import remedy
from spaces.knob import Condition, Knob, circles, dependencies
from spaces.problems import Problem, nearest
from spaces.values import ABSENT, Absent, Value, freeze, show

KINDS = ("float", "int", "choice")
KEYS = (*KINDS, "log", "step", "of", "when", "why", "documented")


@dataclass(frozen=True)
class Place:
    """A place in the input that problems are said about; all places of one input share one list of `problems`."""

    where: str  # the file, or what stands for it
    path: str  # dotted key path inside it
    problems: list[Problem]

    def at(self, part: str) -> "Place":
        """The place of a key (`lr`, `float[0]`) or of an item (`[0]`) inside this one."""
        dot = "." if self.path and part and not part.startswith("[") else ""
        return Place(self.where, f"{self.path}{dot}{part}", self.problems)

    def say(self, what: str) -> None:
        """Note a problem here."""
        self.problems.append(Problem(" ".join(part for part in (self.where, self.path) if part), what))


def parse_knobs(raw: Any, place: Place) -> list[Knob]:
    """The knobs of a space's mapping, as they stand there; problems are said at `place`."""
    if not isinstance(raw, Mapping):
        place.say(f"expected a mapping of dotted keys to domains, got {show(raw)}")
        return []
    knobs = [knob for path, entry in raw.items() if (knob := parse_knob(path, entry, None, place.at(str(path))))]
    say_structure(knobs, place)
    return knobs


def parse_knob(path: Any, raw: Any, was: Knob | None, place: Place) -> Knob | None:
    """One knob, or None without a usable domain. What `raw` omits is taken from `was`, the knob that it revises."""
    if not is_path(path):
        place.say(f"expected a dotted path as the key of a knob, got {show(path)}")
        return None
    if not isinstance(raw, Mapping):
        place.say(f"expected {{float: [low, high]}}, {{int: [low, high]}} or {{choice: [values]}}, got {show(raw)}")
        return None
    unknown = [key for key in raw if key not in KEYS]
    foreign = remedy(unknown, raw)
    if foreign is not None:
        place.say(foreign)
        return None
    for key in unknown:
        place.at(str(key)).say(f"unknown key{nearest(str(key), KEYS)}")
    domain = _domain(raw, was.domain if was else None, place)
    when = _when(raw["when"], path, place.at("when")) if "when" in raw else was.when if was else ()
    why = raw.get("why", was.why if was else "")
    if not isinstance(why, str):
        place.at("why").say(f"expected text, got {show(why)}")
        why = ""
    if domain is None:
        return None
    of = _of(raw, domain, was, place)
    if was is not None and of != was.of:  # in another unit than the documented value
        was = replace(was, documented=ABSENT)
    return Knob(path, domain, when, why, _documented(raw, domain, was, place.at("documented")), of)


def is_path(path: Any) -> bool:
    """Whether `path` is a dotted path: text without empty parts."""
    return isinstance(path, str) and all(path.split("."))


def say_structure(knobs: Iterable[Knob], place: Place) -> None:
    """Say where knobs don't go together: one inside another's value, or conditions in a circle."""
    given = tuple(knobs)
    paths = {knob.path for knob in given}
    for path in paths:
        parts = path.split(".")
        for outer in paths & {".".join(parts[:count]) for count in range(1, len(parts))}:
            place.at(path).say(f"lies inside the knob {outer!r}; search one of the two")
    for circle in circles(dependencies(given)):
        place.at(f"{circle[0]}.when").say(f"conditions in a circle: {' -> '.join(circle)}; drop one of them")


def _domain(raw: Mapping[Any, Any], was: Domain | None, place: Place) -> Domain | None:
    match [kind for kind in KINDS if kind in raw]:
        case []:
            if was is not None:
                return _adjusted(was, raw, place)
            place.say("has no domain; give float: [low, high], int: [low, high] or choice: [values]")
            return None
        case ["choice"]:
            _no_scale(raw, place)
            return _built("choice", raw["choice"], None, None, place)
        case [kind]:
            ends = raw[kind]
            if not isinstance(ends, list | tuple) or len(ends) != 2:
                place.at(kind).say(f"expected [low, high], got {show(ends)}")
                return None
            return _built(kind, ends, raw.get("log", False), raw.get("step"), place)
        case kinds:
            place.say(f"has {' and '.join(kinds)}; a knob has one domain, so keep one of them")
            return None


def _adjusted(was: Domain, raw: Mapping[Any, Any], place: Place) -> Domain | None:
    """The domain `was` with another log or step, where `raw` gives them; `step: null` drops the step."""
    match was:
        case Categorical():
            _no_scale(raw, place)
            return was
        case Float() | Int():
            log, step = raw.get("log", was.log), raw.get("step", was.step)
            return _built("float" if isinstance(was, Float) else "int", (was.low, was.high), log, step, place)


def _of(raw: Mapping[Any, Any], domain: Domain, was: Knob | None, place: Place) -> Literal["budget"] | None:
    """What the domain is a share of. A float that revises a share stays one; `of: null` ends that."""
    if not isinstance(domain, Float):
        if raw.get("of") is not None:
            place.at("of").say("a share of the budget is a float, such as float: [0.02, 0.3]; drop of, or use float")
        return None
    of = raw.get("of", was.of if was else None)
    if of is None:
        return None
    if of != "budget":
        place.at("of").say(f"expected budget, the length of a run, got {show(of)}")
        return None
    if domain.low < 0:
        place.at("float[0]").say(f"a share of the budget is 0 or more, got {show(domain.low)}")
        return None
    if domain.step is not None:
        place.at("step").say(f"a share of the budget has no step, got {show(domain.step)}; drop it")
        return None
    return "budget"


def _no_scale(raw: Mapping[Any, Any], place: Place) -> None:
    for key in ("log", "step"):
        if key in raw:
            place.at(key).say(f"a choice has no {key}, got {show(raw[key])}; drop it, or use float or int")


def _built(kind: str, args: Any, log: Any, step: Any, place: Place) -> Domain | None:
    """The domain of `kind` over `args` (ends or choices); its faults are said at the keys that they come from."""
    try:
        match kind:
            case "float":
                return Float(args[0], args[1], log, step)
            case "int":
                return Int(args[0], args[1], log, 1 if step is None else step)
            case _:
                return Categorical(args)
    except DomainError as error:
        for field, what in error.faults:
            key = {"low": f"{kind}[0]", "high": f"{kind}[1]"}.get(field, field.replace("choices", "choice"))
            place.at(key).say(what)
        return None


def _when(raw: Any, path: str, place: Place) -> tuple[Condition, ...]:
    if raw is None:  # drops the conditions of the knob that is revised
        return ()
    if not isinstance(raw, Mapping):
        place.say(f"expected a mapping of other knobs to a value or a list of values, got {show(raw)}")
        return ()
    conditions: list[Condition] = []
    for key, allowed in raw.items():
        here = place.at(str(key))
        if not is_path(key):
            here.say(f"expected the dotted path of another knob, got {show(key)}")
            continue
        if key == path:
            here.say(f"the knob {path!r} can't depend on itself; name another knob or drop it")
            continue
        several = isinstance(allowed, list | tuple)
        values = list(allowed) if several else [allowed]
        faults = value_faults(values, "")
        for field, what in faults:
            here.at(field if several else "").say(what)
        if not values:
            here.say("got an empty list, which never holds; name at least 1 value")
        elif not faults:
            conditions.append(Condition(key, tuple(map(freeze, values))))
    return tuple(conditions)


def _documented(raw: Mapping[Any, Any], domain: Domain, was: Knob | None, place: Place) -> Value | Absent:
    given = raw.get("documented", was.documented if was else ABSENT)
    if isinstance(given, Absent):
        return ABSENT
    try:
        return typed(domain, given)
    except ValueError as error:
        if "documented" in raw:  # else the revised knob is of another kind, in which the documented value has no form
            place.say(f"{error}; the domain is {describe(domain)}")
        return ABSENT
