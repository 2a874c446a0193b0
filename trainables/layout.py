"""Where the files of a search's trials lie, and the names that workers and their driver agree on. Knows nothing of Ray.

FOLDER/.owner                    which process has the search
FOLDER/.again.json               the command that goes on with it
FOLDER/.halt                     there while the search is about to end
FOLDER/trials/t0007/             log, checkpoints and artifacts of trial 7
"""

from pathlib import Path

from trainables.checkpoints import Place
from trainables.objects import Prefix

TRIALS = "trials"
CODE = "code"
"""In the search's folder: a copy of the user's own code, where the search trains such."""
AGAIN = ".again.json"
"""In the search's folder: the command that goes on with it, and the folder in which it was typed."""
OWNER = ".owner"
"""In the search's folder: which process has it."""
DISK_FULL = ".disk-full"
"""In the search's folder while a worker waits for room to write a checkpoint."""
HALT = ".halt"
"""In the search's folder while the search is about to end: every evaluation is saved from then on."""


def trial_folder(folder: Path | str, number: int) -> Path:
    """The folder of trial `number`: its log, checkpoints and artifacts."""
    return Path(folder) / TRIALS / f"t{number:04d}"


def checkpoint_folder(folder: Path | str, number: int, store: Prefix | None = None) -> Place:
    """Where trial `number` keeps its checkpoints: in its folder, or below a prefix of a store."""
    if store is None:
        return trial_folder(folder, number) / "checkpoints"
    return store / f"{TRIALS}/t{number:04d}/checkpoints"


class OutOfMemory(RuntimeError):
    """The trial's own process ran out of memory: another try would do so again."""
