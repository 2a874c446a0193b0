"""What a training starts from where it does not start anew: a user's weights, or the whole state at some step."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainables import checkpoints
from trainables.cache import sha256_of
from trainables.checkpoints import Place
from trainables.objects import Prefix
from trainables.run import Prepared

FOLDER = "start"
"""In a search's folder: the states that its trials start from, and the trainings that led to them."""
CONFIG = "config"
"""In a checkpoint, beside the run's state: what was trained, as `described` says it."""
WEIGHTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "sequence_generator": {"existing_model": None},
        "tts": {"training.resume_checkpoint": None},
        "diphone_rnn": {"init_checkpoint_path": None, "init_from_checkpoint": True},
    }
)
"""The models that start with the weights of a user's own checkpoint: the keys that say so; null is its path."""


class StartGone(RuntimeError):
    """The state that a trial starts from can't be read."""


@dataclass(frozen=True)
class StartAt:
    """The step that all trials of a search start from, and what they start with."""

    step: int
    digests: Mapping[int, str]
    """By the trial's seed: the hash of the state."""
    given: bool
    """It came from a user: one state for every seed. Else each seed has its own, trained with it."""


def with_start(prepared: Prepared, file: Path) -> Prepared:
    """`prepared` with the content of the checkpoint that runs start from: it is part of what they train on."""
    content = sha256_of(file)
    digest = hashlib.sha256(f"{prepared.digest}\n{content}".encode()).hexdigest()
    return replace(prepared, digest=digest, summary=f"{prepared.summary}; starts from {file.name} ({content[:16]})")


def described(model: str, native: Mapping[str, Any], data: Mapping[str, Any], seed: int) -> str:
    """What a checkpoint says of its training: model, whole native config, data and seed."""
    content = {"model": model, "config": native, "data": data, "seed": seed}
    return json.dumps(content, sort_keys=True, default=repr)


def place(folder: Place, seed: int | None) -> Place:
    """Where, below a search's `start/`, the state for `seed` lies; None: the one that the user gave."""
    name = "given" if seed is None else f"seed-{seed}"
    return folder / name


def given_state(step: int) -> str:
    """The path, from a search's folder, of the state that a user gave."""
    return f"{FOLDER}/given/{step:09d}.pt"


def write(folder: Place, seed: int | None, step: int, state: Mapping[str, Any], config: str) -> None:
    """Keep a run's whole `state` at `step` as the start for `seed`. Equal states make equal files. Raises OSError."""
    checkpoints.write(place(folder, seed), step, {"run": state, CONFIG: config})


def read(folder: str, store: Prefix | None, start: StartAt, seed: int) -> Mapping[str, Any]:
    """The state that a trial of `seed` starts from, tensors on the CPU. Raises StartGone."""
    home: Place = Path(folder) / FOLDER if store is None else store / FOLDER
    where = place(home, None if start.given else seed)
    data = checkpoints.taken(where, start.step)
    if data is None:
        raise StartGone(f"{where} holds no intact state of step {start.step}; begin the command again to have it made")
    if checkpoints.digest_of(data) != start.digests[seed]:
        raise StartGone(f"{where} holds another state than the one that the search's trials start from")
    state: Mapping[str, Any] = checkpoints.loaded(data, "cpu")["run"]
    return state
