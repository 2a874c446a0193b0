"""Sends the events of a search to the store of tracked runs: in batches, in order, each one once, beside the search.

What the journal has gained is folded into one update per run, and that is sent. While the store is away the journal
holds what waits; the count of events sent is kept on disk, so that the next process goes on there, in the same runs.
"""

import contextlib
import getpass
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from search.common.clock import now
from search.common.store_uri import identity, mask
from search.history.events import Event
from search.tracking.mlflow_store import MlflowStore
from search.tracking.run_ids import RunIds
from search.tracking.types import KEY_TAG, Pace, Registration, SearchStatus, Summary, TrackingInfo, Warn
from search.tracking.updates import (
    NOTE_LENGTH,
    PARAM_LENGTH,
    PARENT,
    RunStatus,
    Trials,
    Update,
    as_tags,
    clean,
    cut,
    points,
    run_key,
    text,
)

Take = Callable[[int], Sequence[Event]]
Wait = Callable[[float], tuple[SearchStatus, float] | None]
"""Waits so many seconds for the end: how the search ended, and how long sending that may take; None: not yet."""

PACE = Pace()
TAKE = 1000  # events folded at a time
SAID_LENGTH = 300  # characters of an error that people are shown

_ENDS: Mapping[str, RunStatus] = {"done": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class Tracker:
    """Sends a journal's events to a store until the search says how it ended."""

    def __init__(
        self,
        info: TrackingInfo,
        store: MlflowStore,
        take: Take,
        first: int,
        warn: Warn,
        pace: Pace = PACE,
        down: bool = False,
    ) -> None:
        """`take(limit)`: the next events of the journal, at most so many; none where there are none yet. `first`: the
        number of events that it held when this process took the search up. `down`: people know that the store is away.

        Raises OSError where the search's folder can't be written.
        """
        self._info, self._store, self._take, self._first, self._warn, self._pace = info, store, take, first, warn, pace
        self._runs = RunIds(info.folder / "tracking.jsonl", identity(info.uri, info.experiment))
        self._trials = Trials(info.rungs, info.mode, info.left_out)
        self._updates: dict[int, Update] = {}
        self._upto = 0  # events folded
        self._announced = set(self._runs.doubtful)
        self._doubtful = set(self._runs.doubtful)  # their runs may exist, or turn out to be there twice
        self._down, self._opened, self._closed = down, False, False
        self._verdict: SearchStatus | None = None
        self._verdict_at = self._timeout = 0.0  # when the verdict came, and how long may be taken from then on
        self._kept: set[Path] = set()  # artifacts that the run has: a verdict that is sent again does not repeat them
        self._version = ""
        self._reason = ""  # why the last attempt failed

    @property
    def sent(self) -> int:
        """Events that are in the store."""
        return self._runs.acknowledged

    def run(self, wait: Wait) -> Summary:
        """Send what comes, then the verdict; returns when that is in the store, or its time is over."""
        failures = 0
        while not self._closed and not self._over():
            try:
                more = self._deliver()
                self._recovered()
                if not more and self._verdict is not None:
                    self._close(self._verdict)
                failures, seconds = 0, 0.0 if more else self._pace.gather
            except Exception as error:  # whatever it is: tracking waits, the search goes on
                self._trouble(error)
                most = self._pace.retry_most if self._verdict is None else self._pace.farewell_retry
                seconds = min(most, self._pace.retry * 2.0**failures) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
                failures = min(failures + 1, 20)
            self._rest(seconds, wait)
        summary = self._summary()
        with contextlib.suppress(OSError):
            self._runs.close()
        return summary

    def _over(self) -> bool:
        """Whether the time for the verdict is up; sooner where the store is away."""
        limit = min(self._timeout, self._pace.farewell) if self._down else self._timeout
        return self._verdict is not None and time.monotonic() > self._verdict_at + limit

    def _rest(self, seconds: float, wait: Wait) -> None:
        if self._verdict is not None:
            time.sleep(0 if self._closed else seconds)
        elif (farewell := wait(seconds)) is not None:
            self._verdict, self._timeout = farewell
            self._verdict_at = time.monotonic()

    def _summary(self) -> Summary:
        while batch := self._take(TAKE):
            self._upto += len(batch)
        waiting = max(0, self._upto - self.sent)
        message = ""
        if not self._closed:
            message = (
                f"tracking: {waiting} events and the verdict could not be sent to {mask(self._info.uri)} by "
                f"now{f' ({self._reason})' if self._reason else ''}; they are kept in {self._info.folder}: the same "
                "command with --resume sends them"
            )
        ids = self._runs.ids
        return Summary(self.sent, waiting, self._closed, len(ids), ids.get(PARENT), message, self._version)

    def _deliver(self) -> bool:
        """Send one helping of events; False when nothing was left to send."""
        if not self._opened:
            self._open()
        batch = [] if self._updates else self._take(TAKE)
        if not batch and not self._updates:
            return False
        for event in batch:
            if self._upto == self._first:
                self._trials.interrupted()  # an earlier process left them
            self._trials.fold(event, self._updates if self._upto >= self.sent else {})
            self._upto += 1
        self._announce()
        while self._updates and not self._over():
            trial, update = next(iter(self._updates.items()))
            self._send(update)
            del self._updates[trial]
        if not self._updates:
            self._runs.acknowledge(self._upto)
        return True

    def _open(self) -> None:
        self._store.open()
        self._adopt()
        info = self._info
        parent = Update(PARENT, info.search, start=_now())
        parent.set_tags({**info.tags, "search": info.search, "kind": "search", "status": "running"})
        if not self._runs.described:
            parent.params = {clean(key): cut(text(value), PARAM_LENGTH) for key, value in info.params.items()}
        parent.reopen = PARENT in self._runs.ids
        self._updates = {PARENT: parent}
        self._announce()
        self._send(parent)
        self._runs.describe()
        self._updates = {}
        self._opened = True

    def _adopt(self) -> None:
        """Take the runs of this search that the store has already: it may be one that is known here by another name,
        or in another folder.
        """
        if self._runs.uid_is_new or PARENT in self._runs.ids:
            return
        found = {_trial_of(key): run for key, run in self._store.find_all(self._runs.uid).items()}
        if PARENT in found:
            own = found.pop(PARENT)
            self._runs.adopt({**found, PARENT: own})  # the last, for it says that all are adopted

    def _announce(self) -> None:
        """Write down which runs are about to be created: a crash in between must not create them twice."""
        new = [trial for trial in self._updates if trial not in self._runs.ids and trial not in self._announced]
        self._runs.creating(new)
        self._announced.update(new)

    def _send(self, update: Update) -> None:
        run = self._run_of(update)
        while update.metrics or update.params or update.tags:
            metrics, params, tags = update.chunk()
            self._offer(update.name, partial(self._store.write, run, metrics, params, tags))
            update.sent(len(metrics), params, tags)
        if update.ended:
            status, at = update.ended
            self._offer(update.name, partial(self._store.set_status, run, status, at))
        elif update.reopen:
            self._offer(update.name, partial(self._store.set_status, run, "RUNNING", _now()))

    def _offer(self, name: str, send: Callable[[], object]) -> None:
        """Send; what the store will never take is left out, with a warning, so that the rest goes on."""
        try:
            send()
        except Exception as error:
            if not self._store.refuses(error):
                raise
            self._say(f"tracking: a part of {name!r} was refused and is left out: {self._brief(error)}")

    def _run_of(self, update: Update) -> str:
        known = self._runs.ids.get(update.trial)
        if known:
            return known
        key = run_key(self._runs.uid, update.trial)
        if update.trial in self._doubtful:  # asked for before: the answer may have been lost, not the run
            for run in self._store.find(key)[:1]:
                self._runs.created(update.trial, run)
                return run
        tags = {KEY_TAG: key, "mlflow.user": _user(), **update.tags}
        if update.trial != PARENT:
            tags |= {"mlflow.parentRunId": self._runs.ids[PARENT], **as_tags(self._info.trial_tags)}
        try:
            run = self._store.create(update.name, tags, update.start or _now())
        except Exception:
            self._doubtful.add(update.trial)
            raise
        update.tags = {}
        self._runs.created(update.trial, run)
        return run

    def _close(self, verdict: SearchStatus) -> None:
        now = _now()
        for trial in self._trials.interrupted():
            if run := self._runs.ids.get(trial):
                self._offer("an open trial", partial(self._store.write, run, [], {}, {"status": "interrupted"}))
                self._offer("an open trial", partial(self._store.set_status, run, "KILLED", now))
        for trial in self._doubtful:
            found = self._store.find(run_key(self._runs.uid, trial))
            for run in found:
                if run != self._runs.ids.get(trial):
                    self._store.delete(run)
        at = now if verdict.at is None else round(verdict.at * 1000)
        parent = Update(PARENT, self._info.search, metrics=points(verdict.metrics, 0, at))
        parent.set_tags({**verdict.tags, "status": verdict.status})
        if verdict.note:
            parent.tags["mlflow.note.content"] = cut(verdict.note, NOTE_LENGTH)
        for path in verdict.artifacts:
            self._attach(path)
        missing = [path for path in verdict.winner if not self._attach(path, verdict.folder)]
        parent.ended = (_ENDS[verdict.status], now)
        self._send(parent)
        if verdict.version is not None:
            self._register(verdict.version, missing)
        self._closed = True

    def _attach(self, path: Path, into: str = "") -> bool:
        where = Path(into) / path.name
        if where in self._kept:
            return True
        try:
            self._store.add_file(self._runs.ids[PARENT], path, into)
        except Exception as error:  # the verdict matters more than a copy of a file that is in the folder
            self._say(f"tracking: {path.name} could not be added to the search's run: {self._brief(error)}")
            return False
        self._kept.add(where)
        return True

    def _register(self, version: Registration, missing: Sequence[Path]) -> None:
        again = f"the same command with --register {version.name} tries again"
        if missing:  # a version can't be changed later
            self._say(f"tracking: nothing is registered, as {missing[0].name} is not with the search's run; {again}")
            return
        try:
            self._version = self._store.register(self._runs.ids[PARENT], version)
        except Exception as error:  # a store without a registry, a name that is taken: the search is tracked still
            self._say(f"tracking: the winner could not be registered as {version.name}: {self._brief(error)}; {again}")

    def _trouble(self, error: Exception) -> None:
        self._reason = self._brief(error)
        if not self._down:
            self._say(waiting_note(self._info, self._reason))
        self._down = True

    def _brief(self, error: Exception) -> str:
        return mask(cut(self._store.explain(error).strip() or type(error).__name__, SAID_LENGTH))

    def _recovered(self) -> None:
        if self._down:
            self._say("tracking: the store answers again; what waited is being sent")
        self._down = False

    def _say(self, line: str) -> None:
        with contextlib.suppress(Exception):  # a broken terminal must not end tracking
            self._warn(mask(line))


def waiting_note(info: TrackingInfo, reason: str) -> str:
    """For people, when the store can't be reached."""
    return (
        f"tracking: {mask(info.uri)} can't be used now ({reason}). The search goes on; its events are kept in "
        f"{info.folder} and sent later, by --resume if not before"
    )


def _trial_of(key: str) -> int:
    number = key.rpartition("/")[2]
    return int(number) if number.isdecimal() else PARENT


def _now() -> int:
    return round(now() * 1000)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
