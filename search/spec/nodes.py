"""What a trial asks of a node, and which nodes can give it: pure functions of what Ray says of a cluster."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spaces.problems import nearest

CPU, GPU, MEMORY = "CPU", "GPU", "memory"  # Ray's names
_WHOLE = 1e-9  # ten trials of 0.1 GPUs fill one

_LABEL_VALUE = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_SELECTOR = re.compile(rf"(?P<no>!?)(?:in\((?P<many>{_LABEL_VALUE}(?:, ?{_LABEL_VALUE})*)\)|(?P<one>{_LABEL_VALUE}))")


@dataclass(frozen=True)
class Need:
    """What one trial occupies on one node."""

    resources: Mapping[str, float]
    """By Ray's names: `CPU`, `GPU`, `memory` (bytes) and custom ones; each above zero."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What the node's labels must be: `a100`, `!spot`, `in(a100, h100)`, `!in(a100, h100)`."""

    @property
    def gpu(self) -> float:
        """GPUs."""
        return self.resources.get(GPU, 0.0)


@dataclass(frozen=True)
class Node:
    """A node that is up, with all that it has, in use or not."""

    id: str
    host: str
    resources: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)


def slots(need: Need, node: Node) -> int:
    """How many trials the node holds at once: the least over all that they need, 0 where its labels differ."""
    if not all(label_fits(wanted, node.labels.get(key)) for key, wanted in need.labels.items()):
        return 0
    return min(math.floor(node.resources.get(name, 0.0) / amount + _WHOLE) for name, amount in need.resources.items())


def fitting(need: Need, nodes: Iterable[Node]) -> int:
    """How many trials the nodes hold at once."""
    return sum(slots(need, node) for node in nodes)


def label_fits(selector: str, value: str | None) -> bool:
    """Whether a node with this value of a label (None: without the label) is meant, as Ray reads selectors."""
    found = _SELECTOR.fullmatch(selector)
    assert found is not None, selector
    wanted = re.split(", ?", found["many"]) if found["many"] else [found["one"]]
    return (value in wanted) != bool(found["no"])


def is_selector(text: str) -> bool:
    """Whether Ray takes `text` for a label's value, or for a choice of values."""
    return _SELECTOR.fullmatch(text) is not None


def misfit(need: Need, nodes: Sequence[Node]) -> str | None:
    """Why none of these nodes can ever hold a trial, and which comes nearest; None where one can."""
    if fitting(need, nodes):
        return None
    if not nodes:
        return "the cluster has no node"
    wanted = ", ".join([shown(name, amount) for name, amount in need.resources.items()] + _labels(need.labels))
    nowhere = [_nowhere(name, amount, nodes) for name, amount in need.resources.items()]
    unlike = [_unlike(key, selector, nodes) for key, selector in need.labels.items()]
    reasons = [reason for reason in (*nowhere, *unlike) if reason] or ["no single node has it all"]
    near = max(nodes, key=lambda node: (_met(need, node), sorted(node.resources.items())))
    has = ", ".join([shown(name, near.resources.get(name, 0.0)) for name in need.resources] + _labels(near.labels))
    return f"a trial asks for {wanted}: {'; '.join(reasons)}. The nearest is {near.host}, with {has}"


def shown(name: str, amount: float) -> str:
    """An amount of a resource for people: `2 CPU`, `8 GiB memory`."""
    return f"{amount / 2**30:.3g} GiB memory" if name == MEMORY else f"{amount:g} {name}"


def _labels(labels: Mapping[str, str]) -> list[str]:
    return [f"label {key}: {value}" for key, value in labels.items() if not key.startswith("ray.io/node")]


def _nowhere(name: str, amount: float, nodes: Sequence[Node]) -> str | None:
    """Why no node has so much of a resource; None where one has."""
    most = max(node.resources.get(name, 0.0) for node in nodes)
    if most + _WHOLE >= amount:
        return None
    if most:
        return f"no node has more than {shown(name, most)}"
    custom = {key for node in nodes for key in node.resources if key not in (CPU, GPU, MEMORY) and _own(key)}
    return f"no node has any {name}" + ("" if name in (CPU, GPU, MEMORY) else nearest(name, custom))


def _own(resource: str) -> bool:
    """Whether a custom resource is the user's, not one that Ray gives every node."""
    return not resource.startswith(("node:", "object_store_memory", "accelerator_type:"))


def _unlike(key: str, selector: str, nodes: Sequence[Node]) -> str | None:
    """Why no node has such a label; None where one has."""
    if any(label_fits(selector, node.labels.get(key)) for node in nodes):
        return None
    there = sorted({node.labels[key] for node in nodes if key in node.labels})
    if there:
        return f"no node has the label {key}: {selector}, only {', '.join(there)}"
    known = {each for node in nodes for each in node.labels if not each.startswith("ray.io/node")}
    return f"no node has a label {key}{nearest(key, known)}"


def _met(need: Need, node: Node) -> float:
    """How much of what a trial asks for the node has: each resource and label counts one at most."""
    resources = sum(min(1.0, node.resources.get(name, 0.0) / amount) for name, amount in need.resources.items())
    return resources + sum(label_fits(wanted, node.labels.get(key)) for key, wanted in need.labels.items())
