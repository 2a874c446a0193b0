"""The objective, and measures of what is spoken. No knob enters here. No torch here."""

import math

import numpy as np
from numpy.typing import NDArray

from trainables.run import Objective

Array = NDArray[np.floating]

OBJECTIVE = Objective(metric="val_mel_mae", mode="min", worst=3.0, unit="ln mel")
"""Mean over the frames and bins of every validation clip of |predicted − true|, each frame predicted from the true ones
before it, without smoothing, dropout or a latent. A diverged trial scores what the mean frame of the training clips
does, `mean_frame_mae`: 1.52 on the generated sentences, 1.25 on recorded digits (fsdd), 2.4 on tones. Where one number
must stand for all data, in the ranking of trials that have no other, it is the worst given here, which lies above."""

COEFFICIENTS = 13  # mel cepstra that MCD compares, without the 0th, which is the loudness
_DECIBEL = 10 * math.sqrt(2) / math.log(10)  # per unit of natural-log cepstrum: Kubichek, 1993


def f1(hits: int, said: int, true: int) -> float:
    """2·hits/(said + true): the harmonic mean of precision and recall; 0 where nothing was said."""
    return 2 * hits / (said + true) if said + true else 0.0


def cepstra(frames: Array) -> Array:
    """Coefficients 1 … 13 (T, 13) of ln-mel frames (T, bins): c_k = mean over bins b of frame_b·cos(πk(b + ½)/bins)."""
    bins = frames.shape[1]
    order = np.arange(1, COEFFICIENTS + 1)[:, None]
    basis = np.cos(np.pi * order * (np.arange(bins) + 0.5) / bins) / bins  # (13, bins)
    found: Array = frames.astype(np.float64) @ basis.T
    return found


def mcd_dtw(spoken: Array, reference: Array) -> float:
    """Mel cepstral distortion in dB of ln-mel frames (S, bins) against (R, bins), along the best warping path.

    10√2/ln 10 · mean over the path of √Σ_k (c_k − c'_k)². The path goes on by one frame of either or of both, and has
    the least sum of distances. Source: Kubichek, IEEE PacRim 1993; time warping after Sakoe & Chiba, 1978.
    """
    a, b = cepstra(spoken), cepstra(reference)
    distance = np.sqrt(np.maximum(0.0, (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T))  # (S, R)
    total, length = _path(distance)
    return _DECIBEL * total / length


def _path(distance: NDArray[np.float64]) -> tuple[float, int]:
    """The least sum along a path from corner to corner, and how many frames it has; by diagonals."""
    rows, columns = distance.shape
    cost = np.full((rows + 1, columns + 1), np.inf)
    steps = np.zeros((rows + 1, columns + 1), dtype=np.int64)
    cost[0, 0] = 0.0
    for diagonal in range(2, rows + columns + 1):
        i = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        j = diagonal - i
        before = np.stack([cost[i - 1, j - 1], cost[i - 1, j], cost[i, j - 1]])  # both go on, the first, the second
        choice = before.argmin(axis=0)
        from_i, from_j = i - (choice != 2), j - (choice != 1)
        cost[i, j] = before[choice, np.arange(len(i))] + distance[i - 1, j - 1]
        steps[i, j] = steps[from_i, from_j] + 1
    return float(cost[rows, columns]), int(steps[rows, columns])
