"""Days of trials that are refused: every refusal names file, trial, what is there and what was expected."""

import shutil

import h5py
import numpy as np
import pytest
from refusing import refusing
from synthetic_days import DAYS, attribute, change, get, make, prepared, refusal, replacing, setting

from spaces.problems import BadInput
from spaces.schema import parse
from trainables.diphone_rnn import data as data_module
from trainables.diphone_rnn import trials as trials_module
from trainables.diphone_rnn.data import Data


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / "t15")


def test_a_day_of_which_nothing_is_left(folder):
    message = refusal(folder, stride=40)
    assert (
        f"{folder / DAYS[0] / 'data_train.hdf5'}: no trial is left to train on: CTC can't align any of its 3" in message
    )
    assert len(message.splitlines()) == 2


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
    change(folder, setting(value))
    expected = f"trial_0001 input_features: bin 3, channel 4: expected a finite number, got {value} (1 of 606 values)"
    assert expected in refusal(folder)
    with refusing("bin 3, channel 4"):
        prepared(folder)


def test_values_that_go_wrong_later(folder, monkeypatch):
    monkeypatch.setattr(data_module, "IN_MEMORY", 0)
    lazy = get(folder)
    change(folder, setting(np.nan))
    with refusing("bin 3, channel 4"):
        lazy.train[1].features()


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


def test_a_file_that_goes_away_later(folder, monkeypatch):
    monkeypatch.setattr(data_module, "IN_MEMORY", 0)
    lazy = get(folder)
    shutil.rmtree(folder)
    with refusing(r"trial_0000: input_features can't be read, by your script either: "):
        lazy.train[0].features()


def test_data_that_lies_in_another_file_or_is_claimed_alone(folder):
    file = folder / DAYS[0] / "data_train.hdf5"
    outside = folder.parent / "outside.hdf5"
    shutil.copy(file, outside)

    def elsewhere(group):
        del group["input_features"]
        group["input_features"] = h5py.ExternalLink(str(outside), "trial_0000/input_features")

    def huge(group):
        del group["input_features"]
        group.create_dataset("input_features", (10**12, 6), "f4", chunks=(100, 6))
        group.attrs["n_time_steps"] = 10**12

    change(folder, elsewhere)
    assert "trial_0001 input_features: lies in another file, which your script follows: copy the data" in refusal(
        folder
    )
    change(folder, huge)
    assert "input_features: claims 24000000000000 bytes (shape (1000000000000, 6))" in refusal(folder)
    with h5py.File(file, "a") as opened:
        del opened["trial_0001"]
        opened["trial_0001"] = h5py.ExternalLink(str(outside), "trial_0000")
    assert "trial_0001: is a link to another file, which your script follows: copy" in refusal(folder)


def test_days_that_are_not_there(folder):
    message = refusal(folder, sessions=("t15.2023.08.12", DAYS[1], DAYS[1]))
    assert "or leave it out; did you mean 't15.2023.08.1" in message
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
