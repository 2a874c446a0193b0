"""Speaking freely: each frame from the network's own frames before it, until it says stop."""

from typing import NamedTuple

import torch
from torch import Tensor

from trainables.tts.model import Tts


class Speech(NamedTuple):
    """What the network says to a text."""

    mel: Tensor  # (T, mel bins)
    attention: Tensor  # (T, N)
    stopped: bool
    """Whether it said stop itself, rather than having reached the longest it may speak."""


@torch.no_grad()
def speak(network: Tts, symbols: tuple[int, ...], longest: int, device: torch.device) -> Speech:
    """Speak `symbols`, at most `longest` frames. The network is in evaluation mode; the latent is the prior's mean."""
    text = torch.tensor([symbols], device=device)
    memory, mask, _ = network.read(text, torch.tensor([len(symbols)], device=device))
    kept = network.remembered(memory)
    previous = torch.zeros(1, 1, len(network.mel_mean), device=device)
    past: list[tuple[Tensor, Tensor]] | None = None
    frames: list[Tensor] = []
    attended: list[Tensor] = []
    for at in range(longest):
        frame, stop, weights, past = network.next_frame(previous, at, kept, mask, past)
        frames.append(frame[0])
        attended.append(weights[0])
        if float(stop) > 0:
            return Speech(torch.cat(frames), torch.cat(attended), stopped=True)
        previous = network.normalised(frame)
    return Speech(torch.cat(frames), torch.cat(attended), stopped=False)
