"""The clips of a folder with their frames, read once per worker."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainables.tts.batches import Split
from trainables.tts.data import read
from trainables.tts.mel import Mels, mels_of
from trainables.tts.sections import Dataset


@dataclass(frozen=True, eq=False)
class Loaded:
    """Clips to train and to validate on, and what the training frames are like."""

    train: Split
    validation: Split
    mel_mean: Tensor  # (mel bins,) of the training frames
    mel_scale: Tensor  # (): standard deviation of the training frames around that mean


@lru_cache(maxsize=2)
def _loaded(path: Path, config: str, digest: str) -> Loaded:
    """A worker trains one trial after another on the same clips."""
    assert digest, "the digest is there so that changed data is read again"
    dataset = Dataset.model_validate_json(config)
    corpus = read(path, dataset)
    train, validation = (Split(clips, mels_of(clips, dataset)) for clips in (corpus.train, corpus.validation))
    mean, scale = _statistics(train.mels)
    return Loaded(train, validation, mean, scale)


def load(path: Path, config: Dataset, digest: str) -> Loaded:
    """The clips of the folder `path` as `config` has them. Raises BadInput."""
    free = {"batch_size": 1, "train_clips": 1, "mcd_sentences": 0}  # say nothing about the clips
    return _loaded(path, config.model_copy(update=free).model_dump_json(), digest)


def _statistics(mels: Mels) -> tuple[Tensor, Tensor]:
    """Mean frame and scale, in double precision, by parts: the frames may lie in a file."""
    count, total, square = 0, np.zeros(mels.flat.shape[1]), np.zeros(mels.flat.shape[1])
    for start in range(0, len(mels.flat), 100_000):
        part = np.asarray(mels.flat[start : start + 100_000], dtype=np.float64)
        count, total, square = count + len(part), total + part.sum(axis=0), square + (part**2).sum(axis=0)
    mean = total / count
    scale = np.sqrt(max((square / count - mean**2).mean(), 1e-6))
    return torch.from_numpy(mean.astype(np.float32)), torch.tensor(float(scale), dtype=torch.float32)
