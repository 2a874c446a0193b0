"""The weights of a checkpoint that a training starts from: they alone, as its clock and its optimiser begin anew.

A checkpoint is the user's own, a dict with `model_state_dict`, or one of ours. None of its code is run.
"""

import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from spaces.problems import BadInput
from trainables import checkpoints

HOLDERS = ("network", "model_state_dict")
"""Where a checkpoint keeps its weights: one of ours, and users' own."""
SHOWN = 5  # weights that don't fit, in one message
# Users' checkpoints hold scores as numpy numbers. Neither these nor their dtypes run code when they are read.
NUMPY_SCALARS = [np._core.multiarray.scalar, np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType]  # type: ignore[attr-defined]

Names = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Start:
    """A checkpoint that a config names."""

    key: str
    """The config's key."""
    named: str
    """What stands there: a file, or a folder of a trial or of its checkpoints."""

    def file(self) -> Path:
        """The file that is meant: of a folder the newest. Raises BadInput."""
        path = Path(self.named).expanduser()
        if path.is_dir():
            for folder in (path, path / "checkpoints"):
                if (found := checkpoints.newest_file(folder)) is not None:
                    return found
            raise self.refusal(
                "no intact checkpoint here, and your script takes a file; name one, or a trial's folder that has one"
            )
        if not path.is_file():
            what = "no such file (a relative path is from where the command runs), which ends your own script, too"
            raise self.refusal(f"{what}; name a checkpoint of the network")
        return path

    def weights(self, network: nn.Module, names: Names = dict) -> dict[str, Any]:
        """The weights for `network`; `names` puts them under its own names. Raises BadInput naming what doesn't fit."""
        content = self._content()
        held = next((content[key] for key in HOLDERS if isinstance(content, Mapping) and key in content), None)
        if not isinstance(held, Mapping):
            raise self.refusal(f"no weights under {' or '.join(HOLDERS)}, where your script looks, too; name another")
        weights, own = names(held), network.state_dict()
        faults = [f"{name} is missing" for name in own if name not in weights]
        faults += [f"{name} is unknown" for name in weights if name not in own]
        faults += [
            f"{name} has shape {tuple(shape)}, the config's network {tuple(own[name].shape)}"
            for name in own
            if name in weights and (shape := getattr(weights[name], "shape", ())) != own[name].shape
        ]
        if faults:
            more = f"; … and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
            what = "; ".join(faults[:SHOWN]) + more
            raise self.refusal(f"{what}; your script can't load it either: set the sizes that it was trained with")
        return dict(weights)

    def checked(self, make: Callable[[], nn.Module], names: Names = dict) -> Path:
        """The file. Raises BadInput unless it fits the network of `make`; nothing is computed."""
        with torch.device("meta"):
            network = make()
        self.weights(network, names)
        return self.file()

    def refusal(self, what: str) -> BadInput:
        """That the checkpoint can't be used."""
        return BadInput.of(self.key, f"{self.named}: {what}")

    def _content(self) -> Any:
        try:
            data = self.file().read_bytes()
        except OSError as error:
            raise self.refusal(
                f"can't be read, by your script either: {error.strerror or error}; copy it again"
            ) from error
        own = checkpoints.whole(data)
        try:
            with torch.serialization.safe_globals(NUMPY_SCALARS):
                content = torch.load(io.BytesIO(data if own is None else own), map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError) as error:
            what = f"is no checkpoint of plain tensors: {str(error).splitlines()[0]}"
            raise self.refusal(
                f"{what}; your script may run code to load it: save a dict with model_state_dict by torch.save"
            ) from error
        return content if own is None or not isinstance(content, Mapping) else content.get("run")
