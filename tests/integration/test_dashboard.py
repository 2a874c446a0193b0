"""The dashboard as a user starts and stops it."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import tracked_search

from search.dashboard.serve import free_port

pytestmark = pytest.mark.integration


class Dashboard:
    """`python -m search.dashboard`, and what it has said."""

    def __init__(self, results: Path, environment: dict[str, str], *words: str) -> None:
        command = [sys.executable, "-m", "search.dashboard", "--results", str(results), *words]
        self.process = subprocess.Popen(
            command, env=environment, cwd=results.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.said = ""

    def wait_for(self, text: str, seconds: float = 180.0) -> None:
        assert self.process.stdout is not None
        end = time.monotonic() + seconds
        while text not in self.said:
            assert time.monotonic() < end, f"it only said: {self.said}"
            ready, _, _ = select.select([self.process.stdout], [], [], 1.0)
            if ready:
                piece = os.read(self.process.stdout.fileno(), 65536)
                assert piece, f"it ended: {self.said}"
                self.said += piece.decode()

    @property
    def addresses(self) -> dict[str, str]:
        return dict(re.findall(r"^(MLflow|Optuna) +(http://127\.0\.0\.1:\d+)", self.said, re.MULTILINE))

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        """End it whatever the test came to; without it, what it started would be left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("dashboard") / "results"
    tracked_search.make(results)
    return results


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_both_servers_answer_and_end_with_the_command(
    results: Path, environment: dict[str, str], taken: int, number: signal.Signals
) -> None:
    study = results / "demo" / "study.journal"
    before = study.read_bytes()
    dashboard = Dashboard(results, environment, "--port", str(taken), "--optuna-port", "0")
    try:
        dashboard.wait_for("Ctrl-C stops them")
        addresses = dashboard.addresses
        assert set(addresses) == {"MLflow", "Optuna"} and len(set(addresses.values())) == 2
        assert not addresses["MLflow"].endswith(f":{taken}")
        asked = urllib.request.Request(  # noqa: S310 - our own address
            f"{addresses['MLflow']}/api/2.0/mlflow/experiments/search",
            data=b'{"max_results": 9}',
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
            names = [each["name"] for each in json.load(answer)["experiments"]]
        assert "fits" in names
        page = f"{addresses['MLflow']}/#/experiments/1/runs?workflowType=machine_learning"
        assert f"          {page}&viewStateShareKey=schedule_search   fits\n" in dashboard.said
        with urllib.request.urlopen(f"{addresses['Optuna']}/api/studies", timeout=30) as answer:  # noqa: S310
            assert [each["study_name"] for each in json.load(answer)["study_summaries"]] == ["demo"]
        family = dashboard.family()
        assert len(family) >= 3  # MLflow has a process of uvicorn's below its own
        dashboard.process.send_signal(number)
        assert dashboard.process.wait(30) == 0
        assert [process for process in family if lives(process)] == []
        assert study.read_bytes() == before
    finally:
        dashboard.kill()


def refused(tmp_path: Path, environment: dict[str, str], *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "search.dashboard", *words]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_nothing_to_look_at(tmp_path: Path, environment: dict[str, str]) -> None:
    code, said = refused(tmp_path, environment)
    assert code == 2 and "results/mlflow.db: there is no such file" in said
    assert list(tmp_path.iterdir()) == []
    code, said = refused(tmp_path, environment, "--uri", "postgresql://me:hunter2@127.0.0.1:9/mlflow")
    assert code == 2 and "can't be used" in said and "hunter2" not in said


def test_a_server_that_runs_already_is_named_and_not_started(tmp_path: Path, environment: dict[str, str]) -> None:
    code, said = refused(tmp_path, {**environment, "MLFLOW_TRACKING_URI": "https://me:hunter2@tracking:5000"})
    assert code == 0
    assert said == "MLflow    https://***@tracking:5000   (a server that runs already)\n"


def test_a_port_that_is_taken_is_replaced(taken: int) -> None:
    known: set[int] = set()
    found = free_port(taken, known)
    assert found != taken
    assert free_port(found, known) != found
    assert len(known) == 2
