"""Validation metrics of free-running rollouts. No knob enters here: neither α, nor a lag, a phase or a weight.

Components are standardised by training statistics, so that the training mean is 0. All errors but the time error leave
the given first frame out.
"""

import torch
from torch import Tensor

from trainables.sequence_generator.layout import COMPONENTS, OBJECTIVE
from trainables.sequence_generator.losses import autocorrelation_error

LAG = 20  # frames; fixed, whatever max_lag a phase has

LEAST = 1e-12  # of a component's own MAE of the mean


def rollout_mae(predicted: Tensor, target: Tensor) -> Tensor:
    """MAE of each component over that of predicting the training mean, 0: (n, T − 1, 5), (n, T, 5) → () float64.

    Both are means over sequences, frames and components.
    """
    truth = target[:, 1:].double()
    return (predicted.double() - truth).abs().mean() / truth.abs().mean()


def time_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Frames by which a frame is misplaced on the predicted trajectory: |argmin_s distance(x_t, x̂_s) − t|, mean.

    (n, T − 1, 5), (n, T, 5) → () float64. The predicted trajectory begins with the given frame.
    """
    trajectory = torch.cat([target[:, :1], predicted], dim=1).double()  # (n, T, 5)
    nearest = torch.cdist(target.double(), trajectory).argmin(dim=2)  # (n, T): of each true frame
    return (nearest - torch.arange(target.shape[1], device=target.device)).abs().double().mean()


def validation_metrics(predicted: Tensor, target: Tensor) -> dict[str, float]:
    """All metrics of rollouts (n, T − 1, 5) of standardised components against the truth (n, T, 5)."""
    truth = target[:, 1:].double()
    error = (predicted.double() - truth).abs().mean(dim=(0, 1))  # (5,)
    trivial = truth.abs().mean(dim=(0, 1)).clamp(min=LEAST)
    trajectory = torch.cat([target[:, :1], predicted], dim=1).double()
    found = {
        OBJECTIVE.metric: rollout_mae(predicted, target),
        "val_rollout_mae_sd": error.mean(),
        "val_autocorrelation_error": autocorrelation_error(trajectory, target.double(), LAG).mean(),
        "val_time_error": time_error(predicted, target),
        **{f"{OBJECTIVE.metric}.{name}": e / t for name, e, t in zip(COMPONENTS, error, trivial, strict=True)},
    }
    return {key: float(value) for key, value in found.items()}
