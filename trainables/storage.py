"""Writing where the disk may be full: waiting for room loses nothing, giving up would."""

import errno
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_FULL = {errno.ENOSPC, errno.EDQUOT}
RETRY_SECONDS = 1.0


def when_there_is_room(
    write: Callable[[], T], say: Callable[[str], None], rest: Callable[[float], None] = time.sleep
) -> T:
    """What `write` returns, tried again while the disk is full or the quota used up. `say` hears of the wait and of its
    end.

    `write` must leave nothing half done when it raises. Raises what `write` raises for any other reason.
    """
    waiting = False
    while True:
        try:
            done = write()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            if not waiting:
                waiting = True
                where = f" ({error.filename})" if error.filename else ""
                say(f"the disk is full{where}: free some space; nothing is lost, the work goes on then")
            rest(RETRY_SECONDS)
        else:
            if waiting:
                say("there is space on the disk again: going on")
            return done
