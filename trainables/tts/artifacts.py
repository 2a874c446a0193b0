"""What people listen to and look at: sentences spoken freely, as sound and pictures."""

import math
from pathlib import Path

import torch

from trainables.tts import sound
from trainables.tts.batches import Split
from trainables.tts.mel import griffin_lim
from trainables.tts.model import Tts
from trainables.tts.sections import Dataset
from trainables.tts.synthesis import Speech, speak
from trainables.tts.validation import LONGEST

SENTENCES = 3
"""Validation clips that are spoken: the first ones."""


def write_artifacts(network: Tts, split: Split, data: Dataset, folder: Path, sentences: int = SENTENCES) -> None:
    """Speak the first clips of `split` freely, and write for each `ID.wav` (Griffin–Lim), `ID.reference.wav` (the true
    frames through Griffin–Lim: what the frames themselves cost) and `ID.png` (both mels and the attention).
    """
    device = network.mel_mean.device
    for index in range(min(sentences, len(split))):
        clip, reference = split.clips[index], torch.from_numpy(split.mels.clip(index).copy())
        speech = speak(network, clip.symbols, math.ceil(LONGEST * len(reference)), device)
        heard = ((f"{clip.id}.wav", speech.mel.cpu()), (f"{clip.id}.reference.wav", reference))
        for name, frames in heard:
            sound.write(folder / name, griffin_lim(frames, data).numpy(), data.sample_rate)
        _draw(folder / f"{clip.id}.png", clip.id, speech, reference, data)


def _draw(path: Path, name: str, speech: Speech, reference: torch.Tensor, data: Dataset) -> None:
    from matplotlib.figure import Figure  # lazy: slow to import, and only pictures need it

    seconds = data.hop_length / data.sample_rate
    mel = speech.mel.cpu()
    figure = Figure(figsize=(9, 8), layout="constrained")
    axes = figure.subplots(3, 1)
    low, high = float(reference.min()), float(reference.max())
    for axis, frames, title in ((axes[0], reference, "true"), (axes[1], mel, "spoken freely")):
        extent = (0.0, len(frames) * seconds, 0.0, float(frames.shape[1]))
        axis.imshow(frames.T.numpy(), origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high)
        axis.set(title=f"{name}, {title}", xlabel="time (s)", ylabel="mel bin")
    attention = speech.attention.cpu()
    extent = (0.0, len(attention) * seconds, 0.0, float(attention.shape[1]))
    axes[2].imshow(attention.T.numpy(), origin="lower", aspect="auto", extent=extent)
    axes[2].set(
        title="attention" if speech.stopped else "attention; it did not stop", xlabel="time (s)", ylabel="symbol"
    )
    figure.savefig(path, dpi=80)
