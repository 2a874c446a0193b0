"""The report in a real browser: Debian's chromium, headless, without a network."""

import dataclasses
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report_folder import Story, make_folder
from search.history.journal import Journal, read
from search.report.build import SECTIONS, write

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "results" / "made"
    make_folder(folder)
    return write(folder)


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """One page for all tests, whose browser reads the charts' code once; each test has a document of its own."""
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched.new_page()
        launched.close()


@pytest.fixture
def opened(page: Any) -> Iterator[Open]:
    """Opens a report anew; at the end nothing may have been asked of a network or said on the console."""
    asked, said, hooks = [], [], []
    network = re.compile("^https?:")

    def hook(event: str, heard: Callable[[Any], object]) -> None:
        page.on(event, heard)
        hooks.append((event, heard))

    def open_(path: Path, width: int = 1280, height: int = 800, scheme: str = "light") -> Any:
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(media="null", color_scheme=scheme)
        page.goto(path.resolve().as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    hook("request", lambda request: asked.append(request.url))
    hook("console", lambda message: said.append(f"{message.type}: {message.text}"))
    hook("pageerror", lambda error: said.append(str(error)))
    hook("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.route(network, lambda route: route.abort())
    yield open_
    page.evaluate("localStorage.clear()")
    page.mouse.move(0, 0)
    page.goto("about:blank")
    page.unroute(network)
    for event, heard in hooks:
        page.remove_listener(event, heard)
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert said == []


def drawn(page: Any) -> None:
    page.evaluate("Report.drawAll()")


def points(page: Any, chart: str) -> int:
    """Points that the chart holds, gaps between curves left out."""
    count = "(id) => document.getElementById(id).data.reduce((n, t) => n + t.x.filter((x) => x !== null).length, 0)"
    return int(page.evaluate(count, chart))


def test_every_section_and_every_chart_is_there(report: Path, opened: Open) -> None:
    page = opened(report)
    for id_, _ in SECTIONS:
        if id_ == "stages":  # only where trials shared what they have in common
            continue
        assert page.locator(f"section#{id_} :is(h1, h2)").first.inner_text()
    drawn(page)
    charts = page.locator(".chart")
    assert charts.count() >= 14
    for i in range(charts.count()):
        chart = charts.nth(i)
        assert chart.locator("svg.main-svg").count() >= 1, chart.get_attribute("id")
        assert chart.locator(".trace, .bars, .point").count() >= 1, chart.get_attribute("id")
        assert chart.get_attribute("aria-label")


def test_no_chart_offers_to_upload_anything(report: Path, opened: Open) -> None:
    page = opened(report)
    drawn(page)
    titles = page.evaluate("[...document.querySelectorAll('.modebar-btn')].map((button) => button.dataset.title)")
    assert len(titles) > 10
    assert {title for title in titles if re.search("share|cloud|studio|edit", title, re.IGNORECASE)} == set()


def test_the_first_screen_says_whether_to_switch(report: Path, opened: Open) -> None:
    page = opened(report)
    for locator in ("h1", ".lead", ".evidence", ".hero-next .command"):
        box = page.locator(locator).first.bounding_box()
        assert box is not None and box["y"] + box["height"] <= 800, locator
    assert page.locator("h1").inner_text() == "Switch to the new config"


def test_hovering_says_which_trial_it_is(report: Path, opened: Open) -> None:
    page = opened(report)
    page.locator("#curves").scroll_into_view_if_needed()
    drawn(page)
    chart = page.locator("#c-curves")
    chart.scroll_into_view_if_needed()
    where = page.evaluate(
        """() => {
          const chart = document.getElementById("c-curves"), layout = chart._fullLayout;
          const trace = chart.data.find((t) => t.name === "documented");
          const box = chart.getBoundingClientRect();
          const x = box.x + layout._size.l + layout.xaxis.l2p(trace.x[3]);
          return { x, y: box.y + layout._size.t + layout.yaxis.l2p(trace.y[3]) };
        }"""
    )
    page.mouse.move(where["x"] - 3, where["y"])
    page.mouse.move(where["x"], where["y"])
    label = chart.locator(".hoverlayer .hovertext")
    label.wait_for()
    told = label.text_content()
    assert "trial 0" in told and "baseline" in told and "alpha_schedule_end = 0.6" in told and "step 80" in told


def test_the_filter_acts_on_curves_and_table(report: Path, opened: Open) -> None:
    page = opened(report)
    drawn(page)
    rows = page.locator("#trial-table tbody tr")
    every, all_points = rows.count(), points(page, "c-curves")
    assert page.locator("#filter-count").inner_text() == f"{every} of 48 trials" and every == 40

    page.get_by_label("stopped").uncheck()
    page.wait_for_function("document.querySelectorAll('#trial-table tbody tr').length < 40")
    kept = rows.count()
    drawn(page)
    assert "stopped" not in page.locator("#trial-table tbody").inner_text()
    assert points(page, "c-curves") < all_points

    page.get_by_label("confirm").check()
    page.wait_for_function(f"document.querySelectorAll('#trial-table tbody tr').length === {kept + 8}")
    page.get_by_role("button", name="Reset", exact=True).click()
    page.wait_for_function("document.querySelectorAll('#trial-table tbody tr').length === 40")

    page.get_by_role("searchbox", name="knobs").fill("lr_max>0.005 lr_max<=0.01")
    page.wait_for_function("document.querySelectorAll('#trial-table tbody tr').length < 40")
    heads = page.locator("#trial-table thead th").all_inner_texts()
    at = heads.index("lr_max") + 1
    values = [float(text) for text in page.locator(f"#trial-table tbody td:nth-child({at})").all_inner_texts()]
    assert values and all(0.005 < value <= 0.01 for value in values)
    page.get_by_role("searchbox", name="knobs").fill("nothing_called_so=1")
    page.wait_for_function("document.getElementById('filter-count').textContent.startsWith('not understood')")
    assert page.get_by_role("searchbox", name="knobs").get_attribute("aria-invalid") == "true"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#7", 1), ("#7 #8", 0), ("diverged", 0), ("status=diverged", 1), ("objective<0.3 origin=tpe", None),
        ("alpha_schedule_step_interval=3|5", None), ("white_noise_std>99", 0), ("LR_MAX >= 0.01", None),
        ("baseline", 1),
    ],
)  # fmt: skip
def test_conditions_mean_what_they_say(report: Path, opened: Open, text: str, expected: int | None) -> None:
    page = opened(report)
    told = page.evaluate(
        """(text) => {
          const { test, unknown } = Report.parse(text);
          const trials = Report.data.trials, at = (path) => Report.data.knobs.findIndex((k) => k.path === path);
          const indices = [...trials.number.keys()].filter((i) => trials.kind[i] === "search" && test(i));
          const values = (path) => indices.map((i) => trials.knobs[at(path)][i]);
          return { count: indices.length, unknown, lr: values("lr_max"), stairs: values("alpha_schedule_step_interval"),
                   scores: indices.map((i) => trials.objective[i]), from: indices.map((i) => trials.origin[i]) };
        }""",
        text,
    )
    assert told["unknown"] == []
    if expected is not None:
        assert told["count"] == expected
    else:
        assert 0 < told["count"] < 40
    if text.startswith("LR_MAX"):
        assert min(told["lr"]) >= 0.01
    if text.startswith("alpha"):
        assert set(told["stairs"]) == {3, 5}
    if text.startswith("objective"):
        assert max(told["scores"]) < 0.3 and set(told["from"]) == {"tpe"}


def test_a_range_over_an_axis_becomes_a_condition(report: Path, opened: Open) -> None:
    page = opened(report)
    drawn(page)
    chart = page.locator("#c-parallel")
    chart.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    where = page.evaluate(
        """() => {
          const chart = document.getElementById("c-parallel");
          const { _size, xaxis, yaxis } = chart._fullLayout;
          const { x: left, y: top } = chart.getBoundingClientRect();
          const at = (x, y) => [left + _size.l + xaxis.l2p(x), top + _size.t + yaxis.l2p(y)];
          return [at(-0.1, 0.55), at(0.12, 1.03)];
        }"""
    )
    page.mouse.move(*where[0])
    page.mouse.down()
    page.mouse.move(where[1][0] - 5, where[1][1] + 5, steps=5)
    page.mouse.move(*where[1], steps=3)
    page.mouse.up()
    page.wait_for_function("document.getElementById('filter-text').value !== ''")
    told = page.get_by_role("searchbox", name="knobs").input_value()
    axis = page.evaluate("Report.data.axes[0]")
    assert re.fullmatch(rf"{axis}>=\S+ {axis}<=\S+", told)
    assert page.locator("#trial-table tbody tr").count() < 40


def test_a_chosen_trial_stands_out_and_columns_sort(report: Path, opened: Open) -> None:
    page = opened(report)
    drawn(page)
    page.get_by_role("button", name="Show trial 5 in the charts").press("Enter")
    drawn(page)
    names = page.evaluate("document.getElementById('c-curves').data.map((t) => t.name)")
    assert "trial 5 (chosen)" in names
    button = page.get_by_role("button", name="Show trial 5 in the charts")
    assert button.get_attribute("aria-pressed") == "true" and button.evaluate("(b) => b === document.activeElement")
    head = page.locator("#trial-table thead th").filter(has_text="seconds")
    for order in ("ascending", "descending"):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == order


def test_best_so_far_can_be_seen_over_time(report: Path, opened: Open) -> None:
    page = opened(report)
    drawn(page)
    page.get_by_label("time", exact=True).check()
    page.wait_for_function(
        """() => {
          Report.drawAll();
          return document.getElementById("c-best")._fullLayout.xaxis.title.text.includes("of searching");
        }"""
    )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_legible_at_any_width_in_either_theme(report: Path, opened: Open, width: int, scheme: str) -> None:
    page = opened(report, width, 844, scheme)
    drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter((e) => e.childNodes.length &&
          [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) && e.getClientRects().length)
          .map((e) => parseFloat(getComputedStyle(e).fontSize))"""
    )
    assert min(sizes) >= 10
    ground, text = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ground, text)]
    assert (light[0] > light[1]) == (scheme == "light")


def test_the_theme_button_goes_round(report: Path, opened: Open) -> None:
    page = opened(report)
    drawn(page)
    button, grounds = page.locator("#theme"), []
    for expected in ("light", "dark", "auto"):
        button.click()
        assert page.evaluate("document.documentElement.dataset.theme") == expected
        drawn(page)
        font = page.evaluate("document.getElementById('c-best').layout.font.color")
        grounds.append((page.evaluate("getComputedStyle(document.body).backgroundColor"), font))
    assert grounds[0] == grounds[2] != grounds[1]
    assert "as the system" in button.get_attribute("aria-label")


def test_it_prints_whole_on_white_without_controls(report: Path, opened: Open, tmp_path: Path) -> None:
    page = opened(report, scheme="dark")
    file = tmp_path / "report.pdf"
    page.pdf(path=str(file), format="A4")
    assert file.stat().st_size > 50_000
    page.emulate_media(media="print")
    page.wait_for_timeout(200)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for control in (".toc", "#filter", "#theme", "#print", ".copy"):
        assert not page.locator(control).first.is_visible()
    count = page.locator(".chart").count()
    assert page.locator(".chart:has(svg.main-svg)").count() == count  # also those that were never in view
    page.set_viewport_size({"width": 700, "height": 1000})  # A4 between its margins
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    assert (
        page.evaluate("Math.max(...[...document.querySelectorAll('svg.main-svg')].map((s) => s.clientWidth))") <= 1000
    )


def test_the_keyboard_reaches_the_content_and_every_control(report: Path, opened: Open) -> None:
    page = opened(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#content"
    unlabelled = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select")].filter((e) =>
          !(e.labels && e.labels.length) && !e.getAttribute("aria-label") && !e.textContent.trim())
          .map((e) => e.outerHTML)"""
    )
    assert unlabelled == []


def test_a_running_search_opens_as_cleanly(tmp_path: Path, opened: Open) -> None:
    folder = tmp_path / "results" / "s"
    make_folder(folder, Story(finished=False))
    page = opened(write(folder))
    drawn(page)
    assert page.locator("h1").inner_text() == "Not decided yet"


def test_markup_in_a_knobs_name_is_shown_and_not_run(tmp_path: Path, opened: Open) -> None:
    from spaces import strict_yaml

    name = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    folder = tmp_path / "results" / "s"
    make_folder(folder, Story(trials=12, seeds=2))
    settings = strict_yaml.load(folder / "search.yaml")
    space = {name if path == "lr_max" else path: knob for path, knob in settings["space"].items()}
    settings["space"], settings["base"][name] = space, 0.005
    (folder / "search.yaml").write_text(strict_yaml.dumps(settings), encoding="utf-8")
    events = read(folder / "journal.jsonl")[0]
    (folder / "journal.jsonl").unlink()
    with Journal(folder / "journal.jsonl") as journal:
        for event in events:
            values = getattr(event, "values", None)
            if values is not None:
                named = {name if path == "lr_max" else path: value for path, value in values.items()}
                event = dataclasses.replace(event, values=named)  # type: ignore[call-arg]
            journal.append(event)
    page = opened(write(folder))
    drawn(page)
    page.wait_for_timeout(300)
    assert page.locator("main img").count() == 0 and name in page.locator("#diff").inner_text()
    labels = page.evaluate("[...document.querySelectorAll('#c-importance .ytick')].map((e) => e.textContent)")
    assert any("<img src=x" in label for label in labels)
