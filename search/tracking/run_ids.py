"""What tracking remembers on disk, and the line of events that wait to be sent.

The journal of the search is the spool: every event is in it before it comes here. So memory holds a bounded queue
only; when that is full it is dropped, and the events are read back from the journal once there is time for them.
"""

import errno
import json
import os
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from search.history.events import Event

QUEUE = 10_000
"""Events held in memory, about 1 KB each."""

Replay = Callable[[int], Iterator[Event]]
"""The journal's events from the given index on, in order, down to its present end."""


class Feed:
    """Events by their index in the journal: `put` on the driver, `take` on the tracking thread."""

    def __init__(self, replay: Replay, first: int, bound: int = QUEUE) -> None:
        """`first` is the index of the first event that will be `put`: the length of the journal at the start."""
        self._replay = replay
        self._bound = bound
        self._lock = threading.Lock()
        self._queue: deque[tuple[int, Event]] = deque()
        self._index = first
        self._behind = True  # what comes next is to be read from the journal
        self._next = 0  # index of the next event to be taken
        self._reader: Iterator[tuple[int, Event]] | None = None

    def put(self, event: Event) -> None:
        """Take in the next event of the journal, which already holds it. Constant time, no I/O."""
        with self._lock:
            index = self._index
            self._index += 1
            if self._behind:
                return
            if len(self._queue) >= self._bound:
                self._queue, self._behind = deque(), True
                return
            self._queue.append((index, event))

    def __len__(self) -> int:
        """Events held in memory."""
        return len(self._queue)

    @property
    def total(self) -> int:
        """Events in the journal, as far as known here."""
        return self._index

    def take(self, limit: int) -> list[tuple[int, Event]]:
        """The next events in order, each one once; empty when there are none. Raises what reading raises."""
        if self._reader is None:
            self._reader = self._reading()
        batch = self._queued(limit) if self._reader is None else self._read(self._reader, limit)
        if batch:
            self._next = batch[-1][0] + 1
        return batch or (self._queued(limit) if self._reader is None else [])

    def _reading(self) -> Iterator[tuple[int, Event]] | None:
        with self._lock:
            if not self._behind:
                return None
            # From here on new events queue up again; those that the reader meets too are skipped in the queue.
            self._behind = False
        return self._from_journal()

    def _from_journal(self) -> Iterator[tuple[int, Event]]:
        start = self._next
        for offset, event in enumerate(self._replay(start)):
            yield start + offset, event

    def _read(self, reader: Iterator[tuple[int, Event]], limit: int) -> list[tuple[int, Event]]:
        try:
            batch = list(islice(reader, limit))
        except BaseException:
            self._reader, self._behind = None, True
            raise
        if len(batch) < limit:
            self._reader = None
        return batch

    def _queued(self, limit: int) -> list[tuple[int, Event]]:
        batch: list[tuple[int, Event]] = []
        with self._lock:
            while self._queue and len(batch) < limit:
                index, event = self._queue.popleft()
                if index >= self._next:
                    batch.append((index, event))
        if batch:
            self._next = batch[-1][0] + 1
        return batch


class RunIds:
    """Which runs exist and how far the journal has been sent, in a file of JSON lines that is only appended to.

    A line torn by a crash is passed over: a lost id is looked up in the store (its intent was written before), and
    events that were sent but not acknowledged are sent again, which the store tells from new ones.
    """

    def __init__(self, path: Path, store: str) -> None:
        """`store` names the place where the runs live; lines about another place don't count."""
        self.uid = ""
        """Names this search in any store."""
        self.ids: dict[int, str] = {}
        self.doubtful: set[int] = set()
        """Trials whose run may exist without our knowing its id."""
        self.described = False
        """The params of the search's own run are in the store."""
        self.acknowledged = 0
        """Events from the start of the journal that are in the store."""
        text = path.read_bytes() if path.exists() else b""
        self._parse(text, store)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._torn = bool(text) and not text.endswith(b"\n")
        if not self.uid:
            self.uid = uuid.uuid4().hex
            self._write([{"uid": self.uid}])
        self._write([{"store": store}])
        os.fsync(self._file)

    def _parse(self, text: bytes, store: str) -> None:
        here = False
        for line in text.splitlines():
            try:
                match json.loads(line):
                    case {"uid": str(uid)}:
                        self.uid = uid
                    case {"store": str(name)}:
                        here = name == store
                    case {"creating": int(trial)} if here:
                        self.doubtful.add(trial)
                    case {"trial": int(trial), "run": str(run)} if here:
                        self.ids[trial] = run
                        self.doubtful.discard(trial)
                    case {"described": True} if here:
                        self.described = True
                    case {"acknowledged": int(count)} if here:
                        self.acknowledged = count
            except ValueError:
                continue

    def creating(self, trials: Iterable[int]) -> None:
        """Runs of `trials` are about to be created. On disk when this returns."""
        lines = [{"creating": trial} for trial in trials]
        if lines:
            self._write(lines)
            os.fdatasync(self._file)

    def created(self, trial: int, run: str) -> None:
        """The run of `trial` exists."""
        self.ids[trial] = run
        self._write([{"trial": trial, "run": run}])

    def describe(self) -> None:
        """The params of the search's own run are in the store."""
        if not self.described:
            self._write([{"described": True}])
            self.described = True

    def acknowledge(self, count: int) -> None:
        """The first `count` events of the journal are in the store."""
        if count > self.acknowledged:
            self._write([{"acknowledged": count}])
            self.acknowledged = count

    def close(self) -> None:
        """Bring everything to the disk. Nothing may be written after."""
        os.fsync(self._file)
        os.close(self._file)

    def _write(self, lines: list[dict[str, Any]]) -> None:
        data = (b"\n" if self._torn else b"") + b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self._torn = True
        if os.write(self._file, data) < len(data):
            raise OSError(errno.ENOSPC, "only a part of the record could be written")
        self._torn = False
