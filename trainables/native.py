"""Native config files: read from YAML, JSON or a Python literal, and written back with the user's own text kept.

A `.py` file is never run: one assignment `CONFIG = {...}` of literals is read from its syntax tree.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from spaces.bounds import DEEPEST, check_value
from spaces.paths import Missing, with_values
from spaces.problems import BadInput, cause
from spaces.schema import NativeSection
from spaces.strict_yaml import loads, read_text
from trainables import native_edit
from trainables.native_edit import Form

SUFFIXES: Mapping[str, Form] = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".py": "python"}

PLAIN = re.compile(r"[A-Za-z_/][\w./-]*")
WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "none", "nan", "inf"})


def read_native(path: Path) -> dict[str, Any]:
    """The config in a native file. Raises BadInput naming the file and what is wrong with it."""
    return parse_native(read_text(path), path.name, str(path))


def parse_native(text: str, name: str, where: str) -> dict[str, Any]:
    """The config in `text`, whose form the suffix of `name` tells."""
    value = _READERS[form_of(name, where)](text, where)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise BadInput.of(
            where, f"expected a mapping of config keys to values, which your script looks up, got {_short(value)}"
        )
    check_value(value, where, finite=True)
    return value


def form_of(name: str, where: str) -> Form:
    """The form that the suffix of a file's name stands for."""
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput.of(where, f"suffix {suffix!r} is not a native config's; use one of {', '.join(SUFFIXES)}")
    return SUFFIXES[suffix]


def unknown_keys(config: NativeSection) -> tuple[str, ...]:
    """Dotted keys that the schema doesn't know and carries through, sorted: for one warning."""
    return tuple(sorted(_unknown(config, "")))


def _unknown(section: BaseModel, prefix: str) -> Iterator[str]:
    if isinstance(section, NativeSection) and section.inferred:
        return
    yield from (prefix + key for key in section.model_extra or {})
    for key in type(section).model_fields:
        if isinstance(value := getattr(section, key), BaseModel):
            yield from _unknown(value, f"{prefix}{key}.")


def plain(config: NativeSection) -> dict[str, Any]:
    """The whole config, unknown keys too, as mappings, lists, numbers and text."""
    return with_values(config.model_dump(), {})


def rewrite(text: str, name: str, changes: Mapping[str, Any]) -> str:
    """`text` with `changes` (dotted key → value) in place: comments, order and formatting of all else are kept.

    A key that the file doesn't hold is added after the last one of its section. The result is read back and compared.
    """
    form = form_of(name, name)
    try:
        wanted = with_values(parse_native(text, name, name), changes)
    except Missing as error:
        raise BadInput.of(name, f"{error}, so its value can't be written there") from error
    for written in _attempts(text, form, changes, wanted, name):
        if _reads_as(written, name, wanted):
            return written
    raise BadInput.of(name, f"can't take the values of {', '.join(changes)}; give the config as plain YAML")


def _attempts(text: str, form: Form, changes: Mapping[str, Any], wanted: Mapping[str, Any], name: str) -> Iterator[str]:
    """From the gentlest to the surest: in place; anew with its comments; anew from the values alone."""
    yield native_edit.edited(text, form, changes, _WRITERS[form], name)
    if form == "json":
        yield native_edit.dumped_json(text, wanted)
    if form == "yaml":  # anchors and merges: a value stands in several places
        yield native_edit.dumped_yaml(text, changes)
        yield as_yaml(wanted)


def _reads_as(text: str, name: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return parse_native(text, name, name) == wanted
    except BadInput:
        return False


def as_yaml(config: Mapping[str, Any]) -> str:
    """A config as YAML that YAML 1.1 readers (PyYAML) and 1.2 readers take for the same values."""
    return "\n".join(_yaml_lines(config, "")) + "\n"


def _yaml_lines(section: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{yaml_value(key)}:"
            yield from _yaml_lines(value, indent + "  ")
        else:
            yield f"{indent}{yaml_value(key)}: {yaml_value(value)}"


def as_python(config: Mapping[str, Any]) -> str:
    """A config as `CONFIG = {…}`, literals only."""
    return f"CONFIG = {_python_block(config, '')}\n"


def _python_block(section: Mapping[str, Any], indent: str) -> str:
    inner = indent + "    "
    lines = []
    for key, value in section.items():
        nested = isinstance(value, dict) and value
        lines.append(f"{inner}{key!r}: {_python_block(value, inner) if nested else python_value(value)},\n")
    return "{\n" + "".join(lines) + indent + "}"


def python_value(value: Any) -> str:
    """A value as a Python literal."""
    match value:
        case float() if not math.isfinite(value):
            if math.isnan(value):
                raise BadInput.of("config", "nan has no Python literal; leave the key out")
            return "1e999" if value > 0 else "-1e999"  # reads back as infinity
        case Mapping():
            return "{" + ", ".join(f"{key!r}: {python_value(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(python_value, value)) + "]"
        case _:
            return repr(value)


def yaml_value(value: Any) -> str:
    """A value as YAML on one line, the same to YAML 1.1 and 1.2 readers: 1e-05 is written 1.0e-05 (PyYAML reads the
    former as text), and text that could pass for anything else is quoted."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return _yaml_float(value)
        case int():
            return str(value)
        case str():
            return value if PLAIN.fullmatch(value) and value.lower() not in WORDS else _quoted(value)
        case Mapping():
            return "{" + ", ".join(f"{yaml_value(key)}: {yaml_value(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(yaml_value, value)) + "]"
        case _:
            raise BadInput.of("config", f"{value!r} has no place in a YAML file; use numbers, text, lists and mappings")


def _quoted(text: str) -> str:
    """Text in double quotes. JSON's escapes are YAML's, but for characters that JSON writes as two surrogates."""
    return '"' + "".join(json.dumps(c)[1:-1] if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in text) + '"'


def _yaml_float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    mantissa, e, exponent = repr(value).partition("e")
    return f"{mantissa}{'' if '.' in mantissa or not e else '.0'}{e}{exponent}"


def _from_json(text: str, where: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(pairs)
        if len(seen) < len(pairs):
            twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
            raise BadInput.of(where, f"key {twice!r} stands twice; your script takes the last one in silence: keep one")
        return seen

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise BadInput.of(where, f"not valid JSON line {error.lineno}: {error.msg}") from error
    except RecursionError as error:
        raise BadInput.of(where, f"nested more than {DEEPEST} deep") from error
    except ValueError as error:  # a number of more digits than Python reads
        raise BadInput.of(where, f"not valid JSON: {cause(error).partition(';')[0]}") from error


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"


_READERS: Mapping[Form, Callable[[str, str], Any]] = {
    "yaml": loads,
    "json": _from_json,
    "python": native_edit.python_config,
}
_WRITERS: Mapping[Form, Callable[[Any], str]] = {"yaml": yaml_value, "json": json.dumps, "python": python_value}
