"""The network: an affine layer per day, patches of time, a GRU, and one output per class.

After Card et al., NEJM 2024 (its public baseline); parameter names are those of users' checkpoints.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from spaces.problems import BadInput
from trainables.diphone_rnn.config import Config

COMPILED = "_orig_mod."  # torch.compile puts it in front of every name
# Users' checkpoints hold the PER as a numpy number. Neither these nor their dtypes run code when they are read.
NUMPY_SCALARS = [np._core.multiarray.scalar, np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType]  # type: ignore[attr-defined]


class DiphoneRnn(nn.Module):
    """Features (B, T, C) of days (B,) → logits (B, T', classes), T' = (T − patch_size)//patch_stride + 1."""

    def __init__(self, config: Config, days: int) -> None:
        super().__init__()
        shape, channels = config.model, config.model.n_input_features
        self.size, self.stride = shape.patch_size, shape.patch_stride
        self.day_weights = nn.Parameter(torch.eye(channels).repeat(days, 1, 1))  # (days, C, C)
        self.day_biases = nn.Parameter(torch.zeros(days, channels))
        self.h0 = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, 1, shape.n_units)))  # of all layers
        self.input_dropout = nn.Dropout(shape.input_network.input_layer_dropout)
        self.gru = nn.GRU(
            self.size * channels,
            shape.n_units,
            shape.n_layers,
            batch_first=True,
            dropout=shape.rnn_dropout if shape.n_layers > 1 else 0.0,
            bidirectional=shape.bidirectional,
        )
        self.out = nn.Linear(shape.n_units * (1 + shape.bidirectional), config.dataset.n_classes)
        for name, weights in self.gru.named_parameters():
            if "weight_hh" in name:
                nn.init.orthogonal_(weights)
            elif "weight_ih" in name:
                nn.init.xavier_uniform_(weights)
        nn.init.xavier_uniform_(self.out.weight)
        if not config.model.rnn_trainable:
            self.gru.requires_grad_(False)
        if not config.model.input_network.input_trainable:
            self.day_weights.requires_grad = False
            self.day_biases.requires_grad = False

    def forward(self, features: Tensor, day: Tensor, frames: Tensor) -> Tensor:
        """Logits; those of a trial after its own `frames` (B,), a CPU tensor, mean nothing."""
        x = torch.baddbmm(self.day_biases[day].unsqueeze(1), features, self.day_weights[day])  # (B, T, C)
        x = self.input_dropout(functional.softsign(x))
        x = x.unfold(1, self.size, self.stride).transpose(2, 3)  # (B, T', C, size) → (B, T', size, C)
        x = x.flatten(2)  # (B, T', size·C), time-major
        layers = self.gru.num_layers * (1 + self.gru.bidirectional)
        start = self.h0.expand(layers, len(x), -1).contiguous()  # (layers·directions, B, H)
        if not self.gru.bidirectional:
            hidden, _ = self.gru(x, start)
        else:  # backwards, padding would come first
            packed = pack_padded_sequence(x, frames.clamp(min=1), batch_first=True, enforce_sorted=False)
            hidden, _ = pad_packed_sequence(self.gru(packed, start)[0], batch_first=True, total_length=x.shape[1])
        logits: Tensor = self.out(hidden)
        return logits


def groups(network: DiphoneRnn, config: Config) -> list[dict[str, Any]]:
    """AdamW's groups: biases (no decay), day layers (own rate and decay), the rest. The public trainer's split."""
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    day = [p for name, p in named if name.startswith("day_")]
    bias = [p for name, p in named if name.startswith(("gru.bias", "out.bias"))]
    known = {id(p) for p in (*day, *bias)}
    rest = [p for _, p in named if id(p) not in known]
    split = [("bias", bias, 0.0), ("day", day, config.weight_decay_day), ("rest", rest, config.weight_decay)]
    return [{"name": name, "params": params, "weight_decay": decay} for name, params, decay in split if params]


def load_checkpoint(network: DiphoneRnn, path: Path) -> None:
    """Put a user's checkpoint into `network`. Raises BadInput as `checkpoint_for` does."""
    network.load_state_dict(checkpoint_for(network, path))


def check_checkpoint(config: Config, days: int, path: Path) -> None:
    """Raise BadInput unless the checkpoint fits the network of `config` over so many days. Nothing is computed."""
    with torch.device("meta"):
        network = DiphoneRnn(config, days)
    checkpoint_for(network, path)


def checkpoint_for(network: DiphoneRnn, path: Path) -> dict[str, Tensor]:
    """The weights in a user's checkpoint, a dict with `model_state_dict`, under the network's names. Reads no code.

    Names may carry `_orig_mod.`; day layers may stand one by one, `day_weights.0`, …. Raises BadInput naming the file
    and the weights that don't fit.
    """
    where = str(path)
    if not path.is_file():
        raise BadInput.of(where, "no such file; init_checkpoint_path names a checkpoint of the network")
    try:
        with torch.serialization.safe_globals(NUMPY_SCALARS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise BadInput.of(where, f"is no checkpoint of plain tensors: {str(error).splitlines()[0]}") from error
    if not isinstance(content, Mapping) or not isinstance(content.get("model_state_dict"), Mapping):
        raise BadInput.of(where, "expected a dict with the key model_state_dict")
    weights = _own_names(content["model_state_dict"])
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
        raise BadInput.of(where, "; ".join(faults[:5]) + more + "; set the sizes and sessions that it was trained with")
    return weights


def _own_names(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A user's weights under the network's own names, the day layers stacked."""
    named = {str(name).removeprefix(COMPILED): weights for name, weights in state.items()}
    for key, width in (("day_weights", 2), ("day_biases", 1)):
        found = {int(name.rpartition(".")[2]): name for name in named if re.fullmatch(rf"{key}\.\d+", name)}
        if found:
            layers = [named.pop(found[day]) for day in sorted(found)]
            named[key] = torch.stack([layer.reshape(layer.shape[-width:]) for layer in layers])  # (1, C) → (C,)
    return named
