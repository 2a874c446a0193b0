"""YAML read strictly: YAML 1.2 numbers (1e-3 is a number), no duplicate keys, no tags that build objects."""

import io
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from spaces.bounds import DEEPEST, MOST_BYTES, MOST_VALUES, check_value, read_bounded
from spaces.problems import BadInput, cause


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 floats, duplicate keys refused, and bounds on what aliases expand to."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._measured: dict[int, tuple[int, int]] = {}  # id of a node → values in it, levels in it

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node. Refused before it is built: one that is too large or too deep once its aliases are followed,
        and one that contains itself.
        """
        alias = self.check_event(yaml.AliasEvent)
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self._depth += 1
        if self._depth > DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"nested more than {DEEPEST} deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if not isinstance(node, yaml.CollectionNode):
            return node
        if alias and id(node) not in self._measured:
            raise yaml.composer.ComposerError(None, None, "an alias stands inside of what it names", mark)
        if not alias:
            self._measure(node, mark)
        return node

    def _measure(self, node: yaml.CollectionNode, mark: yaml.Mark) -> None:
        mapping = isinstance(node, yaml.MappingNode)
        inner = [each for pair in node.value for each in pair] if mapping else node.value
        parts = [self._measured.get(id(each), (1, 0)) for each in inner]
        values, levels = 1 + sum(part[0] for part in parts), 1 + max((part[1] for part in parts), default=0)
        if values > MOST_VALUES:
            what = f"more than {MOST_VALUES} values once aliases are followed"
            raise yaml.composer.ComposerError(None, None, what, mark)
        if levels > DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"nested more than {DEEPEST} deep", mark)
        self._measured[id(node)] = (values, levels)

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
                twice = f"key {key!r} stands twice; most readers take the last one in silence: keep one"
                what = twice if isinstance(key, Hashable) else "key is not a scalar"
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


def _unknown(loader: _Loader, node: yaml.Node) -> Any:  # noqa: ARG001
    tag = node.tag.replace("tag:yaml.org,2002:", "!!")
    what = f"tag {tag} is not read; use numbers, text, lists and mappings"
    raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)


_KINDS = ("null", "bool", "int", "float", "str", "seq")
_Loader.yaml_constructors = {
    f"tag:yaml.org,2002:{kind}": yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{kind}"] for kind in _KINDS
}
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor(None, _unknown)


def loads(text: str, where: str) -> Any:
    """Parse one YAML document. Raises BadInput naming `where` and the line."""
    if len(text) > MOST_BYTES:
        raise BadInput.of(where, f"is too large: {len(text)} characters, where {MOST_BYTES} are the most")
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise BadInput.of(where, f"not valid YAML{line}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, KeyError, RecursionError) as error:
        raise BadInput.of(where, f"not valid YAML: {cause(error).partition(';')[0]}") from error
    check_value(value, where)
    return value


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


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """A text file's content, of at most `most` bytes. Raises BadInput for a missing, unreadable, huge or non-UTF-8
    file, and for a device.
    """
    content = io.BytesIO(read_bounded(path, most))
    try:
        return io.TextIOWrapper(content, encoding="utf-8").read()  # line ends as in any text file
    except UnicodeDecodeError as error:
        raise BadInput.of(str(path), "can't be read: is not UTF-8 text") from error
