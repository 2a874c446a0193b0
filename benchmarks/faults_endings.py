"""Faults that end a search from outside: signals, Ray's own processes killed, a screen or journal that is gone."""

import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from benchmarks.faults_arena import PATIENCE
from benchmarks.faults_scene import Scene

INTERRUPT, TERMINATE = signal.SIGINT, signal.SIGTERM


def stopped(number: int, everyone: bool, twice: bool = False, limit: float = 60.0) -> Callable[[Scene], None]:
    """A signal to the driver, or to its whole group: exit 130 within `limit` seconds, with the command to go on."""

    def act(scene: Scene) -> None:
        arena = scene.arena
        arena.begin()
        began = time.monotonic()
        arena.signal(number, everyone)
        if twice:
            time.sleep(0.1)
            arena.signal(number, everyone)
        code = arena.ended(limit)
        arena.hits += 1
        scene.notes.append(f"{time.monotonic() - began:.1f} s to exit {code}")
        if code != 130:
            raise RuntimeError(f"exit code {code} where 130 was due:\n{arena.said}")
        if not twice and "go on with" not in arena.output:
            raise RuntimeError(f"it does not say how to go on:\n{arena.said}")

    return act


def everyone_terminated(scene: Scene) -> None:
    """SIGTERM to every process of the search at once, Ray's own among them, as systemd and Slurm send it."""
    arena = scene.arena
    arena.begin()
    began = time.monotonic()
    for process in arena.alive():
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    arena.hits += 1
    told(scene, arena.ended(), 130, "go on with", began)


def killed_after_signal(scene: Scene) -> None:
    """SIGTERM to the group, and kill -9 of the driver before it has ended."""
    arena = scene.arena
    arena.begin()
    arena.signal(TERMINATE, everyone=True)
    time.sleep(0.3)
    arena.kill()
    left = arena.left()
    if left:
        raise RuntimeError(f"left alive: {left}")
    scene.notes.append("nothing left alive")


def ray_killed(name: str) -> Callable[[Scene], None]:
    """Kill -9 of one of Ray's own processes; the search goes on by itself."""

    def act(scene: Scene) -> None:
        arena = scene.arena
        process = arena.start()
        arena.wait(arena.size.middle)
        began = time.monotonic()
        next(child for child in psutil.Process(process.pid).children() if child.name() == name).kill()
        arena.until(lambda: "goes on in a fresh process" in arena.output, "a word of it")
        scene.notes.append(f"{time.monotonic() - began:.1f} s to the words")
        arena.hits += 1
        told(scene, arena.ended(), 0, "goes on in a fresh process", began)

    return act


def screen_gone(scene: Scene) -> None:
    """The reader of what is printed is gone after one line."""
    arena = scene.arena
    arena.shell = '"$@" | head -1; exit ${PIPESTATUS[0]}'
    told(scene, arena.start().wait(PATIENCE), 0, "", time.monotonic())
    if not (arena.path / "screen.txt").read_text(encoding="utf-8"):
        raise RuntimeError("what the reader missed is not in screen.txt")


def screen_full(scene: Scene) -> None:
    """What is printed goes to a full disk."""
    arena = scene.arena
    arena.shell = '"$@" > /dev/full'
    told(scene, arena.start().wait(PATIENCE), 0, "", time.monotonic())


def folder_moved(scene: Scene) -> None:
    """The search's folder is renamed while it runs, and gets its name back then."""
    arena = scene.arena
    arena.begin()
    began = time.monotonic()
    away = arena.path.with_name("elsewhere")
    arena.path.rename(away)
    arena.hits += 1
    told(scene, arena.ended(), 75, "was moved, renamed or deleted while the search ran", began)
    shutil.rmtree(arena.path, ignore_errors=True)  # what a worker wrote last
    away.rename(arena.path)


def results_deleted(scene: Scene) -> None:
    """All results are deleted while the search runs, MLflow's database among them; the same command begins anew."""
    arena = scene.arena
    arena.begin()
    began = time.monotonic()
    while arena.path.parent.exists():  # a worker may be writing
        shutil.rmtree(arena.path.parent, ignore_errors=True)
    arena.hits += 1
    told(scene, arena.ended(), 75, "was moved, renamed or deleted while the search ran", began)
    while arena.path.parent.exists():
        shutil.rmtree(arena.path.parent, ignore_errors=True)
    (arena.folder / "trained.txt").unlink()


def journal_deleted(scene: Scene) -> None:
    """The journal is written again, and the same command goes on."""
    arena = scene.arena
    arena.begin()
    began = time.monotonic()
    arena.journal.unlink()
    arena.hits += 1
    told(scene, arena.ended(), 75, "was deleted or replaced while the search ran", began)


def told(scene: Scene, code: int, due: int, words: str, began: float) -> None:
    """Note exit code, seconds and the line that people read; raises RuntimeError where they are others."""
    arena = scene.arena
    line = next((text for text in arena.output.splitlines() if words and words in text), "")
    if code != due or bool(line) != bool(words):
        raise RuntimeError(f"exit code {code} where {due} was due, with {words!r}:\n{arena.said}")
    scene.notes.append(f"exit {code} after {time.monotonic() - began:.1f} s" + (f': "{line[:90]}"' if line else ""))
