"""The reference pages, made from the code: every key of a search's YAML, every command, and a JSON Schema for editors.

`python -m search.cli.reference docs` writes them; a test holds them to the code.
"""

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from search.cli.command import MODULES, app
from search.spec.config import Settings
from spaces.values import show

MADE = "<!-- Made by `python -m search.cli.reference docs`; edit the code, not this page. -->"
SCHEMA = "search.schema.json"


def pages() -> Mapping[str, str]:
    """Each page's name and content."""
    return {"config.md": config_page(), "cli.md": cli_page(), SCHEMA: schema()}


def schema() -> str:
    """The JSON Schema of a search's YAML, by which editors complete and check it."""
    return json.dumps(Settings.model_json_schema(), indent=1, sort_keys=True) + "\n"


def config_page() -> str:
    """Every key of a search's YAML, section by section."""
    lines = [MADE, "", "# The search YAML", ""]
    lines += [
        "Every key of the file that `schedule-search run FILE` reads. A key that is not listed here is an error that "
        "names the nearest one. `--set KEY=VALUE` changes one for a single command. "
        "Terms: see the [glossary](concepts.md#glossary).",
        "",
        "Lengths of training take the model's unit: `40`, `40 epochs`, `3000 steps`. Times take `s`, `m`, `h`, `d`: "
        "`90s`, `20m`, `1.5h`.",
        "",
        f"For completion in an editor: `schedule-search schema > {SCHEMA}`, and at the top of the YAML the line "
        f"`# yaml-language-server: $schema={SCHEMA}`",
        "",
    ]
    for path, section in _sections(Settings, ""):
        lines += [f"## {path or 'top level'}", ""]
        doc = inspect.getdoc(section) or ""
        lines += [doc.replace("\n", " "), ""] if doc else []
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        told = _docs(section)
        for name, field in section.model_fields.items():
            cells = (f"`{name}`", _type(field.annotation), _default(field), told.get(name) or field.description or "")
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _sections(section: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, section
    for name, field in section.model_fields.items():
        inner = list(_models(field.annotation))
        for each in inner:
            where = f"{path}.{name}" if path else name
            yield from _sections(
                each,
                f"{where} ({each.model_fields['kind'].annotation.__args__[0]})"  # type: ignore[union-attr]
                if len(inner) > 1 and "kind" in each.model_fields
                else where,
            )


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and not get_args(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in {Union, UnionType, Annotated}:
        for part in get_args(annotation):
            yield from _models(part)


def _type(annotation: Any) -> str:
    """The type in a user's words."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{show(arg)}`" for arg in args)
    if origin is Annotated:
        return _type(args[0])
    if origin in {Union, UnionType}:
        parts = dict.fromkeys(_type(arg) for arg in args if arg is not NoneType)
        return " or ".join(parts)
    if origin in {list, tuple}:
        return f"list of {_type(args[0])}"
    if origin in {dict, Mapping} or annotation is dict:
        return "mapping"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "section"
    return {int: "whole number", float: "number", bool: "true or false", str: "text"}.get(annotation, "any")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return "its defaults"
    return f"`{show(value)}`" if value not in ({}, (), []) else "empty"


def _docs(section: type[BaseModel]) -> dict[str, str]:
    """The text under each field, in the source of its class and of those it inherits from."""
    found: dict[str, str] = {}
    for each in reversed(section.__mro__):
        if each is BaseModel or not issubclass(each, BaseModel):
            continue
        (tree,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(each))).body
        assert isinstance(tree, ast.ClassDef)
        for line, following in zip(tree.body, tree.body[1:], strict=False):
            match line, following:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = inspect.cleandoc(text)
    return found


def cli_page() -> str:
    """Every command with its help."""
    lines = [MADE, "", "# Commands", ""]
    lines += ["`schedule-search COMMAND`; `python -m search COMMAND` is the same.", ""]
    lines += ["```text", _help("search", []), "```", ""]
    for command in app.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]  # each has a function
        if name not in MODULES and name != "plan":  # `run --plan`
            lines += [f"## {name}", "", "```text", _help("search", [name]), "```", ""]
    for name, (module, what) in MODULES.items():
        lines += [f"## {name}", "", what, "", "```text", _help(module, []), "```", ""]
    return "\n".join(lines)


def _help(module: str, words: list[str]) -> str:
    """What `--help` prints at 100 columns, as typed."""
    environment = {"COLUMNS": "100", "PATH": "/usr/bin:/bin", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    command = [sys.executable, "-m", module, *words, "--help"]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


if __name__ == "__main__":
    for page, content in pages().items():
        Path(sys.argv[1], page).write_text(content, encoding="utf-8")
