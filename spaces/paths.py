"""Dotted paths into nested native configs: `phases.0.lr` is key `phases`, first item, key `lr`.

Keys that are no text, are empty or contain a dot can't be named by a path; `leaves` leaves them out.
"""

from collections.abc import Mapping
from typing import Any

from spaces.values import thaw


class Missing(KeyError):
    """A config has no such path: a key is absent, an index lies outside its list, or a scalar is in the way."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(path)

    def __str__(self) -> str:
        return f"the config has no key {self.path!r}"


def get(native: Mapping[str, Any], path: str) -> Any:
    """The value or section at `path`. Raises Missing."""
    node: Any = native
    for part in path.split("."):
        node = _child(node, part, path)
    return node


def has(native: Mapping[str, Any], path: str) -> bool:
    """Whether `path` leads to a value (null included) or a section."""
    try:
        get(native, path)
    except Missing:
        return False
    return True


def with_values(native: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of `native` with `values` (path -> value) in it; tuples are written as lists.

    Absent keys and sections are created, for a native file may omit what has a default; lists never grow.
    Raises Missing for an index outside its list and for a path through a scalar.
    """
    changed: dict[str, Any] = _copy(native)
    for path, value in values.items():
        *sections, last = path.split(".")
        node: Any = changed
        for part in sections:
            node = node.setdefault(part, {}) if isinstance(node, dict) else _child(node, part, path)
        if isinstance(node, dict):
            node[last] = _copy(thaw(value))
        else:
            _child(node, last, path)  # raises where there is nothing to replace
            node[int(last)] = _copy(thaw(value))
    return changed


def leaves(native: Mapping[str, Any]) -> list[str]:
    """Every path that leads to a value, in the config's order.

    A list is a value of its own unless it holds a mapping; then its items are descended into by index.
    """
    found: list[str] = []
    waiting: list[tuple[str, Any]] = [("", native)]
    while waiting:
        path, node = waiting.pop()
        children = _children(node)
        if children is None:
            found.append(path)
        else:
            prefix = f"{path}." if path else ""
            waiting.extend((prefix + part, child) for part, child in reversed(children))
    return found


def _children(node: Any) -> list[tuple[str, Any]] | None:
    """What is to be descended into below `node`, or None for a leaf."""
    if isinstance(node, Mapping):
        return [(key, child) for key, child in node.items() if isinstance(key, str) and key and "." not in key]
    if isinstance(node, list | tuple) and any(isinstance(item, Mapping) for item in node):
        return [(str(index), item) for index, item in enumerate(node)]
    return None


def _child(node: Any, part: str, path: str) -> Any:
    if isinstance(node, Mapping) and part in node:
        return node[part]
    # Only the plain form counts as an index: `phases.00` or `phases.-1` would be second names of one key.
    if isinstance(node, list | tuple) and part.isdecimal() and str(int(part)) == part and int(part) < len(node):
        return node[int(part)]
    raise Missing(path)


def _copy(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _copy(child) for key, child in node.items()}
    if isinstance(node, list | tuple):
        return [_copy(item) for item in node]
    return node
