"""The tracker in a process of its own: its work (an import of seconds, 15 ms a trial) takes neither the driver's
interpreter lock nor, at a low priority, the processors that trials need.

The child follows the journal, which holds every event before anything else hears of it; so the driver sends none. A
pipe to the child carries what it is to do: first the search, at the end the verdict. When the pipe breaks the driver
has died, and the child ends: the next sitting goes on where it was. Lines of JSON come back: warnings, and the summary.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from search.common.store_uri import mask, unreachable
from search.history.events import Event
from search.history.journal import parse_line, read
from search.tracking.mlflow_store import track
from search.tracking.tracker import PACE, waiting_note
from search.tracking.types import Pace, SearchStatus, Summary, TrackingInfo, Warn, info_of, status_of

NICE = 5  # on a scale from 0 to 19, as `nice` takes it
LOOK = 0.25  # seconds between two looks at the journal
GRACE = 5.0  # seconds beyond its time limit that the child is given to answer


class Sender:
    """A listener of events like `Tracker`, which does the work in a child."""

    def __init__(self, info: TrackingInfo, journal: Path, first: int, warn: Warn, pace: Pace = PACE) -> None:
        """`first`: the number of events in `journal` now; to be made before another one is written."""
        self._info, self._warn = info, warn
        self._known = first
        self._order = {
            "info": dataclasses.asdict(info),
            "journal": str(journal),
            "first": first,
            "offset": journal.stat().st_size if journal.exists() else 0,
            "pace": dataclasses.asdict(pace),
        }
        self._child: subprocess.Popen[str] | None = None
        self._summary: Summary | None = None
        self._ears = threading.Thread(target=self._hear, name="tracking", daemon=True)

    def start(self) -> str | None:
        """Start the child; returns within 5 s with a warning for people when the store does not answer."""
        reason = unreachable(self._info.uri)
        self._child = subprocess.Popen(
            [sys.executable, "-m", "search.tracking.sender"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for the driver, which ends the child in order
        )
        self._tell(self._order)
        self._ears.start()
        return waiting_note(self._info, reason) if reason else None

    def handle(self, event: Event) -> None:  # noqa: ARG002 - the child reads it in the journal
        """Count the event."""
        self._known += 1

    def finish(self, verdict: SearchStatus, timeout: float) -> Summary:
        """Send what waits, then the verdict; returns soon after `timeout` seconds at the latest."""
        assert self._child is not None, "finish comes after start"
        self._tell({"verdict": dataclasses.asdict(verdict), "timeout": timeout})
        self._ears.join(timeout + GRACE)
        self._child.kill()
        self._child.wait()
        self._ears.join()  # it ends with the child
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what was left in it has no reader
                pipe.close()
        if self._summary is None:
            note = (
                f"tracking: the process that sends to {mask(self._info.uri)} gave no answer; "
                "--resume sends what is missing"
            )
            self._summary = Summary(0, self._known, closed=False, runs=0, parent=None, message=note)
        return self._summary

    def _tell(self, order: dict[str, Any]) -> None:
        assert self._child is not None and self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(order, default=str) + "\n")
            self._child.stdin.flush()
        except OSError:
            pass  # it has died; `finish` says so

    def _hear(self) -> None:
        assert self._child is not None and self._child.stdout is not None
        for line in self._child.stdout:
            match json.loads(line):
                case {"warn": str(text)}:
                    self._warn(text)
                case {"summary": dict(fields)}:
                    self._summary = Summary(**fields)


class _Tail:
    """New events of a journal that another process writes."""

    def __init__(self, path: Path, offset: int) -> None:
        self._file = path.open("rb")
        self._file.seek(offset)
        self._torn = b""

    def __call__(self) -> Iterator[Event]:
        *lines, self._torn = (self._torn + self._file.read()).split(b"\n")
        for line in lines:
            event = parse_line(line + b"\n")
            assert event is not None, "the journal is written line by line"
            yield event


def main() -> None:
    """The child: follow the journal until the verdict comes or the driver is gone."""
    os.nice(NICE)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `ray job stop` sends it to children, too: the driver ends this one
    lock = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        with lock:
            print(json.dumps(message), flush=True)  # noqa: T201

    order = json.loads(sys.stdin.readline())
    info = info_of(order["info"])
    journal = Path(order["journal"])
    tail = _Tail(journal, order["offset"])
    tracker = track(
        info,
        lambda index: islice(read(journal)[0], index, None),
        order["first"],
        lambda text: say({"warn": text}),
        Pace(**order["pace"]),
    )
    tracker.start()
    last: list[str] = []
    listening = threading.Thread(target=lambda: last.append(sys.stdin.readline()), daemon=True)
    listening.start()
    while listening.is_alive():
        for event in tail():
            tracker.handle(event)
        listening.join(LOOK)
    if not last[0]:
        return
    for event in tail():
        tracker.handle(event)
    final = json.loads(last[0])
    say({"summary": dataclasses.asdict(tracker.finish(status_of(final["verdict"]), final["timeout"]))})


if __name__ == "__main__":
    main()
