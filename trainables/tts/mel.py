"""Mel frames of sounds, kept on disk by content; and back to sound by Griffin–Lim.

ln max(mel, 1e-5) of the magnitude spectrum through triangles on Slaney's mel scale, as the LJSpeech systems have it
(Shen et al., Tacotron 2, 2018). Frames are centred, with reflected edges: T = 1 + samples // hop_length.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.cache import cached, content_key, sha256_of
from trainables.sounds import mel_filters
from trainables.tts import sound
from trainables.tts.data import Clip
from trainables.tts.sections import Dataset

Floats = NDArray[np.float32]
LOG = logging.getLogger("trainables.tts")

VERSION = 1  # raise it whenever the same sound gives other frames: it is part of the cache's key
FLOOR = 1e-5


@dataclass(frozen=True, eq=False)
class Mels:
    """Frames of clips, one clip after the other."""

    flat: Floats  # (all frames, mel bins)
    starts: NDArray[np.int64]  # (clips + 1,) the first row of each clip, and the end

    def clip(self, index: int) -> Floats:
        """The frames of a clip, (T, mel bins)."""
        return self.flat[self.starts[index] : self.starts[index + 1]]


def mels_of(clips: Sequence[Clip], config: Dataset) -> Mels:
    """The frames of `clips`, computed unless the cache has them. Raises BadInput for a file that can't be read."""
    key = content_key({"version": VERSION, "mel": _settings(config), "clips": [_content(clip) for clip in clips]})
    folder = cached("tts-mel", key, lambda place: _write(clips, config, place))
    return load(folder)


def load(folder: Path) -> Mels:
    """The frames that a cache entry holds, mapped: in memory once, however many processes of this machine read them."""
    flat = np.load(folder / "frames.npy", mmap_mode="r", allow_pickle=False)
    return Mels(flat, np.load(folder / "starts.npy", allow_pickle=False))


def _write(clips: Sequence[Clip], config: Dataset, place: Path) -> None:
    LOG.info("computing the mel frames of %d clips, once", len(clips))
    starts = np.cumsum([0, *(clip.frames for clip in clips)], dtype=np.int64)
    shape = (int(starts[-1]), config.n_mels)
    flat = np.lib.format.open_memmap(place / "frames.npy", mode="w+", dtype=np.float32, shape=shape)
    for clip, start in zip(clips, starts[:-1], strict=True):
        heard = torch.from_numpy(sound.read(clip.path, config.sample_rate))
        flat[start : start + clip.frames] = log_mel(heard, config)[: clip.frames].numpy()
    flat.flush()
    del flat
    np.save(place / "starts.npy", starts)


def log_mel(samples: Tensor, config: Dataset) -> Tensor:
    """The frames of a sound (samples,) in [−1, 1]: (T, mel bins), ln of the magnitude."""
    magnitude = _stft(samples, config).abs()  # (frequencies, T)
    return (_filters(config) @ magnitude).clamp(min=FLOOR).log().T.contiguous()


def griffin_lim(frames: Tensor, config: Dataset, rounds: int = 60, seed: int = 0) -> Tensor:
    """A sound (samples,) whose mel frames are near `frames` (T, mel bins): magnitudes by pseudo-inverse, phases by
    alternating projections. Source: Griffin & Lim, 1984; with the momentum of Perraudin et al., 2013.
    """
    inverse = torch.linalg.pinv(_filters(config))  # (frequencies, mel bins)
    magnitude = (inverse @ frames.exp().T).clamp(min=1e-8)  # (frequencies, T)
    generator = torch.Generator().manual_seed(seed)
    phase = torch.polar(torch.ones_like(magnitude), 2 * torch.pi * torch.rand(magnitude.shape, generator=generator))
    length = (frames.shape[0] - 1) * config.hop_length
    last = torch.zeros_like(phase)
    for _ in range(rounds):
        found = _stft(_istft(magnitude * phase, length, config), config)
        ahead = found + 0.99 * (found - last)
        last, phase = found, ahead / ahead.abs().clamp(min=1e-12)
    return _istft(magnitude * phase, length, config)


def _stft(samples: Tensor, config: Dataset) -> Tensor:
    window = torch.hann_window(config.win_length, dtype=samples.dtype)
    return torch.stft(
        samples, config.n_fft, config.hop_length, config.win_length, window, center=True, return_complex=True
    )


def _istft(spectrum: Tensor, length: int, config: Dataset) -> Tensor:
    window = torch.hann_window(config.win_length)
    return torch.istft(spectrum, config.n_fft, config.hop_length, config.win_length, window, length=length)


def _filters(config: Dataset) -> Tensor:
    filters = mel_filters(config.sample_rate, config.n_fft, config.n_mels, config.mel_fmin, config.mel_fmax)
    return torch.from_numpy(filters.astype(np.float32))


def _settings(config: Dataset) -> list[float]:
    return [
        config.sample_rate,
        config.n_fft,
        config.win_length,
        config.hop_length,
        config.n_mels,
        config.mel_fmin,
        config.mel_fmax,
    ]


def _content(clip: Clip) -> list[str | int]:
    return [sha256_of(clip.path), clip.frames]
