"""Whether all nodes of a cluster reach what a search is kept in: found out by trying, before anything is written.

A node that doesn't would train in a folder of its own: each trial that comes there would begin anew, in silence.
"""

import secrets
import shutil
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.spec.storage import trouble
from spaces.problems import BadInput
from trainables.objects import Prefix
from trainables.storage import Unseen, check_seen

TELL_SECONDS = 10.0  # a node may have to make the job's environment first
GIVE_UP_SECONDS = 3600.0
SHOWN = 5  # nodes
RAY = "ray"  # folder of Ray's notes

Say = Callable[[str], None]
Look = Callable[[str, str, str], str | None]
"""(token's file or a store's URI, its content, name of the answer) -> what is wrong, seen from a node."""


def check_nodes(path: Path, store: Prefix | None, say: Say) -> None:
    """Raise BadInput where the cluster has several nodes and some don't reach the search's folder, or its store."""
    nodes = {str(node["NodeID"]): str(node["NodeName"]) for node in ray.nodes() if node["Alive"]}
    if len(nodes) < 2:
        return
    blind = unreached(path, store, nodes, say)
    if not blind:
        return
    names = sorted({nodes[node] for node in blind})
    who = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    first = next(iter(blind.values()))
    said = f"{len(blind)} of {len(nodes)} nodes don't reach it ({who}): {first}. "
    if store is None:
        what = "Trials there would keep their checkpoints where no other node finds them. Give a folder that all nodes "
        raise BadInput.of(
            str(path.parent), f"{said}{what}share, as in --storage /nfs/searches, or --storage s3://BUCKET/…"
        )
    raise BadInput.of(str(store), f"{said}Give each node the store's address and credentials")


def unreached(path: Path, store: Prefix | None, nodes: Mapping[str, str], say: Say) -> dict[str, str]:
    """Of the nodes (id -> name) those that don't reach what the search in the folder `path` is kept in, and why.

    A node that is lost meanwhile is left out. Raises BadInput where this process can't write there.
    """
    if store is not None:
        return _blind(_asked(store.uri, "", nodes, say, _look_at_store))
    made = _make(path.parent)
    token = path.parent / f".seen-{secrets.token_hex(6)}"
    try:
        token.write_text(token.name, encoding="utf-8")
        told = _asked(str(token.absolute()), token.name, nodes, say, _look_at_folder)
        blind = _blind(told)
        for node in told.keys() - blind.keys():
            try:
                check_seen(token.with_name(f"{token.name}-{node}"), token.name)
            except Unseen:
                blind[node] = "what is written there is not seen here"
        return blind
    except OSError as error:
        what = f"nothing can be written here ({error.strerror}); choose another --storage or --results"
        raise BadInput.of(str(path.parent), what) from error
    finally:
        for file in path.parent.glob(f"{token.name}*"):
            file.unlink(missing_ok=True)
        for folder in made:
            with suppress(OSError):  # in use by now
                folder.rmdir()


def notes_place(folder: Path, store: Prefix | None, own: bool) -> tuple[Any, str]:
    """Where Ray may keep its notes on paused trials while a stage runs, emptied: as `RunConfig` takes it
    (`storage_filesystem`, `storage_path`). Below the search's folder; below its store where there may be other nodes
    (`own`: none will be), as a trial is taken up again wherever there is room.
    """
    shutil.rmtree(folder / RAY, ignore_errors=True)  # of an earlier sitting or stage; nothing in it is needed
    if store is None or own:
        return None, str(folder.resolve())
    store.clear(RAY)
    return store.filesystem, store.path


def _make(folder: Path) -> list[Path]:
    """Make the folder; those that were made, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"can't be made ({error.strerror}); choose another --storage or --results"
        raise BadInput.of(str(folder), what) from error
    return missing


def _blind(told: Mapping[str, str | None]) -> dict[str, str]:
    return {node: wrong for node, wrong in told.items() if wrong is not None}


def _asked(where: str, content: str, nodes: Mapping[str, str], say: Say, look: Look) -> dict[str, str | None]:
    """What is wrong by each node, None where nothing is; a node that is lost meanwhile is left out."""
    task = ray.remote(look)
    asked = {}
    for node in nodes:
        pinned = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": pinned}
        asked[task.options(**options).remote(where, content, node)] = node
    told: dict[str, str | None] = {}
    done, waiting = ray.wait(list(asked), num_returns=len(asked), timeout=TELL_SECONDS)
    if waiting:
        say(f"waiting for {len(waiting)} of {len(asked)} nodes to get ready")
        done, waiting = ray.wait(list(asked), num_returns=len(asked), timeout=GIVE_UP_SECONDS)
    for reference in done:
        try:
            wrong = ray.get(reference)
        except RayError as error:
            if asked[reference] not in {str(node["NodeID"]) for node in ray.nodes() if node["Alive"]}:
                continue
            wrong = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        told[asked[reference]] = wrong
    return {**told, **{asked[reference]: "no answer" for reference in waiting}}


def _look_at_folder(where: str, content: str, node: str) -> str | None:
    """On a node: read the token, and write an answer beside it."""
    token = Path(where)
    try:
        check_seen(token, content)
        token.with_name(f"{token.name}-{node}").write_text(content, encoding="utf-8")
    except Unseen:
        return f"{socket.gethostname()} sees another folder there, or none"
    except OSError as error:
        return f"{socket.gethostname()} can't write there ({error.strerror})"
    return None


def _look_at_store(where: str, content: str, node: str) -> str | None:  # noqa: ARG001 - as for a folder
    """On a node: write, list, read and delete an object."""
    wrong = trouble(Prefix(where))
    return None if wrong is None else f"{socket.gethostname()}: {wrong}"
