"""From a job's start to its end: what it prints, what its end means, and a new job where the head was lost."""

import asyncio
import contextlib
import secrets
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, assert_never

from search.common.exit_codes import Exit
from search.spec.resources import Resources, refusal
from search.submit.head import Head, Job, Order, Unreachable

POLL_SECONDS = 2.0
PATIENCE_SECONDS = 24 * 3600.0  # for a head that was lost, and for its nodes, to come back
FAREWELL_SECONDS = 5.0  # for the last lines of a job that has ended
_OWN_CODES = (Exit.BAD_INPUT, Exit.NO_TRIAL, Exit.INTERRUPTED)  # of search.run, which knows why it ended
_OWNED = "is running this search"  # search.persistence.folder's words: the lost head's process has not gone yet

T = TypeVar("T")
Say = Callable[[str], None]
Rest = Callable[[float], None]


@dataclass(frozen=True)
class Final:
    """The job has ended by itself or by a person's will; `code` is what search.run would return."""

    code: int
    why: str = ""


@dataclass(frozen=True)
class Lost:
    """The job was ended by what happened to the cluster: another one goes on where it was."""

    why: str


def meaning(job: Job, again: bool) -> Final | Lost:
    """What the end of a job means; `again`: whether it was submitted in another's stead."""
    code = job.exit_code
    last = job.message.strip().splitlines()[-1] if job.message.strip() else ""
    if job.status == "SUCCEEDED":
        return Final(Exit.DONE)
    if job.status == "STOPPED":
        return Final(Exit.INTERRUPTED, "it was stopped")
    if code in _OWN_CODES:
        return Lost("the process before it has not gone yet") if again and _OWNED in job.message else Final(code)
    if code == Exit.TRY_AGAIN:
        return Lost("Ray or its machine failed under it")
    if code is not None and (code < 0 or code > 128):
        return Lost(f"its process was killed ({code})")
    if code is not None:
        return Final(Exit.FAILED, f"its process ended with exit code {code}")
    if job.error == "RUNTIME_ENV_SETUP_FAILURE":
        return Final(Exit.FAILED, f"its environment could not be made: {job.message.strip()}")
    return Lost(last or job.error or "Ray doesn't say why")


@dataclass
class Output:
    """What a job prints, shown once, however often the connection is made anew."""

    show: Say
    shown: int = 0
    """Characters, from the first one that the job has printed."""
    over: bool = False
    """Whether the job is: only its last lines may be missing."""


def follow(head: Head, job_id: str, output: Output, rest: Rest = time.sleep) -> Job | None:
    """Show what the job prints until it is over; None where the head doesn't know it. Raises Unreachable."""
    tail: _Tail | None = None
    try:
        while True:
            job = head.job(job_id)
            if job is None:
                return None
            if job.over:
                if tail is not None:
                    tail.join(FAREWELL_SECONDS)
                    tail.leave()
                output.over = True
                printed = head.logs(job_id)
                if printed is None:
                    return None
                if missed := printed[output.shown :]:
                    output.shown += len(missed)
                    output.show(missed)
                return job
            if job.status == "RUNNING" and (tail is None or not tail.is_alive()):
                tail = _Tail(head, job_id, output)
            rest(POLL_SECONDS)
    finally:
        if tail is not None:
            tail.leave()


class Client:
    """One who submits a job and stays with it."""

    def __init__(self, head: Head, resources: Resources, say: Say, show: Say, rest: Rest = time.sleep) -> None:
        """`say` tells people what happens to the job, `show` what it prints."""
        self._head, self._resources, self._say, self._show, self._rest = head, resources, say, show, rest

    def submit(self, name: str, order: Order) -> str:
        """Hand the order in; the new job's id."""
        job_id = f"{name}-{secrets.token_hex(4)}"
        self._head.submit(job_id, order)
        return job_id

    def stay(self, name: str, job_id: str, order: Order, retries: int) -> int:
        """Show the job until its end, handing the order in again up to `retries` times where the cluster lost it; the
        exit code. The same order goes on with the search that it has begun.
        """
        used = 0
        while True:
            outcome = self._outcome(job_id, again=used > 0)
            match outcome:
                case Final(code, why):
                    if why:
                        self._say(f"job {job_id}: {why}")
                    return code
                case Lost(why):
                    if used >= retries:
                        self._say(f"job {job_id} was lost: {why}; tried {used + 1} times in all")
                        return Exit.FAILED
                    used += 1
                    self._say(f"job {job_id} was lost: {why}; handing it in again ({used} of {retries})")
                    self._rest(POLL_SECONDS)
                    self._wait_for_nodes()
                    job_id = self._wait_for(lambda: self.submit(name, order))
                    self._say(f"job {job_id} goes on with {name}")
                case _:
                    assert_never(outcome)

    def _outcome(self, job_id: str, again: bool) -> Final | Lost:
        output = Output(self._show)
        while True:
            try:
                job = follow(self._head, job_id, output, self._rest)
            except Unreachable as error:
                self._say(f"{self._head.address} doesn't answer ({error}); waiting for it (Ctrl-C leaves)")
                self._wait_for(lambda: self._answers(job_id, output))
                self._say("it answers again")
                continue
            if job is None:
                return Lost("the head that answers now knows nothing of it")
            return meaning(job, again)

    def _answers(self, job_id: str, output: Output) -> bool:
        """True; raises Unreachable where it does not tell what is to be asked next."""
        self._head.check()
        if output.over:
            self._head.logs(job_id)  # by another process of the head, which may not answer yet
        return True

    def _wait_for_nodes(self) -> None:
        """A head that comes back is alone at first: the search would find no node for its trials, and end."""
        told = False

        def there() -> bool:
            nonlocal told
            why = refusal(self._resources, self._head.nodes())
            if why is not None and not told:
                told = True
                self._say(f"waiting for nodes: {why}")
            return why is None

        self._wait_for(there)

    def _wait_for(self, happened: Callable[[], T]) -> T:
        """What it returns, once that is true and the head answers. Raises Unreachable when patience ends."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            error = None
            try:
                if found := happened():
                    return found
            except Unreachable as unreachable:
                error = unreachable
            if time.monotonic() > until:
                raise error or Unreachable("the nodes that the search needs have not come back")
            self._rest(POLL_SECONDS)


class _Tail(threading.Thread):
    """Shows what a job prints, from where `output` stands, until it ends or the connection breaks."""

    def __init__(self, head: Head, job_id: str, output: Output) -> None:
        super().__init__(target=self._read, args=(head, job_id), daemon=True, name="tail")
        self._output, self._seen, self._left = output, 0, False
        self._lock = threading.Lock()
        self.start()

    def leave(self) -> None:
        """Show no more."""
        with self._lock:
            self._left = True

    def _read(self, head: Head, job_id: str) -> None:
        with contextlib.suppress(Exception):  # whatever broke the connection: the poll finds out what became of the job
            asyncio.run(head.tail(job_id, self._take))

    def _take(self, text: str) -> None:
        """The next piece of what was printed, which comes from the beginning each time."""
        with self._lock:
            if self._left:
                return
            fresh = text[max(0, self._output.shown - self._seen) :]
            self._seen += len(text)
            if fresh:
                self._output.shown += len(fresh)
                self._output.show(fresh)


def show(text: str) -> None:
    """What a job prints, as it is."""
    sys.stdout.write(text)
    sys.stdout.flush()


def table(jobs: Sequence[Job], now: float) -> list[str]:
    """One line per job: id, state, since when, where its results are."""
    lines = []
    for job in jobs:
        since = job.ended if job.over else job.began
        ago = f"{_span(now - since)} ago" if since is not None else ""
        lines.append(f"{job.id:<32} {job.status.lower():<10} {ago:<12} {job.results or ''}/{job.search or ''}")
    return lines


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
