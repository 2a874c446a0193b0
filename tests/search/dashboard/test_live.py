"""The live page: what it takes in, what it says, and who may act."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_search import proposed, reported

from benchmarks.report_folder import Story, make_folder
from search.dashboard import actions, glance
from search.dashboard.following import Following, Hub
from search.dashboard.live import Page, application
from search.history.events import Ended, Event, Phase, Started, Stopped
from search.history.journal import Journal
from search.report import remarks
from spaces.problems import BadInput


def search(results: Path, name: str = "s", finished: bool = False) -> Path:
    make_folder(results / name, Story(trials=6, failing=0, retried=0, finished=finished))
    return results / name


def owned(folder: Path, pid: int, host: str = "") -> None:
    (folder / ".owner").write_text(f"{host or socket.gethostname()} pid {pid}\n")


def append(folder: Path, *events: Event) -> None:
    with Journal(folder / "journal.jsonl") as journal:
        for event in events:
            journal.append(event)


def text(page: Page, name: str = "") -> str:
    return " ".join(page.state(name)["parts"].values())


async def answered(app: Any, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """The status and body of one request to an ASGI application."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    route, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": route,
        "raw_path": route.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(key.encode(), value.encode()) for key, value in (headers or {}).items()],
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def ask(app: Any, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    return asyncio.run(answered(app, method, path, {key.replace("_", "-"): value for key, value in headers.items()}))


def test_what_people_noted_is_shown_as_text(tmp_path: Path) -> None:
    folder = search(tmp_path)
    description = folder / "search.yaml"
    description.write_text(f"{description.read_text()}\nnotes: why <b>\ntags: {{team: speech}}\n")
    page = Page(tmp_path, "")
    page.refresh()
    assert "Notes: why &lt;b&gt;" in text(page) and "Tags: team speech" in text(page)
    remarks.put(folder, 1, "odd")  # while it is looked at
    assert "Note on trial 1: odd" in text(page)
    (folder / remarks.FILE).write_text("{")
    assert "is damaged" in text(page)


def test_what_is_appended_is_taken_in_and_nothing_is_read_twice(tmp_path: Path) -> None:
    folder = search(tmp_path)
    owned(folder, os.getpid())
    one = Following(folder)
    assert one.material.standing.state == "searching" and not one.refresh()
    known, version = len(one.material.records.trials), one.version
    append(folder, proposed(99, {}, at=1.9e9), Started(99, "here", 1, "", 1.9e9), reported(99, 20, 0.123, at=1.9e9))
    assert one.refresh() and one.version == version + 1
    assert len(one.material.records.trials) == known + 1
    assert one.happened[-1].text.startswith("trial 99: step 20, val_per 0.1230")
    (row,) = [row for row in glance.running(one) if row.name == "trial 99"]
    assert row.host == "here" and row.value == "0.1230 at step 20"
    assert "new" in {curve["kind"] for curve in glance.curves(one)["curves"]}
    json.dumps(glance.curves(one), allow_nan=False)


@pytest.mark.parametrize(
    ("events", "owner", "state", "said", "never"),
    [
        ([], True, "searching", ["Stop it", "At work"], ["Go on", "Why it stopped"]),
        ([Phase("confirm", 1.9e9)], True, "confirming", ["Stop it"], ["Go on"]),
        ([], False, "interrupted", ["Go on", "Not decided yet"], ["Stop it", "At work"]),
        ([Stopped("signal", "SIGTERM", 1.9e9)], False, "interrupted", ["Why it stopped: SIGTERM"], ["Stop it"]),
        ([Stopped("failures", "<b>x</b>", 1.9e9)], True, "failed", ["&lt;b&gt;x&lt;/b&gt;", "Go on"], ["<b>x"]),
    ],
)
def test_each_state_has_its_own_words_and_button(
    tmp_path: Path, events: list[Event], owner: bool, state: str, said: list[str], never: list[str]
) -> None:
    folder = search(tmp_path)
    append(folder, *events)
    if owner:
        owned(folder, os.getpid())
    page = Page(tmp_path, "token")
    page.refresh()
    shown = text(page)
    assert f'class="pill {state}"' in shown
    assert all(words in shown for words in said) and not any(words in shown for words in never)


def test_a_finished_search_says_its_verdict_and_offers_nothing_to_do_to_it(tmp_path: Path) -> None:
    search(tmp_path, finished=True)
    page = Page(tmp_path, "token")
    page.refresh()
    assert "finished" in text(page) and "Paired seed by seed" in text(page)
    assert "data-action" not in text(page)


def test_searches_come_and_go_and_a_damaged_one_does_not_hide_the_others(tmp_path: Path) -> None:
    page = Page(tmp_path, "")
    page.refresh()
    assert "No search yet" in text(page) and page.state("nobody")["curves"] is None
    folder = search(tmp_path).rename(tmp_path / "<a>")  # as a user might
    bad = search(tmp_path, "bad")
    lines = (bad / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (bad / "journal.jsonl").write_bytes(b"".join(lines[:2] + lines[3:]))
    page.refresh()
    assert "&lt;a&gt;" in text(page) and "<a>" not in text(page)
    assert "bad can't be read" in text(page) and "records are missing" in text(page)
    folder.rename(tmp_path.parent / f"{tmp_path.name}-gone")
    page.refresh()
    assert list(page.hub) == [] and "No search called" in text(page, "<a>")


def test_those_at_work_come_first(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        search(tmp_path, name)
    owned(tmp_path / "b", os.getpid())
    append(tmp_path / "c", Ended(0, "stopped", "", 1.9e9))
    hub = Hub(tmp_path)
    hub.refresh()
    assert [one.material.folder.name for one in hub] == ["b", "c", "a"]


def test_only_who_has_the_token_may_act(tmp_path: Path) -> None:
    search(tmp_path)
    for token, sent in (("", ""), ("right", ""), ("right", "wrong")):
        status, body = ask(application(tmp_path, token), "POST", "/searches/s/stop", x_token=sent)
        assert status == 403 and b"without the token" in body
    app = application(tmp_path, "right")
    status, body = ask(app, "POST", "/searches/s/stop", x_token="right")  # noqa: S106
    assert status == 409 and b"is not running" in body
    assert ask(app, "POST", "/searches/s/delete", x_token="right")[0] == 404  # noqa: S106
    assert ask(app, "POST", "/searches/other/stop", x_token="right")[0] == 404  # noqa: S106
    assert ask(app, "GET", "/searches/s/stop")[0] == 405
    page = Page(tmp_path, "")
    page.refresh()
    assert "interrupted" in text(page) and "data-action" not in text(page)


def test_the_page_and_its_state(tmp_path: Path) -> None:
    search(tmp_path)
    app = application(tmp_path)
    status, body = ask(app, "GET", "/")
    assert status == 200 and b"plotly.js" in body and b"part-list" in body
    status, body = ask(app, "GET", "/state?search=s")
    assert status == 200 and json.loads(body)["name"] == "s"


def test_stop_interrupts_the_process_and_no_other(tmp_path: Path) -> None:
    folder = search(tmp_path)
    with pytest.raises(BadInput, match="is not running"):
        actions.stop(folder)
    owned(folder, 1, host="elsewhere")
    with pytest.raises(BadInput, match="runs on elsewhere; stop it there"):
        actions.stop(folder)
    wait = "import signal, sys; signal.signal(signal.SIGINT, lambda *_: sys.exit(7)); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", wait], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        owned(folder, process.pid)
        assert "keep their last evaluation" in actions.stop(folder)
        assert process.wait(30) == 7


def test_going_on_types_the_searchs_own_command_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = search(tmp_path)
    with pytest.raises(BadInput, match="type the search's command again yourself"):
        actions.go_on(folder)
    again = folder / ".again.json"
    for command, cwd in (("rm -rf x", tmp_path), ("python -m search.run c.yaml", tmp_path / "gone")):
        again.write_text(json.dumps({"cwd": str(cwd), "command": command}))
        with pytest.raises(BadInput, match="can't be followed here"):
            actions.go_on(folder)
    started: list[Any] = []
    monkeypatch.setattr(actions.subprocess, "Popen", lambda words, **given: started.append((words, given["cwd"])))
    again.write_text(json.dumps({"cwd": str(tmp_path), "command": "python -m search.run 'my c.yaml' --resume"}))
    assert "goes on" in actions.go_on(folder)
    assert started == [([sys.executable, "-m", "search.run", "my c.yaml", "--resume"], tmp_path)]
    owned(folder, os.getpid())
    with pytest.raises(BadInput, match="is running"):
        actions.go_on(folder)
