"""How much a pH curve can tell about E0 and k_d at best, whatever reads it.

The bound is local: the curve is linearised around the true parameters, noise and priors are taken as Gaussian of the
same standard deviation, and the probe's unknown offset, drift and lag count as further unknowns (Fisher information
plus prior precision; Bayesian Cramér-Rao).
"""

import dataclasses
import math

import numpy as np

from trainables.early_inference.kinetics import Conditions, Floats, simulate
from trainables.early_inference.measurement import (
    RANGES,
    TARGETS,
    Measurement,
    ProbeFaults,
    draw_conditions,
    draw_faults,
)

AVERAGED = 50
_STEP = 0.01  # of the prior's range: far above the solver's error, well inside the curve's linear part


def posterior_share(conditions: Conditions, faults: ProbeFaults, measurement: Measurement, t: Floats) -> Floats:
    """Posterior sd / prior sd of each of `TARGETS`, (2,), from noisy readings at the times `t` (s, from 0).

    Near 0: the curve fixes the parameter. Near 1: it says nothing about it. Needs `noise_sd_ph` > 0.
    """
    if measurement.noise_sd_ph <= 0.0:
        raise ValueError("noise_sd_ph is 0; without noise there is no limit")
    rows = [_target_effect(conditions, name, faults.lag_s, t) for name in TARGETS]
    if measurement.offset_max_ph:
        rows.append(np.full(len(t), measurement.offset_max_ph / math.sqrt(3.0)))  # sd of a uniform ± max
    if measurement.drift_max_ph_per_s:
        rows.append(t * measurement.drift_max_ph_per_s / math.sqrt(3.0))
    if measurement.probe_lag_max_s:
        rows.append(_lag_effect(conditions, faults.lag_s, measurement.probe_lag_max_s, t))
    effects = np.stack(rows) / measurement.noise_sd_ph  # (unknowns, L) noise sd per prior sd
    information = effects @ effects.T + np.eye(len(rows))
    return np.sqrt(np.diag(np.linalg.inv(information)))[: len(TARGETS)]


def mean_posterior_share(measurement: Measurement, t: Floats, seed: int) -> dict[str, float]:
    """`posterior_share` by target, averaged over `AVERAGED` experiments of the prior.

    What `val_rmse_prior_sd.<target>` can reach at best; for a Gaussian posterior the limit of the MAE is .798 of it.
    """
    shares = [
        posterior_share(draw_conditions(seed, i), draw_faults(measurement, seed, i), measurement, t)
        for i in range(AVERAGED)
    ]
    return dict(zip(TARGETS, (float(share) for share in np.mean(shares, axis=0)), strict=True))


def _target_effect(conditions: Conditions, name: str, lag_s: float, t: Floats) -> Floats:
    """Change of the shown pH (L,) per prior sd of the target `name`."""
    low, high = RANGES[name]
    value, step = getattr(conditions, name), _STEP * (high - low)
    ends = (max(value - step, 0.0), value + step)
    shown = [simulate(dataclasses.replace(conditions, **{name: end}), t, lag_s).probe_ph for end in ends]
    slope: Floats = (shown[1] - shown[0]) / (ends[1] - ends[0])
    return slope * (high - low) / math.sqrt(12.0)


def _lag_effect(conditions: Conditions, lag_s: float, lag_max_s: float, t: Floats) -> Floats:
    step = _STEP * lag_max_s
    shown = [simulate(conditions, t, lag).probe_ph for lag in (lag_s, lag_s + step)]
    slope: Floats = (shown[1] - shown[0]) / step
    return slope * lag_max_s / math.sqrt(12.0)
