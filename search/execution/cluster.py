"""The Ray cluster that a search runs on: started or joined, asked what it has, left again."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import ray
from ray._private import services, worker
from ray.air._internal import usage
from ray.tune import PlacementGroupFactory

from search.execution.capacity import Room, alive, label_selectors
from search.execution.ray_needs import check_address_space, keep_sockets_short, remedy
from search.execution.ray_watch import RayWatch, end_orphans
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
    "RAY_prestart_worker_first_driver": "0",  # a process per CPU, which no trial ever used
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
    watch: RayWatch = field(default_factory=lambda: RayWatch(lambda _: None))
    """Notices that Ray's own processes have ended."""

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

    def restart(self) -> None:
        """End Ray, which was started for this search, whatever its processes are about, and start it afresh."""
        self.watch.end()
        ray.shutdown()
        _connect("local")
        self.watch.begin(own=True)


@contextmanager
def connected(
    address: str | None,
    resources: Resources,
    say: Callable[[str], None] = lambda _: None,
    gone: Callable[[str], None] = lambda _: None,
) -> Iterator[Cluster]:
    """Join a Ray cluster, and leave it at the end.

    Args:
        address: Of the cluster; None: RAY_ADDRESS, else a fresh one on this machine.
        resources: What a trial needs.
        say: Hears of nodes that come and go.
        gone: Is called in a thread of its own, with the reason, when Ray's own processes have ended.

    Raises:
        BadInput: It can't be reached, or no node of it can ever run a trial.

    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    _reach(where)
    check_address_space()
    if where == "local":
        keep_sockets_short(say)
    try:
        _connect(where)
    except Exception as error:  # Ray raises bare ones, too, as for a node that did not start in time
        if where == "local":
            raise BadInput.of("Ray", f"Ray did not start on this machine: {error}; {remedy(error)}") from error
        hint = "if it asks for a token, set RAY_AUTH_MODE=token, and the token as RAY_AUTH_TOKEN or in its file"
        raise BadInput.of(f"--address {where}", f"no Ray cluster answers there: {error}; {hint}") from error
    usage._count_callbacks = lambda _: {}  # it imports MLflow, 2 s, to tell whether our callback is one of Ray's own
    worker._worker_logs_enabled = False  # a worker that died is told as its trial's failure; Ray's text is of no use
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a failed trial is told in one line, its log has the rest
    watch = RayWatch(gone)
    try:
        cluster = replace(_fit(resources, where == "local", say), watch=watch)
        watch.begin(cluster.own)
        yield cluster
    finally:
        watch.end()
        ray.shutdown()


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
    """Connect to Ray; where it is started, in process groups of its own: a signal to the group of this process, as
    `timeout` and a closed terminal send it, is for this process alone, which ends Ray in order.
    """
    if where == "local":
        end_orphans()
    before, started = signal.getsignal(signal.SIGTERM), services.ConsolePopen
    services.ConsolePopen = partial(started, process_group=0)  # Ray has no setting for it
    try:
        ray.init(
            address=where,
            include_dashboard=False if where == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    finally:
        services.ConsolePopen = started
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray's own handler would end this process without a word


def _fit(resources: Resources, own: bool, say: Callable[[str], None]) -> Cluster:
    nodes = alive()
    why = refusal(resources, nodes, own)
    if why is not None:
        raise BadInput.of("resources", why)
    need = need_of(resources, nodes)
    return Cluster(need, Room(need, resources.max_concurrent, own, say), own, say)
