"""A server that `python -m search.dashboard` has started ends with it."""

import os
import sys
import threading


def end_with_parent() -> None:
    """From now on, end this process when its standard input does: that is a pipe to whoever started it, which breaks
    whatever ends them.
    """
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
