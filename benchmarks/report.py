"""How long a report takes: `python benchmarks/report.py`, half a minute on 2 cores.

A search of 1,000 trials, each evaluated 50 times with 27 metrics, whose journal is written from a formula
(`benchmarks/report_folder.py`), is reported on by the command that users type, in a process of its own. Then the page
is opened in Debian's chromium, without a network, and asked when it was ready for its reader: everything above the fold
drawn, the filter and the table at work.

Targets: built in 15 s and 1 GiB; under 4 MB; ready in 3 s.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report_folder import Story, make_folder

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT = 1280, 800


def main() -> None:
    """Measure and print one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--evaluations", type=int, default=50)
    parser.add_argument("--early-stopping", action="store_true", help="let the search stop trials early")
    parser.add_argument("--opens", type=int, default=3, help="how often the page is opened; the median counts")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make the folder here, and leave it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch) / "results" / "large"
        story = Story(options.trials, options.early_stopping, diverging=20, failing=15, retried=5)
        steps = [f"budget.steps={options.evaluations * 4}", "budget.evaluate_every=4"]
        make_folder(folder, story, *steps)
        journal = (folder / "journal.jsonl").stat().st_size
        print(f"journal  {journal / 1e6:.1f} MB, {options.trials} trials, up to {options.evaluations} evaluations each")
        _built(folder)
        page = folder / "report.html"
        print(f"size     {page.stat().st_size / 1e6:.2f} MB")
        _opened(page, options.opens)


def _built(folder: Path) -> None:
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "search.report", str(folder)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = used.ru_utime + used.ru_stime
    print(f"built    {seconds:.1f} s ({busy:.1f} s of processor time), peak {used.ru_maxrss / 2**20:.2f} GiB")


def _opened(page: Path, opens: int) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("opened   not measured: no chromium here")
        return
    from playwright.sync_api import sync_playwright  # only where there is a browser to drive

    ready, busy, filtered = [], [], []
    with sync_playwright() as playwright:
        for _ in range(opens):
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            shown = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            shown.context.set_offline(True)
            session = shown.context.new_cdp_session(shown)
            session.send("Performance.enable")
            shown.goto(page.resolve().as_uri())
            shown.wait_for_selector("html[data-ready]")
            ready.append(float(shown.evaluate("document.documentElement.dataset.ready")) / 1000)
            metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
            busy.append(metrics["TaskDuration"])
            shown.evaluate("Report.drawAll()")
            shown.wait_for_timeout(500)
            filtered.append(shown.evaluate(_FILTER) / 1000)
            browser.close()
    print(f"ready    {statistics.median(ready):.2f} s after opening ({min(ready):.2f} to {max(ready):.2f} of {opens};")
    print(f"         the page's own thread was busy for {statistics.median(busy):.2f} s)")
    print(f"filter   {statistics.median(filtered):.2f} s from a condition to the charts in view and the table")


_FILTER = """async () => {
  const begin = performance.now();
  Report.filterBy("lr_max>0.005");
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - begin;
}"""


if __name__ == "__main__":
    main()
