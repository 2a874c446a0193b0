"""How many trials a cluster holds at once, now: nodes come and go while a search runs."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util import placement_group, placement_group_table, remove_placement_group

from search.spec.nodes import Need, Node, fitting, misfit

POLL_SECONDS = 3.0
"""Between two looks at the nodes: each costs well under a millisecond at the head."""
REMIND_SECONDS = 300.0
_AWAY = (ConnectionError, ray.exceptions.RayError)
ASKED_AT_ONCE = 100
"""Nodes asked for by one search at most: an autoscaler grows in steps anyway."""


def alive() -> list[Node]:
    """The nodes of the cluster that this process has joined."""
    return [
        Node(node["NodeID"], node["NodeManagerHostname"], node["Resources"], node.get("Labels", {}))
        for node in ray.nodes()
        if node["Alive"]
    ]


def label_selectors(need: Need) -> list[dict[str, str]] | None:
    """The node labels of a trial's one bundle, as Ray takes them."""
    # Without blanks: Ray takes `in(a, b)`, too, but then looks for a node with the value ` b`.
    return [{key: value.replace(" ", "") for key, value in need.labels.items()}] if need.labels else None


@dataclass
class Asked:
    """Places asked of the cluster beyond what it holds: what waits is what makes an autoscaler add nodes.

    The places are placement groups of their own, not trials that wait: so no trial is chosen before there is room for
    it. One that the cluster grants is given back at once, to be used by a trial.
    """

    need: Need
    waiting: list[Any] = field(default_factory=list)

    def keep(self, count: int) -> None:
        """Give back what was granted, and have `count` places waiting."""
        still = []
        for place in self.waiting:
            if placement_group_table(place).get("state") == "CREATED":
                remove_placement_group(place)
            else:
                still.append(place)
        while len(still) > count:
            remove_placement_group(still.pop())
        while len(still) < count:
            selectors = label_selectors(self.need)
            still.append(placement_group([dict(self.need.resources)], bundle_label_selector=selectors))
        self.waiting = still


@dataclass
class Room:
    """Trials at once: as many as fit the nodes that are up, at most `most`, at least one, which then waits for a node.

    On a cluster of our own nothing changes, so that two searches alike decide alike. A cluster joined is looked at
    again every few seconds; where `most` don't fit, it is asked for the rest.
    """

    need: Need
    most: int | None
    own: bool
    say: Callable[[str], None]
    look: Callable[[], Sequence[Node]] = alive
    clock: Callable[[], float] = time.monotonic
    asked: Asked = field(init=False)

    def __post_init__(self) -> None:
        self.asked = Asked(self.need)
        self._nodes = {node.id: node for node in self.look()}
        self._fit = fitting(self.need, self._nodes.values())
        self._looked = self._told = self.clock()
        if not self._fit:
            self._tell_empty()

    def __call__(self) -> int:
        """How many trials may have or await a worker now."""
        return max(1, self._fit if self.most is None else min(self._fit, self.most))

    def tend(self, has_pending_work: Callable[[], bool]) -> None:
        """Look at the nodes again if it is time to. `has_pending_work`: whether the search has work for more."""
        if self.own or self.clock() < self._looked + POLL_SECONDS:
            return
        self._looked = self.clock()
        with suppress(*_AWAY):  # a head that is away for a moment: what was, holds
            self._take_in({node.id: node for node in self.look()})
            if self.most is not None:
                self.asked.keep(min(self.most - self(), ASKED_AT_ONCE) if has_pending_work() else 0)

    def close(self) -> None:
        """Ask for nothing any more."""
        with suppress(*_AWAY):  # what was asked for ends with this process in any case
            self.asked.keep(0)

    def _take_in(self, now: dict[str, Node]) -> None:
        before, had, known = self(), self._fit, self._nodes
        self._nodes, self._fit = now, fitting(self.need, now.values())
        come = [node.host for name, node in now.items() if name not in known]
        gone = [node.host for name, node in known.items() if name not in now]
        if not self._fit:
            if had or self.clock() > self._told + REMIND_SECONDS:
                self._tell_empty()
        elif come or gone or not had:
            changes = [f"{word} {', '.join(hosts)}" for word, hosts in (("joined", come), ("lost", gone)) if hosts]
            self.say(f"nodes {'; '.join(changes) or 'changed'}: {self()} trials at once, {before if had else 0} before")

    def _tell_empty(self) -> None:
        self._told = self.clock()
        why = misfit(self.need, list(self._nodes.values()))
        self.say(f"no node is up that could hold a trial; the search waits for one ({why})")
