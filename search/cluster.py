"""The Ray cluster that a search runs on: started or joined, asked what it has, left again."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import ray

from search.config import Resources
from spaces.problems import BadInput

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

    cpu: float
    gpu: float
    workers: int
    own: bool = False
    """Whether it was started for this search, on this machine."""


@contextmanager
def connected(address: str | None, resources: Resources) -> Iterator[Cluster]:
    """Join the cluster at `address` (None: RAY_ADDRESS, else a fresh one on this machine) and leave it at the end.

    Raises BadInput where it can't be reached or no node of it can ever run a trial.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    try:
        _connect(where)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BadInput.of(f"--address {where}", f"no Ray cluster answers there: {error}") from error
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a failed trial is told in one line, its log has the rest
    try:
        yield replace(_fit(resources), own=where == "local")
    finally:
        ray.shutdown()


def restart() -> None:
    """End the cluster that was started for this search, whatever its processes are about, and start a fresh one."""
    ray.shutdown()
    _connect("local")


def _connect(where: str) -> None:
    ray.init(
        address=where,
        include_dashboard=False if where == "local" else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def _fit(resources: Resources) -> Cluster:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most_gpus = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    gpu = float(most_gpus >= 1) if resources.gpu == "auto" else resources.gpu
    problems = []
    for name, wanted in (("CPU", resources.cpu), ("GPU", gpu)):
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if wanted > most:
            problems.append(f"{wanted:g} {name}s per trial, but the largest node has {most:g}")
    if problems:
        raise BadInput.of("resources", f"no node can run a trial: {'; '.join(problems)}. Ask for less, or add a node")
    workers = sum(
        int(min(node.get("CPU", 0.0) / resources.cpu, node.get("GPU", 0.0) / gpu if gpu else float("inf")))
        for node in nodes
    )
    if workers < 1:
        raise BadInput.of("resources", "no single node has both the CPUs and the GPUs that a trial asks for")
    return Cluster(resources.cpu, gpu, workers)
