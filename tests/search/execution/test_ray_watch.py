import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest

from search.execution import ray_watch
from search.execution.ray_watch import RayWatch

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
