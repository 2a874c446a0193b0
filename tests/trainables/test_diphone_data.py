"""Reading days of trials: both layouts, what can't be aligned, and every refusal by file, trial and expectation."""

import shutil

import h5py
import numpy as np
import pytest

from spaces.problems import BadInput
from spaces.schema import parse
from trainables.diphone_rnn import data as data_module
from trainables.diphone_rnn import trials as trials_module
from trainables.diphone_rnn.data import Data, n_frames, prepare_data, read, summary
from trainables.diphone_rnn.phonemes import diphones_of

DAYS = ("t15.2023.08.11", "t15.2023.08.13")
CHANNELS = 6


def add_trial(file, name, phonemes, bins=120, diphones=False, pad=40, labelled=True, number=0):
    group = file.create_group(name)
    rng = np.random.default_rng([number, bins])
    group["input_features"] = rng.standard_normal((bins, CHANNELS)).astype(np.float32)
    attributes = {"n_time_steps": bins, "block_num": 1, "trial_num": number, "session": "x"}
    if labelled:
        ids = np.zeros(pad, dtype=np.int32)
        ids[: len(phonemes)] = phonemes
        if diphones:
            group["seq_class_ids_phoneme"] = ids
            attributes["seq_len_phoneme"] = len(phonemes)
            phonemes = diphones_of(np.array(phonemes))
            ids = np.zeros(pad, dtype=np.int32)
            ids[: len(phonemes)] = phonemes
        group["seq_class_ids"] = ids
        attributes |= {"seq_len": len(phonemes), "sentence_label": f"sentence {number}"}
    group.attrs.update(attributes)


def make(folder, diphones=False):
    for day, name in enumerate(DAYS):
        (folder / name).mkdir(parents=True)
        for split, count in (("train", 3), ("val", 2), ("test", 1)):
            with h5py.File(folder / name / f"data_{split}.hdf5", "w") as file:
                for i in range(count):
                    labels = [1 + i, 2, 40, 3 + day, 40]
                    number = 100 * day + 10 * len(split) + i
                    add_trial(
                        file, f"trial_{i:04d}", labels, 100 + i, diphones, labelled=split != "test", number=number
                    )
    return folder


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / "t15")


def get(folder, sessions=DAYS, n_features=CHANNELS, patch=14, stride=4, **options):
    return read(folder, sessions, n_features, patch, stride, **options)


def refusal(folder, **options):
    with pytest.raises(BadInput) as caught:
        get(folder, **options)
    return str(caught.value)


def change(folder, what, day=0, split="train", trial="trial_0001"):
    """Apply `what` to one group."""
    with h5py.File(folder / DAYS[day] / f"data_{split}.hdf5", "r+") as file:
        what(file[trial])
    return folder


def replacing(key, value):
    def what(group):
        del group[key]
        group[key] = value

    return what


def attribute(key, value):
    return lambda group: group.attrs.__setitem__(key, value)


# What is read


def test_trials_as_the_files_hold_them(folder):
    corpus = get(folder)
    assert (corpus.sessions, corpus.channels, len(corpus.train), len(corpus.validation)) == (DAYS, CHANNELS, 6, 4)
    assert [trial.session for trial in corpus.train] == [0, 0, 0, 1, 1, 1]
    trial = corpus.train[4]
    assert trial.phonemes.tolist() == [2, 2, 40, 4, 40]
    assert trial.diphones.tolist() == diphones_of(trial.phonemes).tolist()
    assert (trial.sentence, trial.block, trial.trial, trial.n_bins) == ("sentence 151", 1, 151, 101)
    with h5py.File(folder / DAYS[1] / "data_train.hdf5") as file:
        assert np.array_equal(trial.features(), file["trial_0001"]["input_features"][:])
    assert trial.features().dtype == np.float32
    assert summary(corpus) == "6 training and 4 validation trials of 2 days, 6 channels, 0.0 h"


def test_days_in_the_order_of_the_config_or_by_name(folder):
    backward = get(folder, sessions=DAYS[::-1])
    assert backward.sessions == DAYS[::-1]
    assert backward.train[0].phonemes.tolist() == [1, 2, 40, 4, 40]
    assert get(folder, sessions=None).sessions == DAYS
    assert get(folder, sessions=DAYS[1:]).sessions == DAYS[1:]


def test_the_diphone_layout_reads_the_same(folder, tmp_path):
    plain, diphone = get(folder), get(make(tmp_path / "diphones", diphones=True))
    for one, other in zip(plain.train + plain.validation, diphone.train + diphone.validation, strict=True):
        assert np.array_equal(one.phonemes, other.phonemes)
        assert np.array_equal(one.diphones, other.diphones)
        assert np.array_equal(one.features(), other.features())


def test_features_stay_in_the_files_when_they_are_large(folder, monkeypatch):
    held, lazy = get(folder, in_memory=True), get(folder, in_memory=False)
    assert all(trial.held is not None for trial in held.train + held.validation)
    assert all(trial.held is None for trial in lazy.train + lazy.validation)
    for one, other in zip(held.train, lazy.train, strict=True):
        assert np.array_equal(one.features(), other.features())
        assert not one.features().flags.writeable and not other.features().flags.writeable
    assert held.train[0].features() is held.train[0].features()
    assert get(folder).train[0].held is not None
    monkeypatch.setattr(data_module, "IN_MEMORY", 1000)
    assert get(folder).train[0].held is None
    assert held.digest == lazy.digest


def test_rows_beyond_n_time_steps_are_padding(folder):
    corpus = get(change(folder, attribute("n_time_steps", 90)))
    assert corpus.train[1].features().shape == (90, CHANNELS)


def test_other_float_types_and_byte_strings(folder):
    change(folder, lambda g: replacing("input_features", g["input_features"][:].astype(np.float64))(g))
    change(folder, attribute("sentence_label", b"bytes"))
    trial = get(folder).train[1]
    assert trial.features().dtype == np.float32
    assert trial.sentence == "bytes"


def test_a_day_may_have_nothing_to_validate_on(folder):
    (folder / DAYS[0] / "data_val.hdf5").unlink()
    assert {trial.session for trial in get(folder).validation} == {1}
    (folder / DAYS[1] / "data_val.hdf5").unlink()
    assert "no trial to validate on; at least one day needs a data_val.hdf5" in refusal(folder)


def test_the_test_split_is_not_read(folder):
    (folder / DAYS[0] / "data_test.hdf5").write_bytes(b"rubbish")
    assert len(get(folder).train) == 6


def test_bad_trials_are_left_out(folder):
    bad = {DAYS[0]: {"1": [51, 30]}}
    corpus = get(folder, bad_trials=bad)
    assert [trial.trial for trial in corpus.train] == [50, 52, 150, 151, 152]
    assert [trial.trial for trial in corpus.validation] == [31, 130, 131]
    assert corpus.digest != get(folder).digest


# What can't be aligned


@pytest.mark.parametrize(
    ("bins", "patch", "stride", "frames"),
    [(14, 14, 4, 1), (13, 14, 4, 0), (17, 14, 4, 1), (18, 14, 4, 2), (500, 14, 4, 122)],
)
def test_frames(bins, patch, stride, frames):
    assert n_frames(bins, patch, stride) == frames


def test_what_cannot_be_aligned_is_dropped_from_training_and_told(folder):
    """Trial 1 has the phonemes 2 2 40 3 40: 11 diphones, (2→2) thrice in a row, so 13 frames: 14 + 4·12 = 62 bins."""
    change(folder, attribute("n_time_steps", 62))
    assert len(get(folder).train) == 6
    change(folder, attribute("n_time_steps", 61))
    corpus = get(folder)
    assert len(corpus.train) == 5
    assert [(item.needed, item.frames) for item in corpus.dropped] == [(13, 12)]
    name = f"{folder / DAYS[0] / 'data_train.hdf5'} trial_0001"
    assert f"; 1 dropped from training which CTC can't align: {name} (needs 13 frames, has 12)" in summary(corpus)
    assert get(folder, patch=10).digest == corpus.digest  # the digest is of the data, not of the config


def test_a_cut_of_the_augmentation_counts(folder):
    change(folder, attribute("n_time_steps", 64))
    assert not get(folder, max_cut=2).dropped
    assert len(get(folder, max_cut=3).dropped) == 1


def test_validation_never_depends_on_the_patches(folder):
    change(folder, attribute("n_time_steps", 30), split="val")
    corpus = get(folder)
    assert len(corpus.validation) == 4
    assert [item.needed for item in corpus.unaligned] == [13]
    assert "1 kept for validation which CTC can't align" in summary(corpus)
    assert "holds 30 bins; one patch takes patch_size = 31" in refusal(folder, patch=31)


def test_a_day_of_which_nothing_is_left(folder):
    message = refusal(folder, stride=40)
    assert (
        f"{folder / DAYS[0] / 'data_train.hdf5'}: no trial is left to train on: CTC can't align any of its 3" in message
    )
    assert len(message.splitlines()) == 2


# What is refused


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            lambda g: g.attrs.__delitem__("seq_len"),
            "trial_0001: attributes seq_len are missing; expected n_time_steps,",
        ),
        (attribute("n_time_steps", 102), "trial_0001: n_time_steps is 102; expected 1…101, the bins of input_features"),
        (attribute("n_time_steps", 0), "n_time_steps is 0; expected 1…101"),
        (attribute("n_time_steps", 9.5), "attribute n_time_steps: expected a whole number, got"),
        (attribute("seq_len", 41), "trial_0001: seq_len is 41; expected 1…40, the length of seq_class_ids"),
        (attribute("seq_len", 0), "seq_len is 0; expected 1…40"),
        (attribute("seq_len", 6), "seq_class_ids: label 5 is 0; expected a phoneme 1…40"),
        (replacing("seq_class_ids", np.full(40, 41)), "label 0 is 41; expected a phoneme 1…40; files with diphones"),
        (
            replacing("seq_class_ids", np.ones(40)),
            "seq_class_ids: expected whole numbers in one dimension, got float64",
        ),
        (replacing("seq_class_ids", np.ones((40, 1), int)), "got int64 of shape (40, 1)"),
        (replacing("input_features", np.zeros((101, 5), "f4")), "holds 5 channels; the config's n_input_features is 6"),
        (replacing("input_features", np.zeros((101, 6), "i4")), "expected floats of shape (bins, 6), got int32"),
        (
            replacing("input_features", np.zeros(101, "f4")),
            "expected floats of shape (bins, 6), got float32 of shape (101,)",
        ),
        (lambda g: g.__delitem__("input_features"), "input_features: missing; the trial holds seq_class_ids"),
        (lambda g: g.__delitem__("seq_class_ids"), "seq_class_ids: missing; the trial holds input_features"),
    ],
)
def test_a_trial_that_cannot_be_used(folder, what, message):
    found = refusal(change(folder, what))
    assert message in found
    assert found.startswith(f"{folder / DAYS[0] / 'data_train.hdf5'} trial_0001")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda g: g.attrs.__delitem__("seq_len_phoneme"), "attribute seq_len_phoneme is missing"),
        (attribute("seq_len_phoneme", 50), "seq_len_phoneme is 50; expected 1…40, the length of seq_class_ids_phoneme"),
        (
            replacing("seq_class_ids_phoneme", np.full(40, 50)),
            "seq_class_ids_phoneme: label 0 is 50; expected a phoneme",
        ),
        (attribute("seq_len", 9), "seq_class_ids: holds [2, 84, 84, 84, 122, 1680]… (9); expected the diphones"),
    ],
)
def test_a_trial_of_the_diphone_layout_that_cannot_be_used(tmp_path, what, message):
    assert message in refusal(change(make(tmp_path / "d", diphones=True), what))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers(folder, value):
    def what(group):
        group["input_features"][3, 4] = value

    change(folder, what)
    expected = f"trial_0001 input_features: bin 3, channel 4: expected a finite number, got {value} (1 of 606 values)"
    assert expected in refusal(folder)
    lazy = get(folder, in_memory=False)  # found when it is read
    with pytest.raises(BadInput, match="bin 3, channel 4"):
        lazy.train[1].features()
    with pytest.raises(BadInput, match="bin 3, channel 4"):
        prepare_data(Data(dataset_dir=str(folder)), CHANNELS, 14, 4)


def test_files_that_are_damaged_or_empty(folder):
    path = folder / DAYS[0] / "data_train.hdf5"
    content = path.read_bytes()
    path.write_bytes(content[:3000])
    assert f"{path}: is no HDF5 file that can be read: " in refusal(folder)
    path.write_bytes(b"rubbish")
    assert f"{path}: is no HDF5 file that can be read: " in refusal(folder)
    with h5py.File(path, "w"):
        pass
    assert f"{path}: holds no trial; expected groups trial_0000" in refusal(folder)
    with h5py.File(path, "w") as file:
        file["trial_0000"] = np.zeros(3)
    assert f"{path} trial_0000: expected a group with the data of one trial, got a dataset" in refusal(folder)


def test_a_file_that_goes_away_later(folder):
    lazy = get(folder, in_memory=False)
    shutil.rmtree(folder)
    with pytest.raises(BadInput, match=r"trial_0000: input_features can't be read: "):
        lazy.train[0].features()


def test_days_that_are_not_there(folder):
    message = refusal(folder, sessions=("t15.2023.08.12", DAYS[1], DAYS[1]))
    assert "t15.2023.08.12: no data_train.hdf5 for this day of `sessions`; did you mean 't15.2023.08.1" in message
    assert "t15.2023.08.13 is listed twice" in message
    (folder / DAYS[0] / "data_train.hdf5").unlink()
    assert f"{folder / DAYS[0]}: no data_train.hdf5" in refusal(folder)
    assert "sessions: is empty" in refusal(folder, sessions=())
    shutil.rmtree(folder)
    assert f"{folder}: no such folder" in refusal(folder)
    folder.mkdir()
    assert "no day there; expected folders with data_train.hdf5" in refusal(folder, sessions=None)


def test_all_problems_come_together_up_to_a_bound(folder, monkeypatch):
    for day in (0, 1):
        change(folder, attribute("seq_len", 0), day)
        change(folder, attribute("n_time_steps", 0), day, trial="trial_0002")
    assert len(refusal(folder).splitlines()) == 4
    monkeypatch.setattr(trials_module, "SHOWN", 1)
    found = refusal(folder).splitlines()
    assert len(found) == 4
    assert found[1].endswith("data_train.hdf5: 1 more problems in other trials")


def test_data_is_generated_or_given():
    assert parse(Data, {"dataset_dir": "/data/t15"}, "x").dataset_dir == "/data/t15"
    assert parse(Data, {"generate": {"sentences": 400, "seed": 0}}, "x").generate.sentences == 400
    for value, had in (({}, "neither"), ({"generate": {}, "dataset_dir": "d"}, "both")):
        with pytest.raises(BadInput, match=f"expected one of generate and dataset_dir, got {had}"):
            parse(Data, value, "x")


def test_prepare_checks_a_users_folder_in_place(folder):
    prepared = prepare_data(Data(dataset_dir=str(folder)), CHANNELS, 14, 4, DAYS)
    assert prepared.path == folder
    assert prepared.digest == get(folder).digest
    change(folder, attribute("trial_num", 7))
    assert prepare_data(Data(dataset_dir=str(folder)), CHANNELS, 14, 4, DAYS).digest != prepared.digest
    assert get(folder, sessions=DAYS[:1]).digest != get(folder).digest
