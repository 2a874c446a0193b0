"""How a search stands now: one answer for its report, the list of searches, the live page and the screen."""

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from search.history.records import Records
from search.spec.storage import JOURNAL
from trainables.layout import OWNER

QUIET = 120.0  # seconds without an event after which a process on another host counts as gone

State = Literal["starting", "searching", "confirming", "interrupted", "failed", "done"]


@dataclass(frozen=True)
class Standing:
    """The state of a search, with its cause where the journal tells one.

    `starting`: a process is at work, no trial has begun. `searching`, `confirming`: a process is at work.
    `interrupted`: none is, and the same command goes on. `failed`: the search stopped itself. `done`: it has ended,
    with a verdict or without a trial that succeeded; its cause is the budget that ended it before its last trial.
    """

    state: State
    cause: str = ""

    @property
    def running(self) -> bool:
        """Whether a process is at work on it."""
        return self.state in {"starting", "searching", "confirming"}


def standing(folder: Path, records: Records) -> Standing:
    """The state of the search in `folder`, whose journal says `records`. Takes no lock.

    Args:
        folder: the search's folder.
        records: the fold of its journal.

    Returns:
        `done` and a recorded stop go before what the operating system says: a search writes its own report.

    """
    if records.phase == "done" and all(trial.over for trial in records.trials.values()):
        return Standing("done", records.spent)
    if records.stopped is not None:
        state: State = "interrupted" if records.stopped.kind in {"signal", "clock", "ray", "folder"} else "failed"
        return Standing(state, records.stopped.reason)
    if not at_work(folder):
        return Standing("interrupted")
    if not records.trials:
        return Standing("starting")
    confirming = records.phase == "confirm" or records.confirming
    return Standing("confirming" if confirming else "searching")


def at_work(folder: Path) -> bool:
    """Whether the process that `.owner` names still runs; on another host, whether the journal grew lately."""
    host, process = owner(folder)
    if host and host != socket.gethostname():
        journal = folder / JOURNAL
        return journal.exists() and time.time() - journal.stat().st_mtime < QUIET
    return process is not None


def owner(folder: Path) -> tuple[str, psutil.Process | None]:
    """The host of the process that took the search up last, empty where nobody did; and the process, where it is of
    this host and still runs."""
    file = folder / OWNER
    try:
        host, _, pid = file.read_text(encoding="utf-8").strip().partition(" pid ")
        written = file.stat().st_mtime
    except OSError:
        return "", None
    if host != socket.gethostname():
        return host, None
    try:
        process = psutil.Process(int(pid))
        mine = process.create_time() <= written + 1  # else a later process took the number over
    except (psutil.Error, ValueError):
        return host, None
    return host, process if mine else None
