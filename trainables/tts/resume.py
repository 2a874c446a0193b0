"""Weights to start from: a checkpoint of the user's, reached under whatever level. Reads no code."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from spaces.problems import BadInput
from trainables import checkpoints
from trainables.tts.config import Config
from trainables.tts.model import Tts

KEYS = ("network", "model_state_dict")
"""Where a checkpoint keeps its weights."""


def load_checkpoint(network: Tts, path: Path) -> None:
    """Put the weights of a checkpoint into `network`. Raises BadInput as `weights_for` does."""
    network.load_state_dict(weights_for(network, path))


def check_checkpoint(config: Config, path: Path) -> None:
    """Raise BadInput unless the checkpoint fits the network of `config`. Nothing is computed."""
    with torch.device("meta"):
        network = Tts(config, torch.zeros(config.data.n_mels), torch.ones(()))
    weights_for(network, path)


def start_file(path: Path) -> Path:
    """The file that `resume_checkpoint` means: itself, or the newest in a trial's `checkpoints`. Raises BadInput."""
    if path.is_dir():
        found = checkpoints.newest_file(path)
        if found is None:
            raise _refusal(path, "holds no intact checkpoint; name a file or the checkpoints folder of a trial")
        return found
    if not path.is_file():
        what = "no such file (a relative path is from where the command runs), which ends your own script, too"
        raise _refusal(path, f"{what}; name a checkpoint of the network")
    return path


def weights_for(network: Tts, path: Path) -> dict[str, Any]:
    """The weights in a checkpoint: a file, or the `checkpoints` folder of a trial (its newest one).

    Raises BadInput naming the file and what doesn't fit.
    """
    content = _read(path)
    weights = next((content[key] for key in KEYS if isinstance(content, Mapping) and key in content), None)
    if not isinstance(weights, Mapping):
        raise _refusal(path, f"expected a dict with the weights under {' or '.join(KEYS)}")
    own = network.state_dict()
    faults = [f"{name} is missing" for name in own if name not in weights]
    faults += [f"{name} is unknown" for name in weights if name not in own]
    faults += [
        f"{name} has shape {tuple(shape)}, the config's network {tuple(own[name].shape)}"
        for name in own
        if name in weights and (shape := getattr(weights[name], "shape", ())) != own[name].shape
    ]
    if faults:
        more = f"; … and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise _refusal(path, "; ".join(faults[:5]) + more + "; set the sizes that it was trained with")
    return dict(weights)


def _read(path: Path) -> Any:
    try:
        data = start_file(path).read_bytes()
    except OSError as error:
        raise _refusal(path, f"can't be read: {error.strerror or error}") from error
    own = checkpoints.whole(data)
    try:
        content = torch.load(io.BytesIO(data if own is None else own), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError) as error:
        raise _refusal(path, f"is no checkpoint of plain tensors: {str(error).splitlines()[0]}") from error
    return content if own is None or not isinstance(content, Mapping) else content.get("run")


def _refusal(path: Path, what: str) -> BadInput:
    return BadInput.of("training.resume_checkpoint", f"{path}: {what}")
