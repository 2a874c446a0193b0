"""The network: a causal temporal convolution over the curve, pooled over time, joined with the known inputs.

TCN after Bai, Kolter & Koltun (arXiv 1803.01271); the pooling is the model's own (models.md, section 5).
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.early_inference.config import Config
from trainables.early_inference.scaling import CHANNELS

EARLY_BIAS = 2.0  # documented: exp(−linspace(0, 2, L))
HEAD_UNITS = 128  # documented
SCORE_INIT = 0.01  # sd of the last scoring weights: at the start the early bias leads


class Prediction(NamedTuple):
    """Mean and log-variance in the target space, (B, P) each; without a variance head the latter is None."""

    mean: Tensor
    log_variance: Tensor | None


class CausalConv(nn.Module):
    """A 1-D convolution whose output at time i sees inputs up to i only: (B, C, L) → (B, C', L)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.left = (kernel - 1) * dilation
        self.conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Pad on the left alone."""
        out: Tensor = self.conv(functional.pad(x, (self.left, 0)))
        return out


class Block(nn.Module):
    """2 × [causal convolution, ReLU, dropout] + residual, 1×1 where the channels change."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            CausalConv(inputs, outputs, kernel, dilation),
            nn.ReLU(),
            nn.Dropout(dropout),
            CausalConv(outputs, outputs, kernel, dilation),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.skip: nn.Module = nn.Identity() if inputs == outputs else nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, L) → (B, outputs, L)."""
        out: Tensor = self.body(x) + self.skip(x)
        return out


class WeightedPooling(nn.Module):
    """Attention over time: softmax of a score per point, which starts out favouring early points.

    `!` The early bias enters the logits, so the weights use it: softmax(−b·linspace(0, 1, L)) with b = 2 is the
    normalised exp(−linspace(0, 2, L)). It is the initial value of the learnt strength `b`, and holds for any L.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // 2)
        self.score = nn.Sequential(nn.Conv1d(channels, hidden, 1), nn.ReLU(), nn.Conv1d(hidden, 1, 1, bias=False))
        self.early = nn.Parameter(torch.tensor(EARLY_BIAS))
        last = self.score[-1]
        assert isinstance(last, nn.Conv1d)
        nn.init.normal_(last.weight, std=SCORE_INIT)

    def weights(self, x: Tensor, readings: Tensor | None = None) -> Tensor:
        """(B, C, L) → (B, 1, L), each row summing to 1 over its first `readings` (B,) points; None: over all."""
        if readings is None:
            elapsed = torch.linspace(0, 1, x.shape[-1], device=x.device, dtype=x.dtype)  # (L,)
            return torch.softmax(self.score(x) - self.early * elapsed, dim=-1)
        number = torch.arange(x.shape[-1], device=x.device, dtype=x.dtype)  # (L,)
        elapsed = (number / (readings[:, None] - 1)).unsqueeze(1)  # (B, 1, L), 1 at the last reading
        scores = self.score(x) - self.early * elapsed
        return torch.softmax(scores.masked_fill(elapsed > 1, -torch.inf), dim=-1)

    def forward(self, x: Tensor, readings: Tensor | None = None) -> Tensor:
        """(B, C, L) → (B, C)."""
        return torch.bmm(x, self.weights(x, readings).transpose(1, 2)).squeeze(-1)  # (B, C, L) × (B, L, 1) → (B, C)


class AveragePooling(nn.Module):
    """The mean over time, for comparison: (B, C, L) → (B, C)."""

    def forward(self, x: Tensor, readings: Tensor | None = None) -> Tensor:
        """Each of a row's first `readings` (B,) points counts the same; None: all points."""
        if readings is None:
            return x.mean(dim=-1)
        seen = torch.arange(x.shape[-1], device=x.device) < readings[:, None]  # (B, L)
        return (x * seen.unsqueeze(1)).sum(dim=-1) / readings[:, None]


class EarlyInference(nn.Module):
    """Curves (B, 3, L) and known inputs (B, k) → mean and log-variance of the parameters (B, P)."""

    def __init__(self, config: Config, known: int, targets: int) -> None:
        super().__init__()
        widths = (len(CHANNELS), *config.tcn_channels)
        self.tcn = nn.Sequential(
            *(
                Block(widths[i], widths[i + 1], config.tcn_kernel_size, 2**i, config.tcn_dropout)
                for i in range(len(config.tcn_channels))
            )
        )
        self.pool = WeightedPooling(widths[-1]) if config.use_weighted_pooling else AveragePooling()
        self.mlp = _mlp((known, *config.mlp_hidden_dims))
        joined = widths[-1] + config.mlp_hidden_dims[-1]
        self.mean = _head(joined, targets, config.output_dropout)
        self.log_variance = _head(joined, targets, config.output_dropout) if config.use_uncertainty else None

    def forward(self, channels: Tensor, known: Tensor, readings: Tensor | None = None) -> Prediction:
        """Predict in the target space; the loss and the metrics clamp the log-variance.

        `readings`: how many points of each curve are real, (B,); the convolutions are causal, so the padding after
        them reaches no real point. None: all are.
        """
        joined = torch.cat([self.pool(self.tcn(channels), readings), self.mlp(known)], dim=1)  # (B, C + H)
        return Prediction(self.mean(joined), None if self.log_variance is None else self.log_variance(joined))


def _mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers)


def _head(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, HEAD_UNITS), nn.ReLU(), nn.Dropout(dropout), nn.Linear(HEAD_UNITS, outputs))
