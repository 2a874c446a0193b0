"""The command that starts the dashboards' servers, and ends them: within this process, its servers real ones."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from optuna.study import StudyDirection

from benchmarks.report_folder import Story, make_folder
from search.dashboard import serve
from search.sampling.study import StudyFile
from search.tracking import run_table

ELSEWHERE = "http://tracking.example:5000"
"""A server that runs already: nothing is started for it."""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A search's folder, with a study."""
    make_folder(tmp_path / "s", Story(trials=3, failing=0, retried=0, finished=True))
    StudyFile(tmp_path / "s" / "study.journal", "s", StudyDirection.MINIMIZE, "mae").write([])
    return tmp_path


class Served:
    """The command in this process, whose lines are `done` when one of them is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, then: Callable[["Served"], None]) -> None:
        self.said: list[str] = []
        self.family: list[psutil.Process] = []

        def say(text: str, file_error: bool = False) -> None:
            self.said.append(("error: " if file_error else "") + text)
            if text.startswith("Ctrl-C stops"):
                children = psutil.Process().children(recursive=True)
                self.family = [each for each in children if any("search.dashboard." in word for word in each.cmdline())]
                then(self)

        monkeypatch.setattr(serve, "_say", say)

    def code(self, results: Path, *words: str) -> int:
        ports = ("--live-port", "0", "--optuna-port", "0", "--port", "0")
        return serve.main(["--results", str(results), "--uri", ELSEWHERE, *ports, *words])

    def address(self, name: str) -> str:
        (line,) = [line for line in self.said if line.startswith(name)]
        return line.split()[1]


def got(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - our own
        return bytes(answer.read())


def test_both_pages_answer_until_a_signal_comes_and_nothing_is_left(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna_dashboard")
    answers: dict[str, Any] = {}

    def then(served: Served) -> None:
        page, token = served.address("Searches").split("/?token=")
        answers["live"] = got(page + "/state")
        answers["studies"] = json.loads(got(served.address("Optuna") + "/api/studies"))
        answers["token"] = token
        os.kill(os.getpid(), signal.SIGTERM)

    served = Served(monkeypatch, then)
    assert served.code(results, "--actions") == 0
    assert b'"s"' in answers["live"] and len(answers["token"]) > 20
    assert [each["study_name"] for each in answers["studies"]["study_summaries"]] == ["s"]
    assert served.said[0].startswith("MLflow") and "a server that runs already" in served.said[0]
    assert served.said[-1] == "Ctrl-C stops them"
    assert len(served.family) == 2 and not any(process.is_running() for process in served.family)


def test_a_server_that_ends_by_itself_ends_the_command(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (results / "s" / "study.journal").unlink()

    def then(served: Served) -> None:
        for process in served.family:
            process.kill()

    served = Served(monkeypatch, then)
    assert served.code(results) == 1
    assert served.said[-2:] == ["Ctrl-C stops it", "error: Searches has ended: it said nothing"]


def broken(folder: Path, *lines: str) -> str:
    """An interpreter that says something and fails."""
    program = folder / "python"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}' >&2\n" for line in lines) + "exit 3\n")
    program.chmod(0o755)
    return str(program)


def test_a_server_that_does_not_start_says_why_without_its_password(
    results: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    store = results / "mlflow.db"
    store.touch()
    words = [f"line {number}" for number in range(9)] + ["no postgresql://me:hunter2@db/x"]
    monkeypatch.setattr(sys, "executable", broken(results, *words))
    for name in ("journal.jsonl", "study.journal"):
        (results / "s" / name).unlink()
    assert serve.main(["--results", str(results), "--uri", f"sqlite:///{store}", "--port", "0"]) == 1
    said = capfd.readouterr()
    assert "MLflow did not start: line 5\nline 6\nline 7\nline 8\nno postgresql://***@db/x" in said.err
    assert "hunter2" not in said.err + said.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_a_server_answers_ends_the_command(
    results: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    (results / "s" / "study.journal").unlink()
    started = subprocess.Popen

    def popen(command: Sequence[str], **options: Any) -> Any:
        os.kill(os.getpid(), number)
        return started([sys.executable, "-c", "import time; time.sleep(60)"], **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    before = signal.getsignal(number)
    served = Served(monkeypatch, lambda _: None)
    assert served.code(results) == 0
    assert len(served.said) == 1  # of the server elsewhere
    assert signal.getsignal(number) is before


def test_without_its_package_optunas_pages_are_offered(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda _: None)
    (results / "s" / "journal.jsonl").unlink()
    served = Served(monkeypatch, lambda _: None)
    assert served.code(results) == 0
    assert served.said[0] == "Optuna    not installed; `pip install optuna-dashboard` adds its pages"


def test_a_host_that_is_not_this_machines_is_refused(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["--results", str(results), "--uri", ELSEWHERE, "--host", "203.0.113.7"]) == 2
    assert "--host: '203.0.113.7' is no address of this machine" in capfd.readouterr().err


def test_a_process_that_heeds_no_signal_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "GRACE", 0.3)
    program = "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    program += "child = subprocess.Popen(['sleep', '60'], start_new_session=True); print(child.pid, flush=True); "
    command = [sys.executable, "-c", program + "time.sleep(60)"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline()))
    serve.end(process)
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    child.wait(30)


@pytest.fixture
def tracking() -> Iterator[Callable[[bytes], str]]:
    """Starts a server that gives one answer; returns its address."""
    servers: list[HTTPServer] = []

    def answering(content: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield answering
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_latest_experiments_are_named_with_the_page_of_their_runs(tracking: Callable[[bytes], str]) -> None:
    ours = {"experiment_id": "3", "name": "fits", "tags": [{"key": run_table.TAG, "value": "1"}]}
    others = [{"experiment_id": str(number), "name": f"of {number}"} for number in (0, *range(10, 20))]
    address = tracking(json.dumps({"experiments": [ours, *others]}).encode())
    found = serve.experiments(address)
    page = f"{address}/#/experiments/3/runs?workflowType=machine_learning"
    assert found[0] == ("fits", f"{page}&viewStateShareKey={run_table.KEY}")
    assert found[1] == ("of 10", page.replace("/3/", "/10/"))
    assert len(found) == serve.LISTED


def test_a_tracking_server_that_does_not_tell_its_experiments_is_no_obstacle(tracking: Callable[[bytes], str]) -> None:
    assert serve.experiments(tracking(b"<html>")) == [] == serve.experiments(tracking(b"{}"))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert serve.experiments(f"http://127.0.0.1:{nobody.getsockname()[1]}") == []


@pytest.mark.parametrize("port", ["99999", "-5", "http"])
def test_a_port_that_can_not_be_is_told(results: Path, capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit) as ended:
        serve.main(["--results", str(results), "--live-port", port])
    assert ended.value.code == 2
    assert (
        f"argument --live-port: expected a port from 0 (any free one) to 65535, got '{port}'" in capsys.readouterr().err
    )
