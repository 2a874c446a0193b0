"""A space made to fit the base: knobs that can't act there are no part of the search."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.spec.effect import hiding, inert
from spaces.knob import Knob
from spaces.paths import get
from spaces.problems import Problem, raise_any
from spaces.revise import is_value
from spaces.space import Space
from spaces.values import show
from trainables.run import Model

Native = Mapping[str, Any]
SHOWN = 6  # knobs that are listed for one reason


@dataclass(frozen=True)
class Fitted:
    """A space without the knobs that can't act, and why each of those is left out."""

    space: Space
    left_out: Mapping[str, str]
    """Knob → the key of the base that keeps it from acting, with its value; or that the base has no such key."""


def possible(space: Space, base: Native, named: Collection[str]) -> Fitted:
    """`space` without the knobs that `base` lacks and those whose conditions can never hold; those that the search YAML
    names itself (`named`) stay, to be refused.
    """
    left_out: dict[str, str] = {}
    for knob in space.knobs:  # a condition's knob precedes those that need it
        reason = _impossible(knob, space, base, left_out)
        if reason is not None and knob.path not in named:
            left_out[knob.path] = reason
    return _without(space, left_out)


def acting(
    model: Model[Any, Any], space: Space, base: Native, horizon: int, named: Collection[str], where: str
) -> Fitted:
    """`space` without inert knobs. Raises BadInput for those that the search YAML names itself (`named`)."""
    left_out, problems = {}, []
    for knob in inert(model, space, base, horizon):
        key = hiding(model, knob, base, horizon)
        what = f"{horizon} {model.unit}s" if key is None else f"{key}: {show(get(base, key))}"
        left_out[knob.path] = what
        if knob.path in named:
            told = (
                f"all its values train alike with {what}, which hides it from your script, too; change "
                f"{'budget.steps' if key is None else key}, or take this knob out"
            )
            problems.append(Problem(f"{where} {knob.path}", told))
    raise_any(problems)
    return _without(space, left_out)


def described(left_out: Mapping[str, str]) -> str | None:
    """One line for people."""
    if not left_out:
        return None
    by_reason: dict[str, list[str]] = {}
    for path, reason in left_out.items():
        by_reason.setdefault(reason, []).append(path)
    said = "; ".join(f"{listed(paths)} ({reason})" for reason, paths in by_reason.items())
    return f"not searched, as nothing would change with this base: {said}"


def listed(paths: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    shown = paths if len(paths) <= SHOWN else [*paths[: SHOWN - 1], f"{len(paths) - SHOWN + 1} more"]
    return ", ".join(shown)


def _impossible(knob: Knob, space: Space, base: Native, left_out: Mapping[str, str]) -> str | None:
    if not is_value(base, knob.path):
        return "it has no such key"
    searched = space.by_path.keys() - left_out.keys()
    for condition in knob.when:
        if condition.knob in searched or not is_value(base, condition.knob):
            continue
        if not condition.allows(get(base, condition.knob)):
            return f"{condition.knob}: {show(get(base, condition.knob))}"
    return None


def _without(space: Space, left_out: Mapping[str, str]) -> Fitted:
    return Fitted(Space(tuple(knob for knob in space.knobs if knob.path not in left_out)), left_out)
