"""The trials of one HDF5 file, in the layout of the T15 data and its diphone variant, each checked as it is read.

Groups `trial_0000…` hold `input_features` (T, C) and the labels, padded with zeros: `seq_class_ids` are phonemes, or,
where there is a `seq_class_ids_phoneme`, diphones. Attributes tell the lengths and where the trial comes from.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spaces.bounds import check_regular
from spaces.problems import BadInput, Problem, raise_any
from trainables.diphone_rnn.phonemes import N_PHONEMES, Labels, diphones_of

Features = NDArray[np.float32]

ATTRIBUTES = ("n_time_steps", "seq_len", "block_num", "trial_num", "session", "sentence_label")
COPY = "which your script follows: copy the data into this one, as only the files in the folder are part of the search"
LEAST_BYTES, EXPANSION = 1 << 26, 2000
"""A dataset that claims more bytes than the first and so many times what is stored (zip: 1032) is damaged."""
TRUSTED = "your script takes it as the length all the same: correct it"
SHOWN = 12  # problems of one file that are told one by one


@dataclass(frozen=True, eq=False)
class Trial:
    """One sentence that was attempted; its arrays are read-only."""

    session: int  # index of the day in the corpus
    path: Path
    group: str
    """Name in the file, `trial_0003`."""
    n_bins: int  # T, of 20 ms each
    channels: int  # C
    phonemes: Labels  # (N,) 1…40
    diphones: Labels  # (2N+1,)
    sentence: str
    block: int
    trial: int
    held: Features | None = None
    """The features, when they are kept in memory."""
    subset: tuple[int, ...] | None = None
    """Which channels of the file are the trial's, in their order; None: all."""

    @property
    def name(self) -> str:
        """Where the trial lies, for messages: `/data/t15.2023.08.11/data_train.hdf5 trial_0003`."""
        return f"{self.path} {self.group}"

    def features(self) -> Features:
        """Features (T, C) float32, finite: from memory, else from the file. Raises BadInput."""
        return self._read() if self.held is None else self.held

    def in_memory(self) -> "Trial":
        """The same trial with its features in memory. Raises BadInput."""
        return self if self.held is not None else replace(self, held=self._read())

    def _read(self) -> Features:
        try:
            with h5py.File(self.path, "r", locking=False) as file:
                values = file[self.group]["input_features"][: self.n_bins]
        except (OSError, KeyError, RuntimeError) as error:
            raise BadInput.of(
                self.name, f"input_features can't be read, by your script either: {error}; copy the file again"
            ) from error
        if self.subset is not None:
            values = values[:, list(self.subset)]
        features = np.ascontiguousarray(values, dtype=np.float32)
        if not np.isfinite(features).all():
            at = np.argwhere(~np.isfinite(features))
            row, column = at[0].tolist()
            channel = column if self.subset is None else self.subset[column]
            what = f"bin {row}, channel {channel}: expected a finite number, got {features[row, column]}"
            raise BadInput.of(
                f"{self.name} input_features",
                f"{what} ({len(at)} of {features.size} values); your script trains to nan on it: repair it, or "
                "name the trial in bad_trials_dict",
            )
        features.setflags(write=False)
        return features


def trials_in(path: Path, session: int, n_features: int, subset: tuple[int, ...] | None = None) -> tuple[Trial, ...]:
    """All trials of the file, in their order, features still on disk; `n_features` are those of `subset`, if given.

    Raises BadInput with every trial's problem.
    """
    trials: list[Trial] = []
    problems: list[Problem] = []
    check_regular(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            names = sorted(file, key=lambda name: (len(name), name))
            if not names:
                raise BadInput.of(
                    str(path),
                    "holds no trial; expected groups trial_0000, trial_0001, …; your script has nothing to draw: "
                    "take the day out of sessions",
                )
            for name in names:
                try:
                    if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
                        raise BadInput.of(f"{path} {name}", f"is a link to another file, {COPY}")
                    trials.append(_trial(file[name], path, name, session, n_features, subset))
                except BadInput as error:
                    problems += error.problems
    except (OSError, RuntimeError, KeyError) as error:
        what = "no such file" if isinstance(error, FileNotFoundError) else f"is no HDF5 file that can be read: {error}"
        raise BadInput.of(str(path), f"{what}; your script ends there: copy it again") from error
    if len(problems) > SHOWN:
        more = len(problems) - SHOWN
        problems = [*problems[:SHOWN], Problem(str(path), f"{more} more problems in other trials")]
    raise_any(problems)
    return tuple(trials)


def _trial(group: Any, path: Path, name: str, session: int, n_features: int, subset: tuple[int, ...] | None) -> Trial:
    where = f"{path} {name}"
    if not isinstance(group, h5py.Group):
        what = "expected a group with the data of one trial, got a dataset"
        raise BadInput.of(where, f"{what}; your script finds no features in it: take it out")
    missing = [key for key in ATTRIBUTES if key not in group.attrs]
    if missing:
        what = f"attributes {', '.join(missing)} are missing; expected {', '.join(ATTRIBUTES)}"
        raise BadInput.of(where, f"{what}; your script leaves it out of its batch: write them, or take the trial out")
    n_bins, n_labels, block, trial = (_whole(group, key, where) for key in ATTRIBUTES[:4])
    _check_features(group, n_bins, n_features, subset, where)
    phonemes, diphones = _labels(group, n_labels, where)
    sentence = _text(group.attrs["sentence_label"])
    return Trial(session, path, name, n_bins, n_features, phonemes, diphones, sentence, block, trial, subset=subset)


def _check_features(
    group: h5py.Group, n_bins: int, n_features: int, subset: tuple[int, ...] | None, where: str
) -> None:
    at = f"{where} input_features"
    features = _dataset(group, "input_features", where)
    if features.dtype.kind != "f" or features.ndim != 2:
        channels = n_features if subset is None else "channels"
        what = f"expected floats of shape (bins, {channels}), got {features.dtype} of shape {features.shape}"
        raise BadInput.of(at, f"{what}; your network takes nothing else: write it anew")
    if subset is not None and max(subset) >= features.shape[1]:
        what = f"holds {features.shape[1]} channels; the config's feature_subset names {max(subset)}, counted from 0"
        raise BadInput.of(at, f"{what}; your script can't take it either: name channels that are there")
    if subset is None and features.shape[1] != n_features:
        what = (
            f"holds {features.shape[1]} channels; the config's n_input_features is {n_features}; your script ends "
            "there: make them equal"
        )
        raise BadInput.of(at, what)
    if not 1 <= n_bins <= features.shape[0]:
        what = f"n_time_steps is {n_bins}; expected 1…{features.shape[0]}, the bins of input_features"
        raise BadInput.of(where, f"{what}; {TRUSTED}")


def _labels(group: h5py.Group, n_labels: int, where: str) -> tuple[Labels, Labels]:
    """Phonemes (N,) and diphones (2N+1,), from either layout."""
    with_diphones = "seq_class_ids_phoneme" in group
    if with_diphones:
        if "seq_len_phoneme" not in group.attrs:
            what = "attribute seq_len_phoneme is missing; seq_class_ids_phoneme comes with it"
            raise BadInput.of(where, f"{what}; your script can't tell its padding otherwise: write it")
        n_phonemes = _whole(group, "seq_len_phoneme", where)
        phonemes = _sequence(group, "seq_class_ids_phoneme", n_phonemes, "seq_len_phoneme", where)
    else:
        phonemes = _sequence(group, "seq_class_ids", n_labels, "seq_len", where)
    outside = np.flatnonzero((phonemes < 1) | (phonemes >= N_PHONEMES))
    if outside.size:
        at = int(outside[0])
        kind = "" if with_diphones else "; files with diphones have their phonemes in seq_class_ids_phoneme"
        what = (
            f"label {at} is {phonemes[at]}; expected a phoneme 1…{N_PHONEMES - 1}{kind}; your script takes it for "
            "one of its classes: correct it"
        )
        raise BadInput.of(f"{where} seq_class_ids{'_phoneme' if with_diphones else ''}", what)
    diphones = diphones_of(phonemes)
    if with_diphones:
        told = _sequence(group, "seq_class_ids", n_labels, "seq_len", where)
        if not np.array_equal(told, diphones):
            what = f"holds {told[:6].tolist()}… ({len(told)}); expected the diphones previous·41 + current of"
            raise BadInput.of(
                f"{where} seq_class_ids",
                f"{what} seq_class_ids_phoneme, {diphones[:6].tolist()}… ({len(diphones)}); your script learns "
                "what stands there: write them anew",
            )
    for labels in (phonemes, diphones):
        labels.setflags(write=False)
    return phonemes, diphones


def _sequence(group: h5py.Group, key: str, length: int, told_by: str, where: str) -> Labels:
    """The first `length` numbers of the padded dataset `key`."""
    labels = _dataset(group, key, where)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        what = f"expected whole numbers in one dimension, got {labels.dtype} of shape {labels.shape}"
        raise BadInput.of(f"{where} {key}", f"{what}; your script can't learn them as labels: write them anew")
    if not 1 <= length <= len(labels):
        what = f"{told_by} is {length}; expected 1…{len(labels)}, the length of {key}"
        raise BadInput.of(where, f"{what}; {TRUSTED}")
    return np.asarray(labels[:length], dtype=np.int64)


def _dataset(group: h5py.Group, key: str, where: str) -> Any:
    dataset = group.get(key)
    if not isinstance(dataset, h5py.Dataset):
        there = ", ".join(map(str, group)) or "nothing"
        what = f"missing; the trial holds {there}; your script leaves it out of its batch"
        raise BadInput.of(f"{where} {key}", f"{what}: write it, or take the trial out")
    if dataset.external or dataset.is_virtual or dataset.file.filename != group.file.filename:
        raise BadInput.of(f"{where} {key}", f"lies in another file, {COPY}")
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > max(LEAST_BYTES, EXPANSION * stored):
        what = f"claims {dataset.nbytes} bytes (shape {dataset.shape}), and the file holds {stored}: it is damaged"
        raise BadInput.of(f"{where} {key}", f"{what}; your script reads zeros for the rest: copy it again")
    return dataset


def _whole(group: h5py.Group, key: str, where: str) -> int:
    value = group.attrs[key]
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        what = f"attribute {key}: expected a whole number, got {value!r}"
        raise BadInput.of(where, f"{what}; your script can't count by it either: correct it")
    return int(value)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
