"""Batches of clips: the order of an epoch as a pure function of (seed, epoch), and the fixed batches of validation."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from trainables.seeding import permutation
from trainables.tts.data import Clip
from trainables.tts.mel import Mels

VALIDATION_FRAMES = 12_000  # of a validation batch, padding included; fixed, so that no knob changes rounding
POOL = 8  # batches whose clips are sorted by length together, so that little is padding


@dataclass(frozen=True)
class Batch:
    """Clips side by side, padded to the longest."""

    text: Tensor  # (B, N) symbols, 0 beyond the count
    text_counts: Tensor  # (B,)
    mel: Tensor  # (B, T, mel bins), 0 beyond the count
    mel_counts: Tensor  # (B,)

    def to(self, device: torch.device) -> "Batch":
        """The batch on `device`; from pinned memory, without waiting."""
        if device.type == "cpu":
            return self
        moved = (getattr(self, field.name).pin_memory() for field in fields(self))
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in moved))


@dataclass(frozen=True, eq=False)
class Split:
    """Clips of one kind, with their frames."""

    clips: Sequence[Clip]
    mels: Mels

    def __len__(self) -> int:
        return len(self.clips)

    def batch(self, index: Sequence[int]) -> Batch:
        """The batch of the clips at `index`."""
        symbols = [self.clips[i].symbols for i in index]
        frames = [self.mels.clip(i) for i in index]
        text_counts, mel_counts = [len(each) for each in symbols], [len(each) for each in frames]
        text = np.zeros((len(index), max(text_counts)), dtype=np.int64)
        mel = np.zeros((len(index), max(mel_counts), frames[0].shape[1]), dtype=np.float32)
        for row, (ids, rows) in enumerate(zip(symbols, frames, strict=True)):
            text[row, : len(ids)] = ids
            mel[row, : len(rows)] = rows
        return Batch(torch.from_numpy(text), torch.tensor(text_counts), torch.from_numpy(mel), torch.tensor(mel_counts))


def epoch_order(split: Split, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of an epoch: every clip once, those of like length together within pools of `POOL` batches."""
    shuffled = permutation(len(split), seed, "order", epoch).tolist()
    size = POOL * batch_size
    pools = [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
    ordered = [index for pool in pools for index in sorted(pool, key=lambda i: split.clips[i].frames)]
    batches = [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
    return [batches[i] for i in permutation(len(batches), seed, "batches", epoch)]


def validation_order(clips: Sequence[Clip]) -> list[list[int]]:
    """Every clip once, those of like length together. No knob decides."""
    batches: list[list[int]] = [[]]
    for index in sorted(range(len(clips)), key=lambda i: -clips[i].frames):  # stable: by length, then as they came
        if batches[-1] and (len(batches[-1]) + 1) * clips[batches[-1][0]].frames > VALIDATION_FRAMES:
            batches.append([])
        batches[-1].append(index)
    return batches
