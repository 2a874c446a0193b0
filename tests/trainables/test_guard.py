"""Workers in trouble, as real processes: what they leave behind, and who ends it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from trainables.guard import HANG, MEMORY, SIGNATURE, Guard, dismiss, end_all, last_words, out_of_memory, sweep

WORKER = """
import subprocess, sys, time
from pathlib import Path
from trainables.guard import Guard, lead_group
lead_group()
folder = Path(sys.argv[1])
"""


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes to be ended after the test, whatever came of it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def worker(started: list[subprocess.Popen[str]], folder: Path, code: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", WORKER + code, str(folder)], text=True, stdout=subprocess.PIPE)
    started.append(process)
    return process


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


HANGING = """
with Guard(folder, timeout=0.5) as guard:
    with guard.watch(60):
        time.sleep(0.7)  # a beginning may take as long
    with guard.watch():
        sum(range(10**12))  # never lets go of the interpreter
"""


def test_a_hung_trial_writes_down_where_it_stood_and_exits(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    process = worker(started, tmp_path / "t", HANGING)
    assert process.wait(60) == 1
    words = last_words(tmp_path / "t")
    assert words is not None
    reason, stacks = words
    assert "within trial_timeout, 0:00:00.5" in reason and "line 12" in stacks
    assert last_words(tmp_path / "t") is None and not (tmp_path / "t" / HANG).exists()


def test_a_trial_in_time_leaves_nothing(tmp_path: Path) -> None:
    with Guard(tmp_path, timeout=60.0) as guard:
        with guard.watch():
            assert (tmp_path / SIGNATURE).exists()
        with pytest.raises(ValueError, match="mine"), guard.watch():
            raise ValueError("mine")
    assert list(tmp_path.iterdir()) == [] and last_words(tmp_path) is None


EATING = """
child = subprocess.Popen(["sleep", "600"])
print(child.pid, flush=True)
with Guard(folder, memory=300 * 2**20):
    held = []
    while True:
        held.append(bytearray(10 * 2**20))
        time.sleep(0.01)
"""


def test_a_trial_above_its_memory_is_ended_with_all_that_it_started(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    process = worker(started, tmp_path / "t", EATING)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert process.wait(60) == -signal.SIGKILL
    words = last_words(tmp_path / "t")
    assert words is not None and "out of memory" in words[0] and "0.29 GiB" in words[0] and "batch size" in words[0]
    assert not (tmp_path / "t" / MEMORY).exists()
    deadline = time.monotonic() + 10
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(child)


WORKING = """
child = subprocess.Popen(["sleep", "600"])
with Guard(folder):
    print(child.pid, flush=True)
    time.sleep(600)
"""


SIGNING = """
Guard(folder, "now").__enter__()
print(flush=True)
time.sleep(600)
"""


def test_a_worker_of_the_same_sitting_is_left_to_ray(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    """Ray has given its trial, which it was getting ready for, to an idle worker, and will end it."""
    process = worker(started, tmp_path, SIGNING)
    assert process.stdout is not None
    process.stdout.readline()
    with Guard(tmp_path, "now"):
        assert json.loads((tmp_path / SIGNATURE).read_text())["pid"] == os.getpid()
        assert process.poll() is None
        with Guard(tmp_path, "another sitting"):
            pass
    process2 = worker(started, tmp_path, SIGNING)
    assert process2.stdout is not None
    process2.stdout.readline()
    with Guard(tmp_path, "later"):
        process2.wait(30)
    assert process.poll() is None  # nothing tells of it any more


@pytest.mark.parametrize("dies", [True, False])
def test_the_worker_before_is_ended_with_all_that_it_started(
    dies: bool, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    folder = tmp_path / "trials" / "t0007"
    process = worker(started, folder, WORKING)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    if dies:
        process.kill()
        process.wait()
        assert not gone(child)  # an orphan that still holds its memory
        assert sweep(tmp_path / "trials") == 1
    else:
        assert sweep(tmp_path / "trials") == 0 and not gone(child)  # it works for somebody
        with Guard(folder):  # the trial is given to another worker
            assert json.loads((folder / SIGNATURE).read_text())["pid"] == os.getpid()
        process.wait(30)
    assert gone(child) and not (folder / SIGNATURE).exists()


def test_all_workers_of_a_search_are_ended_at_once(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    processes = [worker(started, tmp_path / "trials" / f"t000{n}", WORKING) for n in range(2)]
    children = [int(process.stdout.readline()) for process in processes if process.stdout is not None]
    end_all(tmp_path / "trials")
    assert [process.wait(30) for process in processes] == [-signal.SIGKILL] * 2
    assert sweep(tmp_path / "trials") == 2 and all(gone(child) for child in children)


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"began": 1.0}])
def test_a_process_that_only_has_the_same_number_is_left_alone(
    change: dict[str, object], tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    process = subprocess.Popen(["sleep", "600"], text=True, process_group=0)
    started.append(process)
    began = psutil.Process(process.pid).create_time()
    signature = {"host": socket.gethostname(), "pid": process.pid, "began": began, **change}
    (tmp_path / SIGNATURE).write_text(json.dumps(signature))
    dismiss(tmp_path)
    assert process.poll() is None


def test_a_torn_signature_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / SIGNATURE).write_text('{"host": "x", "pi')
    dismiss(tmp_path)
    with Guard(tmp_path):
        assert (tmp_path / SIGNATURE).exists()


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "out of memory: lower"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out of GPU memory: lower"),
        (ValueError("out of memory"), None),
    ],
)
def test_which_errors_are_about_memory(error: Exception, told: str | None) -> None:
    said = out_of_memory(error)
    assert said is None if told is None else said is not None and said.startswith(told)
