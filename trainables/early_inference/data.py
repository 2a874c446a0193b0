"""Curves for training: from a user's folder or simulated, both read and checked by the same code.

A folder holds `training_data.npz`, with an entry `prefix_{L}s` for every prefix length L in seconds, and
`metadata.json`. Names and counts of inputs and targets come from the metadata.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.problems import BadInput
from spaces.schema import Located, parse
from trainables.builtin import Source
from trainables.cache import Stamp, sha256_of, stamp_of
from trainables.early_inference.generate import DATA_FILE, METADATA_FILE, Generate, generated
from trainables.early_inference.kinetics import Floats
from trainables.early_inference.metadata import Metadata, Ranges, length_in, read_metadata
from trainables.early_inference.pickled_npz import members, read_dict
from trainables.run import Prepared

PH_LOWEST, PH_HIGHEST = -1.0, 15.0  # a reading outside is no pH: another unit, or another column
UNIFORM_SD = 1.0 / math.sqrt(12.0)  # standard deviation of a uniform distribution of range 1


class Data(Source):
    """Where the curves come from: exactly one of the two."""

    generate: Generate | None = None
    data_dir: Located | None = None
    """A folder with `training_data.npz` and `metadata.json`."""


@dataclass(frozen=True)
class Curves:
    """n experiments, of which the first seconds were recorded; the arrays are read-only."""

    ph: Floats  # (n, L)
    t: Floats  # (n, L) s, increasing in each row, not necessarily evenly; equal times at its end are padding
    known: Floats  # (n, k) in the units of the names
    target: Floats  # (n, p) likewise
    known_names: tuple[str, ...]  # k
    target_names: tuple[str, ...]  # p
    ranges: Ranges  # of all k + p names; (v, v) for a fixed quantity
    digest: str  # of the folder's content
    sets: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # of those names that take a few values only
    padded: NDArray[np.int64] | None = None  # (n,), padded readings of each curve in the file; None: none

    @property
    def readings(self) -> NDArray[np.int64]:
        """How many points of each curve are real, (n,)."""
        counts: NDArray[np.int64] = 1 + (np.diff(self.t, axis=1) > 0).sum(axis=1)
        return counts


def prepare_data(data: Data, prefix_length: float) -> Prepared:
    """The data on this machine, checked: simulated (once, then from the cache) or the user's own folder, in place.

    Raises BadInput for files that can't be used, or that don't hold curves of `prefix_length` seconds.
    """
    folder = data.folder(lambda spec: generated(_with_length(spec, prefix_length)))
    curves = read(folder, prefix_length)
    n, points = curves.ph.shape
    known, targets = ", ".join(curves.known_names), ", ".join(curves.target_names)
    summary = f"{n} curves of {prefix_length:g} s, {points} readings each{_told(curves)}"
    summary += f"; known {known}; to infer {targets}"
    shares = read_metadata(folder / METADATA_FILE).posterior_share.get(float(prefix_length), {})
    if shares:
        least = ", ".join(f"{name} {share:.2g}" for name, share in shares.items())
        summary += f"; at best known to (posterior sd / prior sd): {least}"
    return Prepared(folder, curves.digest, summary)


def _told(curves: Curves) -> str:
    """What was left out of the curves as padding, for people."""
    if curves.padded is None:
        return ""
    least, most = int(curves.padded.min()), int(curves.padded.max())
    count, of = f"{least}" if least == most else f"{least} to {most}", int((curves.padded > 0).sum())
    which = "each curve" if of == len(curves.padded) else f"{of} of the curves"
    return f", after {count} padded readings (equal times) at the end of {which} were left out"


def read(folder: Path, prefix_length: float) -> Curves:
    """The curves of `prefix_length` seconds in `folder`, validated; read again only when its files have changed.

    Raises BadInput naming file, entry and item.
    """
    if not folder.is_dir():
        raise BadInput.of(
            str(folder),
            "no such folder; data_dir holds training_data.npz and metadata.json; your script ends there: correct it",
        )
    return _read(folder, prefix_length, tuple(stamp_of(folder / name) for name in (DATA_FILE, METADATA_FILE)))


@lru_cache(maxsize=2)
def _read(folder: Path, prefix_length: float, stamps: tuple[Stamp, ...]) -> Curves:  # noqa: ARG001 - a key only
    metadata = read_metadata(folder / METADATA_FILE)
    path = folder / DATA_FILE
    key = _key_for(path, prefix_length)
    where = f"{path} {key}"
    content = read_dict(path, key)
    ph = _matrix(content, "pH_prefix", where)
    n, points = ph.shape
    t = _matrix(content, "t_prefix", where, rows=n, columns=points, why="the shape of pH_prefix")
    known_why, target_why = "known_input_names in metadata.json", "infer_params in metadata.json"
    known = _matrix(content, "known_inputs", where, rows=n, columns=len(metadata.known_names), why=known_why)
    target = _matrix(content, "target_params", where, rows=n, columns=len(metadata.target_names), why=target_why)
    _check_size(metadata, prefix_length, n, points, where)
    _check_curves(ph, t, where)
    _check_targets(target, metadata, where)
    names, digest = (metadata.known_names, metadata.target_names), folder_digest(folder)
    whole = Curves(ph, t, known, target, *names, metadata.ranges, digest, metadata.sets)
    padded = points - whole.readings
    if not padded.any():
        return whole
    longest = int(whole.readings.max())  # a column that is padding in every curve says nothing
    return replace(whole, ph=ph[:, :longest], t=t[:, :longest], padded=padded)


def folder_digest(folder: Path) -> str:
    """The hash of what a data folder holds, wherever it lies; files are read again only when they changed."""
    digests = [sha256_of(folder / name) for name in (DATA_FILE, METADATA_FILE)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def split(n: int, val_split: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and validation rows of n, sorted; fixed by the arguments alone. At least one row lands in each.

    n: 2 or more. Raises BadInput for a share outside (0, 1).
    """
    if not 0.0 < val_split < 1.0:
        raise BadInput.of(
            "val_split",
            f"{val_split} is outside (0, 1), which your script can't split by; .2 keeps a fifth for validation",
        )
    order = np.random.default_rng(np.random.SeedSequence(seed)).permutation(n)
    held_out = min(max(round(n * val_split), 1), n - 1)
    return np.sort(order[held_out:]).astype(np.int64), np.sort(order[:held_out]).astype(np.int64)


def prior_sd(names: Sequence[str], ranges: Ranges, sets: Mapping[str, tuple[float, ...]] | None = None) -> Floats:
    """Standard deviation (p,) of the uniform prior over each named range, (highest − lowest)/√12, or over the values
    of a name that takes only those of `sets`.

    The unit of the objective: predicting the middle of the range has an MAE of a quarter of it, .866 of these.
    """
    widths = {name: (ranges[name][1] - ranges[name][0]) * UNIFORM_SD for name in names}
    return np.array([float(np.std(sets[name])) if sets and name in sets else widths[name] for name in names])


def _with_length(spec: Generate, prefix_length: float) -> Generate:
    """`spec` with the config's prefix length filled in where it names none; checked again as a whole."""
    lengths = spec.prefix_lengths or (float(prefix_length),)
    if prefix_length not in lengths:
        shown = ", ".join(f"{length:g}" for length in lengths)
        what = (
            f"holds {shown} s, but the config's prefix_length is {prefix_length:g}; add it here, or leave this key out"
        )
        raise BadInput.of("data.generate.prefix_lengths", what)
    return parse(Generate, {**spec.model_dump(), "prefix_lengths": lengths}, "data.generate")


def _key_for(path: Path, prefix_length: float) -> str:
    """The npz's name of the entry for `prefix_length`: users' files spell it prefix_30s or prefix_30.0s."""
    lengths = {key: length for key in members(path) if (length := length_in(key)) is not None}
    for key, length in lengths.items():
        if math.isclose(length, prefix_length, rel_tol=1e-9):
            return key
    there = ", ".join(f"{length:g}" for length in sorted(lengths.values())) or "none"
    what = f"no entry prefix_{prefix_length:g}s, without which your script ends; prefix lengths there, in s: {there}. "
    what += "Set prefix_length to one of them"
    raise BadInput.of(str(path), what)


def _matrix(
    content: Mapping[str, Any], key: str, where: str, rows: int | None = None, columns: int | None = None, why: str = ""
) -> Floats:
    """Entry `key` as float64 (rows, columns), finite. `why` says where the expected number of columns comes from."""
    at = f"{where} {key}"
    if key not in content:
        raise BadInput.of(
            at, f"missing; the entry holds {', '.join(content) or 'nothing'}; your script ends there: write it"
        )
    value = content[key]
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        kind = f"dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise BadInput.of(at, f"expected an array of numbers, got {kind}; write it anew; your script ends there")
    if value.ndim != 2 or 0 in value.shape:
        raise BadInput.of(
            at,
            f"expected a 2-dimensional array with at least one row and column, got shape {value.shape}; "
            "your script can't train on it: write it anew",
        )
    wanted = (value.shape[0] if rows is None else rows, value.shape[1] if columns is None else columns)
    if value.shape != wanted:
        raise BadInput.of(
            at, f"expected shape {wanted} (columns: {why}), got {value.shape}; write it anew: your script ends there"
        )
    matrix = np.ascontiguousarray(value, dtype=np.float64)
    _refuse_first(~np.isfinite(matrix), matrix, at, "a finite number")
    matrix.setflags(write=False)
    return matrix


def _refuse_first(bad: NDArray[np.bool_], values: Floats, at: str, expected: str) -> None:
    """Raise BadInput for the first True of `bad` (n, m), naming its sample and place, if there is one."""
    if bad.any():
        row, column = np.argwhere(bad)[0].tolist()
        what = f"sample {row}, column {column}: expected {expected}, got {values[row, column]}"
        what += f" ({int(bad.any(axis=1).sum())} of {len(values)} samples are affected)"
        raise BadInput.of(at, f"{what}; your script trains on it as it is: repair it, or take it out")


def _check_size(metadata: Metadata, prefix_length: float, n: int, points: int, where: str) -> None:
    if metadata.n_samples not in (None, n):
        what = f"holds {n} samples, but n_samples in metadata.json is {metadata.n_samples}"
        raise BadInput.of(where, f"{what}; your script trains on what there is: correct the latter")
    if n < 2:
        what = f"{n} curves can't be split into training and validation, by your script either; at least 2 are needed"
        raise BadInput.of(where, f"{what}: write more")
    if points < 2:
        what = f"holds {points} reading per curve; at least 2 are needed: your script learns nothing of their course"
        raise BadInput.of(f"{where} pH_prefix", f"{what}; write longer curves")
    if metadata.n_points.get(float(prefix_length), points) != points:
        told = metadata.n_points[float(prefix_length)]
        raise BadInput.of(
            f"{where} pH_prefix",
            f"holds {points} readings; prefix_n_points in metadata.json says {told}; your script trains on what there "
            "is: correct the latter",
        )


def _check_curves(ph: Floats, t: Floats, where: str) -> None:
    outside = (ph < PH_LOWEST) | (ph > PH_HIGHEST)
    _refuse_first(outside, ph, f"{where} pH_prefix", f"a pH within {PH_LOWEST:g}…{PH_HIGHEST:g}")
    _refuse_first(t < 0, t, f"{where} t_prefix", "a time in s, 0 or later")
    # Short prefixes are padded by repeating the last reading: equal times are padding at the end, a fault elsewhere.
    padding = t == t[:, -1:]
    stuck = np.zeros(t.shape, dtype=bool)
    stuck[:, 1:] = (np.diff(t, axis=1) < 0) | ((np.diff(t, axis=1) == 0) & ~padding[:, 1:])
    _refuse_first(stuck, t, f"{where} t_prefix", "a time after the previous one; only the last may repeat, as padding")
    single = np.zeros(t.shape, dtype=bool)
    single[:, 0] = padding[:, 0]
    _refuse_first(single, t, f"{where} t_prefix", "at least two different times in a curve")


def _check_targets(target: Floats, metadata: Metadata, where: str) -> None:
    """Targets lie in their ranges: outputs are bounded by them, and errors are counted in them."""
    low, high = np.array([metadata.ranges[name] for name in metadata.target_names]).T  # (p,) each
    slack = 1e-6 * (high - low)  # files may hold float32
    for column, name in enumerate(metadata.target_names):
        outside = (target < low - slack) | (target > high + slack)
        expected = f"{name} within its range {low[column]:g}…{high[column]:g} of metadata.json"
        _refuse_first(outside & (np.arange(len(low)) == column), target, f"{where} target_params", expected)
