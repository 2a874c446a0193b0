"""A training step of sequence_generator against the same network in a bare torch loop.

    .venv/bin/python benchmarks/sequence_step.py

Both train on the same made-up sequences in one process, a step each in turn; shown are medians over the rounds and the
median of the ratios. The bare loop is what one would write: a call of the decoder for each frame, a coin for each
input, noise, both losses with one product per lag, clipping, AdamW. The bar is 1.15×. `fair` is the same loop with the
stretches of forced inputs in one call each, as ours has them: what seeds, schedules and checks cost beside it.
"""

import argparse
import statistics
import time
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.turns import in_turns, ratio, timed
from trainables.sequence_generator.data import Sequences
from trainables.sequence_generator.forms import parse_config
from trainables.sequence_generator.model import SequenceGenerator
from trainables.sequence_generator.run import SequenceRun
from trainables.sequence_generator.schedule import knobs
from trainables.sequence_generator.spec import MODEL

SIZES = {"demo": (48, 1, 8), "larger": (128, 2, 16)}  # units, layers, batch
EPOCHS = {"documented, phase 2": 100, "free-running": None}  # of the documented plan; None: without teacher forcing
FRAMES, ALPHA, MAX_LAG, NOISE = 151, 0.75, 15, 0.04


def made_up(count: int) -> Sequences:
    """Sequences of the right shape; what they hold does not matter for the time."""
    walks = np.random.default_rng(0).normal(size=(count, FRAMES, 7)).cumsum(axis=1)
    walks[:, :, 5:] = walks[:, :1, 5:]
    return Sequences(walks, tuple(range(1, count + 1)), "made up")


class Bare:
    """What one would write in a notebook: no schedule, no seeds, no checks."""

    def __init__(self, network: SequenceGenerator, ratio: float, stretches: bool) -> None:
        self.network, self.ratio, self.stretches = network, ratio, stretches
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=0.008, fused=True)

    def step(self, batch: Tensor) -> None:
        """One optimiser step."""
        self.network.train()
        target = batch[:, :, :5]
        shown = torch.cat([target + NOISE * torch.randn_like(target), batch[:, :, 5:]], dim=2)
        if self.stretches:
            predicted = self.network(shown, np.random.random(FRAMES - 1) < self.ratio)
        else:
            predicted = self.frame_by_frame(shown)
        loss = ALPHA * (predicted - target[:, 1:]).abs().mean()
        whole = torch.cat([target[:, :1], predicted], dim=1)
        difference = [(of(whole, lag) - of(target, lag)).square().mean() for lag in range(MAX_LAG + 1)]
        loss = loss + (1 - ALPHA) * torch.stack(difference).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 0.9)
        self.optimizer.step()
        loss.item()  # a bare loop prints its loss

    def frame_by_frame(self, shown: Tensor) -> Tensor:
        """The rollout with a call for each frame."""
        _, state = self.network.encoder(shown[:, :1])
        fed, frames = shown[:, :1], []
        for step in range(FRAMES - 1):
            if step and np.random.random() < self.ratio:
                fed = shown[:, step : step + 1]
            hidden, state = self.network.decoder(fed, state)
            frames.append(self.network.out(hidden)[:, :, :5])
            fed = torch.cat([frames[-1], shown[:, :1, 5:]], dim=2)
        return torch.cat(frames, dim=1)


def of(x: Tensor, lag: int) -> Tensor:
    """R(lag) by its definition: (B, T, C) → (B, C)."""
    return (x[:, : FRAMES - lag] * x[:, lag:]).sum(dim=1) / x.square().sum(dim=1)


def ours(run: SequenceRun, batch: Tensor, now: dict[str, float]) -> None:
    """One of our steps, as `train` takes it."""
    run.network.train()
    run.train_batch(batch, 0, now).tolist()


def main() -> None:
    """Measure and print a line per size and share of forced inputs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    np.random.seed(0)
    print(f"torch {torch.__version__}, 1 thread, {FRAMES} frames, {options.rounds} rounds")
    for size, (units, layers, batch_size) in SIZES.items():
        for forcing, epoch in EPOCHS.items():
            settings = {"hidden_size": units, "num_layers": layers, "batch_size": batch_size, "no_cuda": True}
            config = parse_config({**MODEL.documented(), **settings, "teacher_forcing": epoch is not None}, "benchmark")
            now, sequences = knobs(config, epoch or 100), made_up(2 * batch_size)
            run = SequenceRun(config, sequences, 0)
            batch = torch.as_tensor(sequences.features[:batch_size], dtype=torch.float32)
            forced = now["teacher_forcing"]
            loops = {name: Bare(SequenceGenerator(config), forced, name == "fair") for name in ("bare", "fair")}
            work = {"ours": partial(ours, run, batch, now)}
            work |= {name: partial(loop.step, batch) for name, loop in loops.items()}
            # Processor time of the one thread: other work on the machine does not count.
            times = in_turns({k: partial(timed, each, time.process_time) for k, each in work.items()}, options.rounds)
            median = {key: 1e3 * statistics.median(spent) for key, spent in times.items()}
            ratios = [ratio(times, "ours", key) for key in loops]
            print(
                f"{size:7} {layers} × {units} units, batch {batch_size}, {forcing:20} ours {median['ours']:6.1f} "
                f"ms/step, bare {median['bare']:6.1f}: {ratios[0]:.3f}x, fair {median['fair']:6.1f}: {ratios[1]:.3f}x"
            )


if __name__ == "__main__":
    main()
