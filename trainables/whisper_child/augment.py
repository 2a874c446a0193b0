"""SpecAugment (Park et al., Interspeech 2019): bands of frequency and stretches of time, hidden from the training."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

LOG = logging.getLogger("trainables.whisper_child")


def mask(
    features: NDArray[np.float32], frames: Sequence[int], now: Mapping[str, float], rng: np.random.Generator
) -> None:
    """Mask a batch of windows (B, mel bins, frames) in place, each clip for itself.

    First `freq_mask_count` masks over frequency, then `time_mask_count` over time. A width is uniform over the whole
    numbers from 0 to its parameter, a start uniform over the places where the mask fits into the clip's bins or its own
    `frames`: padding is never drawn from nor touched. Where the clip has less than the parameter, what it has takes its
    place. Masked values become the clip's smallest one, which is silence (0 would be a loud sound).
    """
    bins = features.shape[1]
    for clip, length in zip(features, frames, strict=True):
        real = clip[:, :length]  # (mel bins, frames of sound)
        quiet = real.min(initial=np.inf)
        for start, width in _spans(int(now["freq_mask_count"]), int(now["freq_mask_param"]), bins, rng):
            real[start : start + width] = quiet
        for start, width in _spans(int(now["time_mask_count"]), int(now["time_mask_param"]), length, rng):
            real[:, start : start + width] = quiet


def _spans(count: int, param: int, size: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """`count` draws of (start, width) within `size`."""
    spans = []
    for _ in range(count):
        width = int(rng.integers(min(param, size) + 1))
        spans.append((int(rng.integers(size - width + 1)), width))
    return spans


def warn_of_clamping(frames: Sequence[int], bins: int, now: Mapping[str, float]) -> None:
    """Say, once per run, that clips are shorter than the widest mask."""
    short = sum(length < now["time_mask_param"] for length in frames)
    if short and now["time_mask_count"]:
        LOG.warning(
            "time_mask_param %d is wider than %d of %d clips; a mask in those is drawn up to their own length",
            now["time_mask_param"],
            short,
            len(frames),
        )
    if now["freq_mask_param"] > bins and now["freq_mask_count"]:
        LOG.warning(
            "freq_mask_param %d is above the %d mel bins, and is drawn up to those", now["freq_mask_param"], bins
        )
