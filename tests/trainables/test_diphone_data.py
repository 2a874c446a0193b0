"""Reading days of trials: both layouts, the channels asked for, once per worker; and what can't be aligned."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from refusing import refusing
from synthetic_days import DAYS, attribute, change, config, get, make, prepared, refusal, replacing, setting
from synthetic_trials import CHANNELS

from spaces.problems import BadInput
from spaces.schema import parse
from trainables.diphone_rnn import data as data_module
from trainables.diphone_rnn import recordings as recordings_module
from trainables.diphone_rnn.config import Network
from trainables.diphone_rnn.data import Data, n_frames, prepare_data, summary
from trainables.diphone_rnn.model import DiphoneRnn
from trainables.diphone_rnn.phonemes import diphones_of
from trainables.diphone_rnn.trials import Trial


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / "t15")


def weights():
    return DiphoneRnn(config(), len(DAYS)).state_dict()


def channels(n):
    return {"model.n_input_features": n, "model.input_network.input_layer_sizes": [n], "dataset.neural_dim": n}


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
    held = get(folder)
    monkeypatch.setattr(data_module, "IN_MEMORY", 1000)
    lazy = get(folder)
    assert all(trial.held is not None for trial in held.train + held.validation)
    assert all(trial.held is None for trial in lazy.train + lazy.validation)
    for one, other in zip(held.train, lazy.train, strict=True):
        assert np.array_equal(one.features(), other.features())
        assert not one.features().flags.writeable and not other.features().flags.writeable
    assert held.train[0].features() is held.train[0].features()


def test_features_in_memory_are_one_file_that_processes_share(folder, monkeypatch, reads):
    first = get(folder)
    begun = dict(reads)
    recordings_module.in_memory.cache_clear()  # as another process begins
    again = get(folder)
    assert reads["features"] == begun["features"]  # from the cache, whole
    flat = {trial.held.base.filename for trial in again.train + again.validation}
    assert len(flat) == 1 and all(isinstance(trial.held, np.memmap) for trial in first.train)
    for one, other in zip(first.train + first.validation, again.train + again.validation, strict=True):
        in_the_file = replace(one, held=None).features()
        assert np.array_equal(one.features(), other.features()) and np.array_equal(one.features(), in_the_file)

    # Without a cache that can be written, each process has a copy.
    def full(*arguments):
        raise BadInput.of("cache", "no space")

    monkeypatch.setattr(recordings_module, "cached", full)
    recordings_module.in_memory.cache_clear()
    alone = get(folder)
    assert not any(isinstance(trial.held, np.memmap) for trial in alone.train)
    assert all(np.array_equal(a.features(), b.features()) for a, b in zip(alone.train, first.train, strict=True))
    recordings_module.in_memory.cache_clear()


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
    assert "which your script chooses its best checkpoint by; add a data_val.hdf5" in refusal(folder)


def test_the_test_split_is_not_read(folder):
    (folder / DAYS[0] / "data_test.hdf5").write_bytes(b"rubbish")
    assert len(get(folder).train) == 6


def test_bad_trials_are_left_out_unseen(folder):
    whole = prepared(folder).digest
    bad = {DAYS[0]: {"1": [51, 30]}, "another day": {"1": [150]}}
    corpus = get(folder, bad=bad)
    assert [trial.trial for trial in corpus.train] == [50, 52, 150, 151, 152]
    assert [trial.trial for trial in corpus.validation] == [31, 130, 131]
    assert "; 2 left out as bad_trials_dict says" in prepared(folder, bad=bad).summary
    assert prepared(folder, bad=bad).digest != whole
    change(folder, setting(np.nan))  # trial 51 of day 0, a reason to call it bad
    assert len(get(folder, bad=bad).train) == 5
    assert "bin 3, channel 4" in refusal(folder)


# Which channels


def test_a_subset_of_the_channels(folder):
    whole = get(folder)
    chosen = {**channels(2), "dataset.feature_subset": [4, 1]}
    part = get(folder, **chosen)
    assert part.channels == 2
    for one, other in zip(part.train + part.validation, whole.train + whole.validation, strict=True):
        assert one.features().shape == (one.n_bins, 2) and one.features().flags.c_contiguous
        assert np.array_equal(one.features(), other.features()[:, [4, 1]])
    digests = {prepared(folder).digest, prepared(folder, **chosen).digest}
    digests.add(prepared(folder, **{**chosen, "dataset.feature_subset": [1, 4]}).digest)
    assert len(digests) == 3
    assert prepared(folder, **chosen).summary.startswith("6 training and 4 validation trials of 2 days, 2 channels")


def test_values_outside_the_subset_do_not_matter_and_those_inside_are_named_as_in_the_file(folder):
    change(folder, setting(np.nan))
    assert len(get(folder, **channels(2), **{"dataset.feature_subset": [5, 3]}).train) == 6
    assert "trial_0001 input_features: bin 3, channel 4: expected a finite number" in refusal(
        folder, **channels(2), **{"dataset.feature_subset": [5, 4]}
    )


def test_channels_that_the_files_do_not_have(folder):
    found = refusal(folder, **channels(2), **{"dataset.feature_subset": [0, 6]})
    assert "input_features: holds 6 channels; the config's feature_subset names 6, counted from 0" in found


def test_simulated_days_have_the_channels_of_the_subset():
    spec = {"sentences": 4, "sessions": 1, "words_per_minute": 110}
    chosen = {**channels(3), "dataset.feature_subset": [0, 4, 2]}
    found = prepare_data(parse(Data, {"generate": spec}, "x"), config(sessions=None, **chosen))
    with h5py.File(found.path / "sim.2024.01.01" / "data_train.hdf5") as file:
        assert file["trial_0000"]["input_features"].shape[1] == 6
    spec["channels"] = 4
    with refusing("holds 4 channels; the config's feature_subset names 4"):
        prepare_data(parse(Data, {"generate": spec}, "x"), config(sessions=None, **chosen))


# What a worker reads once


@pytest.fixture
def reads(monkeypatch):
    """How often a file was scanned, and the features of a trial read, since the test began."""
    count = {"scans": 0, "features": 0}

    def counting(key, function):
        def counted(*arguments):
            count[key] += 1
            return function(*arguments)

        return counted

    monkeypatch.setattr(recordings_module, "trials_in", counting("scans", recordings_module.trials_in))
    monkeypatch.setattr(Trial, "_read", counting("features", Trial._read))
    return count


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_next_trial_of_a_search_reads_nothing_again(folder, reads, monkeypatch, tmp_path, in_memory):
    monkeypatch.setenv("SCHEDULE_SEARCH_CACHE", str(tmp_path / "cache"))  # nobody has read them before
    if not in_memory:
        monkeypatch.setattr(data_module, "IN_MEMORY", 0)
    first, corpus = prepared(folder), get(folder)
    assert reads == {"scans": 4, "features": 20 if in_memory else 10}  # once to look at every value, once to hold it
    for knobs in ({"patch": 12}, {"stride": 3}, {"cut": 3}, {"lr_max": 0.1}):
        assert prepared(folder, **knobs).digest == first.digest
        assert len(get(folder, **knobs).train) == len(corpus.train)
    assert reads == {"scans": 4, "features": 20 if in_memory else 10}


def test_what_has_changed_is_read_again(folder, reads):
    first = prepared(folder)
    change(folder, setting(7.0))
    second, corpus = prepared(folder), get(folder)
    assert reads["scans"] == 8 and second.digest != first.digest
    assert corpus.train[1].features()[3, 4] == 7.0
    (folder / DAYS[1] / "data_val.hdf5").unlink()
    assert len(get(folder).validation) == 2
    change(folder, setting(np.nan))
    for _ in range(2):  # a refusal is not forgotten
        with refusing("bin 3, channel 4"):
            prepared(folder)


# What can't be aligned


@pytest.mark.parametrize(
    ("bins", "patch", "stride", "frames"),
    [(14, 14, 4, 1), (13, 14, 4, 0), (17, 14, 4, 1), (18, 14, 4, 2), (500, 14, 4, 122)],
)
def test_frames(bins, patch, stride, frames):
    assert n_frames(bins, Network(patch_size=patch, patch_stride=stride)) == frames


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
    assert prepared(folder, patch=10).digest == prepared(folder).digest  # the digest is of the data, not of the config


def test_a_cut_of_the_augmentation_counts(folder):
    change(folder, attribute("n_time_steps", 64))
    assert not get(folder, cut=2).dropped
    assert len(get(folder, cut=3).dropped) == 1


def test_validation_never_depends_on_the_patches(folder):
    change(folder, attribute("n_time_steps", 30), split="val")
    corpus = get(folder)
    assert len(corpus.validation) == 4
    assert [item.needed for item in corpus.unaligned] == [13]
    assert "1 kept for validation which CTC can't align" in summary(corpus)
    assert "holds 30 bins; one patch takes patch_size = 31" in refusal(folder, patch=31)


# What is prepared


def test_prepare_checks_a_users_folder_in_place(folder):
    found = prepared(folder)
    assert found.path == folder
    change(folder, attribute("trial_num", 7))
    assert prepared(folder).digest != found.digest
    assert prepared(folder, sessions=DAYS[:1]).digest != prepared(folder).digest


def test_a_checkpoint_to_start_from_belongs_to_the_digest(folder, tmp_path):
    plain, path = prepared(folder), tmp_path / "start.pt"
    start = {"init_from_checkpoint": True, "init_checkpoint_path": str(path)}
    with refusing(r"^init_checkpoint_path: .*start\.pt: no such file"):
        prepared(folder, **start)
    torch.save({"model_state_dict": {"h0": torch.zeros(2)}}, path)
    with refusing(r"start\.pt: .*is missing; .*: set the sizes"):
        prepared(folder, **start)
    torch.save({"model_state_dict": weights()}, path)
    first = prepared(folder, **start)
    assert first.digest != plain.digest and "; starts from start.pt (" in first.summary
    assert prepared(folder, **{**start, "init_from_checkpoint": False}) == plain
    path.rename(tmp_path / "moved.pt")
    assert prepared(folder, **{**start, "init_checkpoint_path": str(tmp_path / "moved.pt")}).digest == first.digest
    torch.save({"model_state_dict": {**weights(), "h0": torch.ones_like(weights()["h0"])}}, path)
    assert prepared(folder, **start).digest != first.digest
