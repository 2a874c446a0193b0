"""A training step of tts against the same network in a bare torch loop, and how fast the mel cache is read.

    .venv/bin/python benchmarks/tts_step.py            (with a GPU: also steps per second at size small, in bfloat16)

Both train on the same made-up batches in one process, an epoch each in turn; shown are medians over the rounds and the
median of the ratios. The bare loop has the same losses, written down as one would in a notebook. The bars are 1.15× and
50 MB/s. The cache is read as a new worker reads it: its files' hashes are verified first, then the frames are copied.
"""

import argparse
import os
import statistics
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.turns import in_turns, ratio, timed
from trainables import cache
from trainables.tts import mel
from trainables.tts.batches import Batch, Split, epoch_order
from trainables.tts.config import Config, Training
from trainables.tts.corpus import Loaded
from trainables.tts.data import Clip
from trainables.tts.mel import Mels
from trainables.tts.model import Tts
from trainables.tts.run import TtsRun
from trainables.tts.schedule import knobs
from trainables.tts.sections import Dataset, Network

SIZES = {"demo": (Network(size="demo"), 8, 48, 120), "wider": (Network(size="demo", decoder_dim=192), 8, 24, 240)}
"""Name → network, batch size, clips, frames of a clip."""


def made_up(clips: int, frames: int, letters: int = 25) -> Loaded:
    """Clips of the right shape; what they hold does not matter for the time."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(frames * 3 // 4, frames * 5 // 4, clips)
    rows = [Clip(f"c{n}", tuple(rng.integers(2, 30, letters)), Path(), 22050, int(t)) for n, t in enumerate(lengths)]
    starts = np.cumsum([0, *lengths], dtype=np.int64)
    flat = rng.normal(-5, 2, size=(int(starts[-1]), 80)).astype(np.float32)
    split = Split(rows, Mels(flat, starts))
    first = Split(rows[:4], Mels(flat[: starts[4]], starts[:5]))
    return Loaded(split, first, torch.full((80,), -5.0), torch.tensor(2.0))


class Bare:
    """What one would write in a notebook: no schedule, no seeds, no checks, no validation."""

    def __init__(self, config: Config, clips: Loaded, device: torch.device, amp: bool) -> None:
        self.network = Tts(config, clips.mel_mean, clips.mel_scale).to(device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4, weight_decay=1e-6, fused=True)
        self.device, self.amp = device, amp

    def step(self, batch: Batch) -> None:
        """One optimiser step."""
        self.network.train()
        batch = batch.to(self.device)
        mel_, counts, letters = batch.mel, batch.mel_counts, batch.text_counts
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.amp):
            out = self.network(batch.text, letters, mel_, counts, True)
        t, n = torch.arange(mel_.shape[1], device=self.device), torch.arange(batch.text.shape[1], device=self.device)
        real = (t < counts[:, None]).float()
        target = 0.95 * mel_ + 0.05 * self.network.mel_mean
        l_mel = (functional.huber_loss(out.mel, target, reduction="none") * real[..., None]).sum() / real.sum() / 80
        last = (t == counts[:, None] - 1).float()
        weight = real * (1 + 4 * last)
        bce = functional.binary_cross_entropy_with_logits(out.stop, 0.9 * last + 0.05, reduction="none")
        l_stop = (bce * weight).sum() / weight.sum()
        l_kl = 0.5 * (out.mean**2 + out.log_variance.exp() - 1 - out.log_variance).mean()
        l_duration = (out.durations.sum(1).log() - counts.log()).abs().mean()
        place = n / letters[:, None]
        off = place[:, None, :] - (t / counts[:, None])[:, :, None]
        l_attention = ((out.attention * (1 - torch.exp(-(off**2) / 0.08))).sum(2) * real).sum() / real.sum()
        loss = 2.5 * l_mel + l_stop + 1.8 * l_kl + 0.1 * l_duration + 0.02 * l_attention
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 0.5)
        self.optimizer.step()


def epoch_of_bare(loop: Bare, split: Split, size: int) -> None:
    """An epoch of the bare loop; it has to put its batches together, too, and prints its loss at the end."""
    for index in epoch_order(split, size, 0, 0):
        loop.step(split.batch(index))
    if loop.device.type == "cuda":
        torch.cuda.synchronize()


def epoch_of_ours(run: TtsRun) -> None:
    """An epoch as `train` takes it, validation aside."""
    now = knobs(run._config, 0, run.per_epoch)
    run.train_epoch(now, run.weights(now))


def compare(name: str, shape: Network, size: int, clips: Loaded, rounds: int) -> None:
    """Print a line for one size."""
    config = Config(model=shape, data=Dataset(batch_size=size), training=Training(early_stopping_patience=0))
    run = TtsRun(config, clips, 0)
    bare = Bare(config, clips, run._device, amp=run._device.type == "cuda")
    work = {"ours": partial(epoch_of_ours, run), "bare": partial(epoch_of_bare, bare, clips.train, size)}
    times = in_turns({name: partial(timed, each) for name, each in work.items()}, rounds)
    median = {key: statistics.median(spent) / run.per_epoch for key, spent in times.items()}
    print(
        f"{name:8} batch {size}: ours {1e3 * median['ours']:.1f} ms/step ({1 / median['ours']:.1f} steps/s), "
        f"bare {1e3 * median['bare']:.1f} ms/step, ratio {ratio(times, 'ours', 'bare'):.3f}x",
        flush=True,
    )


def read_cache(megabytes: int) -> None:
    """Print how fast a cache entry of that size is read."""
    frames = megabytes * 1_000_000 // 320

    def build(place: Path) -> None:
        np.save(place / "frames.npy", np.random.default_rng(0).normal(size=(frames, 80)).astype(np.float32))
        np.save(place / "starts.npy", np.array([0, frames], dtype=np.int64))

    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCHEDULE_SEARCH_CACHE"] = folder
        cache.cached("tts-mel", "benchmark", build)
        cache._hashes.clear()  # as in a new process
        spent = timed(lambda: mel.load(cache.cached("tts-mel", "benchmark", build)).flat.sum())
    print(f"mel cache: {megabytes} MB verified, read and summed in {spent:.2f} s: {megabytes / spent:.0f} MB/s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--megabytes", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, {options.rounds} rounds of an epoch each")
    for name, (shape, size, clips, frames) in SIZES.items():
        if torch.cuda.is_available():
            break
        compare(name, shape, size, made_up(clips, frames), options.rounds)
    if torch.cuda.is_available():
        print(torch.cuda.get_device_name())
        compare("small", Network(size="small"), 24, made_up(24 * 20, 570, letters=100), options.rounds)
    else:
        print("no GPU here: steps per second at size small, in bfloat16, are not measured")
    read_cache(options.megabytes)


if __name__ == "__main__":
    main()
