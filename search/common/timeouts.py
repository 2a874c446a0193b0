"""Questions that may never be answered, given up after a while."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


def in_time(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises; TimeoutError where it takes longer.

    A server, or a name server on the way to it, may keep one waiting in ways that have no limit of their own.
    """
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # handed to the caller's thread
            done.set_exception(error)

    threading.Thread(target=work, daemon=True, name="question").start()
    if not wait([done], seconds).done:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return done.result()


def within(seconds: float, question: Callable[[], str | None]) -> str | None:
    """The answer of `question`; that there was none, where it takes longer."""
    try:
        return in_time(seconds, question)
    except TimeoutError as error:
        return str(error)
