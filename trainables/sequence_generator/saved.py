"""What a training leaves behind when `save_training` asks for it, and what another one goes on from.

`training.csv` has the documented columns. At the end of each phase the whole state goes into `phase_1/`, `phase_2/`, …,
and into `best/` whenever rollouts are better than ever; `existing_model` starts with the weights in such a folder, of a
trial of a search, or of another trainer.
"""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables import checkpoints
from trainables.files import write_text
from trainables.sequence_generator.config import Config
from trainables.sequence_generator.model import SequenceGenerator
from trainables.start_weights import Start

COLUMNS = (
    "Epoch",
    *(f"{part} {loss}" for part in ("Train", "Validation", "Test") for loss in ("Loss", "MAE Loss", "Autocorr Loss")),
    "Learning Rate",
)
EXISTING = "existing_model"
"""The key of the checkpoint to start from."""


def run_folder(config: Config, seed: int) -> Path | None:
    """Where this training's files go, if it is to write any: its own folder, so that trials of a search don't mix."""
    if not config.save_training or not config.output_dir:
        return None
    ignored = {"output_dir", "data_dir", "num_workers", "save_every"}
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


def checked_start(config: Config, named: str) -> Path:
    """The file of `existing_model`. Raises BadInput unless it fits the network of `config`; nothing is computed."""
    return Start(EXISTING, named).checked(lambda: SequenceGenerator(config))
