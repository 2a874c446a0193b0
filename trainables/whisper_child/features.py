"""Log-mel features as Whisper takes them, computed once per clip and kept on disk by content. No torch.

Source: Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, 2022, section 2.2; the numbers are
those of Hugging Face's WhisperFeatureExtractor (tested). Frames are kept in the clip's own length; the rest of the
window is one value, which is what silence comes to.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.cache import cached, content_key, sha256_of
from trainables.sounds import mel_filters
from trainables.whisper_child import audio

Floats = NDArray[np.float32]

VERSION = 1  # raise it whenever the same clip gives other numbers: it is part of the cache's key
N_FFT, HOP = 400, 160  # samples at 16 kHz: windows of 25 ms, every 10 ms
TOP_HZ = 8000.0
RANGE = 8.0  # decades below the clip's loudest bin where its floor lies
QUIETEST = 1e-10


@dataclass(frozen=True, eq=False)
class Features:
    """Log-mel frames of n clips, one after the other."""

    flat: Floats  # (all frames, mel bins), read from disk where it is needed
    starts: NDArray[np.int64]  # (n + 1,) the first row of each clip, and the end
    frames: NDArray[np.int64]  # (n,) frames that hold sound: at most the rows, which reach a window's width further
    floor: Floats  # (n,) the value beyond the rows
    window: int
    """Frames of the encoder's window."""

    def clip(self, index: int) -> Floats:
        """The window of a clip, (mel bins, window), as the encoder takes it."""
        rows = self.flat[self.starts[index] : self.starts[index + 1]]
        whole = np.full((self.flat.shape[1], self.window), self.floor[index], dtype=np.float32)
        whole[:, : len(rows)] = rows.T
        return whole


@cache
def _filters(bins: int, rate: int) -> NDArray[np.float64]:
    """The mel bins as a matrix (201 frequencies, bins)."""
    return np.ascontiguousarray(mel_filters(rate, N_FFT, bins, 0.0, TOP_HZ).T)


def log_mel(sound: audio.Sound, bins: int, window: int, rate: int = 16000) -> tuple[Floats, int, float]:
    """(rows (n, bins), frames that hold sound, value beyond the rows) of a clip of at most `window` frames.

    The sound is padded with zeros to the window and mirrored by half an FFT at both ends; power in mel bins, log10,
    no more than 8 decades below the clip's maximum, then (x + 4)/4.
    """
    frames = min(window, -(-len(sound) // HOP))
    rows = min(window, frames + N_FFT // HOP)  # those that any sound reaches
    padded = np.zeros(window * HOP, dtype=np.float64)
    padded[: len(sound)] = sound[: window * HOP]
    padded = np.pad(padded, N_FFT // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][:rows]  # (rows, 400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    power = np.abs(np.fft.rfft(windows * hann, axis=1)) ** 2  # (rows, 201)
    decades = np.log10(np.maximum(power @ _filters(bins, rate), QUIETEST))  # (rows, bins)
    least = decades.max() - RANGE
    beyond = max(float(np.log10(QUIETEST)), float(least))
    scaled = (np.maximum(decades, least) + 4.0) / 4.0
    return scaled.astype(np.float32), frames, (beyond + 4.0) / 4.0


def features_of(paths: Sequence[Path], rate: int, seconds: float, bins: int, window: int, normalize: bool) -> Features:
    """The features of these files, from the cache if it has exactly them. Raises BadInput for a file that can't be
    read."""
    spec = {
        "version": VERSION,
        "audio": [sha256_of(path) for path in paths],
        "rate": rate,
        "seconds": seconds,
        "bins": bins,
        "normalize": normalize,
    }

    def build(folder: Path) -> None:
        _write(folder, (log_mel(audio.read(path, rate, seconds, normalize), bins, window, rate) for path in paths))

    return _load(cached("whisper_child_features", content_key(spec), build), bins, window)


def _write(folder: Path, clips: Iterable[tuple[Floats, int, float]]) -> None:
    """Write clips as they come: a long manifest's features need not fit into memory."""
    index: dict[str, list[float]] = {"rows": [], "frames": [], "floor": []}
    with (folder / "flat.f32").open("wb") as file:
        for rows, frames, floor in clips:
            file.write(np.ascontiguousarray(rows, dtype="<f4").tobytes())
            for key, value in (("rows", len(rows)), ("frames", frames), ("floor", floor)):
                index[key].append(value)
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _load(folder: Path, bins: int, window: int) -> Features:
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    starts = np.concatenate([[0], np.cumsum(index["rows"])]).astype(np.int64)
    flat = np.memmap(folder / "flat.f32", dtype="<f4", mode="r", shape=(int(starts[-1]), bins))
    return Features(flat, starts, np.array(index["frames"], np.int64), np.array(index["floor"], np.float32), window)
