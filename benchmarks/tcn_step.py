"""A training step of early_inference against the same network in a bare torch loop.

    .venv/bin/python benchmarks/tcn_step.py

Both train on the same made-up curves in one process, an epoch each in turn; shown are medians over the rounds and the
median of the ratios. The bar is 1.1×. The validation that ends each of our epochs is shown apart: it is no part of a
training step, and a bare loop would validate, too.
"""

import argparse
import statistics
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import nn

from benchmarks.turns import in_turns, ratio, timed
from trainables.early_inference.config import Config
from trainables.early_inference.data import Curves
from trainables.early_inference.losses import training_loss
from trainables.early_inference.model import EarlyInference
from trainables.early_inference.run import EarlyInferenceRun
from trainables.early_inference.schedule import knobs

SIZES = {
    "demo": Config(tcn_channels=(16, 32), mlp_hidden_dims=(64, 32), batch_size=64, device="cpu"),
    "larger": Config(tcn_channels=(32, 64, 128), mlp_hidden_dims=(256, 128), batch_size=64, device="cpu"),
}


def made_up(n: int, points: int) -> Curves:
    """Curves of the right shape; what they hold does not matter for the time."""
    rng = np.random.default_rng(0)
    names, targets = ("a", "b", "c", "d", "e"), ("E0_g_per_L", "k_d")
    ranges = dict.fromkeys((*names, *targets), (0.0, 1.0))
    t = np.tile(np.linspace(0, 30, points), (n, 1))
    return Curves(
        rng.normal(7, 0.1, (n, points)), t, rng.random((n, 5)), rng.random((n, 2)), names, targets, ranges, "-"
    )


class Bare:
    """What one would write in a notebook: no schedule, no seeds, no checks."""

    def __init__(self, config: Config, run: EarlyInferenceRun) -> None:
        self.config, self.rows = config, run._train
        self.network = EarlyInference(config, 5, 2)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3, weight_decay=1e-5, fused=True)

    def epoch(self) -> None:
        """One pass over the training curves."""
        self.network.train()
        order = torch.randperm(len(self.rows.target))
        for start in range(0, len(order), self.config.batch_size):
            index = order[start : start + self.config.batch_size]
            mean, log_variance = self.network(self.rows.channels[index], self.rows.known[index])
            loss = training_loss(mean, log_variance, self.rows.target[index], 0.01, 0.1)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            loss.item()  # a bare loop prints its loss


def ours(run: EarlyInferenceRun, now: Mapping[str, float], validation: list[float]) -> float:
    """Seconds of one of our epochs; those of the validation that ends it are noted in `validation`."""
    spent = timed(partial(run.train_epoch, now))
    validation.append(timed(run.evaluate))
    return spent


def main() -> None:
    """Measure and print one line per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--curves", type=int, default=640, help="training curves; a quarter as many validate")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, {options.curves} curves x 100 points, {options.rounds} rounds")
    for name, config in SIZES.items():
        run = EarlyInferenceRun(config, made_up(options.curves * 5 // 4, 100), seed=0)
        bare, now = Bare(config, run), knobs(config, 10)
        steps = -(-len(run._train) // config.batch_size)
        validation: list[float] = []
        work = {"ours": partial(ours, run, now, validation), "bare": partial(timed, bare.epoch)}
        times = in_turns(work, options.rounds)
        median = {key: 1e3 * statistics.median(spent) for key, spent in times.items()}
        print(
            f"{name:8} channels {list(config.tcn_channels)}, batch {config.batch_size}: "
            f"ours {median['ours'] / steps:.2f} ms/step, bare {median['bare'] / steps:.2f} ms/step, "
            f"ratio {ratio(times, 'ours', 'bare'):.3f}x; validation {1e3 * statistics.median(validation):.1f} ms/epoch"
        )


if __name__ == "__main__":
    main()
