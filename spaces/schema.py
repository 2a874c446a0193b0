"""Typed sections of a config file: frozen pydantic models whose errors name path, value, bound and nearest key."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from spaces.problems import BadInput, Problem, nearest

Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number: a bool or a numeric string is refused."""
Whole = Annotated[int, Field(strict=True)]
"""A whole number: a bool, a float or a numeric string is refused."""
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]


class Section(BaseModel):
    """A part of one of our own files: immutable, and a key it doesn't know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class NativeSection(BaseModel):
    """A part of a user's training config: immutable; keys it doesn't know are carried through unchanged."""

    model_config = ConfigDict(frozen=True, extra="allow")


S = TypeVar("S", bound=BaseModel)


def parse(schema: type[S], value: Any, where: str, prefix: str = "") -> S:
    """`value` as a `schema`. Raises BadInput with every problem, each at `where` and its dotted key path."""
    if not isinstance(value, Mapping):
        raise BadInput.of(_at(where, prefix), f"expected a mapping of keys to values, got {value!r}")
    try:
        return schema.model_validate(dict(value))
    except ValidationError as error:
        raise BadInput(_problem(schema, item, where, prefix) for item in error.errors()) from error


def _at(where: str, path: str) -> str:
    return " ".join(part for part in (where, path) if part)


def _problem(schema: type[BaseModel], item: ErrorDetails, where: str, prefix: str) -> Problem:
    keys = [prefix, *map(str, item["loc"])] if prefix else list(map(str, item["loc"]))
    at = _at(where, ".".join(keys))
    match item["type"]:
        case "extra_forbidden":
            known = _keys_at(schema, [str(k) for k in item["loc"][:-1]])
            return Problem(at, f"unknown key{nearest(str(item['loc'][-1]), known)}")
        case "missing":
            return Problem(at, "missing; this key is required")
        case "value_error":
            return Problem(at, str(item["ctx"]["error"]))
        case _:
            message = item["msg"][0].lower() + item["msg"][1:]
            return Problem(at, f"{message}, got {item['input']!r}")


def _keys_at(schema: type[BaseModel], path: list[str]) -> list[str]:
    """The field names of the section at `path` inside `schema` (empty where it is no section)."""
    section: type[BaseModel] | None = schema
    for key in path:
        field = section.model_fields.get(key) if section else None
        if field is None:
            continue  # the tag of a union or a list's index stands in the path, too
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        section = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return list(section.model_fields) if section else []
