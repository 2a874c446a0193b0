"""The live page in a real browser, over a search whose journal grows."""

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from small_search import proposed, reported

from benchmarks.report_folder import Story, make_folder
from search.dashboard.live import application
from search.dashboard.serve import free_port
from search.history.events import Started, Stopped
from search.history.journal import Journal

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("live") / "results"
    for name, finished in (("going", False), ("over", True)):
        make_folder(results / name, Story(trials=8, failing=0, retried=0, finished=finished))
    (results / "going" / ".owner").write_text(f"{socket.gethostname()} pid {os.getpid()}\n")
    return results


@pytest.fixture(scope="module")
def address(results: Path) -> Iterator[str]:
    port = free_port(0, set())
    config = uvicorn.Config(application(results, "secret"), port=port, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_it_follows_a_search_as_it_goes_on_and_ends(results: Path, address: str) -> None:
    said: list[str] = []
    asked: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/?token=secret")
        page.wait_for_selector("#part-list a[aria-current]:has-text('going')")
        assert "secret" not in page.url
        page.wait_for_selector("#c-live .main-svg")
        with Journal(results / "going" / "journal.jsonl") as journal:
            for event in (proposed(50, {}, at=1.9e9), Started(50, "a-host", 1, "", 1.9e9)):
                journal.append(event)
            journal.append(reported(50, 20, 0.1234, at=1.9e9))
        page.wait_for_selector("#part-detail td:has-text('0.1234 at step 20')")
        drawn = "document.getElementById('c-live').data.some((trace) => trace.y.includes(0.1234))"
        _until(page, drawn)
        _legible(page)
        page.focus("#part-list a[data-search=over]")
        page.keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('over')")
        page.wait_for_selector(".lead:has-text('fresh seeds')")
        assert page.url.endswith("?search=over") and page.query_selector("[data-action]") is None
        page.go_back()
        page.wait_for_selector("h1:has-text('going')")
        (results / "going" / ".owner").write_text("elsewhere pid 1\n")
        page.click("#stop")
        page.wait_for_selector("#said:has-text('runs on elsewhere; stop it there')")
        with Journal(results / "going" / "journal.jsonl") as journal:
            journal.append(Stopped("failures", "no such <file>", 1.9e9))
        page.wait_for_selector(".lead:has-text('Why it stopped: no such <file>')")
        browser.close()
    assert [url for url in asked if not url.startswith(address)] == []
    assert [text for text in said if "409" not in text] == []  # the refusal of the stop, which the browser logs


def _until(page: Any, condition: str) -> None:
    """Wait for it; the page's policy forbids what Playwright's own waiting does (`eval`)."""
    end = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(100)


def _legible(page: Any) -> None:
    """No line is wider than the page, on a phone and on a screen, in either theme."""
    for width, scheme in ((390, "dark"), (1280, "light")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        _until(page, f"document.documentElement.scrollWidth <= {width}")  # the chart follows the window
        ground, text = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('h1')).color]"
        )
        assert ground != text
