"""What the pH probe adds to the true curve: noise, and optionally an offset, a drift and a lag.

Every draw comes from (seed, sample number) alone, so sample i is the same whatever the number of samples or processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from spaces.schema import Real, Section
from trainables.early_inference.kinetics import Conditions, Floats
from trainables.seeding import stream

KNOWN_INPUTS = ("substrate_mM", "grams_urease_powder", "temperature_C", "initial_pH", "volume_L")
TARGETS = ("E0_g_per_L", "k_d")

RANGES: Mapping[str, tuple[float, float]] = {  # uniform in these bounds
    "substrate_mM": (10.0, 100.0),
    "grams_urease_powder": (0.01, 0.1),
    "temperature_C": (25.0, 40.0),
    "initial_pH": (6.5, 7.5),
    "E0_g_per_L": (0.05, 1.25),
    "k_d": (1e-5, 5e-3),  # 1/s
}
FIXED: Mapping[str, float] = {"volume_L": 0.2}

_CONDITIONS, _PROBE, _NOISE = range(3)  # streams of one sample's random numbers


class Measurement(Section):
    """The probe. An amplitude of 0 switches that fault off."""

    noise_sd_ph: Real = Field(default=0.01, ge=0, le=1)
    """Standard deviation of the white noise on each reading."""
    offset_max_ph: Real = Field(default=0.0, ge=0, le=1)
    """A constant error, uniform within ± this, per curve; .05 is realistic."""
    drift_max_ph_per_s: Real = Field(default=0.0, ge=0, le=0.1)
    """A linear drift, uniform within ± this, per curve; 5e-5 is realistic."""
    probe_lag_max_s: Real = Field(default=0.0, ge=0, le=600)
    """Time constant of the probe's response, uniform from 0 to this, per curve; 5 is realistic."""


@dataclass(frozen=True)
class ProbeFaults:
    """The faults of the probe in one experiment."""

    offset_ph: float
    drift_ph_per_s: float
    lag_s: float


def draw_conditions(seed: int, sample: int) -> Conditions:
    """The experiment of sample number `sample`: everything uniform in `RANGES`, targets included."""
    uniform = stream(seed, sample, _CONDITIONS).random(len(RANGES)).tolist()
    drawn = {name: low + u * (high - low) for (name, (low, high)), u in zip(RANGES.items(), uniform, strict=True)}
    return Conditions(
        substrate_mM=drawn["substrate_mM"],
        grams_urease_powder=drawn["grams_urease_powder"],
        temperature_C=drawn["temperature_C"],
        initial_pH=drawn["initial_pH"],
        volume_L=FIXED["volume_L"],
        E0_g_per_L=drawn["E0_g_per_L"],
        k_d=drawn["k_d"],
    )


def draw_faults(measurement: Measurement, seed: int, sample: int) -> ProbeFaults:
    """The probe of sample number `sample`; all three numbers are always drawn, so switching one leaves the others."""
    offset, drift, lag = stream(seed, sample, _PROBE).random(3).tolist()
    return ProbeFaults(
        offset_ph=(2.0 * offset - 1.0) * measurement.offset_max_ph,
        drift_ph_per_s=(2.0 * drift - 1.0) * measurement.drift_max_ph_per_s,
        lag_s=lag * measurement.probe_lag_max_s,
    )


def reading(
    t: Floats, probe_ph: Floats, faults: ProbeFaults, noise_sd_ph: float, seed: int, sample: int, number: int
) -> Floats:
    """The readings (L,) at times `t` (s) of a probe that shows `probe_ph`; `number` tells one prefix from another."""
    noise = stream(seed, sample, _NOISE, number).standard_normal(len(t))
    return probe_ph + faults.offset_ph + faults.drift_ph_per_s * t + noise_sd_ph * noise
