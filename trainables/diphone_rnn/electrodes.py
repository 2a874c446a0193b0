"""What electrodes record of moving articulators: threshold crossings and spike-band power, through a drifting tuning.

The log of an electrode's firing rate, and of its band power, is a sum of two parts. One is linear in where the
articulators are and where they go. The other is a mixed selectivity (Rigotti et al., Nature 2013): it prefers certain
combinations of places and movements, so it tells a sound between one pair of neighbours from the same sound between
others. The real features come with the mean and spread of each block taken out; here it is those of the day.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from trainables.diphone_rnn.articulation import BIN, Floats, velocity
from trainables.seeding import stream

BASE_RATE_HZ = 25.0  # threshold crossings of one electrode
DEPTH = 0.7  # spread of the log of the rate, from the articulators
POWER_DEPTH, POWER_NOISE = 0.35, 0.4  # spread of the log of the power: from the articulators, and its noise
SHARED_DIMENSIONS, SHARED_NOISE, SHARED_S = (
    4,
    0.3,
    0.2,
)  # activity that has nothing to do with speech; its duration in s
MIXED, MIXED_SCALE = 64, 0.7  # combinations that the array prefers; radians of each per unit of movement
BLOCK_DRIFT = 0.3  # offset of one block, relative to the drift of a day


@dataclass(frozen=True)
class Recording:
    """The recording's properties that don't change."""

    seed: int
    electrodes: int  # E: half the channels
    velocity_share: float
    mixed_share: float
    noise: float
    drift: float


@dataclass(frozen=True)
class Movement:
    """What the array hears of articulators, the same on all days."""

    mean: Floats  # (20,) of positions and velocities
    spread: Floats  # (20,)
    waves: Floats  # (20, 64) of the preferred combinations
    phases: Floats  # (64,)

    def __call__(self, path: Floats) -> Floats:
        """Positions and velocities along `path` (T, 10), then combinations of them: (T, 84), each of unit spread."""
        units = (_moving(path) - self.mean) / self.spread  # (T, 20)
        return np.concatenate([units, np.sqrt(2) * np.cos(_product(units, self.waves) + self.phases)], axis=1)


@dataclass(frozen=True)
class Tuning:
    """How E electrodes hear the articulators on one day."""

    movement: "Movement"
    weights: Floats  # (84, 2E) what `movement` gives → logs of rates, then of powers
    shared: Floats  # (4, 2E) what has nothing to do with speech → the same logs
    offset: Floats  # (2E,) added to the logs
    mean: Floats  # (2E,) of the day's features
    spread: Floats  # (2E,)


def tunings(recording: Recording, days: int, calibration: Sequence[Floats]) -> Iterator[Tuning]:
    """The tuning of each day in turn. `calibration`: movements (T, 10) of sentences that give units and means."""
    channels = 2 * recording.electrodes
    rng = stream(recording.seed, 1, 0)
    movement = _movement(calibration, rng)
    weights, shared = _weights(recording, rng), rng.standard_normal((SHARED_DIMENSIONS, channels)) / 2
    offset = 0.3 * rng.standard_normal(channels)
    keep = 1.0 / np.sqrt(1.0 + recording.drift**2)  # the strength of the tuning stays as it is
    for day in range(days):
        if day:
            rng = stream(recording.seed, 1, 0, day)
            weights = keep * (weights + recording.drift * _weights(recording, rng))
            offset = offset + recording.drift * rng.standard_normal(channels)
        raw = Tuning(movement, weights, shared, offset, np.zeros(channels), np.ones(channels))
        seen = np.concatenate(
            [record(recording, raw, path, stream(recording.seed, 1, 1, day, i)) for i, path in enumerate(calibration)]
        )
        yield replace(raw, mean=seen.mean(axis=0), spread=seen.std(axis=0) + 1e-9)


def block_of(recording: Recording, tuning: Tuning, day: int, block: int) -> Tuning:
    """The day's tuning as it is during one block: with an offset of its own."""
    own = BLOCK_DRIFT * recording.drift * stream(recording.seed, 1, 2, day, block).standard_normal(len(tuning.offset))
    return replace(tuning, offset=tuning.offset + own)


def record(recording: Recording, tuning: Tuning, path: Floats, rng: np.random.Generator) -> NDArray[np.float32]:
    """Features (T, 2E) of the movements `path` (T, 10): z-scored threshold crossings, then z-scored band powers."""
    n, electrodes = len(path), recording.electrodes
    keep = np.exp(-BIN / SHARED_S)
    steady = np.sqrt(1 - keep**2)  # unit variance
    shared = lfilter([steady], [1.0, -keep], rng.standard_normal((n, SHARED_DIMENSIONS)), axis=0)
    logs = _product(tuning.movement(path), tuning.weights) + tuning.offset  # (T, 2E)
    logs += recording.noise * SHARED_NOISE * _product(shared, tuning.shared)
    rates = BASE_RATE_HZ * BIN * np.exp(np.minimum(logs[:, :electrodes], 4.0))  # a neuron fires 60 times faster at most
    power = logs[:, electrodes:] + recording.noise * POWER_NOISE * rng.standard_normal((n, electrodes))
    features = np.concatenate([rng.poisson(rates), np.exp(np.minimum(power, 10.0))], axis=1)
    return ((features - tuning.mean) / tuning.spread).astype(np.float32)


def _weights(recording: Recording, rng: np.random.Generator) -> Floats:
    """A tuning (84, 2E), for inputs of unit spread; power and crossings of one electrode are alike, not equal."""
    mixed, moving = recording.mixed_share, recording.velocity_share
    shares = [(1 - mixed) * (1 - moving) / 10, (1 - mixed) * moving / 10, mixed / MIXED]  # of the variance, per input
    size = np.sqrt(np.repeat(shares, [10, 10, MIXED]))[:, None]  # (84, 1)
    crossings, own = rng.standard_normal((2, len(size), recording.electrodes)) * size
    return np.concatenate([DEPTH * crossings, POWER_DEPTH * (0.8 * crossings + 0.6 * own)], axis=1)


def _movement(calibration: Sequence[Floats], rng: np.random.Generator) -> Movement:
    """Units from the sentences `calibration`, and combinations drawn with `rng`."""
    moving = np.concatenate([_moving(path) for path in calibration])  # (sum of T, 20)
    waves = MIXED_SCALE * rng.standard_normal((moving.shape[1], MIXED))
    return Movement(moving.mean(axis=0), moving.std(axis=0) + 1e-9, waves, rng.uniform(0, 2 * np.pi, MIXED))


def _moving(path: Floats) -> Floats:
    """Positions, then velocities (T, 20)."""
    return np.concatenate([path, velocity(path)], axis=1)


def _product(left: Floats, right: Floats) -> Floats:
    """Matrix product left (n, k) · right (k, m), the same to the bit whatever the threads, unlike BLAS."""
    product: Floats = np.einsum("nk,km->nm", left, right)
    return product
