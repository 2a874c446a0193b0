"""What Ray needs of the environment that a search is started in, found out before Ray fails of it."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

from spaces.problems import BadInput

if sys.platform != "win32":
    import resource

SOCKET_BYTES = 107 if sys.platform.startswith("linux") else 103  # of a socket's path, at most
SESSION_BYTES = len("/ray/session_2026-11-29_12-00-00_000000_1234567/sockets/plasma_store")
SHORT = "/tmp"  # noqa: S108 - Ray's own default
GIB = 2**30
ADDRESSES = 12 * GIB  # a driver and a worker were seen to take 9 GiB each, nearly all of it never touched
_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR})


def keep_sockets_short(say: Callable[[str], None]) -> None:
    """Where TMPDIR is too long for the paths of Ray's sockets, have Ray's own files in `SHORT`, by RAY_TMPDIR. Raises
    BadInput where RAY_TMPDIR itself is too long.
    """
    room = SOCKET_BYTES - SESSION_BYTES
    name = next((each for each in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(each)), "")
    size = len(os.fsencode(Path(os.environ[name]).absolute())) if name else 0
    if size <= room:
        return
    said = f"{size} bytes long, and paths of Ray's sockets leave room for {room}"
    if name == "RAY_TMPDIR" or not os.access(SHORT, os.W_OK):
        what = f"{said}: set RAY_TMPDIR to a shorter folder for Ray's own files, as RAY_TMPDIR={SHORT}"
        raise BadInput.of(name, what)
    say(f"TMPDIR is {said}: Ray keeps its own files in {SHORT}/ray")
    os.environ["RAY_TMPDIR"] = SHORT


def check_address_space() -> None:
    """Lift a limit on this process's addresses that is too low for Ray; raises BadInput where that is not allowed."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY or soft >= ADDRESSES:
        return
    if hard == resource.RLIM_INFINITY or hard >= ADDRESSES:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        return
    said = f"addresses are limited to {hard / GIB:.1f} GiB, and Ray's processes take up to {ADDRESSES / GIB:.0f} GiB"
    what = "of them, mostly without memory behind: lift that limit, and hold trials to their memory with"
    raise BadInput.of("ulimit -v", f"{said} {what} resources.memory")


def remedy(error: Exception) -> str:
    """What to do about `error`, by which Ray did not start on this machine."""
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        return "set RAY_TMPDIR to a folder for Ray's own files that can be written"
    return "the same command tries again"
