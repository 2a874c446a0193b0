"""A Ray cluster of several real nodes on this machine whose nodes can be added and killed, and a model for it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FAKE_HEAD_NODE_TYPE
from ray.cluster_utils import Cluster
from ray.util import get_node_ip_address

from search.history.events import Event
from search.history.journal import read

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
LOG = "trained.txt"

# A model that only this folder holds: a closed form that takes its time, and writes down each evaluation that begins.
HEAD = "import os\nimport time\n\n"
TRAIN = """\
        line = f"{self._config.alpha!r} {self._config.beta!r} {self._config.rate!r} {until}\\n"
        with (Path(__file__).parent / "trained.txt").open("a", encoding="utf-8") as file:
            file.write(line)
        time.sleep(float(os.environ.get("PACE", "0.2")))
        self._step = until
"""
SEARCH = """\
model: mine
data: {}
space: {alpha: {float: [0, 1]}, beta: {float: [0, 1]}, rate: {float: [1e-3, 1], log: true}}
budget: {trials: 18, steps: 9 steps, evaluate_every: 1 step}
early_stopping: {kind: asha, first_rung: 1}
sampler: {kind: random, seed: 0}
confirm: {top: 1, seeds: 2}
"""


class Nodes:
    """Nodes that come and go. Only what was started here is ended."""

    def __init__(self) -> None:
        self._cluster = Cluster()
        self.up: list[Any] = []

    @property
    def address(self) -> str:
        """For `--address`."""
        return str(self._cluster.address)

    def add(self, **having: Any) -> str:
        """A node more; its id."""
        node = self._cluster.add_node(include_dashboard=False, **{"num_cpus": 1, **having})
        self.up.append(node)
        return str(node.node_id)

    def kill(self, node_id: str) -> None:
        """Kill -9 of the node's raylet."""
        (node,) = [each for each in self.up if each.node_id == node_id]
        self.up.remove(node)
        node.kill_raylet(check_alive=False)

    def end(self) -> None:
        """End them all."""
        self._cluster.shutdown()


@contextmanager
def nodes(folder: Path, **environment: str) -> Iterator[Nodes]:
    """A cluster whose workers find the model in `folder`; without a node."""
    short = tempfile.mkdtemp(prefix="el")  # sockets lie in it
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("RAY_", "TUNE_"))]:
            patch.delenv(name)
        made = {"RAY_TMPDIR": short, "RAY_USAGE_STATS_ENABLED": "0", **seen_by_all(folder), **environment}
        for name, value in made.items():
            patch.setenv(name, value)
        found = Nodes()
        try:
            yield found
        finally:
            found.end()
            shutil.rmtree(short, ignore_errors=True)


def seen_by_all(folder: Path) -> dict[str, str]:
    """What driver and workers need in their environment to find the model, and each other without a token."""
    model = {"SCHEDULE_SEARCH_MODELS": "mine=mine", "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return {**model, "RAY_AUTH_MODE": "disabled"}


def write_client(folder: Path) -> Path:
    """The folder, with a search and its model."""
    folder.mkdir(exist_ok=True)
    model = (ROOT / "benchmarks" / "trivial.py").read_text().replace('"trivial"', '"mine"')
    slow = model.replace("        self._step = until\n", TRAIN).replace("from pathlib", HEAD + "from pathlib")
    assert slow.count("time.sleep") == 1
    (folder / "mine.py").write_text(slow)
    (folder / "search.yaml").write_text(SEARCH)
    return folder


def happened(folder: Path, name: str) -> list[Event]:
    """What the search's journal holds."""
    journal = folder / "results" / name / "journal.jsonl"
    return read(journal)[0] if journal.exists() else []


def wait_until(happened: Callable[[], object], what: str) -> None:
    """Raise AssertionError where it doesn't happen in time."""
    until = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < until, f"{what}: not within {PATIENCE:g} s"
        time.sleep(0.2)


@contextmanager
def growing(folder: Path, most: int, **environment: str) -> Iterator[str]:
    """A cluster whose own autoscaler adds nodes of one CPU, up to `most`, where Ray asks for them, and ends idle ones;
    its address. Ray's provider for tests starts them on this machine; the head has no CPU.
    """
    short = tempfile.mkdtemp(prefix="el")
    ip, port = get_node_ip_address(), free_port()
    worker = {"resources": {"CPU": 1, "object_store_memory": 10**8}, "node_config": {}, "max_workers": most}
    head_kind = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    nothing = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    config = {
        "cluster_name": "growing",
        "max_workers": most,
        "upscaling_speed": 10.0,
        "idle_timeout_minutes": 5,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": f"{ip}:{port}",
            "launch_multiple": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "use_node_id_as_ip": True,  # all nodes are of one address here: else they stay "pending" for the autoscaler
        },
        "available_node_types": {"worker": {"min_workers": 0, **worker}, FAKE_HEAD_NODE_TYPE: head_kind},
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "auth": {},
        **{f"{name}_commands": [] for name in nothing},
    }
    path = Path(short, "autoscaling.json")
    path.write_text(json.dumps(config))
    own = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "TUNE_"))}
    own |= {"RAY_TMPDIR": short, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", **seen_by_all(folder)}
    own |= {
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
    }
    words = ["--head", f"--port={port}", f"--autoscaling-config={path}", "--num-cpus=0", "--include-dashboard=false"]
    words += ["--disable-usage-stats", "--block", f"--ray-client-server-port={free_port()}"]
    words += [f"--dashboard-agent-listen-port={free_port()}"]
    with Path(short, "head.txt").open("wb") as output:
        head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", *words],
            env={**own, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield f"{ip}:{port}"
    finally:
        mine = [each for each in psutil.process_iter() if _is_of(each, short)]
        for process in mine:
            process.kill()
        head.wait(timeout=30)
        psutil.wait_procs(mine, timeout=20)
        shutil.rmtree(short, ignore_errors=True)


def _is_of(process: psutil.Process, place: str) -> bool:
    try:
        return process.environ().get("RAY_TMPDIR") == place
    except (psutil.Error, OSError):
        return False


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
