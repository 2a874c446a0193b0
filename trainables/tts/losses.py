"""The losses, each over real frames and symbols only, and their weighted sum."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trainables.tts.model import Spoken

GUIDE_WIDTH = 0.2  # of the diagonal, as a share of the length: Tachibana et al., 2018


class Losses(NamedTuple):
    """The weighted sum and its parts, unweighted; scalars."""

    total: Tensor
    mel: Tensor
    stop: Tensor
    kl: Tensor
    duration: Tensor
    attention: Tensor


PARTS = Losses._fields[1:]


def losses(
    spoken: Spoken,
    mel: Tensor,
    mel_counts: Tensor,
    text_counts: Tensor,
    mean_frame: Tensor,
    now: Mapping[str, float],
    weights: Mapping[str, float],
) -> Losses:
    """All losses of a batch. `now`: the knob values in force; `weights`: of each part, by name."""
    real = frame_mask(mel_counts, mel.shape[1])
    target = smoothed_mel(mel, mean_frame, now["mel_label_smoothing"])
    parts = {
        "mel": mel_loss(spoken.mel, target, real, now["huber_delta"]),
        "stop": stop_loss(spoken.stop, mel_counts, now["stop_label_smoothing"], now["stop_token_positive_weight"]),
        "kl": kl_loss(spoken.mean, spoken.log_variance),
        "duration": duration_loss(spoken.durations, mel_counts),
        "attention": attention_loss(spoken.attention, text_counts, mel_counts),
    }
    total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
    return Losses(total, **parts)


def frame_mask(counts: Tensor, length: int) -> Tensor:
    """(B, length), True for a clip's own frames."""
    return torch.arange(length, device=counts.device) < counts.unsqueeze(1)


def smoothed_mel(mel: Tensor, mean_frame: Tensor, smoothing: float) -> Tensor:
    """(1 − s)·mel + s·(the mean frame of the training clips): smoothing pulls a target to what is said of anything."""
    return mel if smoothing == 0 else (1 - smoothing) * mel + smoothing * mean_frame


def mel_loss(predicted: Tensor, target: Tensor, real: Tensor, delta: float) -> Tensor:
    """Mean over real frames × bins of |r|, or with δ > 0 of Huber's loss: ½r² to |r| = δ, δ(|r| − ½δ) beyond.

    predicted, target (B, T, bins), real (B, T). Source: Huber, 1964.
    """
    size = (predicted - target).abs()
    if delta > 0:
        size = torch.where(size <= delta, 0.5 * size.square(), delta * (size - 0.5 * delta))
    return (size * real.unsqueeze(-1)).sum() / (real.sum() * predicted.shape[-1])


def stop_loss(logits: Tensor, counts: Tensor, smoothing: float, positive_weight: float) -> Tensor:
    """Binary cross-entropy (B, T) of the last frame's mark, its clip's last frame weighing `positive_weight`, the
    weighted mean over real frames.

    Targets are 1 − ε/2 and ε/2. The weight belongs to the frame, not to the positive part of a smoothed negative: so a
    perfect predictor's loss is the entropy of its targets, H(ε/2), and no more.
    """
    real = frame_mask(counts, logits.shape[1])
    last = torch.arange(logits.shape[1], device=logits.device) == (counts - 1).unsqueeze(1)  # (B, T)
    target = last * (1 - smoothing) + smoothing / 2
    each = functional.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none")
    weight = torch.where(last, positive_weight, 1.0) * real
    return (each * weight).sum() / weight.sum()


def kl_loss(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½(μ² + σ² − 1 − ln σ²), the mean over clips and latent dimensions; both (B, latent).

    Source: Kingma & Welling, 2014, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def duration_loss(durations: Tensor, mel_counts: Tensor) -> Tensor:
    """Mean over clips of |ln Σ durations − ln T|; durations (B, N), 0 beyond the text.

    How long each symbol lasts isn't known without an alignment; how long all of them last together, is.
    """
    return (durations.sum(dim=1).log() - mel_counts.to(durations.dtype).log()).abs().mean()


def attention_loss(attention: Tensor, text_counts: Tensor, mel_counts: Tensor) -> Tensor:
    """Mean over real frames of the weight that lies off the diagonal, Σ_n A_tn·(1 − exp(−(n/N − t/T)²/2g²)).

    attention (B, T, N). Source: Tachibana et al., ICASSP 2018, guided attention.
    """
    place, real = off_diagonal(attention, text_counts, mel_counts)
    penalty = 1 - torch.exp(-place.square() / (2 * GUIDE_WIDTH**2))
    return ((attention * penalty).sum(dim=2) * real).sum() / real.sum()


def off_diagonal(attention: Tensor, text_counts: Tensor, mel_counts: Tensor) -> tuple[Tensor, Tensor]:
    """n/N − t/T (B, T, N), and which frames are real (B, T)."""
    _, frames, symbols = attention.shape
    t = torch.arange(frames, device=attention.device) / mel_counts.unsqueeze(1)  # (B, T)
    n = torch.arange(symbols, device=attention.device) / text_counts.unsqueeze(1)  # (B, N)
    return n.unsqueeze(1) - t.unsqueeze(2), frame_mask(mel_counts, frames)
