"""Goes on with a search whose Ray has died: this process is replaced by a fresh one, which reads the journal.

Nothing less helps: code of Ray's own, which cannot be interrupted, waits for the dead process and then ends this one.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

import psutil

from search.common.exit_codes import Exit
from trainables.screen import Screen

VARIABLE = "SCHEDULE_SEARCH_RELAUNCHED"
COMMANDS, SCRIPT = {"search.run", "search.__main__"}, "schedule-search"
FRUITLESS = 3  # relaunches without a new evaluation after which the search ends instead
GONE_SECONDS = 5.0  # for the killed children of this process to be gone


@dataclass(frozen=True)
class Relaunched:
    """What the process before this one, of the same number, has left to say."""

    fruitless: int = 0
    """Relaunches since the last evaluation."""
    reports: int = -1
    """Evaluations in the journal at the last relaunch; -1 before the first one."""
    workers: int = 0
    """Trials at once."""
    signal: str = ""
    """The signal by which the search was to end; all that is left is to hand over what there is."""


def taken() -> Relaunched:
    """What the process before has left; said once. Its children, which it has killed, are gone then."""
    said = os.environ.pop(VARIABLE, "")
    if not said:
        return Relaunched()
    psutil.wait_procs(psutil.Process().children(), timeout=GONE_SECONDS)
    fruitless, reports, workers, signal = said.split(" ", 3)
    return Relaunched(int(fruitless), int(reports), int(workers), signal)


def relaunch(reason: str, left: Relaunched, own: bool, again: str, say: Callable[[str], None]) -> None:
    """Go on in a fresh process; where that can't be, end with `Exit.TRY_AGAIN`. Does not return.

    Args:
        reason: What has happened.
        left: For the next process.
        own: Whether Ray was started for this search.
        again: The command that goes on with it.
        say: Tells people.

    """
    fresh = own and _is_command() and left.fruitless < FRUITLESS
    if fresh and not left.signal:
        say(f"{reason}: the search goes on in a fresh process, trials from their checkpoints")
    elif not fresh:
        times = f", for the {left.fruitless + 1}th time without an evaluation between" if left.fruitless else ""
        advice = "is memory short (dmesg)? " if own else "when the cluster is up again, "
        say(f"{reason}{times}: nothing is lost; {advice}go on with: {again}")
    children = psutil.Process().children()  # Ray's other processes and the tracker: the next process starts its own
    for child in children:
        with suppress(psutil.Error):
            child.kill()
    if isinstance(sys.stdout, Screen):
        sys.stdout.drain()  # it prints in a thread, which ends with this process
    if fresh:  # at once: five seconds after the end of its raylet Ray's code ends this process with exit code 1
        os.environ[VARIABLE] = " ".join(map(str, astuple(left)))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same command
    psutil.wait_procs(children, timeout=GONE_SECONDS / 2)
    os._exit(Exit.TRY_AGAIN)


def _is_command() -> bool:
    """Whether this process is the command, and no other program that has called it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return Path(sys.argv[0]).name == SCRIPT if spec is None else spec.name in COMMANDS
