"""Movements of the vocal tract while phonemes are said: where the articulators go, and how neighbours bend their path.

A phoneme has targets for some articulators and leaves the others to its neighbours; the tract moves towards its
targets like a critically damped spring that starts ahead of time. So the same phoneme looks different after and
before other phonemes, and the way from one to the next tells both.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from trainables.diphone_rnn.phonemes import IDS, PHONEMES

Floats = NDArray[np.float64]

BIN = 0.02  # s
ARTICULATORS = (
    "jaw",
    "lips",
    "rounding",
    "tip_height",
    "tip_front",
    "body_height",
    "body_back",
    "velum",
    "voice",
    "narrow",
)
"""Each from −1 to 1: jaw open, lips shut, lips rounded, tongue tip up, tip forward, tongue body up, body back, velum
open, voiced, constricted: open as a vowel −1, sonorant −.2, fricative .5, stop 1."""
MOVEMENT_S = 0.06
"""Time constant of a movement in s at coarticulation 1: a target is reached to 90% in about 4 of them."""

_REST = dict.fromkeys(ARTICULATORS, 0.0) | {"jaw": -0.6, "voice": -1.0, "narrow": -0.6}

# What is left out of a phoneme's targets follows its neighbours.
_PLACES: Mapping[str, Mapping[str, float]] = {
    "bilabial": {"lips": 1.0, "jaw": -0.6},
    "labiodental": {"lips": 0.55, "jaw": -0.7, "tip_height": -0.3},
    "dental": {"tip_height": 0.55, "tip_front": 1.0, "lips": -0.4},
    "alveolar": {"tip_height": 0.9, "tip_front": 0.5, "lips": -0.3},
    "postalveolar": {"tip_height": 0.7, "tip_front": -0.3, "rounding": 0.4, "body_height": 0.5},
    "velar": {"body_height": 1.0, "body_back": 0.7, "tip_height": -0.7},
    "glottal": {},
    "palatal": {"body_height": 0.9, "body_back": -0.9, "tip_height": -0.3},
    "labiovelar": {"rounding": 1.0, "lips": 0.5, "body_height": 0.7, "body_back": 0.8},
    "rhotic": {"tip_height": 0.4, "tip_front": -0.9, "rounding": 0.5, "body_back": 0.2},
}
_MANNERS: Mapping[str, Mapping[str, float]] = {
    "stop": {"narrow": 1.0, "velum": -1.0},
    "fricative": {"narrow": 0.5, "velum": -1.0},
    "nasal": {"narrow": 0.8, "velum": 1.0},
    "glide": {"narrow": -0.2},
    "lateral": {"narrow": 0.1, "body_back": 0.4},
}
_CONSONANTS = {  # place, manner, voice
    "B": ("bilabial", "stop", 1.0),
    "P": ("bilabial", "stop", -1.0),
    "M": ("bilabial", "nasal", 1.0),
    "F": ("labiodental", "fricative", -1.0),
    "V": ("labiodental", "fricative", 1.0),
    "TH": ("dental", "fricative", -1.0),
    "DH": ("dental", "fricative", 1.0),
    "T": ("alveolar", "stop", -1.0),
    "D": ("alveolar", "stop", 1.0),
    "N": ("alveolar", "nasal", 1.0),
    "S": ("alveolar", "fricative", -1.0),
    "Z": ("alveolar", "fricative", 1.0),
    "L": ("alveolar", "lateral", 1.0),
    "SH": ("postalveolar", "fricative", -1.0),
    "ZH": ("postalveolar", "fricative", 1.0),
    "K": ("velar", "stop", -1.0),
    "G": ("velar", "stop", 1.0),
    "NG": ("velar", "nasal", 1.0),
    "HH": ("glottal", "fricative", -1.0),
    "Y": ("palatal", "glide", 1.0),
    "W": ("labiovelar", "glide", 1.0),
    "R": ("rhotic", "glide", 1.0),
}
_VOWELS = {  # jaw, body height, body back, rounding
    "IY": (-0.6, 0.9, -1.0, -0.6),
    "IH": (-0.2, 0.6, -0.7, -0.3),
    "EH": (0.3, 0.1, -0.7, -0.2),
    "AE": (0.8, -0.5, -0.8, -0.3),
    "AH": (0.2, -0.1, 0.1, 0.0),
    "AA": (1.0, -0.9, 0.6, -0.1),
    "AO": (0.6, -0.4, 0.9, 0.6),
    "UH": (-0.1, 0.5, 0.5, 0.5),
    "UW": (-0.5, 0.9, 0.8, 1.0),
    "ER": (0.1, 0.2, 0.3, 0.4),
}
_COMPOUNDS = {  # first half, second half
    "CH": ("T", "SH"),
    "JH": ("D", "ZH"),
    "EY": ("EH", "IY"),
    "AY": ("AA", "IY"),
    "OY": ("AO", "IY"),
    "AW": ("AA", "UW"),
    "OW": ("AO", "UW"),
}


def _targets() -> Mapping[str, Floats]:
    """Simple sound → target (10,) of every articulator, NaN where it leaves one to its neighbours."""
    table: dict[str, Mapping[str, float]] = {"SIL": _REST}
    for name, (place, manner, voice) in _CONSONANTS.items():
        table[name] = {**_PLACES[place], **_MANNERS[manner], "voice": voice}
    for name, (jaw, height, back, rounding) in _VOWELS.items():
        tract = {"jaw": jaw, "body_height": height, "body_back": back, "rounding": rounding, "tip_height": -0.6}
        table[name] = {**tract, "lips": -0.6, "voice": 1.0, "narrow": -1.0}
    table["ER"] = {**table["ER"], "tip_height": 0.3, "tip_front": -0.8, "narrow": -0.6}
    return {name: np.array([t.get(a, np.nan) for a in ARTICULATORS]) for name, t in table.items()}


_TARGETS = _targets()
_PARTS = {IDS[name]: _COMPOUNDS.get(name, (name,)) for name in PHONEMES[1:]}


def trajectory(phonemes: Sequence[int], bins: Sequence[int], coarticulation: float) -> Floats:
    """Position of each articulator in each bin of 20 ms, (sum of bins, 10), for phonemes (n,) that last `bins` (n,).

    Each position follows ẍ = (target − x)/τ² − 2ẋ/τ with τ = coarticulation · `MOVEMENT_S`, and is moved ahead by 2τ,
    the spring's delay. At 0 every phoneme is a constant of its own.
    """
    parts = [_TARGETS[part] for label in phonemes for part in _PARTS[label]]
    lengths = [n for label, all_of in zip(phonemes, bins, strict=True) for n in _split(all_of, len(_PARTS[label]))]
    wanted = _filled(np.array(parts), min(coarticulation, 1.0))  # (m, 10)
    path = np.repeat(wanted, lengths, axis=0)  # (T, 10)
    tau = coarticulation * MOVEMENT_S
    if tau == 0.0:
        return path
    ahead = round(2 * tau / BIN)
    held = np.concatenate([path, np.repeat(path[-1:], ahead, axis=0)])  # (T + ahead, 10)
    keep = np.exp(-BIN / tau)  # of the distance to the target, in one bin; both poles of the spring
    moved: Floats = held[0] + lfilter([(1 - keep) ** 2], [1.0, -2 * keep, keep**2], held - held[0], axis=0)
    return moved[ahead:]


def velocity(path: Floats) -> Floats:
    """Speed of each articulator (T, 10) along `path` (T, 10), per 100 ms."""
    return np.gradient(path, axis=0) * (0.1 / BIN) if len(path) > 1 else np.zeros_like(path)


def _split(bins: int, parts: int) -> list[int]:
    """`bins` shared by 1 or 2 parts of a phoneme."""
    return [bins] if parts == 1 else [bins // 2, bins - bins // 2]


def _filled(targets: Floats, coarticulation: float) -> Floats:
    """Targets (m, 10) without NaN: between the neighbours' at coarticulation 1, at rest at 0."""
    filled = targets.copy()
    order = np.arange(len(targets))
    for column, rest in enumerate(_TARGETS["SIL"]):
        free = np.isnan(targets[:, column])
        if free.any():
            between = np.interp(order[free], order[~free], targets[~free, column]) if not free.all() else rest
            filled[free, column] = rest + coarticulation * (between - rest)
    return filled
