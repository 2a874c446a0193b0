"""Whether a cluster can run a search's trials, from what it says of its nodes."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.config import Resources
from spaces.problems import Problem


@dataclass(frozen=True)
class Node:
    """A node that is alive, with all that it has."""

    cpu: float
    gpu: float


def misfit(resources: Resources, nodes: Sequence[Node]) -> list[Problem]:
    """Why no node of these can ever run a trial; empty where one can. `gpu: auto` fits everywhere."""
    gpu = 0.0 if resources.gpu == "auto" else resources.gpu
    problems = []
    for key, wanted, most in (
        ("cpu", resources.cpu, max((node.cpu for node in nodes), default=0.0)),
        ("gpu", gpu, max((node.gpu for node in nodes), default=0.0)),
    ):
        if wanted > most:
            has = f"its largest node has {most:g}" if most else "it has none"
            what = f"a trial asks the cluster for {wanted:g} {key.upper()}s, but {has}"
            problems.append(Problem(f"resources.{key}", f"{what}; ask for less{_OR[key]}, or add such a node"))
    if not problems and not any(node.cpu >= resources.cpu and node.gpu >= gpu for node in nodes):
        what = f"no single node has both the {resources.cpu:g} CPUs and the {gpu:g} GPUs that a trial asks for"
        problems.append(Problem("resources", f"{what}; ask for less, or add such a node"))
    return problems


_OR = {"cpu": "", "gpu": " (auto takes what there is)"}
