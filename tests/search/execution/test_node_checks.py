import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import ray

from search.execution import node_checks
from search.execution.node_checks import check_nodes, notes_place, unreached
from spaces.problems import BadInput
from tests.trainables.flat_store import URI, flat_store
from trainables import storage
from trainables.objects import Prefix
from trainables.storage import Unseen, check_seen

NODES = {"id-a": "head", "id-b": "second", "id-c": "third"}
Look = Callable[[str, str, str], str | None]


@pytest.fixture(autouse=True)
def roots(monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A cluster of three: what is asked of a node is asked here. The folder that a node sees in place of the search's,
    where it sees another."""
    roots: dict[str, Path] = {}

    def asked(where: str, content: str, nodes: Mapping[str, str], say: Any, look: Look) -> dict[str, str | None]:
        seen = {node: str(roots[node] / Path(where).name) if node in roots else where for node in nodes}
        return {node: look(seen[node], content, node) for node in nodes}

    monkeypatch.setattr(node_checks, "_asked", asked)
    monkeypatch.setattr(storage, "LATE_SECONDS", 0.0)
    alive = [{"NodeID": node, "NodeName": name, "Alive": True} for node, name in NODES.items()]
    monkeypatch.setattr(ray, "nodes", lambda: [*alive, {"NodeID": "id-d", "NodeName": "gone", "Alive": False}])
    return roots


def test_nodes_with_disks_of_their_own_don_t_reach_a_folder(tmp_path: Path, roots: dict[str, Path]) -> None:
    nfs, own = tmp_path / "nfs", tmp_path / "own"
    for folder in (nfs, own):
        folder.mkdir()
    roots["id-c"] = own
    blind = unreached(nfs / "s", None, NODES, print)
    assert list(blind) == ["id-c"] and "sees another folder there, or none" in blind["id-c"]
    assert unreached(nfs / "s", None, {node: NODES[node] for node in ("id-a", "id-b")}, print) == {}
    assert list(nfs.iterdir()) == list(own.iterdir()) == []


def test_a_folder_that_is_seen_but_not_written_to_is_not_shared(
    tmp_path: Path, roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each node has a copy: what it answers is not seen where the driver is."""
    roots["id-b"] = tmp_path / "copy"
    roots["id-b"].mkdir()
    monkeypatch.setattr(secrets, "token_hex", lambda _: "0f")
    (roots["id-b"] / ".seen-0f").write_text(".seen-0f")
    assert unreached(tmp_path / "nfs" / "s", None, NODES, print) == {"id-b": "what is written there is not seen here"}


def test_folders_that_were_made_to_ask_are_gone_again(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "s"
    assert unreached(path, None, NODES, print) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_t_be_made_or_written_is_named() -> None:
    for path in (Path("/proc/nowhere/s"), Path("/proc/s")):
        with pytest.raises(BadInput, match=r"/proc.*choose another --storage or --results"):
            unreached(path, None, NODES, print)


def test_the_refusal_says_which_nodes_why_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_checks, "unreached", lambda *_: {"id-b": "host sees another folder there, or none"})
    with pytest.raises(BadInput) as caught:
        check_nodes(tmp_path / "s", None, print)
    (problem,) = caught.value.problems
    assert problem.where == str(tmp_path)
    assert problem.what.startswith("1 of 3 nodes don't reach it (second): host sees another folder there, or none. ")
    assert "--storage /nfs/searches, or --storage s3://BUCKET/…" in problem.what
    with pytest.raises(BadInput, match=r"s3://bucket/team/s: 1 of 3 nodes .*Give each node the store's address"):
        check_nodes(tmp_path / "s", Prefix(URI), print)


def test_one_node_is_asked_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{"NodeID": "a", "NodeName": "head", "Alive": True}])
    monkeypatch.setattr(node_checks, "unreached", lambda *_: pytest.fail("asked"))
    check_nodes(tmp_path / "s", None, print)


def test_each_node_tries_a_store_with_what_it_has_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with flat_store() as store:
        monkeypatch.setattr("search.spec.storage.filesystem", lambda *_, **__: store)
        assert unreached(tmp_path / "s", Prefix(URI), NODES, print) == {}
        store.fails = 1
        (wrong,) = unreached(tmp_path / "s", Prefix(URI), NODES, print).values()
        assert wrong.endswith(": SLOW_DOWN during X: y") and store.content == {}


def test_a_worker_knows_the_folder_of_its_driver(tmp_path: Path) -> None:
    file = tmp_path / ".owner"
    check_seen(file, "")  # not asked
    with pytest.raises(
        Unseen, match=f"does not see {tmp_path}: the search's folder is not the one that its driver has"
    ):
        check_seen(file, "host pid 1\n")
    file.write_text("another pid 2\n")  # of an earlier search of its own
    with pytest.raises(Unseen):
        check_seen(file, "host pid 1\n")
    file.write_text("host pid 1\n")
    check_seen(file, "host pid 1\n")


def test_ray_s_notes_go_where_every_node_finds_them(tmp_path: Path) -> None:
    (tmp_path / "ray" / "left").mkdir(parents=True)
    assert notes_place(tmp_path, None, own=False) == (None, str(tmp_path))
    assert not (tmp_path / "ray").exists()
    with flat_store() as store:
        place = Prefix(URI)
        place.put("ray/x/note.json", b"left")
        place.put("rays", b"kept")
        assert notes_place(tmp_path, place, own=True) == (None, str(tmp_path))
        assert notes_place(tmp_path, place, own=False) == (store, "bucket/team/s")
        assert place.sizes(recursive=True) == {"rays": 4}
