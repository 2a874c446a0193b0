import subprocess
import sys
import threading

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
