"""Batches of trials: which ones a training step takes, the fixed ones of validation, and reading ahead for a GPU."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from spaces.problems import BadInput
from trainables.diphone_rnn.config import Config, Network
from trainables.diphone_rnn.data import Corpus, n_frames
from trainables.diphone_rnn.losses import Targets
from trainables.diphone_rnn.phonemes import needed_frames
from trainables.diphone_rnn.trials import Trial
from trainables.seeding import derive

VALIDATION_BINS = 40_000  # bins of a validation batch, padding included; fixed, so that no knob changes rounding


@dataclass(frozen=True)
class Batch:
    """Trials side by side, padded with zeros to the longest."""

    features: Tensor  # (B, T, C) float32
    day: Tensor  # (B,)
    bins: Tensor  # (B,); stays on the CPU, like all counts
    targets: Targets

    def to(self, device: torch.device) -> "Batch":
        """What the network computes on, on `device`; from pinned memory, without waiting."""
        if device.type == "cpu":
            return self
        return self._moved(lambda x: x.to(device, non_blocking=True))

    def pin(self) -> "Batch":
        """The batch in page-locked memory, from where it travels to a GPU while that computes."""
        return self._moved(Tensor.pin_memory)

    def _moved(self, move: Callable[[Tensor], Tensor]) -> "Batch":
        labels = {"phonemes": move(self.targets.phonemes), "diphones": move(self.targets.diphones)}
        return Batch(move(self.features), move(self.day), self.bins, self.targets._replace(**labels))

    def without_start(self, cut: int, network: Network) -> "Batch":
        """The batch without the first `cut` bins of every trial."""
        bins = self.bins - cut
        frames = torch.tensor([n_frames(int(n), network) for n in bins])
        return Batch(self.features[:, cut:], self.day, bins, self.targets._replace(frames=frames))


def collate(trials: Sequence[Trial], network: Network) -> Batch:
    """The batch of `trials`."""
    longest = max(network.patch_size, *(trial.n_bins for trial in trials))
    features = torch.zeros(len(trials), longest, trials[0].channels)  # (B, T, C)
    for row, trial in zip(features.numpy(), trials, strict=True):
        row[: trial.n_bins] = trial.features()
    bins = torch.tensor([trial.n_bins for trial in trials])
    frames = torch.tensor([n_frames(trial.n_bins, network) for trial in trials])
    phonemes, diphones = _padded([t.phonemes for t in trials]), _padded([t.diphones for t in trials])
    return Batch(features, torch.tensor([t.session for t in trials]), bins, Targets(frames, *phonemes, *diphones))


def ready(trials: Sequence[Trial], network: Network, device: torch.device) -> Batch:
    """The batch of `trials` on the CPU, from where it travels to `device` fastest."""
    batch = collate(trials, network)
    return batch.pin() if device.type == "cuda" else batch


def _padded(labels: Sequence[np.ndarray[tuple[int], np.dtype[np.int64]]]) -> tuple[Tensor, Tensor]:
    """Labels (B, N), 0 beyond the counts (B,)."""
    rows = pad_sequence([torch.tensor(each) for each in labels], batch_first=True)
    return rows, torch.tensor([len(each) for each in labels])


class Sampling:
    """Which training trials a step takes: a pure function of (seed, step)."""

    def __init__(self, config: Config, corpus: Corpus, seed: int) -> None:
        """Raises BadInput for a day in `must_include_days` that there isn't."""
        self._size, self._seed = config.dataset.batch_size, seed
        self._trials: list[list[Trial]] = [[] for _ in corpus.sessions]
        for trial in corpus.train:
            self._trials[trial.session].append(trial)
        self._must = tuple(dict.fromkeys(config.dataset.must_include_days or ()))
        for day in self._must:
            if day >= len(corpus.sessions):
                what = f"{day} is no day, and your script ends there: name others, from 0 to {len(corpus.sessions) - 1}"
                raise BadInput.of("dataset.must_include_days", what)
        self._others = [day for day in range(len(corpus.sessions)) if day not in self._must]
        self._days = min(config.dataset.days_per_batch, len(corpus.sessions), self._size)

    def trials(self, step: int) -> list[Trial]:
        """batch_size trials: of random days, the same number of each (as far as that goes), with replacement."""
        rng = np.random.default_rng(derive(self._seed, "batch", step))
        drawn = rng.choice(self._others, self._days - len(self._must), replace=False) if self._others else ()
        days = [*self._must, *(int(day) for day in drawn)]
        counts = [self._size // len(days) + (i < self._size % len(days)) for i in range(len(days))]
        return [
            self._trials[day][index]
            for day, count in zip(days, counts, strict=True)
            for index in rng.integers(len(self._trials[day]), size=count)
        ]


def validation_batches(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Every trial once, those of like length together, so that little is padding. No knob decides."""
    batches: list[list[Trial]] = [[]]
    for trial in sorted(trials, key=lambda trial: -trial.n_bins):  # a stable sort: by length, then as they came
        if batches[-1] and (len(batches[-1]) + 1) * batches[-1][0].n_bins > VALIDATION_BINS:
            batches.append([])
        batches[-1].append(trial)
    return batches


def alignable(trial: Trial, network: Network) -> bool:
    """Whether CTC can align the trial's diphones: else its loss is infinite."""
    return n_frames(trial.n_bins, network) >= needed_frames(trial.diphones)
