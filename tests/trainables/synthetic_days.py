"""A small folder of days in the layouts of the T15 data, and changes to it, for tests of diphone_rnn."""

import os

import h5py
import numpy as np
from refusing import refusing
from synthetic_trials import BASE, CHANNELS

from spaces.paths import with_values
from trainables.diphone_rnn.data import Data, prepare_data, read
from trainables.diphone_rnn.phonemes import diphones_of
from trainables.registry import model_named

DAYS = ("t15.2023.08.11", "t15.2023.08.13")


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


def config(sessions=DAYS, patch=14, stride=4, cut=0, bad=None, **values):
    chosen = {
        "dataset.sessions": None if sessions is None else list(sessions),
        "dataset.bad_trials_dict": bad,
        "dataset.data_transforms.random_cut": cut,
        "model.patch_size": patch,
        "model.patch_stride": stride,
    }
    return model_named("diphone_rnn").parse(with_values(BASE, {**chosen, **values}), "c")


def get(folder, **values):
    return read(folder, config(**values))


def refusal(folder, **values):
    with refusing() as caught:
        get(folder, **values)
    return str(caught.value)


def prepared(folder, **values):
    return prepare_data(Data(dataset_dir=str(folder)), config(**values))


def change(folder, what, day=0, split="train", trial="trial_0001"):
    """Apply `what` to one group. The time of change is set, as a test may be faster than a file system's clock."""
    path = folder / DAYS[day] / f"data_{split}.hdf5"
    before = path.stat().st_mtime_ns
    with h5py.File(path, "r+") as file:
        what(file[trial])
    os.utime(path, ns=(before + 10**9, before + 10**9))
    return folder


def replacing(key, value):
    def what(group):
        del group[key]
        group[key] = value

    return what


def attribute(key, value):
    return lambda group: group.attrs.__setitem__(key, value)


def setting(value):
    """One value of the features."""

    def what(group):
        group["input_features"][3, 4] = value

    return what
