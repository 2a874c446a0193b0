"""Validation metrics: the objective in physical units, likelihood and calibration in the standardised logit space.

No knob enters here. The spaces are fixed by the training curves, and predictions are restated in them first.
"""

import math
import re
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from trainables.early_inference.scaling import Array, TargetSpace
from trainables.run import Objective

WORST = math.sqrt(3) / 2
"""Predicting the prior mean of a uniform prior of width w: MAE w/4 over sd w/√12 = √3/2 ≈ .866."""

OBJECTIVE = Objective(metric="val_mae_prior_sd", mode="min", worst=WORST, unit="prior sd", further={"val_nll": "min"})

LEVELS = (50, 90)  # % of the central intervals whose coverage is reported

MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -20.0, 20.0  # keeps the metrics finite; wider than the loss's own clamp


def metric_key(metric: str, parameter: str) -> str:
    """`val_mae_prior_sd.E0_g_per_L`: only characters that MLflow takes in a key."""
    return f"{metric}.{re.sub(r'[^0-9A-Za-z_-]', '_', parameter)}"


def validation_metrics(
    mean: Array, log_variance: Array, target: Array, space: TargetSpace, prior_sd: Array, names: Sequence[str]
) -> dict[str, float]:
    """All metrics of predictions in logit space (n, p) against physical targets (n, p); `prior_sd` is (p,).

    The point prediction is the predicted median (the map to physical units keeps order), which minimises MAE. NLL and
    coverage are of the Gaussian in the standardised logit space, the space of the documented loss.
    """
    error = (space.to_physical(mean) - target) / prior_sd  # (n, p)
    mae, rmse = np.abs(error).mean(axis=0), np.sqrt(np.square(error).mean(axis=0))  # (p,)
    log_variance = np.clip(log_variance - 2 * np.log(space.spread), MIN_LOG_VARIANCE, MAX_LOG_VARIANCE)
    residual = (space.to_logit(target) - mean) / space.spread  # (n, p)
    squared = np.square(residual) * np.exp(-log_variance)
    nll = 0.5 * (math.log(2 * math.pi) + log_variance + squared).mean(axis=0)  # (p,)

    found = {OBJECTIVE.metric: float(mae.mean()), "val_nll": float(nll.mean())}
    for i, name in enumerate(names):
        found[metric_key(OBJECTIVE.metric, name)] = float(mae[i])
        found[metric_key("val_rmse_prior_sd", name)] = float(rmse[i])
        found[metric_key("val_nll", name)] = float(nll[i])
        for level in LEVELS:
            reach = ndtri(0.5 + level / 200)  # central interval of a standard normal: ±.674 for 50%, ±1.645 for 90%
            found[metric_key(f"val_coverage_{level}", name)] = float((squared[:, i] <= reach**2).mean())
    return found
