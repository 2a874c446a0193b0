"""Simulated days: the native layout, the same numbers whatever the amount, sounds bent by their neighbours."""

import itertools
import json
import math
from dataclasses import replace

import h5py
import numpy as np
import pytest

from spaces.paths import with_values
from spaces.problems import BadInput
from spaces.schema import parse
from trainables.diphone_rnn import generate
from trainables.diphone_rnn.articulation import ARTICULATORS, MOVEMENT_S, trajectory, velocity
from trainables.diphone_rnn.config import Network
from trainables.diphone_rnn.data import Data, n_frames, prepare_data, read
from trainables.diphone_rnn.electrodes import Recording, record, tunings
from trainables.diphone_rnn.generate import Generate, generated, say, session_names, write
from trainables.diphone_rnn.phonemes import IDS, PHONEMES, SIL, diphones_of, needed_frames
from trainables.diphone_rnn.sentences import is_held_out
from trainables.registry import model_named

SMALL = Generate(sentences=28, sessions=2, channels=8, val_share=0.15)
ALL = range(1, 41)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("generated")
    write(SMALL, place)
    return place


def config(channels, **values):
    shape = {"model.n_input_features": channels, "dataset.neural_dim": channels}
    shape |= {"model.input_network.input_layer_sizes": [channels], "dataset.data_transforms.random_cut": 0}
    return model_named("diphone_rnn").parse(with_values({}, {**shape, **values}), "c")


def digest(folder):
    return prepare_data(Data(dataset_dir=str(folder)), config(8)).digest


def corpus(folder, channels=8):
    return read(folder, config(channels))


def test_files_are_the_native_layout(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["generated.json", "sim.2024.01.01", "sim.2024.01.08"]
    assert json.loads((folder / "generated.json").read_text())["sessions"] == list(session_names(SMALL))
    with h5py.File(folder / "sim.2024.01.01" / "data_train.hdf5") as file:
        assert list(file)[:2] == ["trial_0000", "trial_0001"]
        trial = file["trial_0001"]
        attributes = dict(trial.attrs)
        assert set(attributes) == {"n_time_steps", "seq_len", "block_num", "trial_num", "session", "sentence_label"}
        assert attributes["session"] == "sim.2024.01.01"
        assert trial["input_features"].shape == (attributes["n_time_steps"], 8)
        assert trial["input_features"].dtype == np.float32
        ids = trial["seq_class_ids"][:]
        assert ids.dtype == np.int32
        n = attributes["seq_len"]
        assert ids.shape == (500,) and (ids[:n] > 0).all() and (ids[n:] == 0).all()
        letters = trial["transcription"][:]
        assert "".join(map(chr, letters[letters > 0])) == attributes["sentence_label"]


def test_every_word_ends_in_silence(folder):
    for trial in corpus(folder).train:
        ids = trial.phonemes.tolist()
        assert ids[-1] == SIL and ids[0] != SIL
        assert all(a != SIL or b != SIL for a, b in itertools.pairwise(ids))
        assert 0.7 * len(trial.sentence.split()) <= ids.count(SIL) <= len(trial.sentence.split())


def test_a_trial_depends_on_seed_and_number_alone(folder, tmp_path):
    more = SMALL.model_copy(update={"sentences": 40})
    other = SMALL.model_copy(update={"seed": 1})
    for name, spec in (("same", SMALL), ("more", more), ("other", other)):
        (tmp_path / name).mkdir()
        write(spec, tmp_path / name)
    first = corpus(folder)
    assert digest(tmp_path / "same") == digest(folder)
    longer = corpus(tmp_path / "more")
    for split in ("train", "validation"):
        by_name = {(t.session, t.group): t for t in getattr(longer, split)}
        for trial in getattr(first, split):
            again = by_name[(trial.session, trial.group)]
            assert again.sentence == trial.sentence
            assert np.array_equal(again.features(), trial.features())
    assert not {t.sentence for t in corpus(tmp_path / "other").train} & {t.sentence for t in first.train}


def test_validation_is_a_fixed_share_of_each_day_with_sentences_of_its_own(folder):
    found = corpus(folder)
    assert (len(found.train), len(found.validation)) == (24, 4)
    assert [t.session for t in found.validation] == [0, 0, 1, 1]
    assert all(is_held_out(t.sentence) for t in found.validation)
    assert not any(is_held_out(t.sentence) for t in found.train)


@pytest.mark.parametrize("share", [0.1, 0.15, 0.2, 1 / 3, 0.5])
def test_share_of_validation(share):
    held = [generate._is_held_out(place, share) for place in range(300)]
    assert sum(held) == round(300 * share)
    assert held.index(True) + 1 == math.ceil(1 / share)


@pytest.mark.parametrize("vocabulary", ["small", "large"])
def test_pace_leaves_enough_frames_for_diphones(vocabulary):
    spec = Generate(sentences=60, sessions=1, channels=2, vocabulary=vocabulary)
    said = [say(spec, number, held_out=False) for number in range(60)]
    spare = [n_frames(len(s.path) - 3, Network()) - needed_frames(diphones_of(s.phonemes)) for s in said]
    assert min(spare) >= 0
    minutes = sum(len(s.path) for s in said) * 0.02 / 60
    assert sum(len(s.text.split()) for s in said) / minutes == pytest.approx(62 * 0.9, rel=0.1)  # with silent ends


def test_a_phoneme_is_bent_by_its_neighbours():
    """The middle of IY differs after and before other consonants, and that fades with the coarticulation."""

    def middle(before, after, coarticulation):
        path = trajectory([SIL, IDS[before], IDS["IY"], IDS[after], SIL], [10] * 5, coarticulation)
        return path[24]

    for one, other in ((("B", "T"), ("K", "T")), (("T", "B"), ("T", "K"))):  # the one before, the one after
        bent = [np.abs(middle(*one, c) - middle(*other, c)).max() for c in (0.0, 0.5, 1.0, 2.0)]
        assert bent[0] == 0.0
        assert bent[3] > bent[2] > bent[1]
        assert bent[2] > 0.02


def test_without_coarticulation_a_phoneme_is_one_pattern():
    for label in ALL:
        path = trajectory([SIL, label, SIL], [5, 8, 5], 0.0)
        assert len({tuple(row) for row in path[5:13].tolist()}) in (1, 2)  # 2: diphthongs and affricates
    steady = {name: trajectory([IDS[name]], [1], 0.0)[-1] for name in PHONEMES[1:] if name not in ("CH", "JH")}
    steady = {name: tuple(p) for name, p in steady.items() if name not in ("EY", "AY", "OY", "AW", "OW")}
    assert len(set(steady.values())) == len(steady) == 33


def test_movement_solves_the_spring():
    """A step of the target is followed as 1 − (1 + t/τ)·e^(−t/τ), moved ahead by 2τ."""
    path = trajectory([SIL, IDS["AA"]], [50, 100], 1.0)[:, ARTICULATORS.index("jaw")]
    t = 0.02 * (np.arange(150) - 50 + 1) + 2 * MOVEMENT_S
    expected = -0.6 + 1.6 * np.where(t > 0, 1 - (1 + t / MOVEMENT_S) * np.exp(-t / MOVEMENT_S), 0.0)
    assert path == pytest.approx(expected, abs=0.12)  # bins are coarse beside τ
    assert path[-1] == pytest.approx(1.0, abs=1e-3)
    assert velocity(path[:, None])[:40] == pytest.approx(0.0, abs=1e-9)


def calibration():
    return [say(SMALL, number, held_out=False).path for number in range(12)]


def test_counts_and_powers_are_standardised_and_informative():
    paths = calibration()
    recording = Recording(0, 16, 0.5, 0.5, 0.0, 0.2)  # shared noise is slow: its spread varies between sentences
    first, second = tunings(recording, 2, paths)
    features = np.concatenate([record(recording, first, p, np.random.default_rng(i)) for i, p in enumerate(paths)])
    assert features.shape == (sum(map(len, paths)), 32) and features.dtype == np.float32
    assert np.abs(features.mean(axis=0)).max() < 0.2
    assert features.std(axis=0) == pytest.approx(1.0, abs=0.25)
    counts = features[:, :16] * first.spread[:16] + first.mean[:16]
    assert np.abs(counts - np.round(counts)).max() < 1e-4
    assert counts.min() >= -1e-6
    change = np.linalg.norm(second.weights - first.weights) / np.linalg.norm(first.weights)
    assert change == pytest.approx(0.2, rel=0.2)
    still, _ = tunings(replace(recording, drift=0.0), 2, paths)
    assert np.array_equal(still.weights, first.weights)


@pytest.mark.parametrize(
    ("share", "mixed", "silent"),
    [(0.0, 0.5, slice(10, 20)), (1.0, 0.5, slice(0, 10)), (0.5, 0.0, slice(20, 84)), (0.5, 1.0, slice(0, 20))],
)
def test_shares_of_position_velocity_and_their_combinations(share, mixed, silent):
    tuning = next(tunings(Recording(0, 4, share, mixed, 1.0, 0.2), 1, calibration()))
    assert (tuning.weights[silent] == 0).all()
    assert (tuning.weights != 0).any()


def test_noise_is_what_the_same_movement_differs_by():
    path = calibration()[0]

    def spread(noise):
        recording = Recording(0, 8, 0.5, 0.5, noise, 0.0)
        tuning = next(tunings(recording, 1, [path]))
        powers = [record(recording, tuning, path, np.random.default_rng(i))[:, 8:] for i in range(8)]
        return np.std(powers, axis=0).mean()

    assert spread(0.0) == pytest.approx(0.0, abs=1e-6)
    assert 0 < spread(0.5) < spread(1.5)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"channels": 7}, "channels is 7; it must be even"),
        ({"vocabulary": "tiny"}, "vocabulary: input should be 'small' or 'large'"),
        (
            {"sentences": 10, "val_share": 0.15},
            "sentences is 10; 4 sessions need at least 28 for each to have a validation trial",
        ),
        ({"sentence": 10}, "sentence: unknown key; did you mean 'sentences'?"),
        ({"words_per_minute": 300}, "words_per_minute: input should be less than or equal to 120.0, got 300"),
        ({"velocity_share": 1.1}, "velocity_share: input should be less than or equal to 1.0, got 1.1"),
        ({"sessions": 0}, "sessions: input should be greater than or equal to 1, got 0"),
        ({"sentences": 10**7, "channels": 512}, "ask for fewer"),
    ],
)
def test_bad_specs_name_key_value_and_bound(value, message):
    with pytest.raises(BadInput) as caught:
        parse(Generate, value, "search.yaml", "data.generate")
    assert message.replace(".0", "") in str(caught.value).replace(".0", "")
    assert str(caught.value).startswith("search.yaml data.generate")


def test_prepare_generates_once_with_the_configs_channels(monkeypatch):
    data = Data(generate=SMALL.model_copy(update={"channels": None}))
    sessions = {"dataset.sessions": ["t15.2023.08.11"]}  # the config's days are the user's own
    first = prepare_data(data, config(8, **sessions))
    assert first.summary == f"24 training and 4 validation trials of 2 days, 8 channels, {first.summary[-5:]}"
    monkeypatch.setattr(generate, "write", None)  # would fail if it generated again
    assert prepare_data(data, config(8, **{"model.patch_size": 20, "model.patch_stride": 5})) == first
    assert first.path == generated(SMALL)
    with pytest.raises(BadInput, match=r"data.generate.channels: is 8, but the config's n_input_features is 16"):
        prepare_data(Data(generate=SMALL), config(16))
