"""How much of the time that workers were there they trained.

    python benchmarks/busy.py RESULTS/NAME…                    # of searches that have ended
    python benchmarks/busy.py --play 2,8 --seconds 5 FOLDER    # of one for each number of workers, kept in FOLDER

By the journal, from the first trial's start to the last one's end; told for the search and the confirmation alone, too,
and how long the tail of each was, from the first worker's last trial to the last one's end. What is played sleeps for
its epochs, so that more workers than cores are as quick as they would be on cores of their own, but for their start.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from search.history.events import Event, Phase
from search.history.journal import read
from search.report.timeline import timeline
from search.simulate.recorded import is_search

GOAL = 0.95
SLEEPER = """
import random
import time


def train(run):
    kept = run.resume()
    for epoch in range(kept["epoch"] if kept else 0, run.config.epochs):
        time.sleep(run.config.seconds)
        noise = random.Random(f"{run.seed} {run.config.x} {epoch}").gauss(0, 0.01)
        loss = (run.config.x - 0.3) ** 2 + 1 / (1 + run.config.rate * (epoch + 1)) + noise
        run.report(epoch + 1, loss=loss, state=lambda: {"epoch": epoch + 1})
"""
BASE = "{x: 0.9, rate: 1.0, epochs: 27, seconds: SECONDS}\n"
SEARCH = """
trainable: {function: "sleeper:train", length: epochs, objective: {loss: min, worst: 2.0, unit: nothing}, settles: 0}
base: base.yaml
space: {x: {float: [0, 1]}, rate: {float: [0.1, 10], log: true}}
budget: {trials: 40, steps: 27 epochs, evaluate_every: 1 epoch}
resources: {cpu: CPU}
"""


def busy(events: Sequence[Event]) -> float:
    """Share of the workers' time in which they trained; nan before anything ran."""
    idle = timeline(events).idle
    return float("nan") if idle is None else 1 - idle


def tail(events: Sequence[Event]) -> float:
    """Seconds from the first worker's last trial to the last one's end."""
    spans = timeline(events).spans
    ends = [max((span.end for span in spans if span.lane == lane), default=0.0) for lane in {s.lane for s in spans}]
    return max(ends) - min(ends) if ends else 0.0


def searching(events: Sequence[Event]) -> int:
    """The number of events before the confirmation."""
    confirms = (at for at, event in enumerate(events) if isinstance(event, Phase) and event.name == "confirm")
    return next(confirms, len(events))


def play(folder: Path, workers: int, seconds: float) -> Path:
    """Search with so many workers on this machine; the search's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sleeper.py").write_text(SLEEPER)
    (folder / "base.yaml").write_text(BASE.replace("SECONDS", f"{seconds:g}"))
    (folder / "search.yaml").write_text(SEARCH.replace("CPU", f"{len(os.sched_getaffinity(0)) / workers:g}"))
    name = f"w{workers}"
    words = ["search.yaml", "--name", name, "--results", "results", "-q"]
    subprocess.run([sys.executable, "-m", "search.run", *words], cwd=folder, check=True)
    return folder / "results" / name


def main() -> None:
    """Print a line per search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--play", metavar="WORKERS", help="numbers of workers, as in 2,8")
    parser.add_argument("--seconds", type=float, default=5.0, help="of an epoch")
    options = parser.parse_args()
    folders = options.folders
    if options.play:
        folders = [play(folders[0], int(workers), options.seconds) for workers in options.play.split(",")]
    print(f"busy (aimed at: {GOAL:.0%})  searching   its tail  confirming   its tail  workers  search")
    for folder in filter(is_search, folders):
        events = read(folder / "journal.jsonl")[0]
        at, workers = searching(events), len(timeline(events).lanes)
        parts = "  ".join(f"{busy(part):>9.0%}  {tail(part):>7.1f} s" for part in (events[:at], events[at:]))
        print(f"{busy(events):>21.0%}  {parts}  {workers:>7}  {folder}")


if __name__ == "__main__":
    main()
