"""PostgreSQL and `mlflow server` as processes of a test's own; and what a store must hold of a search."""

import json
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.faults_arena import free_port
from search.history.events import Ended, Event, Proposed, Reported, Status
from search.tracking.updates import RunStatus, text
from trainables.run import OBJECTIVE, SECONDS

PATIENCE = 120.0  # seconds that a start may take
ACCOUNT = "postgres"  # whom PostgreSQL runs as where a test runs as root, which it refuses
SHOWN: dict[Status, RunStatus] = {
    "completed": "FINISHED",
    "stopped": "KILLED",
    "diverged": "FAILED",
    "failed": "FAILED",
}


def no_postgres() -> str | None:
    """Why PostgreSQL can't be tested here, or None."""
    if _program("initdb") is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    try:
        import psycopg  # noqa: F401 - tried only
    except ImportError:
        return "psycopg is not installed (pip install 'psycopg[binary]')"
    if os.geteuid() == 0 and not _has_account():
        return f"there is no user {ACCOUNT!r} for PostgreSQL to run as: it refuses root"
    return None


def _program(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: float(place.parent.name))
    return shutil.which(name, path=os.pathsep.join([*map(str, reversed(places)), os.environ.get("PATH", "")]))


def _has_account() -> bool:
    return any(entry.pw_name == ACCOUNT for entry in pwd.getpwall())


class Postgres:
    """A database cluster on loopback, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.uri = f"postgresql://mlflow@127.0.0.1:{self.port}/postgres"
        self._user = ACCOUNT if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        if self._user:
            shutil.chown(folder, self._user)
        data = ["-D", str(folder / "data")]
        self._run("initdb", *data, "-U", "mlflow", "--auth=trust", "--no-sync").wait(PATIENCE)

    def _run(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        found = _program(program)
        assert found is not None
        with (self.folder.parent / f"{self.folder.name}.txt").open("ab") as log:
            return subprocess.Popen([found, *words], cwd=self.folder, stdout=log, stderr=log, user=self._user)

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        words = ["-D", "data", "-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1"]
        self._process = self._run("postgres", *words)
        _until(self._answers, self._process, "PostgreSQL")

    def _answers(self) -> bool:
        try:
            self.rows("select 1")
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """As `pg_ctl stop -m immediate`: connections are cut, nothing is written, and it recovers when it starts."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(PATIENCE)
            self._process = None

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query finds. Raises OSError where the database does not answer."""
        import psycopg  # not everywhere installed: `no_postgres`

        try:
            with closing(psycopg.connect(self.uri)) as connection, connection.cursor() as cursor:
                cursor.execute(query, values)
                return list(cursor.fetchall())
        except psycopg.OperationalError as error:
            raise OSError(str(error)) from error


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A new database cluster that answers. Not in pytest's folders, which are closed to other accounts."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    (folder / "db").mkdir()
    database = None
    try:
        database = Postgres(folder / "db")
        database.start()
        yield database
    finally:
        if database is not None:
            database.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Server:
    """`mlflow server` on loopback."""

    def __init__(self, folder: Path, store: str, *options: str, variables: dict[str, str] | None = None) -> None:
        """`folder`: for artifacts and its log."""
        self.port, self.folder = free_port(), folder
        self.uri = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1"]
        self._command += ["--artifacts-destination", str(folder / "artifacts")]
        self._command += ["--host", "127.0.0.1", "--port", str(self.port), *options]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self._environment = {**kept, **own, **(variables or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.folder / "server.txt").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it, and return when it answers."""
        with (self.folder / "server.txt").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.folder, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        _until(self._answers, self._process, "mlflow server")

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=1).close()  # noqa: S310 - our own loopback
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Kill -9 of its whole group, which is a session of its own."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE)
            self._process = None


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """The server, running; gone at the end."""
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _until(reached: Callable[[], bool], process: subprocess.Popen[bytes], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        assert psutil.pid_exists(process.pid) and process.poll() is None, f"{what} ended"
        assert time.monotonic() < end, f"{what} does not answer"
        time.sleep(0.1)


Rows = Callable[..., list[tuple[Any, ...]]]
"""Takes a query with `%s` where the values that follow it belong; returns what it finds."""


def sqlite_rows(file: Path) -> Rows:
    """Queries to a SQLite file."""

    def rows(query: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query.replace("%s", "?"), values).fetchall()

    return rows


def check_tracked(rows: Rows, parent: str, events: Sequence[Event], status: RunStatus = "FINISHED") -> None:
    """The store holds of this search what its journal holds: every run, point and param once, and true statuses."""
    runs = rows(
        "select r.run_uuid, r.status, cast(t.value as integer) from runs r"
        " join tags t on t.run_uuid = r.run_uuid and t.key = 'trial'"
        " join tags p on p.run_uuid = r.run_uuid and p.key = 'mlflow.parentRunId'"
        " where p.value = %s and r.lifecycle_stage = 'active' order by 3",
        parent,
    )
    proposed = {event.trial: event for event in events if isinstance(event, Proposed)}
    assert [trial for _, _, trial in runs] == sorted(proposed)
    assert rows("select status from runs where run_uuid = %s", parent) == [(status,)]
    ends = {event.trial: SHOWN[event.status] for event in events if isinstance(event, Ended)}
    assert {trial: state for _, state, trial in runs} == ends
    reports = {(event.trial, event.step): event for event in events if isinstance(event, Reported)}
    number = {run: trial for run, _, trial in runs}
    found = rows("select run_uuid, key, step, value from metrics")
    points = [(number[run], key, int(step), value) for run, key, step, value in found if run in number]
    twice = Counter((trial, key, step) for trial, key, step, _ in points)
    assert [key for key, count in twice.items() if count > 1] == []
    for key in (OBJECTIVE, SECONDS):
        assert {(trial, step) for trial, name, step, _ in points if name == key} == set(reports)
    for trial, key, step, value in points:
        report = reports[trial, step]
        used = {f"system/{name}": amount for name, amount in report.usage.items()}
        assert value == {**report.metrics, **used, SECONDS: report.seconds}[key], (trial, key, step)
    params = rows("select run_uuid, key, value from params")
    for run, trial in number.items():
        told = {key: value for owner, key, value in params if owner == run}
        assert told == {key: text(value) for key, value in proposed[trial].values.items()}


def parent_of(folder: Path) -> str:
    """The id of a search's own run, from what the search in `folder` remembers of its tracking."""
    lines = [json.loads(line) for line in (folder / "tracking.jsonl").read_text().splitlines()]
    (found,) = {line["run"] for line in lines if line.get("trial") == -1}
    return str(found)


requires_postgres = pytest.mark.skipif(no_postgres() is not None, reason=no_postgres() or "")
