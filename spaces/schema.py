"""Typed sections of a config file: frozen pydantic models whose errors name path, value, bound and nearest key."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol, TypeVar, get_args, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from spaces.problems import BadInput, Problem, nearest

Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number: a bool or a numeric string is refused."""
Whole = Annotated[int, Field(strict=True)]
"""A whole number: a bool, a float or a numeric string is refused."""
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]


class _Located:
    """Marks text that is the path of something that must be there."""


Located = Annotated[str, Field(strict=True, min_length=1), _Located()]
"""The path of a folder or file that is read."""


@runtime_checkable
class Told(Protocol):
    """A mark of a key of a user's training config."""

    @property
    def does(self) -> str:
        """What the user's own script does with a value that is refused here; for people."""


@dataclass(frozen=True)
class Script:
    """What the user's own script does with a value of a key, or of a type of key, that is refused here."""

    does: str


@dataclass(frozen=True)
class Fault:
    """Values of a user's config that can't be trained with together."""

    what: str
    """The keys, their values, and what is wrong."""
    script: str
    """What the user's own script does with them; empty where that can't be known."""
    instead: str
    """What to write."""

    def __str__(self) -> str:
        return "; ".join(part for part in (self.what, self.script, self.instead) if part)


def refuse(faults: Iterable[Fault]) -> None:
    """Raise ValueError with all of `faults`, if there are any: for the validators of a `NativeSection`."""
    if told := "; ".join(map(str, faults)):
        raise ValueError(told)


class Section(BaseModel):
    """A part of one of our own files: immutable, and a key it doesn't know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class NativeSection(BaseModel):
    """A part of a user's training config: immutable; keys it doesn't know are carried through unchanged."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def remarks(self) -> tuple[str, ...]:
        """What the user should know of a file that reads so: what of it the training script passes over."""
        return ()

    inferred: ClassVar[bool] = False
    """Whether the file itself is the schema, so that no key is unknown."""


S = TypeVar("S", bound=BaseModel)
_OF_KIND = {"union_tag_not_found", "union_tag_invalid"}
"""Errors of a section that may be of several kinds: pydantic tells them of the section, not of its key `kind`."""


def parse(schema: type[S], value: Any, where: str, prefix: str = "") -> S:
    """`value` as a `schema`. Raises BadInput with every problem, each at `where` and its dotted key path."""
    if not isinstance(value, Mapping):
        raise BadInput.of(_at(where, prefix), f"expected a mapping of keys to values, got {value!r}")
    try:
        return schema.model_validate(dict(value))
    except ValidationError as error:
        raise BadInput(_problems(schema, error.errors(), where, prefix)) from error


def located_in(section: BaseModel) -> Iterator[tuple[str, str]]:
    """The key and value of each path in a section's fields of the type `Located`, or of several."""
    for name, field in type(section).model_fields.items():
        marked = any(isinstance(mark, _Located) for mark in (*field.metadata, *_marks(field.annotation)))
        if marked and (value := getattr(section, name)) is not None:
            for each in [value] if isinstance(value, str) else value:
                yield name, each


def _at(where: str, path: str) -> str:
    return " ".join(part for part in (where, path) if part)


def _problems(schema: type[BaseModel], items: list[ErrorDetails], where: str, prefix: str) -> Iterator[Problem]:
    """One problem per place: a value that fits none of several types has an error for each of them."""
    by_place: dict[str, list[tuple[ErrorDetails, _Found]]] = {}
    for item in items:
        found = _walk(schema, item["loc"])
        keys = [*found.keys, "kind"] if item["type"] in _OF_KIND else found.keys
        place = ".".join([prefix, *keys] if prefix else keys)
        by_place.setdefault(place, []).append((item, found))
    for place, at in by_place.items():
        whats = [_what(item, found.known) for item, found in at]
        what = " or ".join([whats[0], *(other.removeprefix("input should be ") for other in whats[1:])])
        last, found = at[-1]
        named = last["type"] in {"extra_forbidden", "missing", "value_error", *_OF_KIND}
        told = what if named else f"{what}, got {last['input']!r}"
        yield Problem(_at(where, place), "; ".join([told, *_script(last, found)]))


def _script(item: ErrorDetails, found: "_Found") -> Iterator[str]:
    """What the user's own script does with a value of theirs that is refused, and what to write instead."""
    section = found.section
    if section is None or not issubclass(section, NativeSection) or section.inferred:
        return
    given = item["input"]
    match item["type"], given:
        case "bool_type", str():
            yield "your script takes any text for true; write true or false, without quotes"
        case "bool_type", _:
            yield f"your script takes it for {str(bool(given)).lower()}; write that"
        case "float_type" | "int_type", str() if _is_number(given):
            yield "your script ends where it computes with text; write it without quotes"
        case "int_type", float() if given.is_integer():
            yield f"your script counts with it; write {given:.0f}"
        case "float_type" | "int_type", bool():
            yield f"your script takes it for {int(given)}; write the number"
        case "float_type" | "int_type", None | str() | list() | tuple() | dict():
            yield "your script ends where it computes with it; write a number, or leave the key out"
        case "string_type", _:
            yield "your script expects text; write it in quotes, or leave the key out"
        case "tuple_type", _:
            yield "your script goes through a list; write [...]"
        case "model_type" | "model_attributes_type" | "dict_type", _:
            yield "your script looks up keys in it, and ends; write the keys below it, or leave it out"
        case _:
            marks = [mark for mark in found.marks if isinstance(mark, Told) and mark.does]
            yield from (mark.does for mark in marks[-1:])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _what(item: ErrorDetails, known: list[str]) -> str:
    match item["type"]:
        case "extra_forbidden":
            return f"unknown key{nearest(str(item['loc'][-1]), known)}"
        case "missing":
            return "missing; this key is required"
        case "union_tag_not_found":
            return f"missing; give one of {', '.join(known)}"
        case "union_tag_invalid":
            return f"unknown kind {item['input']['kind']!r}; give one of {', '.join(known)}"
        case "model_attributes_type" if item["input"] in known:
            return f"input should be a mapping, as in {{kind: {item['input']}}}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "input should be a mapping of keys to values"
        case "value_error":
            return str(item["ctx"]["error"])
        case _:
            return item["msg"][0].lower() + item["msg"][1:]


@dataclass(frozen=True)
class _Found:
    """What the schema has at the place of an error."""

    keys: list[str]
    """As the user wrote them."""
    known: list[str]
    """The keys of the section around the last one; of a section of several kinds that is of none, these kinds."""
    section: type[BaseModel] | None
    """That section."""
    marks: list[Any]
    """What the keys are annotated with: the last one's type, the last one itself, and sections around it."""


def _walk(schema: type[BaseModel], loc: tuple[int | str, ...]) -> _Found:
    """What stands at a place of pydantic's, which holds the types that it tried, too: a tag, `int` or `str`."""
    keys: list[str] = []
    known: list[str] = []
    around: type[BaseModel] | None = None
    marks: list[Any] = []
    outer: list[Any] = []
    section: type[BaseModel] | None = schema
    union: list[type[BaseModel]] = []
    for part in loc:
        if union and section is None:
            section = next((each for each in union if part in _kinds(each)), None)
        elif section is None:
            keys += [str(part)] if isinstance(part, int) else []
        else:
            keys.append(str(part))
            known, around = list(section.model_fields), section
            field = section.model_fields.get(str(part))
            inner = [field.annotation, *get_args(field.annotation)] if field else []
            marks = [*_marks(field.annotation), *field.metadata, *outer] if field else []
            outer = [*(field.metadata if field else []), *outer]
            union = [each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)]
            section = union[0] if len(union) == 1 else None
    if union and section is None:
        known = [kind for each in union for kind in _kinds(each)]
    return _Found(keys, known, around, marks)


def _kinds(section: type[BaseModel]) -> tuple[str, ...]:
    return get_args(section.model_fields["kind"].annotation) if "kind" in section.model_fields else ()


def _marks(annotation: Any) -> Iterator[Any]:
    """What the parts of a type are annotated with: `Annotated[float, MARK] | None`."""
    yield from getattr(annotation, "__metadata__", ())
    for part in get_args(annotation):
        yield from _marks(part)
