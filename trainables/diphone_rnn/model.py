"""The network: an affine layer per day, patches of time, a GRU, and one output per class.

After Card et al., NEJM 2024 (its public baseline); parameter names are those of users' checkpoints.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from trainables.diphone_rnn.config import INIT, Config
from trainables.start_weights import Start

COMPILED = "_orig_mod."  # torch.compile puts it in front of every name


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


def checked_start(config: Config, days: int, named: str) -> Path:
    """The file of the checkpoint to start from. Raises BadInput unless it fits the network of `config` over so many
    days; nothing is computed."""
    return Start(INIT, named).checked(lambda: DiphoneRnn(config, days), own_names)


def start_with(network: DiphoneRnn, named: str) -> None:
    """Put the weights of a user's checkpoint into `network`. Raises BadInput."""
    network.load_state_dict(Start(INIT, named).weights(network, own_names))


def own_names(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A user's weights under the network's own names: `_orig_mod.` off, single day layers stacked."""
    named = {str(name).removeprefix(COMPILED): weights for name, weights in state.items()}
    for key, width in (("day_weights", 2), ("day_biases", 1)):
        found = {int(name.rpartition(".")[2]): name for name in named if re.fullmatch(rf"{key}\.\d+", name)}
        if found:
            layers = [named.pop(found[day]) for day in sorted(found)]
            named[key] = torch.stack([layer.reshape(layer.shape[-width:]) for layer in layers])  # (1, C) → (C,)
    return named
