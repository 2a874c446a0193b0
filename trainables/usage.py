"""What a worker takes of its machine between two evaluations: processor time, memory, the GPU."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

CORES, MEMORY, GPU, GPU_MEMORY = "cores", "memory", "gpu", "gpu_memory"
"""Mean processors in use; bytes held by the process and those it started, now; the GPU's busy share, now, where the
NVIDIA library for Python is there to ask; the most bytes that torch has held of the GPU."""


RARE = 100
"""To find the processes that this one has started is to read the whole list of the machine's (2 ms for 70): it is done
again only after this many times as long."""


class Usage:
    """Measures from one call of `begin` or `taken` to the next."""

    def __init__(self, also: Callable[[], Iterable[int]] = tuple) -> None:
        """`also`: the numbers of processes that belong to the trial, too, though this one has not started them."""
        self._also = also
        self._children: tuple[int, ...] = ()
        self._stale = 0.0  # when they are to be looked for again
        self.begin()

    def begin(self) -> None:
        """Measure from here."""
        self._at, self._spent = time.perf_counter(), self._look()[0]

    def taken(self) -> dict[str, float]:
        """What has been taken since the last call."""
        spent, held = self._look()
        at = time.perf_counter()
        cores = max(0.0, spent - self._spent) / max(at - self._at, 1e-9)  # a child that nobody waited for took its own
        self._at, self._spent = at, spent
        return {CORES: round(cores, 3), MEMORY: held, **_gpu()}

    def _look(self) -> tuple[float, int]:
        """Seconds of processor time so far, and bytes held now."""
        spent, held = 0.0, 0
        for pid in {os.getpid(), *self._started(), *self._also()}:
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                spent += sum(process.cpu_times()[:4])  # its own, and its children's that have ended
                held += process.memory_info().rss
        return spent, held

    def _started(self) -> tuple[int, ...]:
        began = time.perf_counter()
        if began >= self._stale:
            self._children = tuple(child.pid for child in psutil.Process().children(recursive=True))
            now = time.perf_counter()
            self._stale = now + RARE * (now - began)
        return self._children


def _gpu() -> dict[str, float]:
    torch = sys.modules.get("torch")  # who has not imported it uses no GPU in this process
    if torch is None or not torch.cuda.is_initialized():
        return {}
    found: dict[str, float] = {GPU_MEMORY: float(torch.cuda.max_memory_reserved())}
    torch.cuda.reset_peak_memory_stats()
    with suppress(Exception):  # no such library, or a driver that does not tell
        found[GPU] = torch.cuda.utilization() / 100
    return found
