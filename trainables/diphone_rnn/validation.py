"""Validation: every trial once, in batches that no knob changes, without noise."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from trainables.ahead import Ahead
from trainables.diphone_rnn.augment import smooth
from trainables.diphone_rnn.batches import Batch, alignable, ready, validation_batches
from trainables.diphone_rnn.config import Config
from trainables.diphone_rnn.data import IN_MEMORY, Corpus
from trainables.diphone_rnn.losses import ctc, log_probs
from trainables.diphone_rnn.metrics import DiphoneFrames, Heard, validation_metrics
from trainables.diphone_rnn.phonemes import N_PHONEMES, Labels
from trainables.diphone_rnn.trials import Trial


class Validation:
    """The validation trials of the days that the config validates on."""

    def __init__(
        self, config: Config, corpus: Corpus, taps: Tensor | None, device: torch.device, threads: int = 0
    ) -> None:
        """`taps`: the smoothing kernel, which belongs to the network's input. `threads` read ahead for a GPU."""
        self._network, self._taps, self._device = config.model, taps, device
        self._per_day, self._sessions = config.log_individual_day_val_PER, corpus.sessions
        trials = _validated(config, corpus)
        self._trials = validation_batches(trials)
        self._keep = sum(trial.n_bins * trial.channels * 4 for trial in trials) <= IN_MEMORY
        self._kept: dict[int, Batch] = {}
        self._ahead = Ahead(lambda number: ready(self._trials[number], self._network, device), threads, 2 * threads)

    def metrics(self, logits_of: Callable[[Batch], Tensor]) -> dict[str, float]:
        """All metrics of the network behind `logits_of`; both losses are reported whatever α mixes.

        The losses are means over the trials that CTC can align; the error rates are over all of them.
        """
        heard: list[Heard] = []
        losses: dict[str, list[float]] = {}
        for number, trials in enumerate(self._trials):
            batch = self._batch(number)
            logits = logits_of(batch)
            if not bool(torch.isfinite(logits).all()):
                return {"val_logits": math.nan}
            heard += self._decoded(trials, batch, logits, losses)
        found = validation_metrics(heard, self._per_day)
        return found | {key: math.fsum(values) / len(values) for key, values in losses.items() if values}

    def close(self) -> None:
        """End the threads."""
        self._ahead.close()

    def _batch(self, number: int) -> Batch:
        """A batch, smoothed, on the device."""
        if number in self._kept:
            return self._kept[number]
        batch = self._ahead.step(number, len(self._trials)).to(self._device)
        batch = replace(batch, features=smooth(batch.features, self._taps))
        if self._keep:
            self._kept[number] = batch
        return batch

    def _decoded(
        self, trials: list[Trial], batch: Batch, logits: Tensor, losses: dict[str, list[float]]
    ) -> list[Heard]:
        """What the logits of a batch say, frame by frame; the losses of its trials go into `losses`."""
        found, targets = log_probs(logits), batch.targets
        parts = {"val_loss_phoneme": ctc(found.phoneme, targets.phonemes, targets.frames, targets.phoneme_counts)}
        if found.diphone is not None:
            parts["val_loss_diphone"] = ctc(found.diphone, targets.diphones, targets.frames, targets.diphone_counts)
        for key, values in parts.items():
            kept = [x for trial, x in zip(trials, values.tolist(), strict=True) if alignable(trial, self._network)]
            losses.setdefault(key, []).extend(kept)
        phonemes = found.phoneme.argmax(-1)  # (B, T')
        diphones: list[DiphoneFrames | None] = [None] * len(trials)
        if found.diphone is not None:
            likeliest = _numpy(found.diphone.argmax(-1))  # (B, T')
            previous = _numpy(_before(found.diphone, phonemes))
            diphones = [DiphoneFrames(*pair) for pair in zip(likeliest, previous, strict=True)]
        told = zip(trials, _numpy(phonemes), diphones, targets.frames.tolist(), strict=True)
        return [
            Heard(
                self._sessions[trial.session],
                trial.phonemes,
                trial.diphones,
                row[:frames],
                None if both is None else DiphoneFrames(both.diphones[:frames], both.previous[:frames]),
            )
            for trial, row, both, frames in told
        ]


def _before(diphones: Tensor, phonemes: Tensor) -> Tensor:
    """The likeliest phoneme before each of `phonemes` (B, T'), given log-probabilities (B, T', 1681)."""
    by_previous = diphones.view(*diphones.shape[:-1], N_PHONEMES, N_PHONEMES)  # (B, T', previous, current)
    index = phonemes[..., None, None].expand(*by_previous.shape[:-1], 1)  # (B, T', previous, 1)
    return by_previous.gather(-1, index).squeeze(-1).argmax(-1)


def _numpy(labels: Tensor) -> Labels:
    return labels.cpu().numpy()


def _validated(config: Config, corpus: Corpus) -> list[Trial]:
    chances, sessions = config.dataset.dataset_probability_val, config.dataset.sessions
    if chances is None or sessions != corpus.sessions:  # simulated days are none of the config's
        return list(corpus.validation)
    return [trial for trial in corpus.validation if chances[trial.session] > 0]
