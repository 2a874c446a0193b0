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
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from search.common.store_uri import mask, unreachable
from search.history.chain import End, parse
from search.history.events import Event
from search.tracking.mlflow_store import MlflowStore
from search.tracking.tracker import PACE, Tracker, waiting_note
from search.tracking.types import Pace, SearchStatus, Summary, TrackingInfo, Warn

NICE = 5  # on a scale from 0 to 19, as `nice` takes it
GRACE = 5.0  # seconds beyond its time limit that the child is given to answer
_INFO, ENDED = TypeAdapter(TrackingInfo), TypeAdapter(SearchStatus)  # back from the JSON of `asdict`


class Sender:
    """The driver's end: starts the child, passes on its warnings, and tells it how the search ended."""

    def __init__(self, info: TrackingInfo, journal: Path, first: int, warn: Warn, pace: Pace = PACE) -> None:
        """`first`: the number of events in `journal` now; to be made before another one is written."""
        self._info, self._warn, self._journal = info, warn, journal
        self._order = {
            "info": dataclasses.asdict(info),
            "journal": str(journal),
            "first": first,
            "pace": dataclasses.asdict(pace),
        }
        self._child: subprocess.Popen[str] | None = None
        self._summary: Summary | None = None
        self._listening = threading.Thread(target=self._listen, name="tracking", daemon=True)

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
        self._tell({**self._order, "down": reason is not None})
        self._listening.start()
        return waiting_note(self._info, reason) if reason else None

    def finish(self, verdict: SearchStatus, timeout: float) -> Summary:
        """Send what waits, then the verdict; returns soon after `timeout` seconds at the latest, and at once where the
        child was not started.
        """
        if self._child is None:
            return self._unsent(f"tracking: nothing more was sent to {mask(self._info.uri)}; ")
        self._tell({"verdict": dataclasses.asdict(verdict), "timeout": timeout})
        self._listening.join(timeout + GRACE)
        self._child.kill()
        self._child.wait()
        self._listening.join()  # it ends with the child
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what was left in it has no reader
                pipe.close()
        if self._summary is None:
            return self._unsent(f"tracking: the process that sends to {mask(self._info.uri)} gave no answer; ")
        return self._summary

    def _unsent(self, why: str) -> Summary:
        events = self._journal.read_bytes().count(b"\n")
        return Summary(0, events, closed=False, runs=0, parent=None, message=f"{why}--resume sends what is missing")

    def _tell(self, order: dict[str, Any]) -> None:
        assert self._child is not None and self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(order, default=str) + "\n")
            self._child.stdin.flush()
        except OSError:
            pass  # it has died; `finish` says so

    def _listen(self) -> None:
        assert self._child is not None and self._child.stdout is not None
        for line in self._child.stdout:
            match json.loads(line):
                case {"warn": str(text)}:
                    self._warn(text)
                case {"summary": dict(fields)}:
                    self._summary = Summary(**fields)


class JournalTail:
    """The events of a journal that another process writes: read as they are asked for, so that memory holds none."""

    def __init__(self, path: Path) -> None:
        self._path, self._end = path, End()

    def __call__(self, limit: int) -> list[Event]:
        """The next events, at most `limit`; fewer, or none, where no more are written yet. Raises BadInput where the
        journal is not what the driver wrote."""
        lines: list[bytes] = []
        with self._path.open("rb") as file:
            file.seek(self._end.size)
            while len(lines) < limit and (line := file.readline()).endswith(b"\n"):  # else it is being written
                lines.append(line)
        found, self._end = parse(b"".join(lines), str(self._path), self._end)
        return found


class _Orders:
    """What the driver writes into the pipe. Read byte by byte, for `select` sees nothing of what a buffer holds."""

    def __init__(self) -> None:
        self._pipe = os.fdopen(0, "rb", buffering=0, closefd=False)

    def next(self) -> Any:
        """The next order. Ends the process where the driver has died: the next sitting goes on from here."""
        line = self._pipe.readline()
        if not line:
            sys.exit()
        return json.loads(line)

    def wait(self, seconds: float) -> tuple[SearchStatus, float] | None:
        """How the search ended, as soon as the driver says so; None after so many seconds."""
        if not select.select([self._pipe], [], [], seconds)[0]:
            return None
        order = self.next()
        return ENDED.validate_python(order["verdict"]), float(order["timeout"])


def main() -> None:
    """The child: follow the journal until the verdict comes or the driver is gone."""
    os.nice(NICE)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `ray job stop` sends it to children, too: the driver ends this one

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), flush=True)  # noqa: T201

    orders = _Orders()
    order = orders.next()
    info = _INFO.validate_python(order["info"])
    tracker = Tracker(
        info,
        MlflowStore(info.uri, info.experiment, info.run_table),
        JournalTail(Path(order["journal"])),
        order["first"],
        lambda text: say({"warn": text}),
        Pace(**order["pace"]),
        order["down"],
    )
    say({"summary": dataclasses.asdict(tracker.run(orders.wait))})


if __name__ == "__main__":
    main()
