"""Questions that may never be answered, given up after a while."""

import threading
from collections.abc import Callable


def within(seconds: float, question: Callable[[], str | None]) -> str | None:
    """The answer of `question`; that there was none, where it takes longer.

    A server, or a name server on the way to it, may keep one waiting in ways that have no limit of their own.
    """
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(question()), daemon=True, name="question")
    thread.start()
    thread.join(seconds)
    return found[0] if found else f"no answer within {seconds:g} s"
