"""What ends a run of a search before its time: signals, and the loss of Ray."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from search.app.relaunch import Relaunched, relaunch
from search.common.command_line import STOPPING, handled
from search.execution.admission import Halt
from search.history.journal import read
from search.history.records import Records
from search.persistence.folder import JOURNAL, Folder
from spaces.problems import BadInput
from trainables import start
from trainables.guard import end_all

Say = Callable[[str], None]
Arrived = Callable[[], str]
"""The name of a signal that has arrived and asks the search to end; empty where none has."""
TOGETHER_SECONDS = 0.3  # signals to Ray and to this process may have been sent one after the other


@contextmanager
def interruption(halt: Halt, say: Say) -> Iterator[Arrived]:
    """First Ctrl-C, SIGTERM or SIGHUP: end the run in order. Second: at once. The journal makes both resumable."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if halt.kind == "signal":
            raise KeyboardInterrupt
        halt.call(signal.Signals(number).name, "signal")
        say("stopping: trials keep their last evaluation; again to stop at once")

    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    # The interpreter writes signals there as they arrive: `stop` has to wait while the main thread hangs in Ray's code.
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        with handled(stop):
            yield lambda: _first(reading)
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


def _first(reading: int) -> str:
    with suppress(BlockingIOError):
        for number in os.read(reading, 256):
            if number in STOPPING:
                return signal.Signals(number).name
    return ""


class Loss:
    """What to do when Ray's own processes have ended. Called in a thread of the watch."""

    def __init__(self, halt: Halt, left: Relaunched, arrived: Arrived, path: Path, again: str, say: Say) -> None:
        self._halt, self._left, self._arrived = halt, left, arrived
        self._path, self._again, self._say = path, again, say
        self._folder: Folder | None = None
        self._workers, self._own = 0, True

    def follow(self, folder: Folder, workers: int, own: bool) -> None:
        """From now on there is something to go on from: known here, as Ray can't be asked any more then."""
        self._folder, self._workers, self._own = folder, workers, own

    def __call__(self, reason: str) -> None:
        """Go on in a fresh process, or end. Does not return."""
        halt = self._halt
        ending = halt.reason or "" if halt.kind == "signal" else ""
        if not ending:
            halt.call(reason, "ray")  # what Ray reports from now on is no trial's own failure
        time.sleep(TOGETHER_SECONDS)
        ending = ending or self._arrived()
        end_all(self._path / "trials")
        left = self._left
        reports = max(0, left.reports) if self._folder is None else self._reports(self._folder.records)
        fruitless = left.fruitless + 1 if reports == left.reports else 0
        left = Relaunched(fruitless, reports, self._workers or left.workers, ending)
        relaunch(reason, left, self._own, self._again, self._say)

    def _reports(self, records: Records) -> int:
        """Evaluations up to now, those on the way to the start among them."""
        found = list(records.trials.values())
        with suppress(OSError, BadInput):
            found += Records(read(self._path / start.FOLDER / JOURNAL)[0]).trials.values()
        return sum(len(trial.reports) for trial in found)
