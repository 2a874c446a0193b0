"""The page of a comparison in a real browser."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SEARCH, make_project

from search.compare.__main__ import main
from search.history.events import Ended, Event, Phase, Proposed, Reported
from search.history.journal import Journal
from search.spec.plan import make_plan
from search.spec.resolve import resolve

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
]
BASE = {"lr": 1e-3, "batch_size": 32, "weight_decay": 1e-5, "warmup_epochs": 1}


def folder(results: Path, name: str, seed: int, winner: float, sampler: str) -> Path:
    """A finished search, made without training."""
    search = resolve(results / "search.yaml", [f"sampler.seed={seed}", f"sampler.kind={sampler}"], name)
    place = results / name
    place.mkdir()
    (place / "search.yaml").write_text(search.to_yaml("d1"))
    (place / "plan.json").write_text(json.dumps(make_plan(search).as_dict()))
    events: list[Event] = [Phase("search", 1.0)]
    for number, value in enumerate((0.5, winner)):
        values = {**BASE, "lr": 1e-3 * (number + 1)}
        events.append(Proposed(number, values, seed, "search", "tpe" if number else "baseline", 2.0 + number))
        events.append(Reported(number, 9, {"objective": value}, 1.0, 3.0 + number))
        events.append(Ended(number, "completed", "", 3.0 + number))
    events.append(Phase("confirm", 10.0))
    for number, (trial, fresh) in enumerate(((t, s) for s in (1, 2) for t in (0, 1)), 2):
        values = {**BASE, "lr": 1e-3 * (trial + 1)}
        value = (0.5, winner)[trial] + 0.01 * fresh + 0.001 * trial * fresh
        events.append(Proposed(number, values, seed + fresh, "confirm", f"trial {trial}", 10.0 + number))
        events.append(Reported(number, 9, {"objective": value}, 1.0, 11.0 + number))
        events.append(Ended(number, "completed", "", 11.0 + number))
    with Journal(place / "journal.jsonl") as journal:
        for event in [*events, Phase("done", 30.0)]:
            journal.append(event)
    return place


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert "sampler:" in SEARCH
    results = make_project(tmp_path_factory.mktemp("compared"))
    kinds = [("tpe", 0, 0.40), ("tpe", 5, 0.41), ("random", 0, 0.45), ("random", 5, 0.461)]
    found = [folder(results, f"{kind}-{seed}", seed, winner, kind) for kind, seed, winner in kinds]
    assert main([str(place) for place in found]) == 0
    return results / "compare.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_clean_and_draws_everything(compared: Path, browser: Any, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    own = ("file:", "data:")
    page.on("request", lambda asked: None if asked.url.startswith(own) else trouble.append(asked.url))
    page.goto(compared.as_uri())
    page.wait_for_selector("html[data-ready]")
    for name in ("Results", "Best so far", "Best configs", "Spaces", "Costs", "Provenance"):
        assert page.get_by_role("heading", name=name, exact=True).count() == 1
    page.get_by_role("heading", name="tpe-0 … tpe-5 beats the others").wait_for()
    for chart in ("c-scores-0", "c-course-0"):
        page.locator(f"#{chart}").scroll_into_view_if_needed()
        page.locator(f"#{chart} .main-svg").first.wait_for()
    legend = page.locator("#c-course-0 .legendtext").all_text_contents()
    assert legend == ["tpe-0 … tpe-5, mean of 2", "random-0 … random-5, mean of 2", "documented, fresh seeds"]
    assert page.locator("#c-scores-0 .ytick").count() == 4
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.get_by_role("button", name="theme").click()
    page.wait_for_timeout(200)
    assert trouble == []
    page.close()
