"""Small made-up curves for tests of early_inference: quick to train on, with one easy parameter and one hidden one."""

import numpy as np

from trainables.early_inference.data import Curves

KNOWN = ("substrate_mM", "volume_L")
RANGES = {"substrate_mM": (10.0, 100.0), "volume_L": (0.2, 0.2), "E0_g_per_L": (0.05, 1.25), "k_d": (1e-5, 5e-3)}
TARGETS = ("E0_g_per_L", "k_d")


def curves(n=60, points=12, seed=0, dt=0.3):
    rng = np.random.default_rng(seed)
    e0, k_d = (rng.uniform(*RANGES[name], n) for name in TARGETS)
    substrate = rng.uniform(*RANGES["substrate_mM"], n)
    t = np.tile(dt * np.arange(points), (n, 1))  # (n, L)
    rise = e0[:, None] * (1 - np.exp(-t)) * np.exp(-k_d[:, None] * t)  # (n, L)
    ph = 7 + rise + rng.normal(0, 0.01, t.shape)
    known = np.column_stack([substrate, np.full(n, 0.2)])  # (n, 2)
    return Curves(ph, t, known, np.column_stack([e0, k_d]), KNOWN, TARGETS, RANGES, "made up")
