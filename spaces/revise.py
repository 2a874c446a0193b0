"""A search's own `space:` section, applied to a model's space."""

from collections.abc import Mapping
from typing import Any

from spaces.foreign import called
from spaces.knob import Knob
from spaces.parse import Place, is_path, parse_knob, say_structure
from spaces.paths import Missing, get, has, leaves
from spaces.problems import nearest
from spaces.values import ABSENT, Absent, Value, freeze, show

FIXED = "fixed"


def revise_knobs(
    knobs: tuple[Knob, ...], raw: Mapping[str, Any], base: Mapping[str, Any], place: Place
) -> tuple[list[Knob], dict[str, Value]]:
    """The knobs after the revision `raw`, and the values of the keys that it fixes; problems are said at `place`."""
    revised = {knob.path: knob for knob in knobs}
    fixed: dict[str, Value] = {}
    for path, entry in raw.items():
        here = place.at(str(path))
        if path not in revised and not is_path(path):
            here.say(f"expected a dotted path as the key, got {show(path)}")
        elif path not in revised and not is_value(base, path):
            say_unknown(path, base, revised, here)
        elif isinstance(entry, str) and (what := called(entry)):
            here.say(what)
        elif _fixes(entry):
            value = _fixed(entry, here)
            if not isinstance(value, Absent):
                fixed[path] = value
                revised.pop(path, None)
        elif entry is None or isinstance(entry, list | tuple):
            here.say(f"{show(entry)} may mean two things; write {{choice: [values]}} or {{fixed: {show(entry)}}}")
        elif knob := parse_knob(path, entry, revised.get(path), here):
            revised[path] = knob
    say_structure(revised.values(), place)
    return list(revised.values()), fixed


def say_unknown(path: str, base: Mapping[str, Any], knobs: Mapping[str, Knob], place: Place) -> None:
    """Say that neither the space nor the config has `path`, or that it names a section of the config."""
    if has(base, path):
        inside = [leaf for leaf in leaves(base) if leaf.startswith(f"{path}.")]
        example = f", like {inside[0]!r}" if inside else ""
        place.say(f"{path!r} is a section of the config, not a value; name a key in it{example}")
    else:
        place.say(f"unknown key{nearest(path, {*knobs, *leaves(base)})}")


def is_value(base: Mapping[str, Any], path: str) -> bool:
    """Whether `path` leads to a value of the config: it exists, and is no section."""
    try:
        freeze(get(base, path))
    except (Missing, ValueError):
        return False
    return True


def _fixes(entry: Any) -> bool:
    """Whether the entry takes its key out of the search: a plain scalar or {fixed: value}."""
    if isinstance(entry, Mapping):
        return FIXED in entry
    return entry is not None and not isinstance(entry, list | tuple)


def _fixed(entry: Any, place: Place) -> Value | Absent:
    value = entry
    if isinstance(entry, Mapping):
        for key in entry:
            if key not in (FIXED, "why"):
                place.at(str(key)).say("a fixed key is not searched; drop this, or drop fixed")
        value, place = entry[FIXED], place.at(FIXED)
    try:
        return freeze(value)
    except ValueError as error:
        place.say(str(error))
        return ABSENT
