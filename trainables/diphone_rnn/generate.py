"""Simulated days of attempted speech in the native layout: `<day>/data_{train,val}.hdf5`, like a user's own folder.

A sentence of the grammar is said by espeak-ng at the pace of attempted speech, a silence after every word as in the
real data's labels. Its phonemes move articulators (`articulation`); electrodes hear some mixture of where these are and
where they go, through a mixing that drifts from day to day; the first half of the channels counts threshold crossings,
the second half is the band power of the same electrodes, each with the mean and spread of the day taken out.
"""

import datetime
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from spaces.schema import Real, Section, Whole
from trainables.cache import cached, content_key
from trainables.diphone_rnn.articulation import BIN, Floats, trajectory
from trainables.diphone_rnn.electrodes import Recording, block_of, record, tunings
from trainables.diphone_rnn.espeak import words_of
from trainables.diphone_rnn.phonemes import IDS, SIL, Labels
from trainables.diphone_rnn.sentences import Vocabulary, sentence
from trainables.seeding import stream

VERSION = 2  # raise it whenever the same spec gives other numbers: it is part of the cache's key
TRAIN_FILE, VAL_FILE = "data_train.hdf5", "data_val.hdf5"
MARKER = "generated.json"  # lies in a generated folder, and names its days
ESPEAK_WORDS_PER_MINUTE = 214.0  # of the grammars' sentences as espeak-ng says them, measured over 600
GAP_S = 0.16  # mean silence after a word
MIN_PHONEME_S, LEAD_S = 0.08, (0.2, 0.5)
PACE_SD = 0.08  # of the log of a sentence's pace
BLOCK = 40  # trials of a day that are recorded in one go
FIRST_DAY = datetime.date(2024, 1, 1)
CALIBRATION = 12  # sentences whose activity gives a day's means and spreads
LABELS, LETTERS = 500, 500  # padded lengths, as in the real files
MAX_VALUES = 40_000_000_000  # numbers in all features: 160 GB

_TEXT, _TIMING, _NOISE, _CALIBRATION = range(4)  # streams of random numbers


class Generate(Section):
    """What to simulate. A trial depends on `seed` and its number, not on how many there are."""

    sentences: Whole = Field(default=80, ge=2)
    """Trials in all, dealt to the days in turn. With so few, what phonemes alone reach varies much between seeds; with
    240, they clearly beat diphones in 200 steps (benchmarks/diphone_vs_phoneme.py)."""
    vocabulary: Vocabulary = "small"
    """small: 50 words, and about 180 of the 1681 diphones; large: 280 words, and more than twice the diphones."""
    sessions: Whole = Field(default=4, ge=1, le=400)
    """Days of recording, a week apart."""
    channels: Whole | None = Field(default=None, ge=2)
    """Features per bin, an even number; None: the config's n_input_features."""
    seed: Whole = Field(default=0, ge=0)
    val_share: Real = Field(default=0.5, gt=0, le=0.5)
    """Share of each day's trials in data_val.hdf5; their sentences are in no data_train.hdf5."""
    words_per_minute: Real = Field(default=62.0, ge=10, le=120)
    """Pace of the speech; the participant of Willett et al. 2023 spoke 62. Faster, fewer frames per label."""
    coarticulation: Real = Field(default=1.0, ge=0, le=3)
    """How far neighbours bend a phoneme: 0, each is a constant pattern; 1, movements of 60 ms time constant."""
    velocity_share: Real = Field(default=0.6, ge=0, le=1)
    """Share of the linear tuning's variance that follows the articulators' movement instead of their position."""
    mixed_share: Real = Field(default=0.3, ge=0, le=1)
    """Share of the tuning's variance that prefers combinations of positions and movements, instead of each alone."""
    noise: Real = Field(default=1.0, ge=0, le=10)
    """Strength of all noise but the Poisson counts' own: on band power, and shared by electrodes."""
    drift: Real = Field(default=0.15, ge=0, le=2)
    """Change of the tuning from each day to the next, relative to the tuning; offsets drift alike."""

    @model_validator(mode="after")
    def _check(self) -> "Generate":
        problems = []
        if self.channels is not None and self.channels % 2:
            problems.append(f"channels is {self.channels}; it must be even: threshold crossings, then band power")
        fewest = self.sessions * math.ceil(1 / self.val_share)
        if self.sentences < fewest:
            what = f"sentences is {self.sentences}; {self.sessions} sessions need at least {fewest}"
            problems.append(f"{what} for each to have a validation trial at val_share {self.val_share}")
        if self.sentences * (self.channels or 2) * 400 > MAX_VALUES:
            problems.append(f"sentences × channels is {self.sentences * (self.channels or 2)}; ask for fewer")
        if problems:
            raise ValueError("; ".join(problems))
        return self


@dataclass(frozen=True)
class Said:
    """A sentence with its timing."""

    text: str
    phonemes: Labels  # (N,) with SIL after every word
    path: Floats  # (T, 10) articulators in each bin of 20 ms


def generated(spec: Generate) -> Path:
    """The folder that holds the data of `spec`, simulated now unless the cache has it."""
    key = content_key({"version": VERSION, "generate": spec.model_dump(mode="json")})
    return cached("diphone_rnn", key, lambda folder: write(spec, folder))


def write(spec: Generate, folder: Path) -> None:
    """Simulate `spec` into `folder`."""
    if spec.channels is None:
        raise ValueError("channels is None; set it before simulating")
    names = session_names(spec)
    recording = Recording(spec.seed, spec.channels // 2, spec.velocity_share, spec.mixed_share, spec.noise, spec.drift)
    calibration = [_calibration(spec, i).path for i in range(CALIBRATION)]
    for day, tuning in enumerate(tunings(recording, spec.sessions, calibration)):
        (folder / names[day]).mkdir()
        with (
            h5py.File(folder / names[day] / TRAIN_FILE, "w") as train,
            h5py.File(folder / names[day] / VAL_FILE, "w") as val,
        ):
            for place, number in enumerate(range(day, spec.sentences, spec.sessions)):
                held_out = _is_held_out(place, spec.val_share)
                said = say(spec, number, held_out)
                during = block_of(recording, tuning, day, place // BLOCK)
                features = record(recording, during, said.path, stream(spec.seed, 0, _NOISE, number))
                _append(val if held_out else train, said, features, names[day], place)
    marker = {"sessions": list(names), "generate": spec.model_dump(mode="json"), "version": VERSION}
    (folder / MARKER).write_text(json.dumps(marker, indent=1), encoding="utf-8")


def session_names(spec: Generate) -> tuple[str, ...]:
    """The folders of the days, `sim.2024.01.01` and on, a week apart."""
    days = (FIRST_DAY + datetime.timedelta(weeks=week) for week in range(spec.sessions))
    return tuple(f"sim.{day:%Y.%m.%d}" for day in days)


def say(spec: Generate, number: int, held_out: bool) -> Said:
    """Trial `number`: its sentence, phonemes and movements."""
    text = sentence(stream(spec.seed, 0, _TEXT, number), held_out, spec.vocabulary)
    return _say(spec, text, stream(spec.seed, 0, _TIMING, number))


def _say(spec: Generate, text: str, rng: np.random.Generator) -> Said:
    pace = spec.words_per_minute * math.exp(PACE_SD * rng.standard_normal())
    word_s = 60.0 / pace
    gap_s = min(GAP_S, word_s / 4)
    stretch = (word_s - gap_s) * ESPEAK_WORDS_PER_MINUTE / 60.0
    labels, seconds = [SIL], [rng.uniform(*LEAD_S)]  # silence before the first word has no label
    for word in words_of(text):
        labels += [*(IDS[name] for name in word.phonemes), SIL]
        seconds += [max(stretch * s, MIN_PHONEME_S) for s in word.seconds]
        seconds.append(max(gap_s * rng.uniform(0.5, 1.5), MIN_PHONEME_S))
    seconds[-1] += rng.uniform(*LEAD_S)
    ends = np.round(np.cumsum(seconds) / BIN).astype(np.int64)
    path = trajectory(labels, np.diff(ends, prepend=0).tolist(), spec.coarticulation)
    return Said(text, np.array(labels[1:], dtype=np.int64), path)


def _is_held_out(place: int, share: float) -> bool:
    """Whether the trial at `place` of its day is one for validation: evenly spread, whatever the day's length."""
    return math.floor((place + 1) * share + 1e-9) > math.floor(place * share + 1e-9)


def _calibration(spec: Generate, number: int) -> Said:
    """A sentence that is in no trial's place: it only gives units, means and spreads."""
    rng = stream(spec.seed, 0, _CALIBRATION, number)
    return _say(spec, sentence(rng, held_out=False, vocabulary=spec.vocabulary), rng)


def _append(file: h5py.File, said: Said, features: NDArray[np.float32], session: str, place: int) -> None:
    """The next trial of `file`, laid out as in the real files."""
    group = file.create_group(f"trial_{len(file):04d}")
    group.create_dataset("input_features", data=features)
    group.create_dataset("seq_class_ids", data=_padded(said.phonemes.tolist(), LABELS))
    group.create_dataset("transcription", data=_padded([ord(letter) for letter in said.text], LETTERS))
    group.attrs["n_time_steps"] = len(features)
    group.attrs["seq_len"] = len(said.phonemes)
    group.attrs["block_num"] = place // BLOCK + 1
    group.attrs["trial_num"] = place % BLOCK
    group.attrs["session"] = session
    group.attrs["sentence_label"] = said.text


def _padded(numbers: Sequence[int], length: int) -> NDArray[np.int32]:
    """`numbers`, with zeros up to `length`."""
    padded = np.zeros(max(length, len(numbers)), dtype=np.int32)
    padded[: len(numbers)] = numbers
    return padded
