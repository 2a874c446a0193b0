"""The Ray cluster that a search runs on: started or joined, asked what it has, left again."""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray
from ray.tune import PlacementGroupFactory

from search.execution.capacity import Room, alive, label_selectors
from search.spec.nodes import Need
from search.spec.resources import Resources, need_of, refusal
from spaces.problems import BadInput

REACH_SECONDS = 5.0

_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files beside our own tables
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the search has its own
    "TUNE_WARN_THRESHOLD_S": "30",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "5",  # how long the end waits for a trial in the middle of its training
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # the journal is what a search is taken up from, not Ray's snapshot
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True)
class Cluster:
    """What a trial gets here, and how many trials fit at once."""

    need: Need
    room: Room
    own: bool = False
    """Whether it was started for this search, on this machine."""
    say: Callable[[str], None] = lambda _: None
    """Tells people."""

    @property
    def gpu(self) -> float:
        """GPUs of one trial."""
        return self.need.gpu

    @property
    def workers(self) -> int:
        """Trials at once, now."""
        return self.room()

    def request(self) -> PlacementGroupFactory:
        """What Ray is to set aside for a trial."""
        return PlacementGroupFactory([dict(self.need.resources)], bundle_label_selector=label_selectors(self.need))


@contextmanager
def connected(
    address: str | None, resources: Resources, say: Callable[[str], None] = lambda _: None
) -> Iterator[Cluster]:
    """Join the cluster at `address` (None: RAY_ADDRESS, else a fresh one on this machine) and leave it at the end.

    `say` hears of nodes that come and go. Raises BadInput where it can't be reached or no node of it can ever run a
    trial.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    _reach(where)
    try:
        _connect(where)
    except Exception as error:  # Ray raises bare ones, too, as for a node that did not start in time
        if where == "local":
            what = f"Ray did not start on this machine: {error}; the same command tries again"
            raise BadInput.of("Ray", what) from error
        hint = "if it asks for a token, set RAY_AUTH_MODE=token, and the token as RAY_AUTH_TOKEN or in its file"
        raise BadInput.of(f"--address {where}", f"no Ray cluster answers there: {error}; {hint}") from error
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a failed trial is told in one line, its log has the rest
    try:
        yield _fit(resources, where == "local", say)
    finally:
        ray.shutdown()


def restart() -> None:
    """End the cluster that was started for this search, whatever its processes are about, and start a fresh one."""
    ray.shutdown()
    _connect("local")


def _reach(where: str) -> None:
    """Raise BadInput where nothing listens: Ray would try for half a minute. `auto` and `local` are left to Ray."""
    host, _, port = where.rpartition("/")[2].rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        what = f"nothing answers there within {REACH_SECONDS:g} s ({error}); is the head up, and its port open to you?"
        raise BadInput.of(f"--address {where}", what) from error


def _connect(where: str) -> None:
    ray.init(
        address=where,
        include_dashboard=False if where == "local" else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def _fit(resources: Resources, own: bool, say: Callable[[str], None]) -> Cluster:
    nodes = alive()
    why = refusal(resources, nodes, own)
    if why is not None:
        raise BadInput.of("resources", why)
    need = need_of(resources, nodes)
    return Cluster(need, Room(need, resources.max_concurrent, own, say), own, say)
