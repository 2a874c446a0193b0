"""What is done to the features of a batch: augmentation of training trials, and the smoothing of all.

In the order of the public trainer: gain, white noise, offset, random walk, cut, smoothing.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainables.diphone_rnn.config import DataTransforms

LEAST_TAP = 0.01  # documented: smaller taps of the smoothing kernel are left out


def smoothing_taps(config: DataTransforms) -> Tensor | None:
    """The kernel (taps,), summing to 1; None without smoothing.

    A Gaussian of `smooth_kernel_std` bins over a window of `smooth_kernel_size`; taps up to LEAST_TAP are dropped.
    """
    if not config.smooth_data:
        return None
    size = config.smooth_kernel_size
    at = np.arange(size) - size // 2  # bins from the middle
    taps = np.exp(-0.5 * np.square(at / config.smooth_kernel_std))
    taps /= np.exp(-0.5 * np.square(np.arange(-4000, 4001) / config.smooth_kernel_std)).sum()
    kept = taps[taps > LEAST_TAP]
    return torch.tensor(kept / kept.sum(), dtype=torch.float32)


def smooth(features: Tensor, taps: Tensor | None) -> Tensor:
    """Each channel filtered over time, zeros beyond both ends: (B, T, C) → (B, T, C)."""
    if taps is None:
        return features
    channels, reach = features.shape[2], len(taps) - 1
    kernel = taps.expand(channels, 1, -1)  # (C, 1, taps)
    over_time = functional.pad(features.transpose(1, 2), (reach // 2, reach - reach // 2))  # (B, C, T + taps − 1)
    return functional.conv1d(over_time, kernel, groups=channels).transpose(1, 2)


def mask(features: Tensor, bins: Tensor) -> Tensor:
    """Zeros after the end of each trial, so that none depends on what else is in the batch.

    (B, T, C); `bins` (B,) lie on the CPU.
    """
    inside = torch.arange(features.shape[1]) < bins.unsqueeze(1)  # (B, T)
    return features * inside.to(features.device, non_blocking=True).unsqueeze(2)


def augment(features: Tensor, bins: Tensor, now: Mapping[str, float], walk_axis: int, seed: int) -> Tensor:
    """Features (B, T, C) with the noise that the knobs `now` ask for; a strength of 0 leaves its part out."""
    generator = torch.Generator(features.device).manual_seed(seed)
    batch, time, channels = features.shape

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=features.device)

    if gain := now["static_gain_std"]:
        mixing = torch.eye(channels, device=features.device) + gain * normal(batch, channels, channels)
        features = features @ mixing  # (B, T, C) × (B, C, C)
    if white := now["white_noise_std"]:
        features = normal(batch, time, channels).mul_(white).add_(features)
    if offset := now["constant_offset_std"]:
        features = features + offset * normal(batch, 1, channels)
    if walk := now["random_walk_std"]:
        features = features + (walk * normal(batch, time, channels)).cumsum(dim=walk_axis)
    return mask(features, bins)
