"""The faults, each as a story: start the search, disturb it, leave the rest to the caller."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks import faults_surroundings as around
from benchmarks import faults_tampering as tampering
from benchmarks.faults_arena import Arena
from benchmarks.faults_endings import (
    INTERRUPT,
    TERMINATE,
    everyone_terminated,
    folder_moved,
    journal_deleted,
    killed_after_signal,
    ray_killed,
    results_deleted,
    screen_full,
    screen_gone,
    stopped,
)
from benchmarks.faults_model import Kind, Trouble
from benchmarks.faults_scene import Fault, Scene
from benchmarks.faults_tools import (
    Clock,
    Server,
    full,
    locked,
    memory_limited,
    no_memory_limit,
    no_shim,
    no_small_disk,
    serving,
    small_disk,
)
from search.history.events import Ended, Started

LATE = 2
"""The evaluation at which a troubled trial meets its trouble."""


def _killed(scene: Scene) -> None:
    arena, random = scene.arena, scene.random
    arena.start()
    if random.random() < 0.5:  # in time: start-up, confirmation and the end have their share
        moment = time.monotonic() + random.uniform(0, scene.seconds)
        while time.monotonic() < moment and not _over(arena):
            time.sleep(0.02)
    else:  # in work
        goal = arena.reports() + random.randint(1, max(1, 2 * arena.size.middle))
        while arena.reports() < goal and not _over(arena):
            time.sleep(0.02)
        time.sleep(random.uniform(0, 2 * arena.size.pause))
    if not _over(arena):
        arena.kill()


def _over(arena: Arena) -> bool:
    return arena.process is None or arena.process.poll() is not None


def _worker_killed(scene: Scene) -> None:
    arena = scene.arena
    arena.begin()
    worker = _worker(arena)
    assert worker.environ(), "the worker is there"
    worker.kill()
    arena.hits += 1


def _worker(arena: Arena) -> psutil.Process:
    return psutil.Process([event.pid for event in arena.events() if isinstance(event, Started)][-1])


def _server_late(scene: Scene) -> None:
    arena = scene.arena
    server = _tracked_by_server(scene)
    arena.begin()
    server.start()


def _server_away(scene: Scene) -> None:
    arena = scene.arena
    server = _tracked_by_server(scene)
    server.start()
    arena.begin()
    server.stop()
    scene.hold_for(60)
    server.start()


def _server_gone(scene: Scene) -> None:
    arena = scene.arena
    server = _tracked_by_server(scene)
    server.start()
    arena.begin()
    server.stop()
    code = arena.ended()
    if code or "could not be sent" not in arena.output:
        raise RuntimeError(f"exit code {code}, and it says:\n{arena.said}")
    scene.notes.append("ended without it; the same command sent the rest")
    server.start()  # months later, to see what the same command makes of it
    arena.process = None


def _tracked_by_server(scene: Scene) -> Server:
    server = scene.stack.enter_context(serving(scene.arena.folder, scene.arena.unit))
    scene.arena.variables = {"MLFLOW_TRACKING_URI": server.uri}
    scene.arena.database = server.database
    return server


def _store_locked(scene: Scene) -> None:
    arena = scene.arena
    arena.begin()
    with locked(arena.path.parent / "mlflow.db"):
        scene.hold_for(30)


def _disk_full(scene: Scene) -> None:
    arena = scene.arena
    arena.results = Path("disk")
    scene.stack.enter_context(small_disk(arena.folder / "disk", 64))
    arena.begin()
    with full(arena.folder / "disk"):
        scene.hold_for(20)
    arena.hits += 1


def _checkpoint_truncated(scene: Scene) -> None:
    tampering.killed(scene)
    newest = max(scene.arena.path.glob("trials/*/checkpoints/*.pt"), key=lambda path: path.stat().st_mtime_ns)
    os.truncate(newest, newest.stat().st_size // 2)
    scene.notes.append(f"{newest.parent.parent.name} {newest.name}")
    scene.again()


def _journal_torn(scene: Scene) -> None:
    arena = scene.arena
    arena.begin()
    arena.kill()
    lines = arena.journal.read_bytes().splitlines(keepends=True)
    os.truncate(arena.journal, arena.journal.stat().st_size - len(lines[-1]) // 2)
    scene.again()


def _clock_back(scene: Scene) -> None:
    arena = scene.arena
    clock = Clock(arena.folder)
    arena.variables = clock.variables
    arena.begin()
    clock.jump(-3600)
    arena.hits += 1  # Ray starts no worker after that, and is started again


def _nothing(scene: Scene) -> None:
    """The trial's own trouble is all."""
    scene.arena.start()


def _troubled_once(scene: Scene) -> None:
    arena = scene.arena
    arena.start()
    arena.until((arena.folder / "happened").exists, "the trouble")
    arena.hits += 1


def _out_of_memory(scene: Scene) -> None:
    _troubled_once(scene)
    arena = scene.arena
    worker = _worker(arena)
    with memory_limited(worker.pid):
        arena.until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, "the kernel's kill")


def _killed_after_end(status: str) -> Callable[[Scene], None]:
    """The trouble stays, and the driver dies as soon as the journal has what came of it."""

    def act(scene: Scene) -> None:
        arena = scene.arena
        arena.start()
        arena.until(
            lambda: any(isinstance(event, Ended) and event.status == status for event in arena.events()),
            f"a trial that has {status}",
        )
        arena.kill()
        scene.again()

    return act


def _stops_early(scene: Scene) -> None:
    arena = scene.arena
    arena.start()
    code = arena.ended()
    if code != 3 or "the trouble of step" not in arena.output:
        raise RuntimeError(f"exit code {code} where 3 was due, and it says:\n{arena.said}")
    scene.notes.append("exit 3, the cause named")


DRIVER_KILLED = "driver killed"
TIMEOUT = ("trial_timeout=10s",)
LEAKY = ("resources.memory=1 GiB",)
STOPS = ("stop_after_failures=0.5", "max_failures=0")

# fmt: off
ON = "going on with"

ENDINGS = (
    Fault(DRIVER_KILLED, "kill -9 of the driver at random moments", _killed, says=ON),
    Fault("worker killed", "kill -9 of the worker process", _worker_killed, says="the worker was killed"),
    Fault("SIGTERM", "SIGTERM to the driver (20 s)", stopped(TERMINATE, everyone=False, limit=20), says=ON),
    Fault("Ctrl-C", "Ctrl-C in the terminal", stopped(INTERRUPT, everyone=True), says=ON),
    Fault("Ctrl-C twice", "Ctrl-C, and again at once", stopped(INTERRUPT, everyone=True, twice=True), says=ON),
    Fault("group SIGTERM", "SIGTERM to the process group (timeout)", stopped(TERMINATE, everyone=True), says=ON),
    Fault("group SIGHUP", "SIGHUP to the process group (lost terminal)", stopped(signal.SIGHUP, everyone=True),
          says=ON),
    Fault("all SIGTERM", "SIGTERM to every process (systemd, Slurm)", everyone_terminated, says=ON),
    Fault("SIGTERM, kill", "group SIGTERM, then kill -9 of the driver", killed_after_signal, says=ON),
    Fault("GCS killed", "kill -9 of Ray's GCS", ray_killed("gcs_server"), says=ON),
    Fault("raylet killed", "kill -9 of the raylet", ray_killed("raylet"), says=ON),
    Fault("screen gone", "the reader of the screen is gone (| head -1)", screen_gone),
    Fault("screen full", "the screen's disk is full (/dev/full)", screen_full),
    Fault("journal deleted", "journal.jsonl deleted while the search runs", journal_deleted, says=ON),
    Fault("folder moved", "results folder moved while the search runs", folder_moved, says=ON),
    Fault("results deleted", "all results deleted while the search runs", results_deleted),
)

SERVICES = (
    Fault("MLflow late", "MLflow server down at the start", _server_late, says="tracking: "),
    Fault("MLflow away", "MLflow server away for 60 s", _server_away, stretch=1.5, says="tracking: "),
    Fault("MLflow gone", "MLflow server gone for good", _server_gone, says="could not be sent"),
    Fault("store locked", "SQLite store locked for 30 s", _store_locked, stretch=0.9),
    Fault("disk full", "results' disk full for 20 s", _disk_full, missing=no_small_disk, says="the disk is full"),
    Fault("clock", "clock back by an hour", _clock_back, missing=no_shim, says="Ray's processes are started anew"),
)

TAMPERED = (
    Fault("checkpoint", "newest checkpoint truncated", _checkpoint_truncated, destroys=1, says=ON),
    Fault("checkpoints swapped", "checkpoints swapped between trials", tampering.checkpoints_swapped, destroys=9,
          says="is not used: it is that of trial"),
    Fault("journal", "journal's last record torn", _journal_torn, says=ON),
    Fault("record removed", "a record of the journal removed",
          tampering.journal(tampering.removed, "records are missing before it")),
    Fault("records swapped", "two records of the journal swapped",
          tampering.journal(tampering.swapped, "records are missing before it")),
    Fault("record repeated", "a record of the journal repeated",
          tampering.journal(tampering.repeated, "it stands twice")),
    Fault("journal older", "an older copy of the journal", tampering.journal(tampering.older, " older ")),
    Fault("journals joined", "two journals, one after the other",
          tampering.journal(tampering.joined, "two journals were joined")),
    Fault("search.yaml empty", "the search's own search.yaml emptied",
          tampering.refused(tampering.emptied("search.yaml"), "a mapping of its settings")),
    Fault("search.yaml a list", "the search's own search.yaml a list",
          tampering.refused(tampering.emptied("search.yaml", "- 1\n"), "a mapping of its settings")),
    Fault("base moved", "base file gone between two sittings",
          tampering.refused(tampering.base_moved, "error: base.yaml: can't be read")),
    Fault("NaN in base", "a NaN in the base file",
          tampering.refused(tampering.base_unreadable_number, "nan can't be trained with or kept")),
    Fault("results read-only", "results made read-only", tampering.read_only, missing=tampering.no_user),
)

SURROUNDINGS = (
    Fault("ASCII", "an ASCII screen", around.runs_under(around.ASCII)),
    Fault("Latin-1", "a Latin-1 screen", around.runs_under(around.LATIN)),
    Fault("warnings", "PYTHONWARNINGS=error", around.runs_under({"PYTHONWARNINGS": "error"}),
          says="warnings are shown, not errors"),
    Fault("TMPDIR", "TMPDIR too long for sockets", around.runs_under({"TMPDIR": "{folder}/" + around.LONG}),
          says="paths of Ray's sockets"),
    Fault("RAY_TMPDIR", "RAY_TMPDIR too long for sockets",
          around.refused_under({"RAY_TMPDIR": "{folder}/" + around.LONG}, "", "set RAY_TMPDIR to a shorter folder")),
    Fault("addresses", "addresses limited (ulimit -v)",
          around.refused_under({}, 'ulimit -v 6000000; exec "$@"', "ulimit -v: addresses are limited")),
    Fault("results %", "a % in the results' path", around.odd_results("r%20y")),
    Fault("results ?", "a ? in the results' path", around.odd_results("r?mode=ro")),
    Fault("processor", "taken up on another processor", around.other_processor, exact=False),
)

TROUBLES = (
    Fault("hang", "a trial hangs once", _troubled_once, "hang", settings=TIMEOUT, says="within trial_timeout"),
    Fault("out of memory", "the kernel kills a trial for its memory", _out_of_memory, "leak",
          missing=no_memory_limit, says="the worker was killed"),
    Fault("raise once", "a trial raises once", _troubled_once, "raise", says="the trouble of step"),
    Fault("raise", "a trial raises each time; driver killed then", _killed_after_end("failed"), "raise",
          lasting="raise", tries=2, says="the trouble of step"),
    Fault("raise in most", "most trials raise the same", _stops_early, "raise", "most", settings=STOPS, code=3),
    Fault("NaN", "a trial turns NaN; driver killed then", _killed_after_end("diverged"), "nan", lasting="nan",
          says="diverged"),
    Fault("leak", "a trial leaks until killed; driver killed then", _killed_after_end("failed"), "leak",
          lasting="raise", settings=LEAKY, says="out of memory"),
)

FAULTS: tuple[Fault, ...] = (*ENDINGS, *SERVICES, *TAMPERED, *SURROUNDINGS, *TROUBLES)
# fmt: on


def trouble_of(kind: Kind, marks: tuple[str, ...] | None, once: bool) -> Trouble:
    """The trouble of a kind at the step where all of them come."""
    return Trouble(kind, LATE if marks is not None else 1, marks, once)
