"""What a training leaves behind when `save_training` asks for it, and what another one goes on from.

`training.csv` has the documented columns. At the end of each phase the whole state goes into `phase_1/`, `phase_2/`, …,
and into `best/` whenever rollouts are better than ever; `existing_model` goes on from such a folder, from a trial of
a search, or from the weights of another trainer.
"""

import csv
import hashlib
import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spaces.problems import BadInput
from trainables import checkpoints
from trainables.files import write_text
from trainables.sequence_generator.config import Config
from trainables.sequence_generator.model import SequenceGenerator

COLUMNS = (
    "Epoch",
    *(f"{part} {loss}" for part in ("Train", "Validation", "Test") for loss in ("Loss", "MAE Loss", "Autocorr Loss")),
    "Learning Rate",
)
WEIGHTS = "model_state_dict"  # of another trainer's checkpoint


def run_folder(config: Config, seed: int) -> Path | None:
    """Where this training's files go, if it is to write any: its own folder, so that trials of a search don't mix."""
    if not config.save_training or not config.output_dir:
        return None
    ignored = {"existing_model", "output_dir", "data_dir", "num_workers", "save_every"}
    key = hashlib.sha256(config.model_dump_json(exclude=ignored).encode()).hexdigest()[:12]
    return Path(config.output_dir).expanduser() / f"{key}-seed{seed}"


def write_table(folder: Path, rows: Sequence[Sequence[float]]) -> None:
    """Replace `training.csv` whole; a row per epoch."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([int(row[0]), *(f"{value:.9g}" for value in row[1:])] for row in rows)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "training.csv", text.getvalue())


def write_state(folder: Path, step: int, state: Mapping[str, Any]) -> None:
    """A checkpoint, in the form of a trial's checkpoints."""
    checkpoints.write(folder, step, {"run": state})


def start_file(path: Path) -> Path:
    """The file that `existing_model` means: itself, or the newest checkpoint in a folder or in its `checkpoints/`.

    Raises BadInput.
    """
    if path.is_dir():
        for folder in (path, path / "checkpoints"):
            if (found := checkpoints.newest_file(folder)) is not None:
                return found
        raise _refusal(path, "no intact checkpoint in this folder; name a phase's folder, a trial's, or a file")
    if not path.is_file():
        what = "no such file (a relative path is from where the command runs), which ends your own script, too"
        raise _refusal(path, f"{what}; name a checkpoint, or a run's folder of them")
    return path


def start_for(network: nn.Module, config: Config, path: Path) -> dict[str, Any]:
    """What `existing_model` holds, if `network` can go on from it: see `read_start`. Raises BadInput."""
    content = read_start(path)
    if WEIGHTS in content:
        check_weights(network, content[WEIGHTS], path)
        return content
    state = content["run"]
    if not isinstance(state.get("network"), Mapping) or not isinstance(state.get("step"), int):
        raise _refusal(path, "is a checkpoint of another model")
    check_weights(network, state["network"], path)
    if state["step"] > config.epochs:
        raise _refusal(path, f"has trained {state['step']} epochs, the plan has {config.epochs}; raise epochs")
    return content


def check_start(config: Config, path: Path) -> None:
    """Raise BadInput unless a run of `config` can go on from `path`. Nothing is computed."""
    with torch.device("meta"):
        network = SequenceGenerator(config)
    start_for(network, config, path)


def read_start(path: Path) -> dict[str, Any]:
    """What `existing_model` holds: {"run": a run's whole state} or {WEIGHTS: a network's weights}.

    A file, or that of a folder: one of ours, or a torch file of a dict with WEIGHTS. Reads no code. Raises BadInput.
    """
    try:
        data = start_file(path).read_bytes()
    except OSError as error:
        raise _refusal(path, f"can't be read: {error.strerror or error}") from error
    own = checkpoints.whole(data)
    try:
        content = torch.load(io.BytesIO(data if own is None else own), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError) as error:
        raise _refusal(path, f"is no checkpoint of plain tensors: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict) or not isinstance(content.get("run", content.get(WEIGHTS)), Mapping):
        raise _refusal(path, f"expected a checkpoint of ours, or a dict with the key {WEIGHTS}")
    return content


def check_weights(network: nn.Module, weights: Mapping[str, Any], path: Path) -> None:
    """Raise BadInput, naming the weights, unless they are those of `network`."""
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


def _refusal(path: Path, what: str) -> BadInput:
    return BadInput.of("existing_model", f"{path}: {what}")
