"""Typed sections of a config file: frozen pydantic models whose errors name path, value, bound and nearest key."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, TypeVar, get_args

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
        if _has_mark(field) and (value := getattr(section, name)) is not None:
            for each in [value] if isinstance(value, str) else value:
                yield name, each


def _has_mark(part: Any) -> bool:
    marks = (*getattr(part, "metadata", ()), *getattr(part, "__metadata__", ()))
    inner = [part.annotation] if hasattr(part, "annotation") else get_args(part)
    return any(isinstance(mark, _Located) for mark in marks) or any(map(_has_mark, inner))


def _at(where: str, path: str) -> str:
    return " ".join(part for part in (where, path) if part)


def _problems(schema: type[BaseModel], items: list[ErrorDetails], where: str, prefix: str) -> Iterator[Problem]:
    """One problem per place: a value that fits none of several types has an error for each of them."""
    by_place: dict[str, list[tuple[ErrorDetails, list[str]]]] = {}
    for item in items:
        keys, known = _walk(schema, item["loc"])
        place = ".".join([prefix, *keys] if prefix else keys)
        by_place.setdefault(place, []).append((item, known))
    for place, found in by_place.items():
        whats = [_what(item, known) for item, known in found]
        what = " or ".join([whats[0], *(other.removeprefix("input should be ") for other in whats[1:])])
        last = found[-1][0]
        named = last["type"] in {"extra_forbidden", "missing", "value_error"}
        yield Problem(_at(where, place), what if named else f"{what}, got {last['input']!r}")


def _what(item: ErrorDetails, known: list[str]) -> str:
    match item["type"]:
        case "extra_forbidden":
            return f"unknown key{nearest(str(item['loc'][-1]), known)}"
        case "missing":
            return "missing; this key is required"
        case "value_error":
            return str(item["ctx"]["error"])
        case _:
            return item["msg"][0].lower() + item["msg"][1:]


def _walk(schema: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[str], list[str]]:
    """The keys of a place as the user wrote them, and the keys that the section around the last one has.

    pydantic puts the type that it tried into the place, too: the tag of a union of sections, `int` or `str` of others.
    """
    keys: list[str] = []
    known: list[str] = []
    section: type[BaseModel] | None = schema
    union: list[type[BaseModel]] = []
    for part in loc:
        if union and section is None:
            tagged = (each for each in union if "kind" in each.model_fields)
            section = next((s for s in tagged if part in get_args(s.model_fields["kind"].annotation)), None)
        elif section is None:
            keys += [str(part)] if isinstance(part, int) else []
        else:
            keys.append(str(part))
            known = list(section.model_fields)
            field = section.model_fields.get(str(part))
            inner = [field.annotation, *get_args(field.annotation)] if field else []
            union = [each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)]
            section = union[0] if len(union) == 1 else None
    return keys, known
