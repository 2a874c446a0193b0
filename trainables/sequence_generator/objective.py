"""What trials are compared by; apart from the metrics that compute it, which need torch."""

from trainables.run import Objective

WORST = 1.0
"""What predicting the training mean scores: the objective is in units of that predictor's MAE."""

OBJECTIVE = Objective(
    metric="val_rollout_mae",
    mode="min",
    worst=WORST,
    unit="units of the mean predictor's MAE",
    further={"val_autocorrelation_error": "min", "val_time_error": "min"},
)
