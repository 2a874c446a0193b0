"""The user's command line with a config's values in it."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spaces.paths import get, leaves
from spaces.strict_yaml import loads as yaml_loads
from trainables.native import yaml_value
from trainables.own.declaration import Declaration

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")


@dataclass(frozen=True)
class Filling:
    """What the placeholders stand for in one training."""

    native: Mapping[str, Any]
    config: Path
    """The config's file."""
    seed: int
    folder: Path
    """`{dir}`."""
    length: int
    checkpoint: Path | None = None
    """What the command goes on from."""


@dataclass(frozen=True)
class CommandLine:
    """A command's words, and the variables that are set for it."""

    words: tuple[str, ...]
    variables: Mapping[str, str]

    def __str__(self) -> str:
        """As it is typed in a shell."""
        set_first = [f"{name}={shlex.quote(value)}" for name, value in self.variables.items()]
        return " ".join([*set_first, shlex.join(self.words)])


def command_line(declared: Declaration, filling: Filling, line: str | None = None) -> CommandLine:
    """The declared command for one training, or another `line` for it. Leading `NAME=value` words set variables."""
    line = declared.command if line is None else line
    assert line is not None
    variables: dict[str, str] = {}
    words: list[str] = []
    for word in shlex.split(line):
        if word == "{env}":
            variables |= _variables(filling.native)
        elif not words and _ASSIGNED.match(word):
            name, _, value = word.partition("=")
            variables[name] = "".join(_filled(value, declared, filling))
        else:
            words += _filled(word, declared, filling)
    return CommandLine(tuple(words), variables)


def _filled(word: str, declared: Declaration, filling: Filling) -> list[str]:
    """The words that a word of the command becomes: several for a list of arguments, none for `{resume}` at first."""
    match word:
        case "{args}":
            return list(_options(filling.native, declared.booleans, hyphens=True))
        case "{args_underscore}":
            return list(_options(filling.native, declared.booleans, hyphens=False))
        case "{args_hydra}":
            return [f"{path}={_hydra(get(filling.native, path))}" for path in leaves(filling.native)]
        case "{resume}":
            if filling.checkpoint is None:
                return []
            known = {"checkpoint": str(filling.checkpoint), "dir": str(filling.folder)}
            return [_PLACEHOLDER.sub(lambda m: known[m[1]], part) for part in shlex.split(declared.resume)]
        case _:
            simple = {
                "config": str(filling.config),
                "seed": str(filling.seed),
                "dir": str(filling.folder),
                "length": str(filling.length),
                "checkpoint": str(filling.checkpoint),
            }
            return [_PLACEHOLDER.sub(lambda m: simple.get(m[1], m[0]), word)]


def _options(native: Mapping[str, Any], booleans: str, hyphens: bool) -> Iterator[str]:
    for path in leaves(native):
        value, name = get(native, path), path.replace("_", "-") if hyphens else path
        match value:
            case None:
                continue
            case bool() if booleans == "flag":
                yield from [f"--{name}"] if value else []
            case bool() if booleans == "no":
                no = "no-" if hyphens else "no_"
                yield f"--{name}" if value else f"--{no}{name}"
            case list() | tuple():
                yield from [f"--{name}", *map(_text, value)]
            case _ if _text(value).startswith("-"):
                yield f"--{name}={_text(value)}"
            case _:
                yield from [f"--{name}", _text(value)]


def _variables(native: Mapping[str, Any]) -> dict[str, str]:
    return {
        path.replace(".", "__").replace("-", "_").upper(): _text(value)
        for path in leaves(native)
        if (value := get(native, path)) is not None
    }


def _text(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return repr(value)
        case list() | tuple() | Mapping():
            return yaml_value(value)
        case _:
            return str(value)


def _hydra(value: Any) -> str:
    """A value in Hydra's grammar of overrides."""
    match value:
        case None:
            return "null"
        case str() if not re.fullmatch(r"[\w./:-]+", value) or yaml_loads(value, "") != value:
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        case list() | tuple():
            return "[" + ",".join(map(_hydra, value)) + "]"
        case Mapping():
            return "{" + ",".join(f"{key}:{_hydra(item)}" for key, item in value.items()) + "}"
        case _:
            return _text(value)
