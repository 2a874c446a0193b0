"""The training loss: pointwise error and temporal pattern. The two constants take no part in it."""

from typing import NamedTuple

import torch
from torch import Tensor

LEAST_POWER = 1e-8  # of a sequence's Σx²: below it, its autocorrelation is 0 / 0


class Losses(NamedTuple):
    """A batch's loss and its parts."""

    total: Tensor
    mae: Tensor
    autocorrelation: Tensor


def autocorrelation(x: Tensor, max_lag: int) -> Tensor:
    """R(τ) = Σ x_t x_{t+τ} / Σ x_t², τ = 0 … max_lag: (B, T, C) → (B, max_lag + 1, C).

    By FFT, padded so that nothing wraps around (Wiener–Khinchin). A sequence of zeros has R = 0.
    """
    length = x.shape[1]
    assert max_lag < length, "checked where the data is prepared"
    spectrum = torch.fft.rfft(x, n=length + max_lag, dim=1)
    products = torch.fft.irfft(spectrum.real.square() + spectrum.imag.square(), n=length + max_lag, dim=1)
    power = x.square().sum(dim=1, keepdim=True)
    correlation: Tensor = products[:, : max_lag + 1] / power.clamp(min=LEAST_POWER)
    return correlation


def autocorrelation_error(predicted: Tensor, target: Tensor, max_lag: int) -> Tensor:
    """Mean over τ of (R_pred(τ) − R_true(τ))²: two (B, T, C) → (B, C)."""
    difference = autocorrelation(predicted, max_lag) - autocorrelation(target, max_lag)
    return difference.square().mean(dim=1)


def training_loss(predicted: Tensor, target: Tensor, alpha: float, max_lag: int, weights: Tensor) -> Losses:
    """α·L1 + (1 − α)·AC of standardised components (B, T, 5), of which the first frame is given.

    weights (5,), of mean 1: what each component counts for in both parts. L1 is over the frames that are predicted.
    """
    mae = ((predicted[:, 1:] - target[:, 1:]).abs().mean(dim=(0, 1)) * weights).mean()
    pattern = (autocorrelation_error(predicted, target, max_lag).mean(dim=0) * weights).mean()
    return Losses(alpha * mae + (1 - alpha) * pattern, mae, pattern)
