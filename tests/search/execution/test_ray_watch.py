import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import ray

from search.execution import ray_watch
from search.execution.ray_watch import MARK, RayWatch, end_orphans

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def process() -> "subprocess.Popen[bytes]":
    with subprocess.Popen(SLEEP) as child:
        yield child  # type: ignore[misc]
        child.kill()


@pytest.fixture(autouse=True)
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What listens where the GCS should."""
    monkeypatch.setattr(ray_watch, "PROBE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(ray_watch, "gcs_address", lambda: f"127.0.0.1:{server.getsockname()[1]}")
        yield server


class Heard:
    """Takes the reason."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.event = threading.Event()

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)
        self.event.set()


@pytest.mark.parametrize("descriptors", [True, False])
def test_the_end_of_a_process_is_noticed_once(
    process: "subprocess.Popen[bytes]", descriptors: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not descriptors:  # as on a system without them
        monkeypatch.setattr(ray_watch, "_descriptors", lambda _: None)
    monkeypatch.setattr(ray_watch, "own_processes", lambda: {"GCS": psutil.Process(process.pid)})
    heard = Heard()
    watch = RayWatch(heard)
    watch.begin(own=True)
    assert not heard.event.wait(1)
    process.kill()
    assert heard.event.wait(60)
    assert heard.reasons == ["Ray's GCS ended (killed, or out of memory)"]


def test_an_end_that_is_meant_is_none_of_its_business(
    process: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_watch, "own_processes", lambda: {"raylet": psutil.Process(process.pid)})
    heard = Heard()
    watch = RayWatch(heard)
    watch.begin(own=True)
    watch.end()
    process.kill()
    assert not heard.event.wait(1)


def test_a_gcs_that_hangs_in_its_own_end_is_noticed(
    process: "subprocess.Popen[bytes]", gcs: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a SIGTERM to every process it may close its port and never end."""
    monkeypatch.setattr(ray_watch, "own_processes", lambda: {"GCS": psutil.Process(process.pid)})
    heard = Heard()
    RayWatch(heard).begin(own=True)
    assert not heard.event.wait(1)
    gcs.close()
    assert heard.event.wait(60)
    assert heard.reasons == ["Ray's GCS ended (it takes no calls any more)"]


def test_what_a_raylet_that_is_gone_has_left_is_ended_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARK, "")  # to be as it was afterwards
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    living, dead = {"RAY_RAYLET_PID": str(os.getpid())}, {"RAY_RAYLET_PID": str(gone.pid)}
    raylet = tmp_path / "raylet"
    shutil.copy("/bin/bash", raylet)
    cases = {
        "left behind": (SLEEP, {MARK: "1", **dead}),
        "not started by a search": (SLEEP, dead),
        "not started by a raylet": (SLEEP, {MARK: "1"}),
        "of a raylet that lives": (SLEEP, {MARK: "1", **living}),
        "of a raylet with another number here": (
            [str(raylet), "-c", f"{MARK}=1 RAY_RAYLET_PID={gone.pid} {shlex.join(SLEEP)}; true"],
            {},
        ),
    }
    killed = []
    monkeypatch.setattr(psutil.Process, "kill", lambda self: killed.append(self.pid))
    with ExitStack() as stack:
        children = {}
        for what, (words, more) in cases.items():
            environment = {k: v for k, v in os.environ.items() if k not in (MARK, "RAY_RAYLET_PID")} | more
            children[what] = child = stack.enter_context(subprocess.Popen(words, env=environment))
            stack.callback(child.kill)
        shell = psutil.Process(children["of a raylet with another number here"].pid)
        while not (of_shell := shell.children()) or MARK not in of_shell[0].environ():
            time.sleep(0.01)
        stack.callback(os.kill, of_shell[0].pid, signal.SIGKILL)
        end_orphans()
    assert killed == [children["left behind"].pid]
    assert os.environ[MARK] == "1"


class Listed:
    """A process of this machine, as psutil shows it; what is an error is raised."""

    def __init__(self, name: str | Exception, *words: str, status: str | Exception = "running") -> None:
        self.pid, self._name, self._words, self.state = os.getpid(), name, words, status

    def name(self) -> str:
        if isinstance(self._name, Exception):
            raise self._name
        return self._name

    def cmdline(self) -> list[str]:
        return [*self._words]

    def is_running(self) -> bool:
        return True

    def status(self) -> str:
        if isinstance(self.state, Exception):
            raise self.state
        return self.state


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[Listed]:
    """The processes beside this one, which has joined a cluster as node `ab`."""
    listed: list[Listed] = []
    monkeypatch.setattr(ray_watch, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(psutil, "process_iter", lambda: iter(listed))
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "ab"))
    return listed


@pytest.mark.parametrize("state", [psutil.STATUS_ZOMBIE, psutil.NoSuchProcess(1)])
@pytest.mark.parametrize("descriptors", [True, False])
def test_of_a_joined_cluster_its_own_raylet_is_watched(
    joined: list[Listed], state: str | Exception, descriptors: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not descriptors:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    mine = Listed("raylet", "raylet", "--node_id=ab")
    others = [Listed("raylet", "raylet", "--node_id=cd", status=psutil.STATUS_ZOMBIE), Listed("vim", "--node_id=ab")]
    joined += [Listed(psutil.AccessDenied(1)), *others, mine]
    heard = Heard()
    watch = RayWatch(heard)
    watch.begin(own=False)
    mine.state = state
    assert heard.event.wait(60)
    assert heard.reasons == ["Ray's raylet on this machine ended (killed, or out of memory)"]


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), OSError("no route to host")])
def test_another_machines_gcs_that_is_silent_for_long_is_gone(
    joined: list[Listed], error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, heard = failing(error, monkeypatch), Heard()
    RayWatch(heard).begin(own=False)
    assert heard.event.wait(60)
    (reason,) = heard.reasons
    assert reason.startswith("Ray's GCS at 127.0.0.1:") and reason.endswith(" has not answered for 0 s")
    assert len(asked) > 1 and {host for host, _ in asked} == {"127.0.0.1"}


def test_a_gcs_of_this_machine_that_is_slow_is_there(joined: list[Listed], monkeypatch: pytest.MonkeyPatch) -> None:
    asked, heard = failing(TimeoutError(), monkeypatch), Heard()
    monkeypatch.setattr(ray_watch, "own_processes", dict)
    watch = RayWatch(heard)
    watch.begin(own=True)
    while len(asked) < 5:
        assert not heard.event.wait(0.001)
    watch.end()
    assert not heard.reasons


def failing(error: OSError, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """No connection comes about, and none is waited for; where to they were asked for."""
    monkeypatch.setattr(ray_watch, "PROBE_SECONDS", 0.0)
    monkeypatch.setattr(ray_watch, "SILENT_SECONDS", 0.0)
    asked: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append(address)
        raise error

    monkeypatch.setattr(socket, "create_connection", connect)
    return asked
