"""Changing values inside a config's own text: each value's place is found, and only that place is replaced."""

import ast
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from spaces.problems import BadInput, Problem, raise_any
from spaces.values import thaw

Form = Literal["yaml", "json", "python"]
Write = Callable[[Any], str]


@dataclass(frozen=True)
class Spot:
    """Where a value stands: text[start:end]."""

    start: int
    end: int
    entries: Mapping[str, tuple[int, "Spot"]] | None = None  # of a mapping: key → (where the key starts, its value)
    items: tuple["Spot", ...] | None = None  # of a list
    block: bool = False  # YAML's indented style
    replaceable: bool = True  # False: an alias or an anchored value, which other places share

    def below(self, part: str) -> "Spot | None":
        """The value at a key of a mapping or an index of a list."""
        if self.entries is not None:
            return self.entries[part][1] if part in self.entries else None
        if self.items is not None and part.isdecimal() and int(part) < len(self.items):
            return self.items[int(part)]
        return None

    def last(self) -> int:
        """The end of the last thing written in it: a YAML block's own end lies after the comments that follow it."""
        inside = [spot.last() for _, spot in (self.entries or {}).values()] + [item.last() for item in self.items or ()]
        return max(inside) if self.block and inside else self.end


@dataclass(frozen=True)
class Edit:
    """Replace text[start:end] by `new`."""

    start: int
    end: int
    new: str


def edited(text: str, form: Form, changes: Mapping[str, Any], write: Write, where: str) -> str:
    """`text` with each dotted key's value replaced, or added where it is missing. The caller checks the result:
    what can't be replaced in place (a value that several places share) is left as it is.
    """
    for path, value in changes.items():
        root = _python_spot(text, where) if form == "python" else _yaml_spot(text)
        if root is None:
            break
        for edit in sorted(_edits(text, root, path, value, write), key=lambda e: e.start, reverse=True):
            text = text[: edit.start] + edit.new + text[edit.end :]
    return text


def _edits(text: str, root: Spot, path: str, value: Any, write: Write) -> list[Edit]:
    spot, parts = root, path.split(".")
    while parts and (below := spot.below(parts[0])) is not None:
        spot, parts = below, parts[1:]
    if not parts:
        return _replacement(text, spot, value, write)
    if spot.entries is None:
        return []
    for part in reversed(parts[1:]):
        value = {part: value}
    return _addition(text, spot, f"{write(parts[0])}: {write(value)}", spot.entries)


def _replacement(text: str, spot: Spot, value: Any, write: Write) -> list[Edit]:
    if not spot.replaceable:
        return []
    if not (spot.block and spot.items and isinstance(value, list | tuple) and value):
        return [Edit(spot.start, spot.last(), write(value))]
    if len(value) == len(spot.items):
        return [e for item, new in zip(spot.items, value, strict=True) for e in _replacement(text, item, new, write)]
    dash = text.rfind("-", 0, spot.items[0].start)
    lead = "\n" + text[text.rfind("\n", 0, dash) + 1 : dash] + "- "  # each item on its own line, as before
    return [Edit(spot.items[0].start, spot.last(), lead.join(map(write, value)))]


def _addition(text: str, section: Spot, entry: str, entries: Mapping[str, tuple[int, Spot]]) -> list[Edit]:
    if not entries:
        return [Edit(section.start, section.end, "{" + entry + "}")]
    first = min(start for start, _ in entries.values())
    last = max(spot.last() for _, spot in entries.values())
    indent = re.match(r"[ \t]*", text[text.rfind("\n", 0, first) + 1 :])
    assert indent is not None
    if section.block:
        if text[last - 1] == "\n":  # a block of text ends with its last line
            return [Edit(last, last, f"{indent[0]}{entry}\n")]
        stop = text.find("\n", last)
        stop = len(text) if stop < 0 else stop
        return [Edit(stop, stop, f"\n{indent[0]}{entry}")]
    tail = text[last : section.end - 1]
    comma = re.match(r"(?:\s|#[^\n]*\n)*,", tail)
    if "\n" not in text[section.start : section.end]:
        return [Edit(last + comma.end(), last + comma.end(), f" {entry},") if comma else Edit(last, last, f", {entry}")]
    stop = last + len(tail.rstrip())  # after the comments that follow the last value
    if comma:
        return [Edit(stop, stop, f"\n{indent[0]}{entry},")]
    if stop == last:
        return [Edit(stop, stop, f",\n{indent[0]}{entry}")]
    return [Edit(last, last, ","), Edit(stop, stop, f"\n{indent[0]}{entry}")]


# YAML and JSON (which is YAML's flow style), from the parser's events.


def _yaml_spot(text: str) -> Spot | None:
    try:
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        for event in events:
            if isinstance(event, yaml.MappingStartEvent):
                return _located(event, events)
    except (yaml.YAMLError, RecursionError):
        pass
    return None


def _located(event: yaml.Event, events: Iterator[yaml.Event]) -> Spot:
    start = _index(event.start_mark)
    shared = isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None
    if isinstance(event, yaml.MappingStartEvent):
        entries: dict[str, tuple[int, Spot]] = {}
        while not isinstance(key := next(events), yaml.MappingEndEvent):
            place = _located(key, events)
            value = _located(next(events), events)
            if isinstance(key, yaml.ScalarEvent):
                entries[key.value] = (place.start, value)
        return Spot(start, _index(key.end_mark), entries, block=not event.flow_style, replaceable=not shared)
    if isinstance(event, yaml.SequenceStartEvent):
        items: list[Spot] = []
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(_located(item, events))
        end = _index(item.end_mark)
        return Spot(start, end, items=tuple(items), block=not event.flow_style, replaceable=not shared)
    return Spot(start, _index(event.end_mark), replaceable=not shared)


def _index(mark: Any) -> int:
    return int(mark.index)  # typed as optional; the parser of a string always sets it


def dumped_yaml(text: str, changes: Mapping[str, Any]) -> str:
    """The YAML file written anew: comments and order kept, spacing normalised."""
    from ruamel.yaml import YAML  # lazy: slow to import, and only files with anchors or merges need it

    rt = YAML()
    rt.preserve_quotes = True
    rt.width = 4096
    tree = rt.load(text)
    for path, value in changes.items():
        *sections, last = path.split(".")
        node = tree
        for part in sections:
            node = node.setdefault(part, {}) if isinstance(node, dict) else node[int(part)]
        node[last if isinstance(node, dict) else int(last)] = thaw(value)
    out = io.StringIO()
    rt.dump(tree, out)
    # ruamel writes 1e-05, which YAML 1.1 readers take for text.
    return re.sub(r"(?m)(?<=[\s\[,])([-+]?\d+)(e[-+]\d+)(?=\s*(?:$|[,\]}#]))", r"\1.0\2", out.getvalue())


def dumped_json(text: str, wanted: Mapping[str, Any]) -> str:
    """The JSON file written anew with the indent it had."""
    found = re.search(r"\n([ \t]+)\S", text)
    return json.dumps(wanted, indent=found[1] if found else None, ensure_ascii=False) + (
        "\n" if text.endswith("\n") else ""
    )


# Python, from the syntax tree.


def python_config(text: str, where: str) -> dict[str, Any]:
    """The value of `CONFIG = {…}`. Raises BadInput naming each key whose value is no literal."""
    node = _assigned(text, where)
    out: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in zip(node.keys, node.values, strict=True):
        if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
            what = f"line {value.lineno}: keys must be plain text: your script computes one, here it is read"
            problems.append(Problem(f"{where} CONFIG", what))
            continue
        at = f"{where} {key.value}"
        if key.value in out:
            what = "this key stands twice; your script takes the last one in silence: keep one"
            problems.append(Problem(at, what))
        try:
            out[key.value] = _listed(ast.literal_eval(value), at)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            shown = (ast.get_source_segment(text, value) or "")[:60]
            what = f"{shown!r} is no literal; your script computes it, and here nothing is run: write the value"
            problems.append(Problem(at, what))
        except BadInput as error:
            problems.extend(error.problems)
    raise_any(problems)
    return out


def _listed(value: Any, where: str) -> Any:
    match value:
        case dict():
            if not all(isinstance(key, str) for key in value):
                raise BadInput.of(
                    where, "a key is no text, which your script may look up, and which can't be named here; write text"
                )
            return {key: _listed(item, where) for key, item in value.items()}
        case list() | tuple():
            return [_listed(item, where) for item in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            raise BadInput.of(
                where,
                f"{type(value).__name__} values have no place in a config, though your script may use them; "
                "use numbers, text, lists, dicts",
            )


def _assigned(text: str, where: str) -> ast.Dict:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise BadInput.of(where, f"not valid Python{line}: {error}") from error
    found: list[ast.expr] = []
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "CONFIG" for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            if node.value is not None:
                found.append(node.value)
    if len(found) != 1 or not isinstance(found[0], ast.Dict):
        raise BadInput.of(
            where,
            "expected exactly one top-level assignment `CONFIG = {...}` of literals; your script runs this file, "
            "and here it is read",
        )
    return found[0]


def _python_spot(text: str, where: str) -> Spot:
    lines = text.split("\n")
    starts = [0, *itertools.accumulate(len(line) + 1 for line in lines)]

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())  # ast counts UTF-8 bytes

    def spot(node: ast.expr) -> Spot:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        entries, items = None, None
        if isinstance(node, ast.Dict):
            entries = {
                str(key.value): (offset(key.lineno, key.col_offset), spot(value))
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
            }
        elif isinstance(node, ast.List | ast.Tuple):
            items = tuple(map(spot, node.elts))
        return Spot(offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset), entries, items)

    return spot(_assigned(text, where))
