"""A tracking server that wants to know who comes: `mlflow server --app-name basic-auth`."""

import base64
import importlib.util
import json
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_tracking_mlflow import Journal, life
from tracking_servers import Server, check_tracked, parent_of, serving, sqlite_rows

from benchmarks.faults_arena import SMALL, Arena
from search.tracking.types import SearchStatus

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("flask_wtf") is None, reason="MLflow's accounts are not installed (mlflow[auth])"
    ),
]

ADMIN, PASSWORD = "admin", "canary-a81f03d6c2"
GUEST, GUESTS_PASSWORD = "guest", "canary-of-the-guest"
WRONG = "canary-not-this-one"
ACCOUNTS = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/accounts.db
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "accounts.ini").write_text(ACCOUNTS.format(folder=folder))
    own = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "accounts.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this server only",
    }
    with serving(Server(folder, f"sqlite:///{folder}/server.db", "--app-name=basic-auth", variables=own)) as made:
        yield made


def credentials(user: str, password: str) -> dict[str, str]:
    return {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


def add_guest(server: Server) -> None:
    admin = base64.b64encode(f"{ADMIN}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 - our own loopback, here and below
        f"{server.uri}/api/2.0/mlflow/users/create",
        json.dumps({"username": GUEST, "password": GUESTS_PASSWORD}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Basic {admin}"},
    )
    urllib.request.urlopen(request, timeout=30).close()  # noqa: S310


@pytest.fixture
def rays() -> Iterator[Path]:
    """Where Ray keeps its logs; its sockets there need a short name."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def heard(journal: Journal, line: str) -> None:
    end = time.monotonic() + 60
    while not any(line in said for said in journal.said):
        assert time.monotonic() < end, (line, journal.said)
        time.sleep(0.05)


def test_who_is_not_let_in_is_told_and_nothing_is_lost(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # MLflow looks for credentials there, too
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    journal = Journal(tmp_path / "demo", server.uri)

    def sitting(trial: int, **variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        journal.said.clear()
        journal.open()
        journal.emit(*life(trial, "stopped"))

    sitting(0)
    heard(journal, "the server asks who you are: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD)")
    assert not journal.tracker.finish(SearchStatus("interrupted"), 0.5).closed
    sitting(1, MLFLOW_TRACKING_TOKEN="canary-token")  # noqa: S106
    heard(journal, "does not accept the token in MLFLOW_TRACKING_TOKEN)")
    assert not journal.tracker.finish(SearchStatus("interrupted"), 0.5).closed
    sitting(2, **credentials(ADMIN, WRONG))
    heard(journal, "does not accept the user 'admin' with that password)")
    assert not journal.tracker.finish(SearchStatus("interrupted"), 0.5).closed
    sitting(3, **credentials(ADMIN, PASSWORD))
    summary = journal.tracker.finish(SearchStatus("done", artifacts=[]), 60)
    assert (summary.closed, summary.waiting, journal.said) == (True, 0, [])
    assert summary.parent is not None
    check_tracked(sqlite_rows(server.folder / "server.db"), summary.parent, journal.events)
    add_guest(server)
    stranger = Journal(tmp_path / "other", server.uri)
    for name, value in credentials(GUEST, GUESTS_PASSWORD).items():
        monkeypatch.setenv(name, value)
    stranger.open()
    heard(stranger, "does not let the user 'guest' with that password write to the experiment 'fits')")
    assert not stranger.tracker.finish(SearchStatus("done"), 0.5).closed
    assert not any("canary" in said for said in [*journal.said, *stranger.said])


def test_a_search_goes_on_without_credentials_and_sends_all_once_it_has_them(
    server: Server, tmp_path: Path, rays: Path
) -> None:
    variables = {"MLFLOW_TRACKING_URI": server.uri, "HOME": str(tmp_path), "RAY_TMPDIR": str(rays)}
    arena = Arena(tmp_path / "search", SMALL, variables=variables)
    try:
        arena.start()
        arena.until(lambda: "the server asks who you are" in arena.output, "a warning")
        assert arena.ended() == 0
        assert "the same command with --resume sends them" in arena.output
        arena.variables = {**variables, **credentials(ADMIN, WRONG)}
        arena.start()
        assert arena.ended() == 0
        assert "does not accept the user 'admin' with that password" in arena.output[arena.before :]
        arena.variables = {**variables, **credentials(ADMIN, PASSWORD)}
        arena.start()
        assert arena.ended() == 0
        assert "warning" not in arena.output[arena.before :] and "Traceback" not in arena.output
    finally:
        arena.clear()
    check_tracked(sqlite_rows(server.folder / "server.db"), parent_of(arena.path), arena.events())
    encoded = base64.b64encode(f"{ADMIN}:{PASSWORD}".encode())
    places = [tmp_path, rays, server.folder / "artifacts", server.folder / "server.db", server.folder / "server.txt"]
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file()]
    assert {"server.db", "journal.jsonl", "tracking.jsonl", "best.yaml", "report.html", "raylet.out"} <= {
        file.name for file in files
    }
    for file in files:
        content = file.read_bytes()
        assert b"canary" not in content and encoded not in content, file
