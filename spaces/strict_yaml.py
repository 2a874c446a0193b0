"""YAML read strictly: YAML 1.2 numbers (1e-3 is a number), no duplicate keys, no tags that build objects."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from spaces.problems import BadInput


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 floats and duplicate keys refused."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put merged keys (`<<`) in; a mapping's own key overrides a merged one, but may not stand twice."""
        self._by_key(node, once=True)
        super().flatten_mapping(node)
        node.value = list(self._by_key(node, once=False).values())

    def _by_key(self, node: yaml.MappingNode, once: bool) -> dict[Hashable, tuple[yaml.Node, yaml.Node]]:
        found: dict[Hashable, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            merge = key_node.tag == "tag:yaml.org,2002:merge"
            key = "<<" if merge else self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or (once and key in found):
                what = f"key {key!r} stands twice" if isinstance(key, Hashable) else "key is not a scalar"
                raise yaml.constructor.ConstructorError(None, None, what, key_node.start_mark)
            found[key] = (key_node, value_node)
        return found


_FLOAT = re.compile(
    r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$")  # 010 and 1:30 stay words, too
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")  # `on`, `off`, `yes` and `no` stay words
_DROPPED = {"tag:yaml.org,2002:float", "tag:yaml.org,2002:int", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _DROPPED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("tTfF"))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key_node, deep=True): loader.construct_object(value_node, deep=True)
        for key_node, value_node in node.value
    }


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def loads(text: str, where: str) -> Any:
    """Parse one YAML document. Raises BadInput naming `where` and the line."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise BadInput.of(where, f"not valid YAML{line}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput.of(where, f"not valid YAML: {error}") from error


class _Dumper(yaml.SafeDumper):
    """Quotes text that either this loader or a YAML 1.1 loader would read as something else."""


_Dumper.yaml_implicit_resolvers = {
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *_Loader.yaml_implicit_resolvers.get(first, [])]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Text as a scalar; PyYAML leaves rare line breaks unquoted, which are then read back as others."""
    style = '"' if any(c in text for c in "\x85\u2028\u2029\ufeff") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def dumps(content: Any) -> str:
    """`content` as YAML that `loads` reads back equal, keys in their order."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def load(path: Path) -> Any:
    """Parse a YAML file. Raises BadInput for a missing or unreadable file."""
    return loads(read_text(path), str(path))


def read_text(path: Path) -> str:
    """A text file's content. Raises BadInput for a missing, unreadable or non-UTF-8 file."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise BadInput.of(str(path), f"can't be read: {reason}") from error
