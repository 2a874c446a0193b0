"""Which utterances a training step takes and in what order, side by side for the network, and read ahead for a GPU."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from trainables.seeding import derive, permutation
from trainables.whisper_child.ages import in_order
from trainables.whisper_child.augment import mask
from trainables.whisper_child.config import Config
from trainables.whisper_child.data import Corpus
from trainables.whisper_child.schedule import curriculum, step_knobs
from trainables.whisper_child.tokens import Labels

IGNORED = -100  # the label that the loss leaves out


@dataclass(frozen=True)
class Batch:
    """Utterances side by side."""

    features: Tensor  # (B, mel bins, frames) float32
    labels: Tensor  # (B, L), padded with IGNORED
    indices: tuple[int, ...]  # of the utterances

    def to(self, device: torch.device) -> "Batch":
        """The batch on `device`; from pinned memory, without waiting."""
        if device.type == "cpu":
            return self
        features, labels = (x.to(device, non_blocking=True) for x in (self.features, self.labels))
        return Batch(features, labels, self.indices)

    def pin(self) -> "Batch":
        """The batch in page-locked memory, from where it travels to a GPU while that computes."""
        return Batch(self.features.pin_memory(), self.labels.pin_memory(), self.indices)


class Sampling:
    """The order of the training utterances: a pure function of (seed, epoch)."""

    def __init__(self, config: Config, corpus: Corpus, seed: int) -> None:
        self._config, self._seed = config, seed
        self._train = corpus.train
        ranks = {age: rank for rank, age in enumerate(in_order([corpus.utterances[i].age for i in corpus.train]))}
        self._ranks = np.array([ranks[corpus.utterances[i].age] for i in corpus.train])
        self._kept: tuple[int, list[int]] = (-1, [])

    def order(self, epoch: int) -> list[int]:
        """Every training utterance once: shuffled; while the curriculum lasts, the youngest first, shuffled within a
        bucket."""
        if self._kept[0] != epoch:
            shuffled = permutation(len(self._train), self._seed, "order", epoch)
            if curriculum(self._config).active(epoch):
                shuffled = shuffled[np.argsort(self._ranks[shuffled], kind="stable")]
            self._kept = epoch, [self._train[int(i)] for i in shuffled]
        return self._kept[1]

    def step(self, step: int) -> list[list[int]]:
        """The utterances of optimizer step `step`, by batch; fewer in the last of an epoch."""
        training = self._config.training
        epoch, within = divmod(step, self._config.steps_per_epoch)
        order, size = self.order(epoch), training.batch_size
        first = within * training.gradient_accumulation_steps
        last = min(first + training.gradient_accumulation_steps, self._config.batches_per_epoch)
        return [order[size * number : size * (number + 1)] for number in range(first, last)]


def collate(corpus: Corpus, labels: Sequence[Labels], indices: Sequence[int]) -> Batch:
    """The batch of these utterances, as they were recorded."""
    features = np.stack([corpus.features.clip(index) for index in indices])  # (B, mel bins, frames)
    rows = [torch.from_numpy(labels[index]) for index in indices]
    padded = pad_sequence(rows, batch_first=True, padding_value=IGNORED)
    return Batch(torch.from_numpy(features), padded, tuple(indices))


def training_batches(
    config: Config, corpus: Corpus, labels: Sequence[Labels], sampling: Sampling, seed: int, step: int
) -> list[Batch]:
    """What optimizer step `step` trains on; its masks follow from (seed, step)."""
    now = step_knobs(config, step)
    batches = []
    for number, indices in enumerate(sampling.step(step)):
        batch = collate(corpus, labels, indices)
        if now["freq_mask_count"] or now["time_mask_count"]:
            rng = np.random.default_rng(derive(seed, "specaugment", step, number))
            mask(batch.features.numpy(), [int(corpus.features.frames[index]) for index in indices], now, rng)
        batches.append(batch)
    return batches
