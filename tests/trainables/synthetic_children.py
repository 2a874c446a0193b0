"""Utterances of the right shape without sound: what the tests of whisper_child train on, and files for its loader."""

import json
from pathlib import Path

import numpy as np

from spaces.paths import with_values
from trainables.registry import model_named
from trainables.whisper_child.data import Corpus
from trainables.whisper_child.features import Features
from trainables.whisper_child.manifest import Utterance

AGES = ("3-4", "5-7", "8-11", "12+", "unknown")
WINDOW, BINS = 40, 80
TEXTS = ("a dog", "red", "big cat", "my shoe", "it is", "no")

BASE = {
    "model": {
        "pretrained": None,
        "random_init": {"d_model": 16, "layers": 1, "heads": 2, "ffn_dim": 32, "max_target_positions": 24},
        "gradient_checkpointing": False,
        "freeze_encoder_steps": 0,
        "dropout": 0.0,
    },
    "data": {
        "target_length": 0.4,
        "train_utterances": 20,
        "specaugment": False,
        "curriculum_learning": False,
        "time_mask_param": 10,
    },
    "training": {
        "num_epochs": 3,
        "max_epochs": 3,
        "batch_size": 6,
        "gradient_accumulation_steps": 1,
        "learning_rate": 3e-3,
        "warmup_steps": 3,
        "lr_scheduler_type": "linear",
        "early_stopping_patience": 0,
        "eval_steps": 2,
        "save_steps": 4,
    },
    "inference": {"max_length": 8},
}


def config(**values):
    """BASE with changes by dotted key."""
    return model_named("whisper_child").parse(
        with_values(BASE, {k.replace("__", "."): v for k, v in values.items()}), "c"
    )


def corpus(train=20, validation=6, seed=0):
    """Two children of each age, one of them held out; frames from 10 to 40."""
    rng = np.random.default_rng(seed)
    n = train + validation
    frames = rng.integers(10, WINDOW + 1, n)
    rows = np.minimum(frames + 2, WINDOW)
    utterances = tuple(
        Utterance(f"u{i:03d}", f"child {i % 5} {i >= train}", AGES[i % 5], TEXTS[i % len(TEXTS)], Path(f"u{i}.wav"))
        for i in range(n)
    )
    flat = rng.normal(size=(int(rows.sum()), BINS)).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(rows)])
    features = Features(flat, starts, frames, np.full(n, -1.5, np.float32), WINDOW)
    return Corpus(utterances, features, tuple(range(train)), tuple(range(train, n)), (), ())


def row(number, child="c0", age="5-7", text="a dog", **changes):
    """One line of a manifest."""
    whole = {
        "utterance_id": f"u{number}",
        "child_id": child,
        "session_id": "s",
        "audio_path": f"somewhere/u{number}.wav",
        "audio_duration_sec": 0.5,
        "age_bucket": age,
        "md5_hash": "",
        "filesize_bytes": 0,
        "orthographic_text": text,
    }
    return {**whole, **changes}


def write_manifest(path, rows):
    """A manifest of these rows."""
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path
