"""What time it is, for everything that a search writes down."""

import time

_ANCHOR = time.time() - time.monotonic()


def now() -> float:
    """Unix seconds that never jump within a process: the system's clock when this module was loaded, and on from there
    by the monotonic clock. So a clock that is set back or forth, or a leap of daylight saving, neither spends nor
    refunds a budget of time.
    """
    return _ANCHOR + time.monotonic()
