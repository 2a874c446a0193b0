"""Weights to start from: a checkpoint of the user's, reached under whatever level. Reads no code."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from spaces.problems import BadInput
from trainables import checkpoints
from trainables.tts.model import Tts

KEYS = ("network", "model_state_dict")
"""Where a checkpoint keeps its weights."""


def load_checkpoint(network: Tts, path: Path) -> None:
    """Put the weights of a checkpoint into `network`: a file, or the `checkpoints` folder of a trial (its newest one).

    Raises BadInput naming the file and what doesn't fit.
    """
    where = str(path)
    content = _from_folder(path) if path.is_dir() else _from_file(path)
    weights = next((content[key] for key in KEYS if isinstance(content, Mapping) and key in content), None)
    if not isinstance(weights, Mapping):
        raise BadInput.of(where, f"expected a dict with the weights under {' or '.join(KEYS)}")
    own = network.state_dict()
    faults = [f"{name} is missing" for name in own if name not in weights]
    faults += [f"{name} is unknown" for name in weights if name not in own]
    faults += [
        f"{name} has shape {tuple(weights[name].shape)}, the config's network {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    if faults:
        more = f"; … and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise BadInput.of(where, "; ".join(faults[:5]) + more + "; set the sizes that it was trained with")
    network.load_state_dict(dict(weights))


def _from_folder(path: Path) -> Any:
    found = checkpoints.newest(path, "cpu")
    if found is None:
        raise BadInput.of(
            str(path), "holds no intact checkpoint; training.resume_checkpoint names a file or such a folder"
        )
    return found[1]["run"]


def _from_file(path: Path) -> Any:
    where = str(path)
    if not path.is_file():
        raise BadInput.of(where, "no such file; training.resume_checkpoint names a checkpoint of the network")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise BadInput.of(where, f"is no checkpoint of plain tensors: {str(error).splitlines()[0]}") from error
