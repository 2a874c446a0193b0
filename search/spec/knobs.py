"""Which knobs a search has: the model's own space, the search YAML's `space:` and `knobs:`, checked together."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import spaces.space
from search.spec.config import Settings
from search.spec.fit import Fitted, described, possible
from spaces import strict_yaml
from spaces.paths import get, with_values
from spaces.problems import BadInput, Problem, nearest, raise_any
from spaces.schema import NativeSection
from spaces.space import Space, parse_space
from spaces.values import show
from trainables.keys import keys
from trainables.native import plain, unknown_keys
from trainables.own.config import kind_problems
from trainables.own.model import OwnModel
from trainables.registry import is_built_in
from trainables.run import Model


def model_space(model: Model[Any, Any]) -> Space:
    """The space that comes with a model; an empty one for a model from outside, whose knobs the search YAML adds.

    Raises BadInput where the file of a built-in model is missing: the installation is damaged.
    """
    if isinstance(model, OwnModel):
        return Space(())
    # Beside the code that reads it, never by the name `spaces`: the working folder may hold another of that name.
    file = Path(spaces.space.__file__).parent / f"{model.name}.yaml"
    where = f"spaces/{model.name}.yaml"
    if not file.is_file():
        if is_built_in(model.name):
            raise BadInput.of(where, f"is missing at {file}; install this package anew")
        return Space(())
    return parse_space(strict_yaml.loads(file.read_text(encoding="utf-8"), where), where, prefix="")


def named(settings: Settings) -> set[str]:
    """The knobs that the search YAML names itself."""
    return {*(settings.knobs or ()), *settings.space}


def filled(
    model: Model[Any, Any],
    given: Mapping[str, Any],
    config: NativeSection,
    space: Space,
    left_out: Collection[str],
) -> dict[str, Any]:
    """The keys of the model's space and of `space`, less those `left_out`, and of their conditions, that the file
    `given` omits, with their values in `config`."""
    knobs = [*model_space(model).knobs, *space.knobs]
    paths = dict.fromkeys(path for knob in knobs for path in (knob.path, *(c.knob for c in knob.when)))
    known, whole = {key.path for key in keys(type(config))}, plain(config)
    said = {*left_out, *_names(given)}  # a phase's key stands in a list of phases
    kept = [path for path in paths if path in known and path not in said and path.rpartition(".")[2] not in said]
    found = {path: get(whole, path) for path in kept}
    return {path: value for path, value in found.items() if value is not None}  # null: what it stands for is told


def _names(node: Any) -> Iterator[str]:
    """Every key of a native file, at any depth."""
    if isinstance(node, Mapping):
        yield from node
    for item in node.values() if isinstance(node, Mapping) else node if isinstance(node, list | tuple) else ():
        yield from _names(item)


def searched_space(
    model: Model[Any, Any], settings: Settings, native: Mapping[str, Any], where: str
) -> tuple[Fitted, Mapping[str, Any]]:
    """The knobs that are searched from the config `native`, and the values of those that are fixed instead. Raises
    BadInput, also for an entry of `space:` or `knobs:` that would have no effect.
    """
    space, fixed = model_space(model).revised(settings.space, where, native)
    if settings.knobs is not None:
        space = space.only([path for path in settings.knobs if path not in fixed], f"{where} knobs")
        _check_listed(settings.knobs, settings.space, fixed, where)
    fitted = possible(space, with_values(native, fixed), named(settings))
    space = fitted.space
    space.check(native, model.unsearchable, where)
    _check_read(model, space, native, where)
    _check_active(space, named(settings), native, fixed, where)
    if not space.knobs:
        why = described(fitted.left_out)
        raise BadInput.of(f"{where} space", "no knob is left to search" + (f"; {why}" if why else ""))
    if isinstance(model, OwnModel):
        raise_any(kind_problems(space, native, where))
    return fitted, fixed


def _check_listed(knobs: Sequence[str], given: Mapping[str, Any], fixed: Mapping[str, Any], where: str) -> None:
    """Refuse domains in `space:` for knobs that `knobs:` leaves out."""
    what = "not in knobs, so it would not be searched; add it there, take it out here, or give it a single value"
    raise_any(Problem(f"{where} space.{path}", what) for path in given if path not in knobs and path not in fixed)


def _check_active(
    space: Space, named: Collection[str], native: Mapping[str, Any], fixed: Mapping[str, Any], where: str
) -> None:
    """Refuse knobs that the user names and that no config has, for a key that isn't searched rules them out."""
    searched = space.by_path
    raise_any(
        Problem(
            f"{where} {knob.path}",
            f"never acts: it needs {condition.knob} to be {' or '.join(map(show, condition.allowed))}, which is "
            f"{show(value)} and not searched; search {condition.knob} too, change it, or take this knob out",
        )
        for knob in space.knobs
        if knob.path in named
        for condition in knob.when
        if condition.knob not in searched
        and not condition.allows(value := fixed.get(condition.knob, get(native, condition.knob)))
    )


def _check_read(model: Model[Any, Any], space: Space, native: Mapping[str, Any], where: str) -> None:
    """Refuse knobs on keys of the user's file that are only carried through."""
    config = model.parse(native, where)
    unread, known = unknown_keys(config), type(config).model_fields
    raise_any(
        Problem(f"{where} space.{knob.path}", f"{model.name} does not read this key{nearest(knob.path, known)}")
        for knob in space.knobs
        if any(f"{knob.path}.".startswith(f"{key}.") for key in unread)
    )
