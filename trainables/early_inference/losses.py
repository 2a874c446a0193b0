"""The training loss: Gaussian negative log-likelihood with a pull of the predicted variance towards a target."""

import math

import torch
from torch import Tensor

MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -9.0, 10.0  # documented clamp
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def clamp_log_variance(log_variance: Tensor) -> Tensor:
    """Log-variance within the documented bounds; no gradient passes outside of them."""
    return log_variance.clamp(MIN_LOG_VARIANCE, MAX_LOG_VARIANCE)


def gaussian_nll(mean: Tensor, log_variance: Tensor | None, target: Tensor) -> Tensor:
    """−log N(target; mean, e^lv) = ½[ln 2π + lv + e^−lv (y − μ)²], averaged over curves and parameters. All (B, P).

    Without a variance head lv is 0: squared error, halved, plus a constant, so that both losses share a scale.
    """
    squared = (target - mean).square()
    if log_variance is None:
        return HALF_LOG_2PI + 0.5 * squared.mean()
    lv = clamp_log_variance(log_variance)
    return HALF_LOG_2PI + 0.5 * (lv + torch.exp(-lv) * squared).mean()


def variance_penalty(log_variance: Tensor, target_variance: float) -> Tensor:
    """(e^lv − target_variance)², averaged over curves and parameters (the model's training document)."""
    return (torch.exp(clamp_log_variance(log_variance)) - target_variance).square().mean()


def training_loss(
    mean: Tensor, log_variance: Tensor | None, target: Tensor, penalty_weight: float, target_variance: float
) -> Tensor:
    """NLL + penalty_weight · variance penalty; a weight of 0 leaves the penalty out."""
    loss = gaussian_nll(mean, log_variance, target)
    if log_variance is None or penalty_weight == 0:
        return loss
    return loss + penalty_weight * variance_penalty(log_variance, target_variance)
