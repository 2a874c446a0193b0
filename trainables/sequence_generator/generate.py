"""Simulated spinodal decompositions in the native layout: `1.csv`, `2.csv`, … and the basis of their components."""

import json
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spaces.schema import Section, Whole
from trainables.cache import cached, content_key
from trainables.sequence_generator import pca
from trainables.sequence_generator.cahn_hilliard import Array, Conditions, autocorrelations, draw_conditions, simulate
from trainables.sequence_generator.layout import COLUMNS, FRAMES, LEAST_FRAMES, N_COMPONENTS, split
from trainables.spread import spread

VERSION = 1  # raise it whenever the same spec gives other numbers: it is part of the cache's key
MARKER = "generated.json"
BASIS_FRAMES = 2000  # at most so many frames of the training simulations, evenly spread, fit the basis
CHUNK = 4  # simulations handed to a worker process at a time
DIGITS = 9  # of a number in a file, significant: what a float32 can hold


class Generate(Section):
    """What to simulate. The fields of simulation i depend on `seed` and i alone; the basis on all training ones."""

    simulations: Whole = Field(default=200, ge=10, le=5000)
    seed: Whole = Field(default=0, ge=0)
    grid: Whole = Field(default=64, ge=16, le=256, multiple_of=2)
    """Points along each side; documented: 128."""
    frames: Whole = Field(default=FRAMES, ge=LEAST_FRAMES, le=1000)
    split_seed: Whole | None = Field(default=None, ge=0)
    """Decides which simulations the basis is fitted on; null: the config's `seed`, which splits the data likewise."""


def generated(spec: Generate, processes: int | None = None) -> Path:
    """The folder that holds the data of `spec`, simulated now unless the cache has it."""
    key = content_key({"version": VERSION, "generate": spec.model_dump(mode="json")})
    return cached("sequence_generator", key, lambda folder: write(spec, folder, processes))


def write(spec: Generate, folder: Path, processes: int | None = None) -> None:
    """Simulate `spec` into `folder`, on `processes` processes (default: one per core), which change nothing in it.

    Raises ValueError for a spec without split_seed.
    """
    if spec.split_seed is None:
        raise ValueError("split_seed is None; set it before simulating")
    train = split(spec.simulations, spec.split_seed)[0]
    chosen = _basis_frames(len(train), spec.frames)
    numbers = list(range(spec.simulations))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".frames-") as kept:
        jobs = [(spec, Path(kept), numbers[i : i + CHUNK]) for i in range(0, len(numbers), CHUNK)]
        with spread(processes, len(jobs)) as spread_map:
            for _ in spread_map(_simulate, jobs):
                pass
            parts = [_frames(Path(kept), int(i))[chosen[place]] for place, i in enumerate(train)]
            basis = pca.fit(np.concatenate(parts).astype(np.float64), N_COMPONENTS)
            for _ in spread_map(_project, [(basis, folder, *job) for job in jobs]):
                pass
    about = {"frames_fitted": int(sum(map(len, chosen))), "simulations_fitted": [int(i) + 1 for i in train]}
    pca.save(basis, folder, {"grid": spec.grid, **about})
    marker = {"generate": spec.model_dump(mode="json"), "version": VERSION}
    (folder / MARKER).write_text(json.dumps(marker, indent=1), encoding="utf-8")


def _basis_frames(simulations: int, frames: int) -> list[NDArray[np.int64]]:
    """Which frames of each training simulation fit the basis: all of them, or an even choice of `BASIS_FRAMES`."""
    total = simulations * frames
    even = np.unique(np.linspace(0, total - 1, min(total, BASIS_FRAMES)).round().astype(np.int64))
    return [even[(even // frames) == i] % frames for i in range(simulations)]


def _frames(kept: Path, number: int) -> NDArray[np.float32]:
    frames: NDArray[np.float32] = np.load(kept / f"{number}.npy", mmap_mode="r")
    return frames


def _simulate(job: tuple[Generate, Path, list[int]]) -> None:
    """Keep the autocorrelations (frames, grid²) of some simulations as files."""
    spec, kept, numbers = job
    for number in numbers:
        fields = simulate(draw_conditions(spec.seed, number), spec.grid, spec.frames, spec.seed, number)
        np.save(kept / f"{number}.npy", autocorrelations(fields).astype(np.float32))


def _project(job: tuple[pca.Basis, Path, Generate, Path, list[int]]) -> None:
    """Write some simulations in the coordinates of the basis."""
    basis, folder, spec, kept, numbers = job
    for number in numbers:
        coordinates = basis.project(_frames(kept, number).astype(np.float64))
        text = _csv(coordinates, draw_conditions(spec.seed, number))
        (folder / f"{number + 1}.csv").write_text(text, encoding="utf-8")


def _csv(coordinates: Array, conditions: Conditions) -> str:
    """A file's text: components (frames, 5), then the two constants."""
    constants = f"{conditions.mobility:.{DIGITS}g},{conditions.gradient_coefficient:.{DIGITS}g}"
    rows = (
        f"{step},{','.join(f'{value:.{DIGITS}g}' for value in row)},{constants}" for step, row in enumerate(coordinates)
    )
    return "\n".join([",".join(COLUMNS), *rows]) + "\n"
