"""What the keys of a native config mean: what a file without one trains, what the training document prescribes, and
which ones the user's own script knows.

A key's default in the schema is what the user's script does without the key. Where the model's training document
prescribes another value, it is marked `Documented`; a key that the script doesn't know is marked `Ours`:

    specaugment: Annotated[Flag, Documented(True)] = False
    freq_mask_count: Annotated[Natural, Ours()] = 1
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from spaces.paths import Missing, get, leaves
from spaces.values import freeze, same, thaw


@dataclass(frozen=True)
class Documented:
    """The value that the model's training document prescribes, where it is another than that of an absent key."""

    value: Any


@dataclass(frozen=True)
class Ours:
    """The key is not one of the user's own script: it may not be added to a file that is handed over."""

    absent: str = ""
    """What the script does without it, where that is not one value: `as num_epochs`."""
    data: bool = False
    """It says something about the data, and is nobody's choice."""


@dataclass(frozen=True)
class Key:
    """One key of a native config."""

    path: str
    absent: Any
    documented: Any
    ours: bool
    note: str = ""
    """What stands in for `absent` where that follows from other keys."""


def documented(schema: type[BaseModel]) -> dict[str, Any]:
    """The documented recipe: every key of `schema` with its documented value, as a native file would hold it."""
    return {name: _recipe(field) for name, field in schema.model_fields.items()}


def keys(schema: type[BaseModel], prefix: str = "", within_ours: bool = False) -> Iterator[Key]:
    """Every key of `schema` that holds a value, in the schema's order; those of a section of ours are ours."""
    for name, field in schema.model_fields.items():
        value = field.get_default(call_default_factory=True)
        own = next((mark for mark in field.metadata if isinstance(mark, Ours)), None)
        is_ours = within_ours or own is not None
        if isinstance(value, BaseModel):
            yield from keys(type(value), f"{prefix}{name}.", is_ours)
            continue
        note = own.absent if own is not None else ""
        yield Key(f"{prefix}{name}", thaw(value), _recipe(field), is_ours, note)


def ours(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, Ours]]:
    """The dotted keys of `config`, in lists of sections by index, that the user's own script doesn't know."""
    for name, field in type(config).model_fields.items():
        value, path = getattr(config, name), f"{prefix}{name}"
        if marks := [mark for mark in field.metadata if isinstance(mark, Ours)]:
            yield path, marks[0]
        elif isinstance(value, BaseModel):
            yield from ours(value, f"{path}.")
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from ours(item, f"{path}.{index}.")


def without(native: Mapping[str, Any], paths: frozenset[str]) -> dict[str, Any]:
    """A copy of `native` without the values and sections at the dotted `paths`."""

    def kept(node: Any, prefix: str) -> Any:
        match node:
            case Mapping():
                found = {k: kept(v, f"{prefix}{k}.") for k, v in node.items() if f"{prefix}{k}" not in paths}
                return {k: v for k, v in found.items() if v != {} or node[k] == {}}
            case list() | tuple():
                return [kept(item, f"{prefix}{index}.") for index, item in enumerate(node)]
            case _:
                return node

    whole = kept(native, "")
    assert isinstance(whole, dict)
    return whole


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `after`, by dotted path, that `before` lacks or holds otherwise; True is not 1."""
    found: dict[str, Any] = {}
    for path in leaves(after):
        value = get(after, path)
        try:
            same = _alike(get(before, path), value)
        except Missing:
            same = False
        if not same:
            found[path] = value
    return found


def _recipe(field: FieldInfo) -> Any:
    for mark in field.metadata:
        if isinstance(mark, Documented):
            return thaw(mark.value)
    value = field.get_default(call_default_factory=True)
    return documented(type(value)) if isinstance(value, BaseModel) else thaw(value)


def _alike(one: Any, other: Any) -> bool:
    try:
        return same(freeze(one), freeze(other))
    except ValueError:  # not finite
        return repr(one) == repr(other)
