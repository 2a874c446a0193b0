"""How many trials fit while nodes come and go, with nodes and a clock of the test's own."""

import pytest
import ray

from search.execution import capacity as module
from search.execution.capacity import ASKED_AT_ONCE, POLL_SECONDS, REMIND_SECONDS, Asked, Room
from search.spec.nodes import Need, Node

NEED = Need({"CPU": 1.0})


class Cluster:
    """Nodes of one test, with a clock."""

    def __init__(self, *cpus: float) -> None:
        self.nodes = [self.node(n, count) for n, count in enumerate(cpus)]
        self.now, self.looks = 100.0, 0
        self.said: list[str] = []
        self.away = False

    @staticmethod
    def node(number: int, cpus: float) -> Node:
        return Node(f"id{number}", f"box{number}", {"CPU": cpus})

    def look(self) -> list[Node]:
        self.looks += 1
        if self.away:
            raise ConnectionError
        return list(self.nodes)

    def room(self, most: int | None = None, own: bool = False) -> Room:
        return Room(NEED, most, own, self.said.append, self.look, lambda: self.now)

    def later(self, room: Room, seconds: float = POLL_SECONDS, has_pending_work: bool = True) -> int:
        self.now += seconds
        room.tend(lambda: has_pending_work)
        return room()


class Places:
    """Ray's placement groups, as far as they are used here."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.state: dict[int, str] = {}
        self.made = 0
        self.labels: list[object] = []
        patch.setattr(module, "placement_group", self._make)
        patch.setattr(module, "remove_placement_group", self.state.pop)
        patch.setattr(module, "placement_group_table", lambda place: {"state": self.state[place]})

    def _make(self, bundles: list[dict[str, float]], bundle_label_selector: object) -> int:
        assert bundles == [dict(NEED.resources)]
        self.labels.append(bundle_label_selector)
        self.made += 1
        self.state[self.made] = "PENDING"
        return self.made


def test_nodes_that_join_are_used_and_nodes_that_leave_are_not_missed() -> None:
    cluster = Cluster(2, 1)
    room = cluster.room()
    assert room() == 3 and not cluster.said
    cluster.nodes.append(cluster.node(7, 4))
    assert cluster.later(room, POLL_SECONDS / 2) == 3  # not looked at yet
    assert cluster.later(room) == 7
    del cluster.nodes[0]
    assert cluster.later(room) == 5
    assert cluster.said == [
        "nodes joined box7: 7 trials at once, 3 before",
        "nodes lost box0: 5 trials at once, 7 before",
    ]
    assert cluster.later(room) == 5 and len(cluster.said) == 2


def test_the_nodes_are_looked_at_now_and_then_not_at_each_result() -> None:
    cluster = Cluster(1)
    room = cluster.room()
    for _ in range(1000):
        cluster.later(room, POLL_SECONDS / 100)
    assert cluster.looks <= 12


def test_a_cluster_of_ones_own_never_changes() -> None:
    cluster = Cluster(2)
    room = cluster.room(own=True)
    cluster.nodes.append(cluster.node(1, 8))
    assert cluster.later(room, 1e6) == 2 and cluster.looks == 1


def test_without_any_room_the_search_waits_with_one_trial_and_says_so_now_and_then() -> None:
    cluster = Cluster(1)
    room = cluster.room()
    cluster.nodes.clear()
    assert cluster.later(room) == 1
    assert len(cluster.said) == 1 and "waits for one" in cluster.said[0]
    cluster.later(room)
    assert len(cluster.said) == 1
    cluster.later(room, REMIND_SECONDS + 1)
    assert len(cluster.said) == 2
    cluster.nodes.append(cluster.node(3, 2))
    assert cluster.later(room) == 2
    assert cluster.said[2] == "nodes joined box3: 2 trials at once, 0 before"


def test_a_head_that_is_away_for_a_moment_changes_nothing() -> None:
    cluster = Cluster(3)
    room = cluster.room()
    cluster.away = True
    assert cluster.later(room) == 3 and not cluster.said
    cluster.away = False
    cluster.nodes.pop()
    assert cluster.later(room) == 1
    with pytest.raises(ray.exceptions.RayError):  # and it is no other error that passes silently
        raise ray.exceptions.RaySystemError("gone")


def test_no_more_than_the_user_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(monkeypatch)
    cluster = Cluster(8)
    room = cluster.room(most=3)
    assert room() == 3
    assert cluster.later(room) == 3 and places.made == 0
    assert Cluster(8).room(most=3, own=True)() == 3


def test_the_cluster_is_asked_for_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(monkeypatch)
    cluster = Cluster(1)
    room = cluster.room(most=4)
    assert cluster.later(room) == 1 and list(places.state.values()) == ["PENDING"] * 3
    cluster.later(room)
    assert places.made == 3  # what waits, waits on
    # A node comes with two places: they are granted, given back at once, and taken by trials.
    cluster.nodes.append(cluster.node(1, 2))
    places.state |= dict.fromkeys([1, 2], "CREATED")
    assert cluster.later(room) == 3
    assert places.state == {3: "PENDING"} and places.made == 3
    cluster.later(room, has_pending_work=False)  # the last trials have begun
    assert not places.state


def test_asking_has_bounds_and_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(monkeypatch)
    cluster = Cluster(1)
    room = cluster.room(most=10_000)
    cluster.later(room)
    assert len(places.state) == ASKED_AT_ONCE
    room.close()
    assert not places.state
    cluster.later(cluster.room())  # as many as fit: nothing is asked for
    assert places.made == ASKED_AT_ONCE


def test_labels_are_asked_for_too(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(monkeypatch)
    Asked(Need(NEED.resources, {"pool": "a100"})).keep(1)
    Asked(NEED).keep(1)
    assert places.labels == [[{"pool": "a100"}], None]
