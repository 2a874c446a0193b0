"""MLflow's own pages show what a search has put there, in a real browser.

SCREENSHOTS=FOLDER keeps pictures.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tracked_search
from test_dashboard import Dashboard

from search.tracking.run_table import KEY

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
]
PATIENCE = 60_000.0  # ms


@pytest.fixture(scope="module")
def shown(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> Iterator[tuple[str, str, list[str]]]:
    """The address of MLflow's pages, the id of the search's run and of its trials'."""
    results = tmp_path_factory.mktemp("browser") / "results"
    parent = tracked_search.make(results)
    dashboard = Dashboard(results, environment, "--port", "0", "--optuna-port", "0")
    try:
        dashboard.wait_for("Ctrl-C stops them")
        yield dashboard.addresses["MLflow"], parent, tracked_search.runs(results)
    finally:
        dashboard.kill()


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def keep(page: Any, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.wait_for_timeout(1500)  # animations
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_the_parent_its_children_and_five_of_them_compared(page: Any, shown: tuple[str, str, list[str]]) -> None:
    address, _, _ = shown
    page.goto(f"{address}/#/experiments/1/runs?workflowType=machine_learning")
    page.get_by_role("link", name="demo", exact=True).wait_for()
    if page.get_by_role("button", name="Close").count():
        page.get_by_role("button", name="Close").first.click()  # MLflow's assistant
    assert page.get_by_role("link", name="trial 1", exact=True).count() == 0
    row = page.locator(".ag-row", has=page.get_by_role("link", name="demo", exact=True))
    row.get_by_role("button").first.click()
    for name in ("baseline", *(f"trial {number}" for number in range(1, 7))):
        page.get_by_role("link", name=name, exact=True).wait_for()
    keep(page, "runs")
    for name in ("baseline", *(f"trial {number}" for number in range(1, 5))):
        child = page.locator(".ag-row", has=page.get_by_role("link", name=name, exact=True))
        child.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("heading", name="Comparing 5 Runs from 1 Experiment").wait_for()
    page.get_by_role("tab", name="Parallel Coordinates Plot", selected=True).wait_for()
    axes = page.locator(".parcoords .axis-title")
    axes.first.wait_for()
    # without a choice by hand: searched knobs, then the objective
    assert axes.all_text_contents() == ["batch_size", "lr", "warmup_epochs", "objective"]
    keep(page, "compared")


def test_the_description_is_the_verdict_and_the_report_is_an_artifact(
    page: Any, shown: tuple[str, str, list[str]]
) -> None:
    address, parent, children = shown
    page.goto(f"{address}/#/experiments/1/runs/{parent}?workflowType=machine_learning")
    page.get_by_role("heading", name="demo").wait_for()
    page.get_by_text("switch to the new config – paired gain").first.wait_for()
    page.get_by_text("fits-best").first.wait_for()  # the registered model
    keep(page, "parent")
    page.get_by_role("tab", name="Artifacts").click()
    for name in ("best.yaml", "figures", "winner"):
        page.get_by_text(name, exact=True).first.wait_for()
    page.get_by_text("report.html", exact=True).first.click()
    page.frame_locator("iframe").get_by_role("heading", name="The report of demo").wait_for()
    keep(page, "report")
    assert len(children) == tracked_search.TRIALS


def test_runs_are_found_by_their_tags(page: Any, shown: tuple[str, str, list[str]]) -> None:
    address, _, _ = shown
    query = "tags.status = 'stopped' and tags.baseline = 'false' and tags.model = 'fit' and tags.rung = '1'"
    page.goto(f"{address}/#/experiments/1/runs?workflowType=machine_learning&searchFilter={json.dumps(query)[1:-1]}")
    for name in ("trial 2", "trial 3", "trial 6"):
        page.get_by_role("link", name=name, exact=True).wait_for()
    assert page.get_by_role("link", name="trial 1", exact=True).count() == 0
    keep(page, "filtered")


def test_the_table_opens_with_objective_and_knobs_best_first(page: Any, shown: tuple[str, str, list[str]]) -> None:
    address, _, _ = shown
    page.goto(f"{address}/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey={KEY}")
    page.get_by_role("link", name="trial 1", exact=True).wait_for()
    for name in ("objective", "lr", "batch_size"):
        page.get_by_role("columnheader", name=name).first.wait_for()
    assert page.get_by_role("columnheader", name="warmup_epochs").count() == 0  # not among those that were given
    rows = page.locator('.ag-row:has([col-id="metrics.`objective`"])').all()  # in no order
    cells = {int(row.get_attribute("row-index")): row.locator("[col-id*=objective]").inner_text() for row in rows}
    values = [float(cells[index]) for index in sorted(cells) if cells[index].strip("- ")]
    assert len(values) > 3 and values == sorted(values)
    keep(page, "columns")
