"""What one trial occupies: the `resources:` of a search."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from search.common.quantities import size
from search.spec.nodes import CPU, GPU, MEMORY, Need, Node, is_selector, misfit
from spaces.schema import Real, Section, Text, Whole

Amount = Annotated[Real, Field(gt=0)]
LEAST = 1e-4  # of a resource: Ray counts in ten-thousandths


class Resources(Section):
    """What one trial occupies, all of it on one node. Trials at once follow from it and from what the nodes have."""

    cpu: Amount = 1
    """Processor cores."""
    gpu: Literal["auto"] | Annotated[Real, Field(ge=0)] = "auto"
    """`auto`: one GPU where a node has any, else none. With a fraction trials share a GPU, and its memory."""
    gpu_memory: Text | None = None
    """GPU memory that a trial may hold, as in `10 GiB`. null: with a fraction of a GPU that share of its memory."""
    memory: Text | None = None
    """Main memory that is set aside for a trial, as in `8 GiB`: above it the trial is failed. null: no limit."""
    custom: dict[Text, Amount] = Field(default_factory=dict)
    """Amounts of resources that nodes were started with: `{licence: 1}`."""
    labels: dict[Text, Text] = Field(default_factory=dict)
    """Labels of the nodes that may run trials: `{pool: a100}`, `!spot`, `in(a100, h100)`, `!in(a100, h100)`."""
    max_concurrent: Annotated[Whole, Field(ge=1)] | None = None
    """Trials at once at most; a cluster that adds nodes by itself is asked for so many. null: as many as fit."""
    disk: Text | None = None
    """What checkpoints may take in all, as in `50 GB`. null: half of the space that is free when a sitting begins."""

    prefixes: Text | None = None
    """What the states that trials share may take in all, as in `5 GB`. null: a tenth of the space that is free when a
    sitting begins; in an object store 50 GB."""

    @model_validator(mode="after")
    def _takes(self) -> Self:
        if self.gpu != "auto" and self.gpu > 1 and self.gpu != int(self.gpu):
            raise ValueError(f"gpu is {self.gpu:g}; above one it must be a whole number: a GPU is shared, or it isn't")
        if self.gpu == 0 and self.gpu_memory is not None:
            raise ValueError("gpu_memory is given, but gpu is 0: no trial has a GPU; drop one of them")
        given = {"cpu": self.cpu, "gpu": self.gpu, **{f"custom.{name}": amount for name, amount in self.custom.items()}}
        for key, amount in given.items():
            if isinstance(amount, float) and 0 < amount < LEAST:
                raise ValueError(f"{key} is {amount:g}; the least that Ray can count is {LEAST:g}")
        own = {"CPU": "cpu", "GPU": "gpu", "memory": "memory"}
        for name in self.custom:
            if name in own or name == "object_store_memory":
                raise ValueError(f"custom.{name} is no custom resource; give {own.get(name, 'memory')} instead")
        for key, value in self.labels.items():
            if not is_selector(value):
                forms = "a value, !value, in(one, two) or !in(one, two)"
                raise ValueError(f"labels.{key} is {value!r}; expected {forms}, of letters, digits, '.', '_' and '-'")
        return self


def at_once(resources: Resources) -> int:
    """Trials at once on this machine, before Ray says what it has; a cluster may hold more, or fewer."""
    gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
    each = float(gpus > 0) if resources.gpu == "auto" else resources.gpu
    room = [len(os.sched_getaffinity(0)) / resources.cpu, *([gpus / each] if gpus and each else [])]
    most = resources.max_concurrent
    return most if most is not None else max(1, int(min(room)))


def need_of(resources: Resources, nodes: Sequence[Node]) -> Need:
    """What a trial asks of a node; `gpu: auto` by what these have."""
    most_gpus = max((node.resources.get(GPU, 0.0) for node in nodes), default=0.0)
    asked = {
        CPU: float(resources.cpu),
        GPU: float(most_gpus >= 1) if resources.gpu == "auto" else float(resources.gpu),
        MEMORY: float(size(resources.memory, "resources.memory")) if resources.memory is not None else 0.0,
        **resources.custom,
    }
    return Need({name: amount for name, amount in asked.items() if amount}, resources.labels)


def refusal(resources: Resources, nodes: Sequence[Node], own: bool = False) -> str | None:
    """Why no trial can ever run on these nodes, and what to do; None where one can, or where the search may ask the
    cluster for nodes (`own`: it is one of our own, which never grows): none of them need be up yet.
    """
    if resources.max_concurrent is not None and not own:
        return None
    need = need_of(resources, nodes)
    why = misfit(need, nodes)
    if why is None:
        return None
    less = "Ask for less" + (" (gpu: auto takes what there is)" if need.gpu and resources.gpu != "auto" else "")
    grows = "" if own else "; on a cluster that adds nodes by itself, set resources.max_concurrent"
    return f"no node can run a trial: {why}. {less}, or add such a node{grows}"
