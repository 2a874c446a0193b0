"""What time it is, for everything that a search writes down."""

import time

_ANCHOR = time.time() - time.monotonic()


def now() -> float:
    """Unix seconds that never jump within a process: the system's clock when this module was loaded, and on from there
    by the monotonic clock. So a clock that is set back or forth, or a leap of daylight saving, neither spends nor
    refunds a budget of time.
    """
    return _ANCHOR + time.monotonic()


class SetBack:
    """Notices that the system's clock was set back: Ray's processes wait by it, so their timers stop for as long."""

    def __init__(self, tolerance: float = 5.0) -> None:
        """`tolerance` in seconds: small corrections do no harm."""
        self._tolerance = tolerance
        self._ahead = time.time() - now()

    def __call__(self) -> str | None:
        """By how much, in words; None where it wasn't set back since this object was made."""
        ahead = time.time() - now()
        back = self._ahead - ahead
        self._ahead = max(self._ahead, ahead)
        return f"the system's clock was set back by {back:.0f} s" if back > self._tolerance else None
