"""A tracker at work in a thread, as its process has it: a journal in memory to follow, and an end to be told of."""

import queue
import threading
from collections.abc import Sequence

from search.history.events import Event
from search.tracking.mlflow_store import MlflowStore
from search.tracking.tracker import Tracker
from search.tracking.types import Pace, SearchStatus, Summary, TrackingInfo


class Tracking:
    """One process's tracker of `journal`, a list that others append to."""

    def __init__(
        self,
        info: TrackingInfo,
        store: MlflowStore,
        journal: list[Event],
        said: list[str],
        pace: Pace,
        down: bool = False,
    ) -> None:
        self._journal, self._taken = journal, 0
        self._end: queue.SimpleQueue[tuple[SearchStatus, float]] = queue.SimpleQueue()
        self._tracker = Tracker(info, store, self._take, len(journal), said.append, pace, down)
        self._summary: Summary | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, verdict: SearchStatus, timeout: float) -> Summary:
        self._end.put((verdict, timeout))
        self.join(timeout + 30)
        assert self._summary is not None, "the tracker has not ended in time"
        return self._summary

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, for so long at most."""
        self._thread.join(seconds)

    @property
    def waiting(self) -> int:
        return len(self._journal) - self._tracker.sent

    def _run(self) -> None:
        self._summary = self._tracker.run(self._wait)

    def _take(self, limit: int) -> Sequence[Event]:
        found = self._journal[self._taken : self._taken + limit]
        self._taken += len(found)
        return found

    def _wait(self, seconds: float) -> tuple[SearchStatus, float] | None:
        try:
            return self._end.get(timeout=max(seconds, 0.001))
        except queue.Empty:
            return None
