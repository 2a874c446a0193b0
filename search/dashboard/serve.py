"""Look at all searches in a browser: our live page, MLflow's pages, and Optuna's where installed.

The servers answer this machine only, unless --host says otherwise for the live page. They end with the command, by
Ctrl-C or SIGTERM, with all that they started.
"""

import argparse
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from search.common.command_line import argument_parser, complain
from search.common.exit_codes import Exit
from search.common.store_uri import mask, resolve_uri, sqlite_file, unreachable
from search.report.material import JOURNAL
from search.tracking import run_table
from spaces.problems import BadInput

HOST = "127.0.0.1"
LIVE_PORT, MLFLOW_PORT, OPTUNA_PORT = 8000, 5000, 8080
MOST_PORT = 65535
PATIENCE = 120.0  # seconds until a server must answer: MLflow imports for many of them on a busy machine
GRACE = 5.0  # seconds to end in, before it is killed
STUDY = "study.journal"
TOKEN = "SCHEDULE_SEARCH_TOKEN"  # noqa: S105 - the variable that holds it for the live page
LISTED = 8  # experiments whose pages are named


@dataclass(frozen=True)
class Service:
    """A server to be started."""

    name: str
    command: Sequence[str]
    address: str
    probe: str
    """What answers once the server is ready."""
    environment: Mapping[str, str]
    query: str = ""
    """What its address is printed with."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit code: 0 stopped by a signal, 1 a server has failed, 2 bad input."""
    options = _options(arguments)
    try:
        uri = resolve_uri(options.uri, options.results)
        services = _services(uri, options)
    except BadInput as error:
        complain(f"error: {error}")
        return Exit.BAD_INPUT
    if uri.startswith(("http://", "https://")):
        _say(f"{'MLflow':<10}{mask(uri)}   (a server that runs already)")
    return _serve(services)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argument_parser(
        "search.dashboard",
        "Look at searches in a browser.",
        (Exit.DONE, Exit.FAILED, Exit.BAD_INPUT),
        "",
        "--results other",
    )
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    parser.add_argument("--uri", help="MLflow's store; default: MLFLOW_TRACKING_URI, else mlflow.db in DIR")
    for flag, port, whose in (
        ("--port", MLFLOW_PORT, "of MLflow"),
        ("--optuna-port", OPTUNA_PORT, "of Optuna"),
        ("--live-port", LIVE_PORT, "of the live page"),
    ):
        parser.add_argument(
            flag, type=_port, default=port, metavar="PORT", help=f"{whose}; default: {port}, or a free one"
        )
    parser.add_argument("--host", default=HOST, help=f"whom the live page answers; default: {HOST}, this machine only")
    parser.add_argument(
        "--actions", action="store_true", help="let the live page stop searches and go on with them, by a token"
    )
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    """A port that may be asked for. Raises for others what argparse tells people."""
    if not text.isdecimal() or int(text) > MOST_PORT:
        raise argparse.ArgumentTypeError(f"expected a port from 0 (any free one) to {MOST_PORT}, got {text!r}")
    return int(text)


def _services(uri: str, options: argparse.Namespace) -> list[Service]:
    """What is to be started. Raises BadInput where there is nothing to look at."""
    results: Path = options.results
    taken: set[int] = set()
    found = []
    if any(results.glob(f"*/{JOURNAL}")):
        found.append(_live(results, options.host, free_port(options.live_port, taken, options.host), options.actions))
    if not uri.startswith(("http://", "https://")):
        file = sqlite_file(uri)
        if file is not None and not file.exists():  # MLflow would make an empty one
            what = "there is no such file: nothing was tracked here yet; run a search, or give --results or --uri"
            raise BadInput.of(str(file), what)
        if reason := unreachable(uri):
            raise BadInput.of(mask(uri), f"can't be used: {reason}")
        found.append(_mlflow(uri, free_port(options.port, taken)))
    if any(results.glob(f"*/{STUDY}")):
        if find_spec("optuna_dashboard") is None:
            _say(f"{'Optuna':<10}not installed; `pip install optuna-dashboard` adds its pages")
        else:
            found.append(_optuna(results, free_port(options.optuna_port, taken)))
    return found


def _live(results: Path, host: str, port: int, actions: bool) -> Service:
    address = f"http://{host}:{port}"
    token = secrets.token_urlsafe(16) if actions else ""
    command = [sys.executable, "-m", "search.dashboard.live", str(results), host, str(port)]
    query = f"/?token={token}" if token else ""
    return Service("Searches", command, address, f"{address}/state", {TOKEN: token}, query)


def _mlflow(uri: str, port: int) -> Service:
    address = f"http://{HOST}:{port}"
    # The URI goes by the environment: everyone on the machine can read a command line, and it may hold a password.
    environment = {
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # workers for language models' jobs, which we have none of
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    file = sqlite_file(uri)
    if file is not None:
        environment |= {
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{file}",
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": (file.parent / "mlartifacts").as_uri(),
        }
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    return Service("MLflow", command, address, f"{address}/health", environment)


def _optuna(results: Path, port: int) -> Service:
    address = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", "search.dashboard.studies", str(results), HOST, str(port)]
    return Service("Optuna", command, address, f"{address}/api/studies", {})


def free_port(wanted: int, taken: set[int], host: str = HOST) -> int:
    """`wanted`, or another that nobody listens on and that is not in `taken`, where it is added. Raises BadInput."""
    with socket.socket() as trial:
        try:
            trial.bind((host, 0))
        except OSError as error:
            raise BadInput.of("--host", f"{host!r} is no address of this machine: {error.strerror}") from error
    for port in (wanted, 0, 0, 0):
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that has just ended is no obstacle
            trial.bind((host, port))
            found = int(trial.getsockname()[1])
            if found not in taken:
                taken.add(found)
                return found
    raise BadInput.of(f"port {wanted}", "is taken, and no other could be had")


def _serve(services: Sequence[Service]) -> int:
    """Run the servers until a signal comes, or until one of them ends by itself."""
    stop = threading.Event()
    with _signals(stop), contextlib.ExitStack() as stack:
        running = [(service, *stack.enter_context(_started(service))) for service in services]
        for service, process, log in running:
            if not _answers(service, process, stop):
                if stop.is_set():
                    return Exit.DONE
                _say(f"{service.name} did not start: {_end_of(log)}", file_error=True)
                return Exit.FAILED
            _say(f"{service.name:<10}{service.address}{service.query}")
            if service.name == "MLflow":
                for name, page in experiments(service.address):
                    _say(f"{'':<10}{page}   {name}")
        if services:
            _say("Ctrl-C stops " + ("them" if len(services) > 1 else "it"))
        while services and not stop.wait(0.5):
            for service, process, log in running:
                if process.poll() is not None:
                    _say(f"{service.name} has ended: {_end_of(log)}", file_error=True)
                    return Exit.FAILED
    return Exit.DONE


@contextlib.contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _started(service: Service) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The server's process and what it prints; at the end it is gone, with all that it started."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(  # noqa: S603
                list(service.command),
                env={**os.environ, **service.environment},
                stdin=subprocess.PIPE,  # it breaks when we are killed: `search.dashboard.studies` ends by that
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C is for us, who end it with its children
            )
        try:
            yield process, log
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session of its own, with all its descendants: asked first, killed after `GRACE`."""
    family = _descendants(process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline and (process.poll() is None or any(map(_lives, family))):
        time.sleep(0.05)
    late = _descendants(process.pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for child in [*family, *late]:
        with contextlib.suppress(psutil.Error):
            child.kill()  # psutil knows a process by its start, too: no other one that got its number is hit
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def experiments(address: str) -> list[tuple[str, str]]:
    """The latest experiments of an MLflow server, each with the page of its runs: from its front page one comes to
    pages for language models. None where the server does not tell.
    """
    wanted = {"max_results": LISTED + 1, "order_by": ["last_update_time DESC"]}
    asked = urllib.request.Request(  # noqa: S310 - our own address
        f"{address}/api/2.0/mlflow/experiments/search",
        data=json.dumps(wanted).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
            found = json.load(answer).get("experiments", [])
    except (OSError, ValueError):
        return []
    return [(each["name"], _page(address, each)) for each in found if each["experiment_id"] != "0"][:LISTED]


def _page(address: str, experiment: Mapping[str, Any]) -> str:
    """The page of an experiment's runs, with our columns where a search has left them."""
    ours = any(tag["key"] == run_table.TAG for tag in experiment.get("tags", ()))
    view = f"&viewStateShareKey={run_table.KEY}" if ours else ""
    return f"{address}/#/experiments/{experiment['experiment_id']}/runs?workflowType=machine_learning{view}"


def _answers(service: Service, process: subprocess.Popen[bytes], stop: threading.Event) -> bool:
    """Wait until the server answers; False if it ends before, is not ready in time, or we are to stop."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None and not stop.wait(0.2):
        try:
            urllib.request.urlopen(service.probe, timeout=5).close()  # noqa: S310 - our own address
        except (OSError, ValueError):
            continue
        return True
    return False


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return mask("\n".join(lines[-5:])) or "it said nothing"


def _say(text: str, file_error: bool = False) -> None:
    print(text, file=sys.stderr if file_error else sys.stdout, flush=True)
