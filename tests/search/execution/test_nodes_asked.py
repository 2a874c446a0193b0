"""How the nodes of a cluster are asked, and what counts as an answer: Ray is a table of what each node would return."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import RayError

from search.execution.node_checks import GIVE_UP_SECONDS, TELL_SECONDS, check_nodes, unreached
from spaces.problems import BadInput
from tests.trainables.flat_store import URI, flat_store
from trainables import storage
from trainables.objects import Prefix

HEAD, SECOND, THIRD = (letter * 56 for letter in "abc")  # as Ray numbers its nodes
NODES = {HEAD: "head", SECOND: "second", THIRD: "third"}


class Cluster:
    """Runs on the spot what a node is asked; `dies` (node -> error) and `late` (node -> looks until it answers)."""

    def __init__(self) -> None:
        self.alive, self.dies, self.late = dict(NODES), dict[str, Exception](), dict[str, int]()
        self.waited: list[float] = []
        self.options: list[dict[str, Any]] = []

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": node, "NodeName": name, "Alive": node in self.alive} for node, name in NODES.items()]

    def remote(self, look: Callable[..., str | None]) -> SimpleNamespace:
        def options(**given: Any) -> SimpleNamespace:
            self.options.append(given)
            return SimpleNamespace(remote=lambda *words: (given["scheduling_strategy"].node_id, look, words))

        return SimpleNamespace(options=options)

    def wait(self, asked: Sequence[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        assert num_returns == len(asked)
        self.waited.append(timeout)
        done = [each for each in asked if self.late.get(each[0], 0) < len(self.waited)]
        return done, [each for each in asked if each not in done]

    def get(self, reference: Any) -> str | None:
        node, look, words = reference
        if node in self.dies:
            raise self.dies[node]
        found: str | None = look(*words)
        return found


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    for name in ("nodes", "remote", "wait", "get"):
        monkeypatch.setattr(ray, name, getattr(cluster, name))
    monkeypatch.setattr(storage, "LATE_SECONDS", 0.0)
    return cluster


def blind(path: Path, nodes: Mapping[str, str] = NODES) -> tuple[dict[str, str], list[str]]:
    """Which nodes don't reach the folder, and what was said meanwhile."""
    said: list[str] = []
    return unreached(path / "s", None, nodes, said.append), said


def test_each_node_is_asked_there_and_nowhere_else(tmp_path: Path, cluster: Cluster) -> None:
    assert blind(tmp_path) == ({}, [])
    assert [options["scheduling_strategy"].node_id for options in cluster.options] == list(NODES)
    assert not any(options["scheduling_strategy"].soft or options["num_cpus"] for options in cluster.options)
    assert cluster.waited == [TELL_SECONDS] and list(tmp_path.iterdir()) == []
    check_nodes(tmp_path / "s", None, print)  # all of them reach it: nothing is said


def test_a_node_that_is_slow_is_told_of_and_waited_for(tmp_path: Path, cluster: Cluster) -> None:
    cluster.late = {SECOND: 1}
    assert blind(tmp_path) == ({}, ["waiting for 1 of 3 nodes to get ready"])
    assert cluster.waited == [TELL_SECONDS, GIVE_UP_SECONDS]


def test_a_node_that_never_answers_does_not_reach_it(tmp_path: Path, cluster: Cluster) -> None:
    cluster.late = {SECOND: 1, THIRD: 9}
    assert blind(tmp_path) == ({THIRD: "no answer"}, ["waiting for 2 of 3 nodes to get ready"])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RayError("first line\n\nRuntimeError: no such environment \n"), "RuntimeError: no such environment"),
        (RayError(""), "RayError"),
    ],
)
def test_a_node_that_fails_is_named_by_the_last_line(
    error: RayError, told: str, tmp_path: Path, cluster: Cluster
) -> None:
    cluster.dies = {SECOND: error}
    assert blind(tmp_path)[0] == {SECOND: told}
    with pytest.raises(BadInput, match=f"1 of 3 nodes don't reach it .second.: {told}"):
        check_nodes(tmp_path / "s", None, print)


def test_a_node_that_is_lost_while_it_looks_for_the_folder_is_left_out(tmp_path: Path, cluster: Cluster) -> None:
    cluster.dies = {SECOND: RayError("gone"), THIRD: RayError("gone")}
    del cluster.alive[THIRD]
    assert blind(tmp_path)[0] == {SECOND: "gone"}


def test_a_node_that_is_lost_while_it_tries_the_store_is_left_out(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.dies = {SECOND: RayError("gone"), THIRD: RayError("gone")}
    del cluster.alive[THIRD]
    with flat_store() as store:
        monkeypatch.setattr("search.spec.storage.filesystem", lambda *_, **__: store)
        assert unreached(tmp_path / "s", Prefix(URI), NODES, print) == {SECOND: "gone"}
        assert store.content == {} and store.asked["put"] == 1  # the head's
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_a_node_may_read_and_not_write_is_not_reached(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text

    def refused(self: Path, data: str, **more: Any) -> int:
        if self.name.endswith(THIRD):
            raise OSError(30, "Read-only file system", str(self))
        return write(self, data, **more)

    monkeypatch.setattr(Path, "write_text", refused)
    (told,) = blind(tmp_path)[0].items()
    assert told[0] == THIRD and told[1].endswith(" can't write there (Read-only file system)")
    assert list(tmp_path.iterdir()) == []
