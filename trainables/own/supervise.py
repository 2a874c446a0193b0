"""Runs one command so that nothing of it outlives its trial: `python -I -S supervise.py FD GRACE COMMAND…`.

FD is a socket to the worker. `end` from there: SIGTERM, after GRACE seconds SIGKILL. Its end, when the worker has died:
SIGKILL at once. As a subreaper this process inherits whatever the command leaves behind, and kills that, too. Standard
library only, and nothing of ours, so that it starts quickly. Exits with the command's exit code, 128 + n for signal n,
and tells it on FD, as the worker need not be the one that started the command.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
_TICK = 0.05


def main() -> int:
    """Run the command to its end; returns its exit code."""
    control, grace, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the worker decides

    def before() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    try:
        child = subprocess.Popen(command, start_new_session=True, preexec_fn=before)  # noqa: S603
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)  # noqa: T201
        return _told(control, 127)
    deadline = None
    while child.poll() is None:
        ready = select.select([control], [], [], _TICK)[0] if deadline is None else []
        if ready:
            asked = os.read(control, 100)
            if not asked:
                break
            _signal(signal.SIGTERM)
            _signal(signal.SIGCONT)
            deadline = time.monotonic() + grace
        elif deadline is not None:
            if time.monotonic() > deadline:
                break
            time.sleep(_TICK)
    while _signal(signal.SIGKILL):
        child.poll()
        _reap()
        time.sleep(0.005)
    code = child.wait()
    return _told(control, 128 - code if code < 0 else code)


def _told(control: int, code: int) -> int:
    with suppress(OSError):  # nobody is there any more
        os.write(control, f"{code}\n".encode())
    return code


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _signal(number: int) -> int:
    """Send a signal to every descendant; how many there are."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(entry.name)] = int(parent)
    found, waiting = [], [os.getpid()]
    while waiting:
        one = waiting.pop()
        below = [pid for pid, parent in parents.items() if parent == one]
        found += below
        waiting += below
    for pid in found:
        with suppress(OSError):
            os.kill(pid, number)
    return len(found)


if __name__ == "__main__":
    sys.exit(main())
