"""The files that hold simulations, which of them are for training, and what trials are compared by. No torch."""

import numpy as np
from numpy.typing import NDArray

from spaces.problems import BadInput
from trainables.run import Objective

N_COMPONENTS = 5
COMPONENTS = tuple(f"comp_{i + 1}" for i in range(N_COMPONENTS))
CONSTANTS = ("mobility", "gradient_coefficient")
FEATURES = (*COMPONENTS, *CONSTANTS)  # what the network sees, in this order
COLUMNS = ("step", *FEATURES)
FRAMES = 151  # rows of a documented file
LEAST_FRAMES = 22  # the autocorrelation that is reported goes to lag 20
SHARES = (0.8, 0.1, 0.1)  # training, validation, test: documented

WORST = 1.0
"""What predicting the training mean scores: the objective is in units of that predictor's MAE."""
OBJECTIVE = Objective(
    metric="val_rollout_mae",
    mode="min",
    worst=WORST,
    unit="units of the mean predictor's MAE",
    further={"val_autocorrelation_error": "min", "val_time_error": "min"},
)


def split(n: int, seed: int, where: str = "data") -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows of training, validation and test among n simulations, sorted; fixed by the arguments alone.

    80/10/10 (documented), by whole simulations; validation and test get at least one each. Raises BadInput for n < 3.
    """
    if n < 3:
        what = (
            f"{n} simulations can't be split into training, validation and test, by your script either; give at least 3"
        )
        raise BadInput.of(where, what)
    order = np.random.default_rng(np.random.SeedSequence(seed)).permutation(n)
    held_out = max(1, round(n * SHARES[1]))
    parts = order[2 * held_out :], order[:held_out], order[held_out : 2 * held_out]
    train, validation, test = (np.sort(part).astype(np.int64) for part in parts)
    return train, validation, test
