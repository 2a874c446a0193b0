"""Days of recorded trials, read and checked once per process: a worker trains one trial of a search after another.

A folder holds one folder per day, with `data_train.hdf5` and `data_val.hdf5`; a day without the latter is one to train
on only. `data_test.hdf5` has no labels, and isn't read.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np

from spaces.problems import BadInput, Problem, nearest, raise_any
from trainables.cache import Stamp, cached, content_key, sha256_of, stamp_of
from trainables.diphone_rnn.config import Config
from trainables.diphone_rnn.generate import MARKER, TRAIN_FILE, VAL_FILE
from trainables.diphone_rnn.trials import Trial, trials_in

FILES = (TRAIN_FILE, VAL_FILE)
VERSION = 1  # raise it whenever the same recordings give other features: it is part of the cache's key
FLAT = "features.npy"


@dataclass(frozen=True)
class Wanted:
    """What a config takes of a folder."""

    sessions: tuple[str, ...] | None
    """The days; None: all that are there. A generated folder has its own."""
    channels: int  # C
    subset: tuple[int, ...] | None
    """Which channels of the files these are; None: all, and the files have C."""
    bad: frozenset[tuple[str, str, int]]
    """Trials to leave out unseen: day, block number as text, trial number."""

    @classmethod
    def by(cls, config: Config) -> "Wanted":
        """What `config` says."""
        dataset = config.dataset
        bad = (
            (day, block, trial)
            for day, blocks in (dataset.bad_trials_dict or {}).items()
            for block, trials in blocks.items()
            for trial in trials
        )
        return cls(dataset.sessions, config.model.n_input_features, dataset.feature_subset, frozenset(bad))


@dataclass(frozen=True, eq=False)
class Recordings:
    """The labelled trials of some days, every value of them looked at."""

    folder: Path
    wanted: Wanted
    sessions: tuple[str, ...]
    train: tuple[Trial, ...]
    """By day, then in the order of the file."""
    validation: tuple[Trial, ...]
    left_out: tuple[str, ...]
    """The bad trials that are there, as day/file/group."""

    @property
    def n_bytes(self) -> int:
        """What all features take in memory."""
        return sum(trial.n_bins for trial in (*self.train, *self.validation)) * self.wanted.channels * 4

    @cached_property
    def digest(self) -> str:
        """The hash of what is there to train on, wherever it lies and whatever the patches are; reads each file."""
        digest = hashlib.sha256(json.dumps([*self.sessions, self.wanted.channels]).encode())
        if self.wanted.subset is not None:
            digest.update(json.dumps(self.wanted.subset).encode())
        for session in self.sessions:
            for path in (self.folder / session / file for file in FILES):
                digest.update((sha256_of(path) if path.exists() else "absent").encode())
        for trial in self.left_out:
            digest.update(f"\n{trial}".encode())
        return digest.hexdigest()


def recordings(folder: Path, wanted: Wanted) -> Recordings:
    """The trials of `folder`, features still on disk; read again only when a file has changed.

    Raises BadInput naming file, trial and what was expected, a value that is no number included.
    """
    names = _days(folder, wanted.sessions)
    stamps = tuple(stamp_of(folder / name / file) for name in names for file in FILES)
    return _recordings(folder, names, wanted, stamps)


@lru_cache(maxsize=1)
def in_memory(days: Recordings) -> Recordings:
    """The same with all features in memory; those of the `days` asked for last are kept.

    They are one array in a file of the cache, written once, which every process of this machine maps: what several
    read is in memory once. Where the cache can't be written, the process reads a copy of its own.
    """
    trials = (*days.train, *days.validation)
    key = content_key({"version": VERSION, "content": days.digest, "trials": len(trials)})
    try:
        flat = np.load(cached("diphone_rnn_features", key, partial(_write, trials)) / FLAT, mmap_mode="r")
    except BadInput:
        held = [trial.in_memory() for trial in trials]
    else:
        ends = np.cumsum([trial.n_bins for trial in trials])
        held = [replace(trial, held=flat[end - trial.n_bins : end]) for trial, end in zip(trials, ends, strict=True)]
    n = len(days.train)
    return replace(days, train=tuple(held[:n]), validation=tuple(held[n:]))


def _write(trials: Sequence[Trial], folder: Path) -> None:
    """All features, one trial after the other: (bins of all, C)."""
    shape = (sum(trial.n_bins for trial in trials), trials[0].channels)
    flat = np.lib.format.open_memmap(folder / FLAT, mode="w+", dtype=np.float32, shape=shape)
    at = 0
    for trial in trials:
        flat[at : at + trial.n_bins] = trial.features()
        at += trial.n_bins
    flat.flush()


@lru_cache(maxsize=2)
def _recordings(folder: Path, names: tuple[str, ...], wanted: Wanted, stamps: tuple[Stamp, ...]) -> Recordings:
    """`stamps` are there so that files that have changed are read again."""
    assert len(stamps) == len(FILES) * len(names)
    problems: list[Problem] = []
    train: list[Trial] = []
    validation: list[Trial] = []
    left_out: list[str] = []
    for index, name in enumerate(names):
        for file, trials in zip(FILES, (train, validation), strict=True):
            path = folder / name / file
            if file == VAL_FILE and not path.exists():
                continue
            try:
                for trial in trials_in(path, index, wanted.channels, wanted.subset):
                    if (name, str(trial.block), trial.trial) in wanted.bad:
                        left_out.append(f"{name}/{file}/{trial.group}")
                    else:
                        trials.append(trial)
            except BadInput as error:
                problems += error.problems
    raise_any(problems)
    for trial in (*train, *validation):
        trial.features()  # every value is looked at once, here
    return Recordings(folder, wanted, names, tuple(train), tuple(validation), tuple(left_out))


def _days(folder: Path, sessions: Sequence[str] | None) -> tuple[str, ...]:
    """The days to read, checked to be there."""
    if not folder.is_dir():
        raise BadInput.of(
            str(folder),
            f"no such folder; dataset_dir holds one folder per day, with {TRAIN_FILE}; your script ends there: "
            "correct the path",
        )
    there = sorted(path.name for path in folder.iterdir() if (path / TRAIN_FILE).is_file())
    marker = folder / MARKER
    if marker.is_file():  # the days of a config are those of the user's own recordings
        return tuple(json.loads(marker.read_text(encoding="utf-8"))["sessions"])
    if sessions is None:
        if not there:
            what = (
                f"no day there; expected folders with {TRAIN_FILE}, as t15.2023.08.11; your script has nothing to "
                "train on"
            )
            raise BadInput.of(str(folder), what)
        return tuple(there)
    problems = [
        Problem(
            f"{folder / name}",
            f"no {TRAIN_FILE} for this day of `sessions`, where your script ends: correct the name, or leave it "
            f"out{nearest(name, there)}",
        )
        for name in sessions
        if name not in there
    ]
    twice = sorted({name for name in sessions if list(sessions).count(name) > 1})
    problems += [
        Problem("dataset.sessions", f"{name} is listed twice, which your script refuses, too; list it once")
        for name in twice
    ]
    if not sessions:
        problems.append(Problem("dataset.sessions", "is empty, and your script has nothing to train on; list the days"))
    raise_any(problems)
    return tuple(sessions)
