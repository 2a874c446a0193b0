"""Notices that Ray's own processes have ended, which Ray answers after up to a minute by ending the search without a
word.
"""

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import psutil
import ray

LOOK_SECONDS = 0.2  # between two looks, where the end of a process doesn't wake the watch by itself
PROBE_SECONDS = 2.0  # between two calls at the GCS
SILENT_SECONDS = 45.0  # of another machine's GCS, which may be started anew; Ray itself gives up after 60 s
_OWN = {"gcs_server": "GCS", "raylet": "raylet"}
MARK = "SCHEDULE_SEARCH_RAY"  # an environment variable of all processes of a Ray that a search has started
_RAYLET = "RAY_RAYLET_PID"  # that of what a raylet has started


class RayWatch:
    """Watches from `begin` to `end`; calls `gone` once, in a thread of its own, with the reason in words."""

    def __init__(self, gone: Callable[[str], None]) -> None:
        self._gone = gone
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, own: bool) -> None:
        """Watch the Ray that this process is connected to; `own`: it was started for this search."""
        self._over = over = threading.Event()
        processes = own_processes() if own else _raylet_of(ray.get_runtime_context().get_node_id())
        names = (processes, gcs_address(), own, over)
        self._thread = threading.Thread(target=self._watch, args=names, name="ray-watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """What happens to Ray from now on is meant."""
        self._over.set()

    def _watch(self, processes: Mapping[str, psutil.Process], gcs: str, own: bool, over: threading.Event) -> None:
        fds = _descriptors(processes)
        try:
            if (reason := _lost(processes, fds, gcs, own, over)) and not over.is_set():
                self._gone(reason)
        finally:
            for fd in fds or ():
                os.close(fd)


def _lost(
    processes: Mapping[str, psutil.Process], fds: list[int] | None, gcs: str, own: bool, over: threading.Event
) -> str:
    """Waits until Ray's processes have ended, or until it is over; what has happened."""
    silent: float | None = None  # since when the GCS does not answer
    asked = time.monotonic()
    while not over.is_set():
        if ended := _ended(processes, fds):
            return f"Ray's {' and '.join(ended)} ended (killed, or out of memory)"
        if time.monotonic() - asked < (LOOK_SECONDS if silent and own else PROBE_SECONDS):
            continue
        asked = time.monotonic()
        silent = None if _answers(gcs, own) else silent or asked
        if silent and own and asked > silent:  # twice: SIGTERM makes it close its port, and may leave it hung
            return "Ray's GCS ended (it takes no calls any more)"
        if silent and asked - silent > SILENT_SECONDS:
            return f"Ray's GCS at {gcs} has not answered for {SILENT_SECONDS:g} s"
    return ""


def gcs_address() -> str:
    """HOST:PORT of the GCS of the cluster that this process is connected to."""
    return str(ray.get_runtime_context().gcs_address)


def own_processes() -> dict[str, psutil.Process]:
    """The GCS and the raylet that this process has started."""
    found = {}
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if child.name() in _OWN and child.status() != psutil.STATUS_ZOMBIE:
                found[_OWN[child.name()]] = child
    return found


def end_orphans() -> None:
    """End what a killed search's raylet has left behind, and mark what Ray starts from now on.

    Agents of Ray's were seen to go on for some minutes without their GCS; what a training has started may never end.
    """
    os.environ[MARK] = "1"
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environment = process.environ()
            raylet = environment.get(_RAYLET, "")
            if MARK not in environment or not raylet.isdecimal() or process.pid == os.getpid():
                continue
            # By its number and by the family: within a container, numbers are others than without.
            if not psutil.pid_exists(int(raylet)) and all(p.name() != "raylet" for p in process.parents()):
                process.kill()


def _raylet_of(node: str) -> dict[str, psutil.Process]:
    """The raylet of a joined cluster through which this process speaks to it."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "raylet" and f"--node_id={node}" in process.cmdline():
                return {"raylet on this machine": process}
    return {}


def _descriptors(processes: Mapping[str, psutil.Process]) -> list[int] | None:
    """Files that can be read once a process has ended; None where the system has none such."""
    if not hasattr(os, "pidfd_open"):
        return None
    found = []
    for process in processes.values():
        with suppress(OSError):  # it has ended already, or an old kernel
            found.append(os.pidfd_open(process.pid))
    return found or None


def _ended(processes: Mapping[str, psutil.Process], fds: list[int] | None) -> list[str]:
    """The names of processes that have ended; waits up to `LOOK_SECONDS` for one."""
    if fds is None:
        time.sleep(LOOK_SECONDS)
    else:
        poll = select.poll()
        for fd in fds:
            poll.register(fd, select.POLLIN)
        poll.poll(LOOK_SECONDS * 1000)
    return [name for name, process in processes.items() if not _lives(process)]


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _answers(address: str, own: bool) -> bool:
    """Whether something listens there; on this machine (`own`) only a refusal counts: it may be slow, but is there."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_SECONDS).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return own
    return True
