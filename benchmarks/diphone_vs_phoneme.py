"""What diphones give on the simulated days: PER of four losses at equal steps, with the same network and data.

    .venv/bin/python benchmarks/diphone_vs_phoneme.py

- 41 classes: CTC on the phonemes alone
- α = 1: 1681 classes, with the loss on the marginalised phonemes alone; they are what is read, as nothing teaches the
  diphones
- α = 0: 1681 classes, diphones alone
- ramp: the documented schedule of α, 0 → .6, with stairs of the documented share of the budget (3000 of 150,000)

Everything else is equal: rates, batches, noise, and the trials of every step. PER is that of the last step, greedy.
The generator's defaults are a case of scarce data: `--generate sentences=240 val_share=0.4` is one of less.
Compare `--generate seed=1`, too: 41 classes vary so much between seeds there and here that a mean of three says little.
"""

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from spaces.schema import parse
from trainables.diphone_rnn.config import Config
from trainables.diphone_rnn.data import Corpus, read
from trainables.diphone_rnn.generate import Generate, write
from trainables.diphone_rnn.run import DiphoneRun

CHANNELS, PATCH, STRIDE, CUT = 32, 14, 4, 3
ALONE = "α = 1"  # phonemes alone, in the network that the others have
LOSSES: dict[str, dict[str, Any]] = {
    "41 classes": {"use_composite_loss": False, "dataset.n_classes": 41},
    ALONE: {"use_alpha_schedule": False, "composite_loss_alpha": 1.0},
    "α = 0": {"use_alpha_schedule": False, "composite_loss_alpha": 0.0},
    "ramp 0 → .6": {},
}


def config_of(loss: str, options: argparse.Namespace) -> Config:
    """The network of a demo with one of `LOSSES`; the warmup is a 15th of the steps, as the documented 150th is 1."""
    changes = dict(LOSSES[loss])
    classes = changes.pop("dataset.n_classes", 1681)
    steps = options.steps
    lengths = {f"lr_warmup_steps{kind}": max(1, round(steps / 15)) for kind in ("", "_day")}
    native = {
        "model": {
            "n_input_features": CHANNELS,
            "n_units": options.units,
            "n_layers": options.layers,
            "rnn_dropout": 0.1,
            "patch_size": PATCH,
            "patch_stride": STRIDE,
            "input_network": {"input_layer_sizes": [CHANNELS], "input_layer_dropout": options.dropout},
        },
        "num_training_batches": steps,
        "lr_max": options.lr,
        "lr_max_day": options.lr,
        "lr_decay_steps": steps,
        "lr_decay_steps_day": steps,
        "use_composite_loss": True,
        "use_alpha_schedule": True,
        "early_stopping": False,
        "alpha_schedule_step_interval": max(1, round(steps * 3000 / 150_000)),
        "log_individual_day_val_PER": False,
        "dataset": {
            "neural_dim": CHANNELS,
            "batch_size": options.batch,
            "n_classes": classes,
            "data_transforms": {"white_noise_std": options.noise, "random_cut": CUT},
        },
        **lengths,
        **changes,
    }
    return parse(Config, native, "benchmark")


def measured(config: Config, corpus: Corpus, seed: int, reading: str) -> tuple[float, float, float]:
    """PER on the validation and mean loss of the last tenth of a training, and its seconds."""
    started, steps = time.perf_counter(), config.num_training_batches
    run = DiphoneRun(config, corpus, seed)
    run.train(steps - steps // 10)
    loss = run.train(steps)["train_loss"]
    return run.evaluate()[reading], loss, time.perf_counter() - started


def main() -> None:
    """Train all losses with all seeds, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--lr", type=float, default=0.005)
    parser.add_argument("--noise", type=float, default=0.4, help="white_noise_std of the augmentation")
    parser.add_argument("--dropout", type=float, default=0.1, help="after the day layer")
    parser.add_argument("--losses", nargs="+", choices=list(LOSSES), default=list(LOSSES))
    parser.add_argument("--generate", nargs="*", default=[], metavar="KEY=VALUE", help="of data.generate")
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec = {"channels": CHANNELS, **dict(_pair(text) for text in options.generate)}
    with TemporaryDirectory() as name:
        write(parse(Generate, spec, "--generate"), Path(name))
        corpus = read(Path(name), config_of(options.losses[0], options))
        print(
            f"{len(corpus.train)} training and {len(corpus.validation)} validation trials, {len(corpus.dropped)} left"
            f" out; {options.layers} × {options.units} units, {options.steps} steps of {options.batch}, lr {options.lr}"
        )
        found: dict[str, tuple[float, ...]] = {}
        for loss in options.losses:
            reading = "val_per_marginalised" if loss == ALONE else "val_per"
            runs = [measured(config_of(loss, options), corpus, seed, reading) for seed in range(options.seeds)]
            pers, losses, seconds = zip(*runs, strict=True)
            found[loss] = pers
            each = " ".join(f"{per:.3f}" for per in pers)
            print(
                f"{loss:12} PER {statistics.mean(pers):.3f} ({each}), training loss {statistics.mean(losses):.1f},"
                f" {statistics.mean(seconds):.0f} s a training",
                flush=True,
            )

        for loss, pers in found.items():
            if loss != ALONE and ALONE in found:
                gains = [alone - per for alone, per in zip(found[ALONE], pers, strict=True)]
                each = " ".join(f"{gain:+.3f}" for gain in gains)
                print(f"{loss:12} less PER than {ALONE}: {statistics.mean(gains):+.3f} ({each})")


def _pair(text: str) -> tuple[str, float]:
    key, _, value = text.partition("=")
    return key, float(value) if "." in value else int(value)


if __name__ == "__main__":
    main()
