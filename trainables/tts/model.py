"""The network: a transformer that reads text and writes mel frames one after the other.

After Li et al., Neural Speech Synthesis with Transformer Network, AAAI 2019, with layers that normalise before they act
(Xiong et al., 2020), and a latent of the whole utterance with a standard normal prior (Kingma & Welling, 2014). Masks
are boolean, and True where there is something to attend to.
"""

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.start_weights import Start
from trainables.tts.config import RESUME, Config
from trainables.tts.text import SYMBOLS

START_DURATION = 5.0  # frames per symbol that the durations start from


class Spoken(NamedTuple):
    """What the network makes of a batch; what lies beyond a clip's own frames or symbols means nothing."""

    mel: Tensor  # (B, T, mel bins), ln
    stop: Tensor  # (B, T) logits: is this the last frame?
    attention: Tensor  # (B, T, N), mean over heads and layers; rows sum to 1
    durations: Tensor  # (B, N) frames per symbol; 0 beyond the text
    mean: Tensor  # (B, latent) of the posterior
    log_variance: Tensor  # (B, latent)


class Attention(nn.Module):
    """Multi-head attention from `width` to the keys' `source` width. What it finds has dropout, not the weights."""

    def __init__(self, width: int, source: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(source, 2 * width)
        self.out = nn.Linear(width, width)

    def split(self, x: Tensor) -> Tensor:
        """(B, L, width) → (B, heads, L, width/heads)."""
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)

    def keys_values(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of `source` (B, S, source width), each (B, heads, S, width/heads)."""
        keys, values = self.key_value(source).chunk(2, dim=-1)
        return self.split(keys), self.split(values)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, causal: bool = False) -> Tensor:
        """What x (B, L, width) finds when it attends to keys and values where `mask` (B or 1, 1, L or 1, S) is True."""
        query = self.split(self.query(x))
        found = functional.scaled_dot_product_attention(query, keys, values, mask, is_causal=causal)
        merged: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return merged

    def weighed(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, with the weights (B, L, S) themselves, the mean over the heads."""
        query = self.split(self.query(x))
        scores = query @ keys.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (B, heads, L, S)
        weights = scores.float().masked_fill(~mask, -math.inf).softmax(dim=-1)
        merged: Tensor = self.out((weights.to(values.dtype) @ values).transpose(1, 2).flatten(2))
        return merged, weights.mean(dim=1)


class FeedForward(nn.Sequential):
    """Two layers with four times the width between them."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(nn.Linear(width, 4 * width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4 * width, width))


class EncoderLayer(nn.Module):
    """Self-attention over the text."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, width, heads)
        self.feed_forward = FeedForward(width, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The layer on x (B, N, width), mask (B, 1, 1, N)."""
        h = self.norms[0](x)
        x = x + self.dropout(self.attention(h, *self.attention.keys_values(h), mask))
        out: Tensor = x + self.dropout(self.feed_forward(self.norms[1](x)))
        return out


class DecoderLayer(nn.Module):
    """Self-attention over the frames so far, then attention to the text."""

    def __init__(self, width: int, source: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, width, heads)
        self.cross = Attention(width, source, heads)
        self.feed_forward = FeedForward(width, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, memory: tuple[Tensor, Tensor], mask: Tensor, past: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """The layer on x (B, T, width) with the text's keys and values → x, weights (B, T, N), own keys and values.

        With the keys and values of the `past`, x is the one next frame.
        """
        h = self.norms[0](x)
        keys, values = self.attention.keys_values(h)
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        # Padding lies after every real frame, so that looking back only leaves it out, too.
        x = x + self.dropout(self.attention(h, keys, values, None, causal=past is None))
        found, weights = self.cross.weighed(self.norms[1](x), *memory, mask)
        x = x + self.dropout(found)
        return x + self.dropout(self.feed_forward(self.norms[2](x))), weights, (keys, values)


class Tts(nn.Module):
    """Text and the frames before → the next frame, for every frame."""

    mel_mean: Tensor
    mel_scale: Tensor

    def __init__(self, config: Config, mel_mean: Tensor, mel_scale: Tensor) -> None:
        """mel_mean (mel bins,), mel_scale (): of the training frames. At first, every frame is that mean."""
        super().__init__()
        shape, bins = config.model, config.data.n_mels
        text_dim, text_layers, width, layers = shape.shape
        text_heads, heads = shape.heads
        self.register_buffer("mel_mean", mel_mean.clone())
        self.register_buffer("mel_scale", mel_scale.clone())
        self.embedding = nn.Embedding(len(SYMBOLS[config.data.text_input]), text_dim, padding_idx=0)
        self.text_position, self.mel_position = (nn.Parameter(torch.ones(())) for _ in range(2))
        self.encoder = nn.ModuleList(EncoderLayer(text_dim, text_heads, shape.dropout) for _ in range(text_layers))
        self.text_norm = nn.LayerNorm(text_dim)
        self.duration = nn.Linear(text_dim, 1)
        self.prenet = nn.ModuleList([nn.Linear(bins, width), nn.Linear(width, width)])
        self.prenet_dropout = nn.Dropout(shape.prenet_dropout)
        self.dropout = nn.Dropout(shape.dropout)
        self.reference = nn.Linear(bins, width)
        self.posterior = nn.Linear(width, 2 * shape.latent_dim)
        self.style = nn.Linear(shape.latent_dim, width)
        self.decoder = nn.ModuleList(DecoderLayer(width, text_dim, heads, shape.dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, bins + 1)  # the frame, and the stop logit
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        nn.init.constant_(self.duration.bias, math.log(math.expm1(START_DURATION)))

    def forward(self, text: Tensor, text_counts: Tensor, mel: Tensor, mel_counts: Tensor, sample: bool) -> Spoken:
        """Speak text (B, N) along mel (B, T, bins): the true frames, of which frame t sees those before it.

        `sample`: the latent is drawn from its posterior, which has seen the frames; else it is the prior's mean.
        """
        memory, mask, durations = self.read(text, text_counts)
        normal = self.normalised(mel)
        mean, log_variance = self.hear(normal, mel_counts)
        latent = torch.zeros_like(mean)
        if sample:
            latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        previous = functional.pad(normal[:, :-1], (0, 0, 1, 0))  # (B, T, bins): frame t − 1, the first one 0
        x = self._entered(previous, latent, 0)
        weights: list[Tensor] = []
        for layer, text_keys in zip(self.decoder, self.remembered(memory), strict=True):
            x, attended, _ = layer(x, text_keys, mask)
            weights.append(attended)
        frames, stop = self._written(x)
        return Spoken(frames, stop, torch.stack(weights).mean(dim=0), durations, mean, log_variance)

    def read(self, text: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The text as the decoder sees it (B, N, text width), its mask (B, 1, 1, N), and durations (B, N)."""
        real = torch.arange(text.shape[1], device=text.device) < counts.to(text.device).unsqueeze(1)  # (B, N)
        mask = real[:, None, None, :]
        x = self.embedding(text)
        x = self.dropout(x + self.text_position * positions(text.shape[1], x.shape[-1], 0, x.device))
        for layer in self.encoder:
            x = layer(x, mask)
        x = self.text_norm(x)
        durations = functional.softplus(self.duration(x).squeeze(-1).float()) * real
        return x, mask, durations

    def remembered(self, memory: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The text's keys and values for each layer of the decoder."""
        layers = (layer for layer in self.decoder if isinstance(layer, DecoderLayer))
        return [layer.cross.keys_values(memory) for layer in layers]

    def hear(self, normal: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (B, latent) of the latent, given normalised frames (B, T, bins)."""
        real = torch.arange(normal.shape[1], device=normal.device) < counts.to(normal.device).unsqueeze(1)  # (B, T)
        heard = torch.relu(self.reference(normal)) * real.unsqueeze(-1)
        pooled = heard.sum(dim=1) / real.sum(dim=1, keepdim=True)  # (B, width)
        mean, log_variance = self.posterior(pooled).float().chunk(2, dim=-1)
        return mean, log_variance.clamp(-10.0, 10.0)

    def normalised(self, mel: Tensor) -> Tensor:
        """Frames with the training mean taken out, in training deviations."""
        return (mel - self.mel_mean) / self.mel_scale

    def next_frame(
        self,
        previous: Tensor,
        at: int,
        memory: list[tuple[Tensor, Tensor]],
        mask: Tensor,
        past: list[tuple[Tensor, Tensor]] | None,
    ) -> tuple[Tensor, Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """Frame `at` (B, 1, bins) from the normalised one before, stop logit (B, 1), weights (B, 1, N), and the past
        for the next call. `memory`: the text's keys and values per decoder layer. The latent is the prior's mean.
        """
        latent = torch.zeros(len(previous), self.style.in_features, device=previous.device)
        x = self._entered(previous, latent, at)
        weights: list[Tensor] = []
        kept: list[tuple[Tensor, Tensor]] = []
        for number, layer in enumerate(self.decoder):
            x, attended, now = layer(x, memory[number], mask, None if past is None else past[number])
            weights.append(attended)
            kept.append(now)
        frames, stop = self._written(x)
        return frames, stop, torch.stack(weights).mean(dim=0), kept

    def _entered(self, previous: Tensor, latent: Tensor, at: int) -> Tensor:
        """Normalised frames (B, T, bins), the first of which is frame `at`, as the decoder takes them."""
        x = previous
        for layer in self.prenet:
            x = self.prenet_dropout(torch.relu(layer(x)))
        place = positions(x.shape[1], x.shape[-1], at, x.device)
        entered: Tensor = self.dropout(x + self.mel_position * place + self.style(latent).unsqueeze(1))
        return entered

    def _written(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = self.out(self.norm(x)).float()
        return self.mel_mean + self.mel_scale * out[..., :-1], out[..., -1]


def positions(length: int, width: int, first: int, device: torch.device) -> Tensor:
    """Sinusoids (length, width) of the positions from `first` on. Source: Vaswani et al., 2017, section 3.5."""
    place = torch.arange(first, first + length, device=device, dtype=torch.float32).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10_000.0) / width))
    return torch.stack([(place * rate).sin(), (place * rate).cos()], dim=-1).flatten(1)


def checked_start(config: Config, named: str) -> Path:
    """The file of the checkpoint to start from. Raises BadInput unless it fits the network; nothing is computed."""
    return Start(RESUME, named).checked(lambda: Tts(config, torch.zeros(config.data.n_mels), torch.ones(())))
