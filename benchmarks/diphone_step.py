"""A training step of diphone_rnn against the same network in a bare torch loop, and the marginalisation's share of it.

    .venv/bin/python benchmarks/diphone_step.py

Both train on the same made-up batches in one process, a step each in turn; shown are medians over the rounds and the
median of the ratios. The bare loop adds the same noise, cuts, smooths and mixes both losses, marginalising with torch's
own logsumexp. The bars are 1.1× and a share of 5%. The share is what the step takes with the marginal probabilities
computed and differentiated, less the same without: log-softmax over diphones alone.

With a GPU (else `CUDA_VISIBLE_DEVICES= ` gives the above), the documented size is trained instead, from files in the
native layout: batches per second under bfloat16 autocast and in float32, and the share of the time that the GPU waits
for data, which is what the same steps take less without files (bar: 5%).
"""

import argparse
import statistics
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.turns import in_turns, ratio, timed
from trainables.ahead import Ahead
from trainables.builtin_run import bfloat16
from trainables.diphone_rnn.augment import smoothing_taps
from trainables.diphone_rnn.batches import Batch, Sampling, collate
from trainables.diphone_rnn.config import Config, Dataset, InputNetwork, Network
from trainables.diphone_rnn.data import Corpus, aligned
from trainables.diphone_rnn.generate import TRAIN_FILE, VAL_FILE
from trainables.diphone_rnn.losses import log_probs
from trainables.diphone_rnn.model import DiphoneRnn
from trainables.diphone_rnn.phonemes import diphones_of
from trainables.diphone_rnn.recordings import Wanted, recordings
from trainables.diphone_rnn.run import DiphoneRun
from trainables.diphone_rnn.schedule import knobs
from trainables.diphone_rnn.trials import Trial

ALPHA = 0.6  # as documented
STEP = 100  # of the schedule: after the warmup, and with α between its ends


def sized(channels: int, units: int, layers: int, batch: int) -> Config:
    """A config of this size; a fixed α keeps both losses in it."""
    shape = Network(
        n_input_features=channels,
        n_units=units,
        n_layers=layers,
        rnn_dropout=0.2 if layers > 1 else 0.0,
        input_network=InputNetwork(input_layer_sizes=(channels,)),
    )
    return Config(
        model=shape,
        dataset=Dataset(neural_dim=channels, batch_size=batch),
        use_composite_loss=True,
        composite_loss_alpha=ALPHA,
    )


SIZES = {"demo": (32, 64, 2, 16), "larger": (128, 256, 3, 16)}


def made_up(channels: int, bins: int) -> Corpus:
    """Days of the right shape; what they hold does not matter for the time."""
    rng = np.random.default_rng(0)

    def trial(day: int, number: int) -> Trial:
        phonemes = rng.integers(1, 41, bins // 14)
        features = rng.normal(size=(bins, channels)).astype(np.float32)
        group = f"trial_{number:04d}"
        return Trial(day, Path(), group, bins, channels, phonemes, diphones_of(phonemes), "", 1, number, features)

    trials = tuple(trial(day, number) for day in range(4) for number in range(8))
    days = tuple(f"day {day}" for day in range(4))
    return Corpus(days, channels, train=trials, validation=trials[:2])


class Bare:
    """What one would write in a notebook: no schedule, no seeds, no checks."""

    def __init__(self, config: Config) -> None:
        self.network = DiphoneRnn(config, 4)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3, weight_decay=5e-4, fused=True)
        taps = smoothing_taps(config.dataset.data_transforms)
        assert taps is not None
        self.kernel = taps.expand(config.model.n_input_features, 1, -1)

    def step(self, batch: Batch) -> None:
        """One optimiser step."""
        self.network.train()
        x, targets = batch.features, batch.targets
        x = x + torch.randn_like(x) + 0.2 * torch.randn(x.shape[0], 1, x.shape[2])
        x = x[:, int(torch.randint(4, ())) :]
        x = functional.conv1d(x.transpose(1, 2), self.kernel, padding="same", groups=x.shape[2]).transpose(1, 2)
        frames = torch.full((len(x),), (x.shape[1] - 14) // 4 + 1)
        diphone = self.network(x, batch.day, frames).log_softmax(-1)
        phoneme = diphone.view(*diphone.shape[:-1], 41, 41).logsumexp(-2)
        ctc = partial(functional.ctc_loss, reduction="none")
        mixed = 0.6 * ctc(phoneme.transpose(0, 1), targets.phonemes, frames, targets.phoneme_counts).mean()
        mixed = mixed + 0.4 * ctc(diphone.transpose(0, 1), targets.diphones, frames, targets.diphone_counts).mean()
        self.optimizer.zero_grad()
        mixed.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        mixed.item()  # a bare loop prints its loss


def ours(run: DiphoneRun, sampling: Sampling, config: Config) -> None:
    """One of our steps, as `train` takes it."""
    parts = run.train_batch(collate(sampling.trials(STEP), config.model), knobs(config, STEP))
    torch.stack(list(parts.values())).tolist()


def bare(loop: Bare, sampling: Sampling, config: Config) -> None:
    """One step of the bare loop; it has to put its batch together, too."""
    loop.step(collate(sampling.trials(STEP), config.model))


def both(logits: Tensor, gradients: tuple[Tensor, Tensor]) -> None:
    """Both alphabets, forwards and backwards."""
    found = log_probs(logits)
    assert found.diphone is not None
    torch.autograd.backward([found.phoneme, found.diphone], list(gradients))
    logits.grad = None


def diphones(logits: Tensor, gradient: Tensor) -> None:
    """Diphones alone."""
    logits.log_softmax(-1).backward(gradient)
    logits.grad = None


def on_cpu(options: argparse.Namespace) -> None:
    """Ours against bare, and the share of the marginalisation: two lines per size."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, trials of {options.bins} bins, {options.rounds} rounds")
    for name, (channels, units, layers, batch) in SIZES.items():
        config, corpus = sized(channels, units, layers, batch), made_up(channels, options.bins)
        run, loop, sampling = DiphoneRun(config, corpus, 0), Bare(config), Sampling(config, corpus, 0)
        logits = torch.randn(batch, (options.bins - 14) // 4 + 1, 1681, requires_grad=True)
        gradients = torch.randn(*logits.shape[:2], 41), torch.randn_like(logits)
        work = {
            "ours": partial(ours, run, sampling, config),
            "bare": partial(bare, loop, sampling, config),
            "both": partial(both, logits, gradients),
            "diphones": partial(diphones, logits, gradients[1]),
        }
        times = in_turns({name: partial(timed, each) for name, each in work.items()}, options.rounds)
        median = {key: 1e3 * statistics.median(spent) for key, spent in times.items()}
        extra = 1e3 * statistics.median(a - b for a, b in zip(times["both"], times["diphones"], strict=True))
        print(
            f"{name:8} {channels} channels, {layers} × {units} units, batch {batch}: ours {median['ours']:.1f} ms/step,"
            f" bare {median['bare']:.1f} ms/step, ratio {ratio(times, 'ours', 'bare'):.3f}x\n"
            f"{'':8} marginalisation {extra:.1f} ms, {extra / median['ours']:.1%} of the step"
        )


def recorded(folder: Path, config: Config, days: int, trials: int) -> Corpus:
    """Days in the native layout under `folder`, trials of 8 to 18 s as in the T15 data, left in their files."""
    rng = np.random.default_rng(0)
    for day in range(days):
        (folder / f"t15.{day:02}").mkdir()
        for name, count in ((TRAIN_FILE, trials), (VAL_FILE, 1)):
            with h5py.File(folder / f"t15.{day:02}" / name, "w") as file:
                for number in range(count):
                    bins = int(rng.integers(400, 900))
                    group = file.create_group(f"trial_{number:04d}")
                    group["input_features"] = rng.standard_normal((bins, config.model.n_input_features), np.float32)
                    group["seq_class_ids"] = rng.integers(1, 41, bins // 14)
                    lengths = {"n_time_steps": bins, "seq_len": bins // 14, "block_num": 1, "trial_num": number}
                    group.attrs.update({**lengths, "session": f"t15.{day:02}", "sentence_label": ""})
    return aligned(recordings(folder, Wanted.by(config)), config)


class Held:
    """Batches that are read already: what is left of a step's time is not the data's."""

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = batches

    def step(self, step: int, until: int) -> Batch:
        """One of them."""
        return self._batches[step % len(self._batches)]


class Watched:
    """A reader whose caller's waits are added up."""

    def __init__(self, ahead: Ahead[Batch]) -> None:
        self._ahead, self.seconds = ahead, 0.0

    def step(self, step: int, until: int) -> Batch:
        """The reader's."""
        started = time.perf_counter()
        batch = self._ahead.step(step, until)
        self.seconds += time.perf_counter() - started
        return batch


def trained(run: DiphoneRun, reader: Held | Watched, batches: int) -> float:
    """Seconds that `batches` batches take; as many as a few before them are not counted."""
    run._ahead = reader  # type: ignore[assignment]
    run.train(run.step + 5)
    if isinstance(reader, Watched):
        reader.seconds = 0.0

    def work() -> None:
        run.train(run.step + batches)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return timed(work)


def throughput(config: Config, corpus: Corpus, batches: int) -> str:
    """Batches per second from files, and the two measures of what the data costs."""
    run = DiphoneRun(config, corpus, 0)
    ahead = run._ahead
    held = Held([ahead.step(step, 8) for step in range(8)])
    watched = Watched(ahead)
    spent, without = trained(run, watched, batches), trained(run, held, batches)
    run._ahead = ahead
    run.close()
    return (
        f"{batches / spent:6.2f} batches/s from files, {batches / without:6.2f} from memory: waits for data "
        f"{max(0.0, 1 - without / spent):.1%} of the time (the loop stood still for {watched.seconds / spent:.1%})"
    )


def on_gpu(config: Config, batches: int, days: int = 8, trials: int = 60) -> None:
    """The documented size, bfloat16 and float32: a line each."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    shape, threads = config.model, config.dataset.num_dataloader_workers
    print(
        f"torch {torch.__version__}, {name}: {shape.n_input_features} channels, {shape.n_layers} × {shape.n_units} "
        f"units, batch {config.dataset.batch_size}, {threads} threads, TF32 {torch.backends.cudnn.allow_tf32}"
    )
    with TemporaryDirectory() as folder:
        corpus = recorded(Path(folder), config, days, trials)
        for amp in (True, False):
            chosen = config.model_copy(update={"use_amp": amp})
            kind = "autocast" if bfloat16(chosen.use_amp) else "float32"
            print(f"{kind:9}{throughput(chosen, corpus, batches)}", flush=True)


def main() -> None:
    """Measure on the GPU that there is, else on the CPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="on a CPU")
    parser.add_argument("--bins", type=int, default=300, help="of each trial, 20 ms each, on a CPU")
    parser.add_argument("--batches", type=int, default=200, help="on a GPU")
    options = parser.parse_args()
    if torch.cuda.is_available():
        torch.set_num_threads(1)  # as a trial of a search has
        on_gpu(Config(use_composite_loss=True, composite_loss_alpha=ALPHA), options.batches)
    else:
        on_cpu(options)


if __name__ == "__main__":
    main()
