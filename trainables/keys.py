"""What the keys of a native config mean: what a file without one trains, what the training document prescribes, and
which ones the user's own script knows.

A key's default in the schema is what the user's script does without the key. Where the model's training document
prescribes another value, it is marked `Documented`; a key that the script doesn't know is marked `Ours`, and one that
means in the script what no file tells `Unsettled`:

    specaugment: Annotated[Flag, Documented(True)] = False
    freq_mask_count: Annotated[Natural, Ours()] = 1
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from spaces.paths import Missing, get, leaves
from spaces.values import freeze, same, thaw

M = TypeVar("M")


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

    @property
    def does(self) -> str:
        """What the user's script does with a value that is refused."""
        return "your script doesn't know this key; leave it out to train as it does"


@dataclass(frozen=True)
class Unsettled:
    """What the user's script does without the key can't be told from their file: the script has no value of its own, or
    its versions differ. The plan says what is taken, and a file that is handed over has the key."""

    why: str
    """For people, with how to say another value."""
    table: str
    """The same in a few words: `needed`."""
    taken: Callable[[Any], Any] | None = None
    """From the key's section what is taken, None where the section settles it. Without this: the key's default."""


@dataclass(frozen=True)
class Taken:
    """The value that is taken for an unsettled key."""

    value: Any
    why: str


@dataclass(frozen=True)
class Key:
    """One key of a native config."""

    path: str
    absent: Any
    documented: Any
    ours: bool
    note: str = ""
    """What stands in for `absent` where that follows from other keys."""
    unsettled: str = ""
    """What of `absent` the user's file can't tell."""


def documented(schema: type[BaseModel]) -> dict[str, Any]:
    """The documented recipe: every key of `schema` with its documented value, as a native file would hold it."""
    return {name: _recipe(field) for name, field in schema.model_fields.items()}


def keys(schema: type[BaseModel], prefix: str = "", within_ours: bool = False) -> Iterator[Key]:
    """Every key of `schema` that holds a value, in the schema's order; those of a section of ours are ours."""
    for name, field in schema.model_fields.items():
        value = field.get_default(call_default_factory=True)
        own, open_ = _mark(field, Ours), _mark(field, Unsettled)
        is_ours = within_ours or own is not None
        if isinstance(value, BaseModel):
            yield from keys(type(value), f"{prefix}{name}.", is_ours)
            continue
        note = own.absent if own is not None else ""
        table = open_.table if open_ is not None else ""
        yield Key(f"{prefix}{name}", thaw(value), _recipe(field), is_ours, note, table)


def ours(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, Ours]]:
    """The dotted keys of `config`, in lists of sections by index, that the user's own script doesn't know."""
    for name, field in type(config).model_fields.items():
        value, path = getattr(config, name), f"{prefix}{name}"
        if mark := _mark(field, Ours):
            yield path, mark
        elif isinstance(value, BaseModel):
            yield from ours(value, f"{path}.")
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from ours(item, f"{path}.{index}.")


def unsettled(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, Taken]]:
    """The keys that the file of `config`, as it was read, omits, and whose meaning there is not settled."""
    for name, field in type(config).model_fields.items():
        value, path = getattr(config, name), f"{prefix}{name}"
        if isinstance(value, BaseModel):
            yield from unsettled(value, f"{path}.")
        elif (mark := _mark(field, Unsettled)) and name not in config.model_fields_set:
            taken = value if mark.taken is None else mark.taken(config)
            if taken is not None:
                yield path, Taken(thaw(taken), mark.why)


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
    if mark := _mark(field, Documented):
        return thaw(mark.value)
    value = field.get_default(call_default_factory=True)
    return documented(type(value)) if isinstance(value, BaseModel) else thaw(value)


def _mark(field: FieldInfo, kind: type[M]) -> M | None:
    return next((mark for mark in field.metadata if isinstance(mark, kind)), None)


def _alike(one: Any, other: Any) -> bool:
    try:
        return same(freeze(one), freeze(other))
    except ValueError:  # not finite
        return repr(one) == repr(other)
