"""Faults in what a search is started in: variables, limits, folders. It runs to its end, or is refused in words."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.faults_endings import told
from benchmarks.faults_scene import Scene
from benchmarks.faults_tampering import killed

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
LATIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
LONG = "a_folder_for_the_temporary_files_of_one_job_of_a_batch_system/job-1234567"


def runs_under(variables: Mapping[str, str]) -> Callable[[Scene], None]:
    """The whole search runs with these environment variables; `{folder}` is its own one."""

    def act(scene: Scene) -> None:
        arena = scene.arena
        arena.variables = {name: value.format(folder=arena.folder) for name, value in variables.items()}
        began = time.monotonic()
        told(scene, arena.start().wait(), 0, "verdict: ", began)

    return act


def refused_under(variables: Mapping[str, str], shell: str, words: str) -> Callable[[Scene], None]:
    """It is refused before anything is trained; without them the same command runs."""

    def act(scene: Scene) -> None:
        arena = scene.arena
        arena.variables = {name: value.format(folder=arena.folder) for name, value in variables.items()}
        arena.shell = shell
        began = time.monotonic()
        arena.start()
        told(scene, arena.ended(), 2, words, began)
        arena.variables = {}
        scene.again()

    return act


def odd_results(name: str) -> Callable[[Scene], None]:
    """A results folder whose name MLflow's database can't bear is refused; another one is taken."""

    def act(scene: Scene) -> None:
        arena = scene.arena
        usual, arena.results = arena.results, Path(name)
        began = time.monotonic()
        arena.start()
        told(scene, arena.ended(), 2, "choose another folder", began)
        if (arena.folder / name).exists() or list(arena.folder.glob("*.db")):
            raise RuntimeError("something was written")
        arena.results = usual
        scene.again()

    return act


def other_processor(scene: Scene) -> None:
    """The search is taken up where torch has other instructions: told, and gone on with."""
    arena = scene.arena
    killed(scene)
    arena.variables = {"ATEN_CPU_CAPABILITY": "default"}
    began = time.monotonic()
    arena.start()
    told(scene, arena.ended(), 0, "trains on another machine type", began)
