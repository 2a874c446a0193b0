"""Every random draw is a function of (seed, step): a paused run draws what an unpaused one would have drawn."""

import hashlib
import json

import numpy as np


def derive(seed: int, *parts: str | int) -> int:
    """A 63-bit seed for the draw named by `parts`, e.g. `derive(seed, "dropout", epoch, batch)`.

    SHA-256 of the JSON text of the arguments: the same on every machine, Python and library version, and far apart for
    neighbouring arguments, which `seed + step` is not.
    """
    text = json.dumps([seed, *parts], separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *key: int) -> np.random.Generator:
    """The random numbers of one part of generated data, named by `key`."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def permutation(n: int, seed: int, *parts: str | int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The numbers 0..n−1 in the order that belongs to (seed, parts). Shape (n,)."""
    return np.random.default_rng(derive(seed, *parts)).permutation(n)
