"""Who is told at the end of a search, with what; and that nothing of it can end the search."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from small_search import small_search

from benchmarks.report_folder import Story, make_folder
from search.app import notify
from search.common.exit_codes import Exit
from search.spec.config import Notify
from search.spec.here import check_notify
from spaces.problems import BadInput

KEEP = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("notify") / "results" / "s"
    make_folder(path, Story(trials=6, failing=0, retried=0))
    return path


class Server:
    """A webhook that answers with `status`, and what it was sent."""

    def __init__(self) -> None:
        self.status, self.got = 200, list[dict[str, Any]]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/services/top-secret"


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    thread = threading.Thread(target=served.http.serve_forever)
    thread.start()
    yield served
    served.http.shutdown()
    thread.join()
    served.http.server_close()


def told(section: Notify | None, folder: Path, code: int = 0) -> list[str]:
    said: list[str] = []
    notify.tell(section, folder, code, said.append)
    return said


def test_a_command_gets_what_show_prints(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    section = Notify(command=[sys.executable, "-c", KEEP, str(kept)])
    assert told(section, folder, Exit.INTERRUPTED) == [] and not kept.exists()
    assert told(None, folder) == []
    assert told(section, folder) == []
    message = json.loads(kept.read_text())
    assert message["name"] == "s" and message["state"] == "done" and message["exit_code"] == 0
    assert message["verdict"] in message["text"].lower() and message["gain"] > 0


def test_a_program_that_is_missing_is_told_before_the_search(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"notify.command: there is no program nosuchprog here"):
        check_notify(Notify(command=["nosuchprog", "x"]), "search.yaml")
    check_notify(Notify(command=[sys.executable]), "search.yaml")


def test_a_webhook_gets_the_same_and_its_address_is_never_shown(
    folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = Notify(webhook="HOOK")
    with pytest.raises(BadInput, match="environment variable HOOK is not set"):
        check_notify(section, "search.yaml")
    monkeypatch.setenv("HOOK", "file:///etc/passwd")
    with pytest.raises(BadInput, match="holds no http:// or https:// address"):
        check_notify(section, "search.yaml")
    monkeypatch.setenv("HOOK", server.address)
    check_notify(section, "search.yaml")
    assert told(section, folder) == [] and server.got[0]["name"] == "s"
    server.status = 500
    assert told(section, folder) == ["warning: nobody was notified: the webhook answered 500"]
    monkeypatch.setenv("HOOK", "http://127.0.0.1:1/services/top-secret")
    (line,) = told(section, folder)
    assert "could not be reached" in line and "secret" not in line


def test_what_goes_wrong_is_one_warning(folder: Path) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('no such channel')"]
    assert told(Notify(command=failing), folder) == [
        f"warning: nobody was notified: {sys.executable} ended with 1: no such channel"
    ]
    assert "warning: nobody was notified" in told(Notify(command=["/no/such/program"]), folder)[0]


def test_the_section_is_checked_and_is_no_part_of_what_the_search_is(tmp_path: Path) -> None:
    plain = small_search(tmp_path)
    named = small_search(tmp_path, extra="notify: {command: [notify-send, done]}\n")
    assert named.settings.notify is not None and named.digest == plain.digest
    for text in ("{}", "{webhook: 'https://hooks.example/secret'}", "{command: []}"):
        with pytest.raises(BadInput) as refused:
            small_search(tmp_path, extra=f"notify: {text}\n")
        assert "notify" in str(refused.value) and "secret" not in str(refused.value)
