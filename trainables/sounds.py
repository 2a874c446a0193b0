"""What models of sound have in common: rates that are believed, resampling, and the mel scale. No torch."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from spaces.problems import BadInput

LOWEST, HIGHEST = 1000, 768_000
"""Rates of sound files, in Hz. The low-pass filter of a resampling is as long as the rate is high."""
_LINEAR_HZ, _KNEE_HZ, _LOG_STEP = 200.0 / 3.0, 1000.0, np.log(6.4) / 27.0
"""Slaney's scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above, 27 steps for a factor of 6.4."""


def check_rate(path: Path, rate: int) -> None:
    """Raise BadInput where a file says a rate that no sound has."""
    if not LOWEST <= rate <= HIGHEST:
        what = f"says {rate} samples a second; expected {LOWEST} to {HIGHEST}: is it damaged? "
        raise BadInput.of(str(path), what + "your script takes it at its word: copy it again")


def resampled(sound: NDArray[Any], own: int, rate: int) -> NDArray[np.float32]:
    """A sound (samples,) of `own` Hz at `rate` Hz, by a polyphase low-pass filter."""
    if own != rate:
        common = math.gcd(own, rate)
        sound = resample_poly(sound, rate // common, own // common)
    return np.asarray(sound, dtype=np.float32)


@cache
def mel_filters(rate: int, n_fft: int, bins: int, low: float, high: float) -> NDArray[np.float64]:
    """Triangles on Slaney's mel scale, each of area 1: (mel bins, n_fft/2 + 1)."""
    corners = _hertz(np.linspace(_mel(low), _mel(high), bins + 2))  # (bins + 2,)
    frequencies = np.linspace(0, rate / 2, n_fft // 2 + 1)
    slopes = corners[:, None] - frequencies[None, :]  # (bins + 2, frequencies)
    widths = np.diff(corners)[:, None]
    triangles: NDArray[np.float64] = np.maximum(0.0, np.minimum(-slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]))
    return triangles * (2.0 / (corners[2:] - corners[:-2]))[:, None]


def _mel(hertz: float) -> float:
    if hertz < _KNEE_HZ:
        return hertz / _LINEAR_HZ
    return float(_KNEE_HZ / _LINEAR_HZ + np.log(hertz / _KNEE_HZ) / _LOG_STEP)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    knee = _KNEE_HZ / _LINEAR_HZ
    return np.where(mel < knee, mel * _LINEAR_HZ, _KNEE_HZ * np.exp(_LOG_STEP * (mel - knee)))
