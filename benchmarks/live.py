"""How long the live page takes to show what is new: `python -m benchmarks.live [TRIALS]`.

A search of so many trials (10,000 by default) that is at work; per look one evaluation more. Measured, as CPU time: to
take it in, to render the list and the search, to choose what is drawn. Goal: below 200 ms a look at 10,000 trials.
"""

import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.report_folder import Story, make_folder
from search.dashboard.live import Page
from search.history.events import Proposed, Reported, Started
from search.history.journal import Journal

LOOKS = 20


def main(trials: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "large"
        make_folder(folder, Story(trials=trials, finished=False))
        (folder / ".owner").write_text(f"{socket.gethostname()} pid {psutil.Process().pid}\n")
        page = Page(Path(root), "")
        began = time.process_time()
        page.refresh()
        first = time.process_time() - began
        records = page.hub.get("large")
        assert records is not None
        number = max(records.material.records.trials) + 1
        at = (records.last_at or 0.0) + 1
        with Journal(folder / "journal.jsonl") as journal:
            journal.append(Proposed(number, {}, 0, "search", "tpe", at))
            journal.append(Started(number, "here", 1, "", at))
            looks = []
            for step in range(1, LOOKS + 1):
                journal.append(Reported(number, step, {"objective": 0.3, "loss": 0.3}, 1.0, at + step))
                began = time.process_time()
                page.refresh()
                page.state("large")
                looks.append(time.process_time() - began)
    print(f"trials            {trials:>10,}")
    print(f"first look        {first:>10.2f} s")
    print(f"look, median      {1e3 * statistics.median(looks):>10.1f} ms   goal: below 200 ms")
    print(f"look, slowest     {1e3 * max(looks):>10.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
