"""The one basis that all simulations are written in: principal components of the training simulations' frames.

`!` A basis per simulation would give each its own coordinates, and no network could learn them. The basis is fitted
once, its signs are fixed, and it lies beside the data.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.linalg

from trainables.sequence_generator.cahn_hilliard import Array

MEAN_FILE, COMPONENTS_FILE, ABOUT_FILE = "pca_mean.npy", "pca_components.npy", "pca.json"


@dataclass(frozen=True, eq=False)
class Basis:
    """A plane through the mean frame."""

    mean: Array  # (d,)
    components: Array  # (k, d), orthonormal rows, by falling variance
    explained: Array  # (k,) share of the variance along each

    def project(self, frames: Array) -> Array:
        """Coordinates of frames: (n, d) → (n, k)."""
        coordinates: Array = (frames - self.mean) @ self.components.T
        return coordinates

    def restore(self, coordinates: Array) -> Array:
        """The frames at coordinates: (n, k) → (n, d)."""
        frames: Array = coordinates @ self.components + self.mean
        return frames


def fit(frames: Array, count: int) -> Basis:
    """The first `count` principal components of frames (n, d), by the eigenvectors of the n × n products.

    A component's sign is free: here its entry of largest size, the first of them, is positive.
    Raises ValueError where the frames vary in fewer directions.
    """
    mean = frames.mean(axis=0)
    centred = frames - mean
    products = centred @ centred.T  # (n, n): fewer than d × d, and of the same eigenvalues
    n = len(frames)
    if n <= count:
        raise ValueError(f"{n} frames have at most {n - 1} principal components, {count} are asked for")
    values, vectors = scipy.linalg.eigh(products, subset_by_index=(n - count, n - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    total = float(np.trace(products))
    if values[-1] <= 1e-12 * total:
        raise ValueError(f"the frames vary in fewer than {count} directions")
    components = (vectors / np.sqrt(values)).T @ centred  # (k, n) × (n, d) → (k, d)
    largest = np.argmax(np.abs(components) > np.abs(components).max(axis=1, keepdims=True) * (1 - 1e-9), axis=1)
    components *= np.sign(components[np.arange(count), largest])[:, None]
    return Basis(mean, components, values / total)


def save(basis: Basis, folder: Path, about: dict[str, object]) -> None:
    """Write the basis into `folder`, with what is to be said about it."""
    np.save(folder / MEAN_FILE, basis.mean)
    np.save(folder / COMPONENTS_FILE, basis.components)
    text = json.dumps({**about, "explained_variance": basis.explained.tolist()}, indent=1)
    (folder / ABOUT_FILE).write_text(text, encoding="utf-8")


def load(folder: Path) -> Basis:
    """The basis that lies in `folder`."""
    about = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
    return Basis(np.load(folder / MEAN_FILE), np.load(folder / COMPONENTS_FILE), np.array(about["explained_variance"]))
