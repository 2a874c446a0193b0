"""The native file that a search hands over: the user's own text with every key that the measured training depended on
and that the user's script would otherwise take differently, and no key that the script doesn't know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spaces.paths import get, has, with_values
from spaces.problems import BadInput
from spaces.schema import NativeSection
from spaces.values import show
from trainables.keys import differing, ours, unsettled, without
from trainables.native import as_yaml, form_of, parse_native, plain, rewrite

Parse = Callable[[Mapping[str, Any]], NativeSection]

ROUNDS = 5  # a key that is added may change what absent ones mean


@dataclass(frozen=True)
class Changes:
    """How a native file becomes that of a training."""

    values: Mapping[str, Any]
    """What it must hold, by dotted key."""
    beyond: Mapping[str, str]
    """What the user's script can't be told: dotted key → the value that was trained with, and what the script does."""


def changes(source: Mapping[str, Any], trained: NativeSection, parse: Parse) -> Changes:
    """What turns `source`, a native file's content, into one that is read as the config `trained`.

    `parse` reads a native file as the user's script does: a key that is absent has the script's value. A key that the
    script doesn't know is changed where the file holds it, and never added; one that the script needs, or may mean
    otherwise, always is.
    """
    whole = plain(trained)
    settling = _settling(source, whole, parse)
    whole = with_values(whole, settling)
    marks = dict(ours(trained))
    foreign = {path for path in marks if not has(source, path)}
    values = {path: value for path, value in settling.items() if path not in foreign}
    read: Mapping[str, Any] = {}
    for _ in range(ROUNDS):
        try:
            read = plain(parse(with_values(source, values)))
        except BadInput:  # without the keys that the script doesn't know it is no config of ours
            read = {}
        wanted = {path: value for path, value in differing(read, whole).items() if not _within(path, foreign)}
        if not read or wanted.keys() <= values.keys():
            break
        values |= wanted
    about_data = {path for path, mark in marks.items() if mark.data}
    beyond = {
        path: _beyond(value, read, path)
        for path, value in differing(read, whole).items()
        if _within(path, foreign - about_data)
    }
    return Changes(values, beyond)


def _settling(source: Mapping[str, Any], whole: Mapping[str, Any], parse: Parse) -> dict[str, Any]:
    """The keys that `source` omits and without which it isn't known what the script trains, as they are in `whole`."""
    try:
        given = parse(source)
    except BadInput:
        return {}
    held = {path: get(whole, path) for path, _ in unsettled(given)}
    return {path: taken.value if held[path] is None else held[path] for path, taken in unsettled(given)}


def handed_over(source: str | None, name: str, trained: NativeSection, parse: Parse, fresh: str) -> dict[str, str]:
    """The file for `native/`: the user's own text `source` (called `name`) made to say `trained`; without one, the
    whole config as YAML under the name `fresh`. What the user's script can't be told stands in a comment at its top, or
    in a note beside a JSON file.
    """
    if source is None:
        whole = without(plain(trained), frozenset(path for path, _ in ours(trained)))
        return with_note({fresh: as_yaml(whole)}, fresh, changes(whole, trained, parse).beyond)
    file = Path(name).name
    found = changes(parse_native(source, file, file), trained, parse)
    return with_note({file: rewrite(source, file, found.values)}, file, found.beyond)


def with_note(files: Mapping[str, str], name: str, beyond: Mapping[str, str]) -> dict[str, str]:
    """`files` with what can't be said in the file `name` as a comment at its top, or in `<name>.txt` beside JSON."""
    if not beyond:
        return dict(files)
    lines = ["What was measured differs from what this file says to your own training script, which knows no key for:"]
    lines += [f"  {path}: {what}" for path, what in beyond.items()]
    if form_of(name, name) == "json":
        return {**files, f"{name}.txt": "".join(f"{line}\n" for line in lines)}
    return {**files, name: "".join(f"# {line}\n" for line in lines) + files[name]}


def _beyond(value: Any, read: Mapping[str, Any], path: str) -> str:
    if not has(read, path):
        return show(value)
    return f"{show(value)} (your script trains as with {show(get(read, path))})"


def _within(path: str, keys: set[str]) -> bool:
    return any(f"{path}.".startswith(f"{key}.") for key in keys)
