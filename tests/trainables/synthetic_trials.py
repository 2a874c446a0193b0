"""Small made-up days of speech for tests of diphone_rnn: each phoneme is a pattern of channels, plus noise."""

from pathlib import Path

import numpy as np

from spaces.paths import with_values
from trainables.diphone_rnn.data import Corpus
from trainables.diphone_rnn.phonemes import diphones_of
from trainables.diphone_rnn.run import DiphoneRun
from trainables.diphone_rnn.trials import Trial
from trainables.registry import model_named

CHANNELS = 6
BASE = {
    "model": {
        "n_input_features": CHANNELS,
        "n_units": 12,
        "n_layers": 2,
        "rnn_dropout": 0.2,
        "input_network": {"input_layer_sizes": [CHANNELS]},
    },
    "num_training_batches": 40,
    "use_composite_loss": True,
    "use_alpha_schedule": True,
    "composite_loss_alpha": 0.6,
    "early_stopping": False,
    "lr_warmup_steps": 4,
    "lr_decay_steps": 40,
    "lr_warmup_steps_day": 2,
    "lr_decay_steps_day": 30,
    "alpha_schedule_step_interval": 3,
    "dataset": {"neural_dim": CHANNELS, "batch_size": 6, "days_per_batch": 2},
}


def trial(day, number, rng, labels=None, bins=None, channels=CHANNELS):
    phonemes = np.asarray(rng.integers(1, 8, rng.integers(3, 7)) if labels is None else labels, dtype=np.int64)
    bins = 30 * len(phonemes) + int(rng.integers(20, 60)) if bins is None else bins
    patterns = np.random.default_rng(0).normal(0, 2, (41, channels))
    said = phonemes[np.minimum(np.arange(bins) // 30, len(phonemes) - 1)]  # (T,)
    features = (patterns[said] + rng.normal(0, 0.5, (bins, channels))).astype(np.float32)
    features.setflags(write=False)
    place = Path(f"day{day}/data_train.hdf5")
    group = f"trial_{number:04d}"
    return Trial(day, place, group, bins, channels, phonemes, diphones_of(phonemes), "", 1, number, features)


def corpus(days=3, train=5, validation=3, seed=0):
    rng = np.random.default_rng(seed)
    make = [[trial(day, n, rng) for day in range(days) for n in range(count)] for count in (train, validation)]
    sessions = tuple(f"day{day}" for day in range(days))
    return Corpus(sessions, CHANNELS, train=tuple(make[0]), validation=tuple(make[1]))


CORPUS = corpus()


def config(**values):
    return model_named("diphone_rnn").parse(with_values(BASE, values), "c")


def run(seed=0, data=CORPUS, **values):
    return DiphoneRun(config(**values), data, seed)
