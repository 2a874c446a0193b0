"""Faults in what lies on the disk between two sittings: refused in words, or without effect on the result."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults_endings import told
from benchmarks.faults_scene import Scene

Lines = list[bytes]


def refused(change: Callable[[Scene], Path], words: str) -> Callable[[Scene], None]:
    """What `change` does to a file after the driver was killed is refused with exit code 2 and `words`; with the file
    as it was, the search goes on."""

    def act(scene: Scene) -> None:
        arena = scene.arena
        killed(scene)
        kept = arena.folder / "kept"
        shutil.copytree(arena.path, kept / "search")
        shutil.copy(arena.folder / "base.yaml", kept)
        path = change(scene)
        began = time.monotonic()
        arena.start()
        told(scene, arena.ended(), 2, words, began)
        if path.is_relative_to(arena.path):
            shutil.copy(kept / "search" / path.relative_to(arena.path), path)
        else:
            shutil.copy(kept / path.name, path)
        scene.again()

    return act


def journal(change: Callable[[Lines], Lines], words: str) -> Callable[[Scene], None]:
    """The journal's lines are changed, and that is refused."""

    def tamper(scene: Scene) -> Path:
        path = scene.arena.journal
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
        return path

    return refused(tamper, words)


def emptied(name: str, content: str = "") -> Callable[[Scene], Path]:
    """A file of the search's folder holds something else."""

    def tamper(scene: Scene) -> Path:
        (scene.arena.path / name).write_text(content, encoding="utf-8")
        return scene.arena.path / name

    return tamper


def base_moved(scene: Scene) -> Path:
    """The base file is no longer where the YAML says."""
    path = scene.arena.folder / "base.yaml"
    path.unlink()
    return path


def base_unreadable_number(scene: Scene) -> Path:
    """The base file holds a NaN under a key that no script of the user's reads."""
    path = scene.arena.folder / "base.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "note: .nan\n", encoding="utf-8")
    return path


def checkpoints_swapped(scene: Scene) -> None:
    """Trials have each other's newest checkpoints, one of them on its way from the first rung: none of them is used."""
    arena = scene.arena
    arena.start()

    def under_way() -> bool:
        files = _newest(arena.path)
        return len(files) > 1 and any(int(file.stem) > 1 for file in files)

    arena.until(under_way, "a trial with a checkpoint beyond the first rung, and another one")
    killed(scene, start=False)
    files = _newest(arena.path)
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, [*contents[1:], contents[0]], strict=True):
        file.write_bytes(content)
    scene.notes.append(f"of {len(files)} trials")
    scene.again()


def _newest(path: Path) -> list[Path]:
    """The newest checkpoint of each trial."""
    return list({file.parent: file for file in sorted(path.glob("trials/*/checkpoints/*.pt"))}.values())


def killed(scene: Scene, start: bool = True) -> None:
    """Kill -9 of the driver in the middle; returns when its workers are gone, too."""
    arena = scene.arena
    if start:
        arena.begin()
    arena.kill()
    while arena.alive():  # a last checkpoint is written then
        time.sleep(0.1)


def removed(lines: Lines) -> Lines:
    """Without a record in the middle."""
    return lines[: len(lines) // 2] + lines[len(lines) // 2 + 1 :]


def swapped(lines: Lines) -> Lines:
    """Two records in each other's line."""
    middle = len(lines) // 2
    return [*lines[:middle], lines[middle + 1], lines[middle], *lines[middle + 2 :]]


def repeated(lines: Lines) -> Lines:
    """A record twice."""
    middle = len(lines) // 2
    return [*lines[: middle + 1], *lines[middle:]]


def older(lines: Lines) -> Lines:
    """As it was at the middle."""
    return lines[: len(lines) // 2]


def joined(lines: Lines) -> Lines:
    """Two copies, one after the other."""
    return [*lines, *lines]


def read_only(scene: Scene) -> None:
    """Nothing can be written to the results any more: refused; then it can."""
    arena = scene.arena
    killed(scene)
    arena.path.chmod(0o500)
    began = time.monotonic()
    arena.start()
    told(scene, arena.ended(), 2, "nothing can be written here", began)
    arena.path.chmod(0o700)
    scene.again()


def no_user() -> str | None:
    """Why permissions can't be tried here, if so."""
    return "root may write everywhere" if hasattr(os, "geteuid") and os.geteuid() == 0 else None
