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

COLUMNS = (
    "Epoch",
    *(f"{part} {loss}" for part in ("Train", "Validation", "Test") for loss in ("Loss", "MAE Loss", "Autocorr Loss")),
    "Learning Rate",
)
WEIGHTS = "model_state_dict"  # of another trainer's checkpoint
DIGEST = hashlib.sha256().digest_size


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


def read_start(path: Path) -> dict[str, Any]:
    """What `existing_model` holds: {"run": a run's whole state} or {WEIGHTS: a network's weights}.

    A folder: the newest checkpoint in it, or in its `checkpoints/`. A file: one of ours, or a torch file of a dict with
    WEIGHTS. Reads no code. Raises BadInput.
    """
    where = str(path)
    if path.is_dir():
        for folder in (path, path / "checkpoints"):
            if (found := checkpoints.newest(folder, "cpu")) is not None:
                return found[1]
        raise BadInput.of(where, "no intact checkpoint in this folder; name a phase's folder, a trial's, or a file")
    if not path.is_file():
        raise BadInput.of(where, "no such file; existing_model names a checkpoint, or a run's folder of them")
    data = path.read_bytes()
    if hashlib.sha256(data[DIGEST:]).digest() == data[:DIGEST]:
        data = data[DIGEST:]
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError) as error:
        raise BadInput.of(where, f"is no checkpoint of plain tensors: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict) or not isinstance(content.get("run", content.get(WEIGHTS)), Mapping):
        raise BadInput.of(where, f"expected a checkpoint of ours, or a dict with the key {WEIGHTS}")
    return content


def check_weights(network: nn.Module, weights: Mapping[str, Any], where: str) -> None:
    """Raise BadInput, naming the weights, unless they are those of `network`."""
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
