"""Validation: every clip once, in batches that no knob changes, without dropout, smoothing or a drawn latent."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.tts.batches import Batch, Split, validation_order
from trainables.tts.losses import PARTS, frame_mask, losses, off_diagonal
from trainables.tts.metrics import OBJECTIVE, f1, mcd_dtw
from trainables.tts.model import Spoken, Tts
from trainables.tts.synthesis import speak

BAND = 0.15  # of the length: attention within it counts as diagonal
LONGEST = 1.5  # free speech ends at so many times the reference's length


@dataclass(frozen=True)
class Validated:
    """What one pass over the validation clips gives."""

    metrics: Mapping[str, float]
    """Without any knob in them."""
    loss: float
    """The weighted loss under the knobs in force: what the training minimises, on these clips."""


class Validation:
    """The validation clips on the device, and the network's way with them."""

    def __init__(
        self, split: Split, device: torch.device, autocast: Callable[[], AbstractContextManager[object]], mcd: int
    ) -> None:
        """`mcd`: clips that are spoken freely, the first ones."""
        self.split, self._device, self._autocast, self._mcd = split, device, autocast, mcd
        self._order = validation_order(split.clips)
        self._kept: list[Batch] | None = None

    @torch.no_grad()
    def run(self, network: Tts, now: Mapping[str, float], weights: Mapping[str, float]) -> Validated:
        """One pass. `now` and `weights` go into the loss alone."""
        network.eval()
        sums: list[Tensor] = []
        parts: list[tuple[int, Tensor]] = []
        for batch in self._batches():
            with self._autocast():
                spoken = network(batch.text, batch.text_counts, batch.mel, batch.mel_counts, sample=False)
            sums.append(_counted(spoken, batch, network.mel_mean))
            found = losses(spoken, batch.mel, batch.mel_counts, batch.text_counts, network.mel_mean, now, weights)
            parts.append((len(batch.text), found.total))
        loss = math.fsum(count * float(total) for count, total in parts) / sum(count for count, _ in parts)
        return Validated(_metrics(sums), loss)

    def distortion(self, network: Tts) -> dict[str, float]:
        """MCD in dB and the share that stop by themselves, over the few clips that are spoken freely."""
        network.eval()
        found = []
        stopped = 0
        clips = range(min(self._mcd, len(self.split)))
        for index in clips:
            reference = self.split.mels.clip(index)
            longest = math.ceil(LONGEST * len(reference))
            speech = speak(network, self.split.clips[index].symbols, longest, self._device)
            found.append(mcd_dtw(speech.mel.cpu().numpy(), reference))
            stopped += speech.stopped
        if not found:
            return {}
        return {"val_mcd_db": math.fsum(found) / len(found), "val_stopped": stopped / len(found)}

    def trivial_error(self, mean_frame: Tensor) -> float:
        """The mean absolute error over frames and bins of predicting `mean_frame` (bins,) everywhere."""
        wrong, values = 0.0, 0
        for batch in self._batches():
            real = frame_mask(batch.mel_counts, batch.mel.shape[1]).unsqueeze(-1)  # (B, T, 1)
            wrong += float(((mean_frame - batch.mel).abs() * real).double().sum())
            values += int(real.sum()) * batch.mel.shape[2]
        return wrong / values

    def _batches(self) -> list[Batch]:
        if self._kept is None:
            self._kept = [self.split.batch(index).to(self._device) for index in self._order]
        return self._kept


def _counted(spoken: Spoken, batch: Batch, mean_frame: Tensor) -> Tensor:
    """The sums of a batch that metrics are made of, on the device until they are asked for."""
    real = frame_mask(batch.mel_counts, batch.mel.shape[1])  # (B, T)
    values = real.unsqueeze(-1)
    last = torch.arange(real.shape[1], device=real.device) == (batch.mel_counts - 1).unsqueeze(1)
    said = (spoken.stop > 0) & real
    place, _ = off_diagonal(spoken.attention, batch.text_counts, batch.mel_counts)
    near = (spoken.attention * (place.abs() <= BAND)).sum(dim=2)
    sums = [
        real.sum() * batch.mel.shape[2],
        ((spoken.mel - batch.mel).abs() * values).double().sum(),
        ((mean_frame - batch.mel).abs() * values).double().sum(),
        real.sum(),
        (near * real).double().sum(),
        (said & last).sum(),
        said.sum(),
        last.sum(),
    ]
    return torch.stack(sums).double()


def _metrics(rows: list[Tensor]) -> dict[str, float]:
    """The metrics of all batches together."""
    values, wrong, plain, frames, near, hits, said, true = torch.stack(rows).sum(dim=0).tolist()
    return {
        OBJECTIVE.metric: wrong / values,
        "mean_frame_mae": plain / values,
        "val_stop_f1": f1(int(hits), int(said), int(true)),
        "val_attention_diagonal": near / frames,
    }


assert PARTS[0] == "mel"
