"""Simulations for training: a user's folder of CSV files or simulated ones, both read and checked by the same code.

A folder holds `1.csv`, `2.csv`, …, one simulation each; numbers may be missing. Columns: step, comp_1 … comp_5,
mobility, gradient_coefficient, in any order; other columns are left alone.
"""

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spaces.bounds import check_regular
from spaces.problems import BadInput, Problem
from spaces.schema import Located, Whole, parse
from trainables.builtin import Source
from trainables.cache import sha256_of
from trainables.run import Prepared
from trainables.sequence_generator.cahn_hilliard import Array
from trainables.sequence_generator.generate import Generate, generated
from trainables.sequence_generator.layout import (
    COLUMNS,
    COMPONENTS,
    CONSTANTS,
    FEATURES,
    FRAMES,
    LEAST_FRAMES,
    N_COMPONENTS,
    split,
)

SHOWN = 10  # files with problems that are named


class Data(Source):
    """Where the simulations come from: exactly one of generate and data_dir."""

    generate: Generate | None = None
    data_dir: Located | None = None
    """A folder of numbered CSV files."""
    frames: Whole = Field(default=FRAMES, ge=LEAST_FRAMES)
    """Rows of each file; simulated data has its own `generate.frames`."""

    @property
    def length(self) -> int:
        """Frames T of each sequence."""
        return self.frames if self.generate is None else self.generate.frames


@dataclass(frozen=True, eq=False)
class Sequences:
    """n simulations of T frames; the array is read-only."""

    features: Array  # (n, T, 7): the components, then the two constants
    numbers: tuple[int, ...]  # n, of the files
    digest: str  # of the files' content

    def standardised(self, rows: NDArray[np.int64]) -> Array:
        """All features by the mean and standard deviation over the frames of `rows`; without spread, only shifted."""
        training = self.features[rows]
        mean, spread = training.mean(axis=(0, 1)), training.std(axis=(0, 1))  # (7,)
        flat = spread <= 1e-9 * np.maximum(1.0, np.abs(mean))
        standard: Array = (self.features - mean) / np.where(flat, 1.0, spread)
        return standard


def difficulty(standardised: Array) -> Array:
    """How hard each sequence is to roll out: (n, T, 7) → (n,), the mean change of a component from frame to frame.

    In standard deviations of the training data. A sequence that hardly moves is easy.
    """
    moved: Array = np.abs(np.diff(standardised[:, :, :N_COMPONENTS], axis=1)).mean(axis=(1, 2))
    return moved


def prepare_data(data: Data, seed: int, longest_lag: int) -> Prepared:
    """The data on this machine, checked: simulated (once, then from the cache) or the user's own folder, in place.

    seed: of the split, which simulated data fits its basis by. longest_lag: the largest max_lag of any phase.
    Raises BadInput for files that can't be used, and for sequences that are too short for the lag.
    """
    check_lag(data, longest_lag, "")
    folder = data.folder(lambda spec: generated(_with_split(spec, seed)))
    sequences = read(folder, data.length)
    parts = split(len(sequences.numbers), seed, str(folder))
    train, validation, test = map(len, parts)
    _check_spread(sequences, parts[0], folder)
    summary = f"{train} training, {validation} validation and {test} test simulations of {data.length} frames"
    return Prepared(folder, sequences.digest, summary)


def check_lag(data: Data, longest_lag: int, where: str) -> None:
    """Raise BadInput for a lag that no pair of frames has."""
    if longest_lag >= data.length:
        what = (
            f"a phase has {longest_lag}, sequences have {data.length} frames; your script has no pair of frames "
            f"so far apart: set it to {data.length - 1} at most"
        )
        raise BadInput.of(f"{where} max_lag".strip(), what)


def read(folder: Path, frames: int | None = None) -> Sequences:
    """The simulations of `frames` rows in `folder`, by number. Raises BadInput naming file, row and column.

    frames: None for files that are checked already, which are as long as the first of them.
    """
    if not folder.is_dir():
        raise BadInput.of(
            str(folder), "no such folder; data_dir holds 1.csv, 2.csv, …; your script ends there: correct it"
        )
    files = sorted((int(path.stem), path) for path in folder.glob("*.csv") if re.fullmatch(r"[0-9]+", path.stem))
    if not files:
        raise BadInput.of(
            str(folder),
            "holds no simulation; expected files named 1.csv, 2.csv, …; your script has nothing to train on",
        )
    problems: list[Problem] = []
    found: list[Array] = []
    for _, path in files:
        try:
            found.append(read_file(path, frames))
            frames = frames or len(found[0])
        except BadInput as error:
            problems += error.problems
    if problems:
        hidden = len(problems) - SHOWN
        more = [Problem(str(folder), f"{hidden} more problems")] if hidden > 0 else []
        raise BadInput([*problems[:SHOWN], *more])
    features = np.stack(found)  # (n, T, 7)
    features.setflags(write=False)
    return Sequences(features, tuple(number for number, _ in files), folder_digest([path for _, path in files]))


def read_file(path: Path, frames: int | None = None) -> Array:
    """One simulation (T, 7). Raises BadInput."""
    where = str(path)
    check_regular(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput.of(where, f"can't be read as CSV: {error}; your script ends there: repair it") from error
    header = [name.strip() for name in rows[0]] if rows else []
    if missing := [name for name in COLUMNS if name not in header]:
        raise BadInput.of(
            where,
            f"columns missing: {', '.join(missing)}; got {', '.join(header) or 'none'}; your script ends there: "
            "add them",
        )
    if twice := sorted({name for name in COLUMNS if header.count(name) > 1}):
        raise BadInput.of(
            where, f"columns that stand twice: {', '.join(twice)}; your script takes one of them: take one out"
        )
    frames = frames or len(rows) - 1
    if len(rows) - 1 != frames:
        what = (
            f"{len(rows) - 1} rows, expected {frames}: your script can't batch unequal ones. Set data.frames if "
            "all of your files have another length"
        )
        raise BadInput.of(where, what)
    columns = [header.index(name) for name in COLUMNS]
    values = np.empty((frames, len(COLUMNS)))
    for place, row in enumerate(rows[1:]):
        for column, name in zip(columns, COLUMNS, strict=True):
            text = row[column] if column < len(row) else ""
            values[place, COLUMNS.index(name)] = _number(text, f"{where} row {place + 1}, {name}")
    return _checked(values, where)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise BadInput.of(where, f"expected a number, got {text!r}; repair it: your script ends there") from error
    if not np.isfinite(value):
        what = f"expected a finite number, got {text.strip()}; repair this simulation, or remove it"
        raise BadInput.of(where, f"{what}: your script trains to nan on it")
    return value


def _checked(values: Array, where: str) -> Array:
    """The features (T, 7) of a file's columns (T, 8), its steps in order and its constants constant."""
    steps = values[:, 0]
    if (np.diff(steps) <= 0).any():
        row = int(np.argmax(np.diff(steps) <= 0)) + 2
        what = (
            f"{steps[row - 1]:g} after {steps[row - 2]:g}; steps must increase, and your script takes rows as "
            "they come: sort them"
        )
        raise BadInput.of(f"{where} row {row}, step", what)
    for name in CONSTANTS:
        column = values[:, COLUMNS.index(name)]
        if np.ptp(column) > 1e-6 * max(1.0, float(np.abs(column).max())):
            what = (
                f"goes from {column.min():g} to {column.max():g}; it is a constant of the simulation, but an "
                "input of your script: correct it"
            )
            raise BadInput.of(f"{where} {name}", what)
    return values[:, [COLUMNS.index(name) for name in FEATURES]]


def _check_spread(sequences: Sequences, training: NDArray[np.int64], folder: Path) -> None:
    """A component that is the same everywhere can be neither learnt nor scored."""
    spread = sequences.features[training][:, :, :N_COMPONENTS].std(axis=(0, 1))
    if flat := [name for name, value in zip(COMPONENTS, spread, strict=True) if value < 1e-9]:
        raise BadInput.of(
            str(folder),
            f"{', '.join(flat)} never change over the training simulations, and your script learns nothing of "
            "them: write anew",
        )


def folder_digest(files: list[Path]) -> str:
    """The hash of what the files hold and of their numbers; files are read again only when they changed."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{int(path.stem)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _with_split(spec: Generate, seed: int) -> Generate:
    """`spec` with the config's split in it: the basis is fitted on what the run trains on, and on nothing else."""
    if spec.split_seed not in (None, seed):
        what = f"{spec.split_seed}, but the config's seed, which splits the data, is {seed}; leave this key out"
        raise BadInput.of("data.generate.split_seed", what)
    return parse(Generate, {**spec.model_dump(), "split_seed": seed}, "data.generate")
