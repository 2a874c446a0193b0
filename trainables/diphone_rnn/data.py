"""Days of attempted speech for training: a user's folder or simulated, both read and checked by the same code.

A folder holds one folder per day, with `data_train.hdf5` and `data_val.hdf5`; a day without the latter is one to train
on only. `data_test.hdf5` has no labels, and isn't read.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import Field, model_validator

from spaces.problems import BadInput, Problem, nearest
from spaces.schema import Section, Text, parse
from trainables.cache import sha256_of
from trainables.diphone_rnn.generate import MARKER, TRAIN_FILE, VAL_FILE, Generate, generated
from trainables.diphone_rnn.phonemes import needed_frames
from trainables.diphone_rnn.trials import Trial, trials_in
from trainables.run import Prepared

IN_MEMORY = 1 << 30  # bytes of features that are read at once; more stay in their files
SHOWN = 5  # dropped trials that a summary names

BadTrials = Mapping[str, Mapping[str, Sequence[int]]]
"""Day → block number, as text → trial numbers to leave out: the content of a `bad_trials_dict`."""


class Data(Section):
    """Where the trials come from: exactly one of the two."""

    generate: Generate | None = None
    dataset_dir: Text | None = Field(default=None, min_length=1)
    """A folder of days; the config's `sessions` names those that count."""

    @model_validator(mode="after")
    def _check(self) -> "Data":
        if (self.generate is None) == (self.dataset_dir is None):
            had = "neither" if self.generate is None else "both"
            raise ValueError(
                f"expected one of generate and dataset_dir, got {had}; use {{generate: {{}}}} for simulated data"
            )
        return self


@dataclass(frozen=True)
class Dropped:
    """A training trial that CTC can't align: its diphones need more frames than its bins give."""

    name: str
    needed: int
    frames: int

    def __str__(self) -> str:
        return f"{self.name} (needs {self.needed} frames, has {self.frames})"


@dataclass(frozen=True, eq=False)
class Corpus:
    """The trials of some days."""

    folder: Path
    sessions: tuple[str, ...]
    channels: int  # C
    train: tuple[Trial, ...]
    """By day, then in the order of the file; every one can be aligned."""
    validation: tuple[Trial, ...]
    """All of them, whatever the config: they are what trials of a search are compared by."""
    dropped: tuple[Dropped, ...]
    """Training trials that are left out."""
    unaligned: tuple[Dropped, ...]
    """Validation trials whose diphones can't be aligned: decoded and scored, but without a finite CTC loss."""
    left_out: tuple[str, ...]
    """Trials that `bad_trials` names, as day/file/group."""

    @cached_property
    def digest(self) -> str:
        """The hash of what is there to train on, wherever it lies and whatever the patches are; reads each file."""
        digest = hashlib.sha256(json.dumps([*self.sessions, self.channels]).encode())
        for session in self.sessions:
            for path in (self.folder / session / TRAIN_FILE, self.folder / session / VAL_FILE):
                digest.update((sha256_of(path) if path.exists() else "absent").encode())
        for trial in self.left_out:
            digest.update(f"\n{trial}".encode())
        return digest.hexdigest()


def n_frames(n_bins: int, patch_size: int, patch_stride: int) -> int:
    """T', the patches of `patch_size` bins, `patch_stride` apart, that fit into `n_bins` bins; 0 if none does."""
    return max(0, (n_bins - patch_size) // patch_stride + 1)


def prepare_data(
    data: Data,
    n_features: int,
    patch_size: int,
    patch_stride: int,
    sessions: Sequence[str] | None = None,
    max_cut: int = 0,
    bad_trials: BadTrials | None = None,
) -> Prepared:
    """The data on this machine, all of it checked: simulated (once, then cached) or the user's folder, in place.

    The arguments are those of `read`. Raises BadInput for files that can't be used.
    """
    if data.dataset_dir is not None:
        folder = Path(data.dataset_dir).expanduser().absolute()
    else:
        assert data.generate is not None
        folder = generated(_with_channels(data.generate, n_features))
    corpus = read(folder, sessions, n_features, patch_size, patch_stride, max_cut, bad_trials, in_memory=False)
    for trial in (*corpus.train, *corpus.validation):
        trial.features()  # every value is looked at once, here
    return Prepared(folder, corpus.digest, summary(corpus))


def read(
    folder: Path,
    sessions: Sequence[str] | None,
    n_features: int,
    patch_size: int,
    patch_stride: int,
    max_cut: int = 0,
    bad_trials: BadTrials | None = None,
    in_memory: bool | None = None,
) -> Corpus:
    """The labelled trials of `sessions` in `folder` (None: of all days there; a generated folder has its own days).

    n_features: channels C that every trial must have. patch_size, patch_stride: bins. max_cut: the most bins that
    augmentation takes off a training trial (`random_cut`), which must still be alignable. bad_trials: trials to leave
    out. in_memory: whether to hold all features; None: if they take at most `IN_MEMORY` bytes. Raises BadInput naming
    file, trial and what was expected.
    """
    names = _days(folder, sessions)
    problems: list[Problem] = []
    train: list[Trial] = []
    validation: list[Trial] = []
    left_out: list[str] = []
    for index, name in enumerate(names):
        for file, trials in ((TRAIN_FILE, train), (VAL_FILE, validation)):
            path = folder / name / file
            if file == VAL_FILE and not path.exists():
                continue
            try:
                found = trials_in(path, index, n_features)
            except BadInput as error:
                problems += error.problems
                continue
            bad = [trial for trial in found if _is_bad(trial, name, bad_trials or {})]
            left_out += [f"{name}/{file}/{trial.group}" for trial in bad]
            trials += [trial for trial in found if trial not in bad]
    if problems:
        raise BadInput(problems)
    dropped = _unaligned(train, patch_size, patch_stride, max_cut)
    short = {item.name for item in dropped}
    train = [trial for trial in train if trial.name not in short]
    _check_enough(folder, names, train, validation, patch_size, dropped)
    if in_memory is None:
        in_memory = sum(trial.n_bins for trial in (*train, *validation)) * n_features * 4 <= IN_MEMORY
    if in_memory:
        train, validation = ([trial.in_memory() for trial in trials] for trials in (train, validation))
    unaligned = _unaligned(validation, patch_size, patch_stride, 0)
    return Corpus(folder, names, n_features, tuple(train), tuple(validation), dropped, unaligned, tuple(left_out))


def summary(corpus: Corpus) -> str:
    """One line for people: counts, and the trials that are left out."""
    days = f"{len(corpus.sessions)} day{'s' if len(corpus.sessions) > 1 else ''}"
    bins = sum(trial.n_bins for trial in (*corpus.train, *corpus.validation))
    text = (
        f"{len(corpus.train)} training and {len(corpus.validation)} validation trials of {days}, {corpus.channels} "
        f"channels, {bins * 0.02 / 3600:.1f} h"
    )
    for items, what in ((corpus.dropped, "dropped from training"), (corpus.unaligned, "kept for validation")):
        if items:
            shown = ", ".join(map(str, items[:SHOWN])) + (", …" if len(items) > SHOWN else "")
            text += f"; {len(items)} {what} which CTC can't align: {shown}"
    return text


def _days(folder: Path, sessions: Sequence[str] | None) -> tuple[str, ...]:
    """The days to read, checked to be there."""
    if not folder.is_dir():
        raise BadInput.of(str(folder), f"no such folder; dataset_dir holds one folder per day, with {TRAIN_FILE}")
    there = sorted(path.name for path in folder.iterdir() if (path / TRAIN_FILE).is_file())
    marker = folder / MARKER
    if marker.is_file():  # the days of a config are those of the user's own recordings
        return tuple(json.loads(marker.read_text(encoding="utf-8"))["sessions"])
    if sessions is None:
        if not there:
            raise BadInput.of(str(folder), f"no day there; expected folders with {TRAIN_FILE}, as t15.2023.08.11")
        return tuple(there)
    problems = [
        Problem(f"{folder / name}", f"no {TRAIN_FILE} for this day of `sessions`{nearest(name, there)}")
        for name in sessions
        if name not in there
    ]
    twice = sorted({name for name in sessions if list(sessions).count(name) > 1})
    problems += [Problem("sessions", f"{name} is listed twice") for name in twice]
    if not sessions:
        problems.append(Problem("sessions", "is empty; list the days to train on"))
    if problems:
        raise BadInput(problems)
    return tuple(sessions)


def _is_bad(trial: Trial, day: str, bad: BadTrials) -> bool:
    return trial.trial in bad.get(day, {}).get(str(trial.block), ())


def _unaligned(trials: Iterable[Trial], patch_size: int, patch_stride: int, cut: int) -> tuple[Dropped, ...]:
    """Those of `trials` whose diphones need more frames than there are."""
    needs = ((t, needed_frames(t.diphones), n_frames(t.n_bins - cut, patch_size, patch_stride)) for t in trials)
    return tuple(Dropped(trial.name, needed, frames) for trial, needed, frames in needs if frames < needed)


def _check_enough(
    folder: Path,
    names: Sequence[str],
    train: Sequence[Trial],
    validation: Sequence[Trial],
    patch_size: int,
    dropped: Sequence[Dropped],
) -> None:
    """There is something to train on, on each day, and to validate on."""
    days = {trial.session for trial in train}
    problems = [
        Problem(str(folder / name / TRAIN_FILE), f"no trial is left to train on{_because(dropped, folder / name)}")
        for index, name in enumerate(names)
        if index not in days
    ]
    if not validation:
        problems.append(Problem(str(folder), f"no trial to validate on; at least one day needs a {VAL_FILE}"))
    problems += [
        Problem(trial.name, f"holds {trial.n_bins} bins; one patch takes patch_size = {patch_size}")
        for trial in validation
        if trial.n_bins < patch_size
    ]
    if problems:
        raise BadInput(problems)


def _because(dropped: Sequence[Dropped], day: Path) -> str:
    mine = [item for item in dropped if item.name.startswith(f"{day}/")]
    return f": CTC can't align any of its {len(mine)}, as {mine[0]}" if mine else ""


def _with_channels(spec: Generate, n_features: int) -> Generate:
    """`spec` with the config's number of channels filled in where it names none; checked again as a whole."""
    if spec.channels not in (None, n_features):
        what = (
            f"is {spec.channels}, but the config's n_input_features is {n_features}; make them equal, or leave it out"
        )
        raise BadInput.of("data.generate.channels", what)
    return parse(Generate, {**spec.model_dump(), "channels": n_features}, "data.generate")
