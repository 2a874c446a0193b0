"""How much of the time that workers were there they trained: `python benchmarks/busy.py RESULTS/NAME…`.

From the first trial's start to the last one's end, by the journal; told for the search and for its confirmation, too,
and how long the search's tail was, in which a worker had nothing to do any more.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from search.history.events import Event, Phase
from search.history.journal import read
from search.report.timeline import timeline
from search.simulate.recorded import is_search

GOAL = 0.95


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


def main() -> None:
    """Print a line per search."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    print(f"busy (aimed at: {GOAL:.0%})  searching  its tail  workers  search")
    for folder in filter(is_search, parser.parse_args().folders):
        events = read(folder / "journal.jsonl")[0]
        search = events[: searching(events)]
        workers = len(timeline(events).lanes)
        print(f"{busy(events):>21.0%}  {busy(search):>9.0%}  {tail(search):>6.1f} s  {workers:>7}  {folder}")


if __name__ == "__main__":
    main()
