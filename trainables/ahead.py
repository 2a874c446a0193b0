"""Reading ahead: what a step trains on, made by threads before it is asked for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """What steps train on. As all of it follows from the step, it may be made in any order."""

    def __init__(self, make: Callable[[int], T], workers: int, depth: int) -> None:
        """`workers` = 0: made when it is asked for. `depth`: steps that are begun at most, the asked one among them."""
        self._make, self._depth = make, max(1, depth)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batches") if workers else None
        self._waiting: dict[int, Future[T]] = {}

    def step(self, step: int, until: int) -> T:
        """What `step` trains on; the steps after it, below `until`, are begun. Raises what `make` raised for it."""
        if self._pool is None:
            return self._make(step)
        self._waiting = {at: future for at, future in self._waiting.items() if at >= step}
        for at in range(step, min(step + self._depth, until)):
            if at not in self._waiting:
                self._waiting[at] = self._pool.submit(self._make, at)
        return self._waiting.pop(step).result()

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._waiting.clear()
