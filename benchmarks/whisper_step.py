"""A training step of whisper_child against Hugging Face's Seq2SeqTrainer on the same network, batches and settings.

    .venv/bin/python benchmarks/whisper_step.py

In one process, turn and turn about: each round, both train the same optimizer steps from the same weights, on features
that lie in memory. Shown are medians over the rounds and the median of the ratios; the bar is 1.1×. Times are from the
begin of the second step to the end of the last one; on a CPU, processor time of one thread. On a GPU, it adds
whisper-small's own size with random weights in bfloat16, in samples per second; without one, that part says so.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback
from transformers.utils import logging

from benchmarks.turns import in_turns, ratio
from spaces.paths import with_values
from trainables.registry import model_named
from trainables.whisper_child.batches import Batch, Sampling, collate
from trainables.whisper_child.config import Config
from trainables.whisper_child.data import Corpus
from trainables.whisper_child.features import Features
from trainables.whisper_child.manifest import Utterance
from trainables.whisper_child.run import WhisperRun
from trainables.whisper_child.tokens import labels_of, longest_labels, tokenizer_of

SMALL = {"d_model": 768, "layers": 12, "heads": 12, "ffn_dim": 3072, "max_target_positions": 448, "init_std": 0.02}
"""Sizes of whisper-small (Radford et al. 2022, table 1)."""
SIZES: dict[str, tuple[dict[str, Any], float, int]] = {
    # network, window in s, batch
    "demo": ({"d_model": 64, "layers": 2, "heads": 4, "ffn_dim": 256, "max_target_positions": 24}, 1.4, 16),
    "larger": ({"d_model": 192, "layers": 4, "heads": 6, "ffn_dim": 768, "max_target_positions": 64}, 3.0, 16),
}


def now() -> float:
    """Seconds: of the clock on a GPU; on a CPU, of this process's one thread, which other processes don't lengthen."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


def sized(start: dict[str, Any], seconds: float, batch: int, steps: int, bf16: bool) -> Config:
    """A config of this size, for one epoch of `steps` optimizer steps."""
    native = {
        "model": {"pretrained": None, "random_init": start, "gradient_checkpointing": False, "freeze_encoder_steps": 0},
        "data": {"target_length": seconds, "train_utterances": steps * batch, "specaugment": False},
        "training": {
            "batch_size": batch,
            "gradient_accumulation_steps": 1,
            "num_epochs": 1,
            "max_epochs": 1,
            "warmup_steps": 2,
            "early_stopping_patience": 0,
            "fp16": False,
            "bf16": bf16,
            "optim": "adamw_torch_fused",
            "logging_steps": 10_000,
        },
        "inference": {"max_length": 24},
    }
    config: Config = model_named("whisper_child").parse(with_values(native, {}), "benchmark")
    return config


def made_up(config: Config) -> Corpus:
    """Utterances of the right shape; what they hold does not matter for the time."""
    rng = np.random.default_rng(0)
    n, window = config.data.train_utterances + 2, config.data.frames
    flat = rng.normal(size=(n * window, config.data.num_mel_bins)).astype(np.float32)
    starts = np.arange(n + 1, dtype=np.int64) * window
    features = Features(flat, starts, np.full(n, window), np.zeros(n, np.float32), window)
    people = tuple(Utterance(f"u{i}", f"c{i}", "5-7", "a small dog and a"[: 5 + i % 12], Path()) for i in range(n))
    return Corpus(people, features, tuple(range(n - 2)), (n - 2, n - 1), (), ())


def ours(config: Config, corpus: Corpus) -> float:
    """Seconds of an epoch of our loop."""
    run = WhisperRun(config, corpus, 0)
    original, begun = run.train_step, []

    def timed(batches: list[Batch], knobs: Mapping[str, float]) -> dict[str, torch.Tensor]:
        parts = original(batches, knobs)
        begun.append(now())  # the end of a step is the begin of the next, its batch included
        return parts

    run.train_step = timed  # type: ignore
    run.train(1)
    _wait()
    spent = now() - begun[0]
    run.close()
    return spent


def theirs(config: Config, corpus: Corpus, folder: str) -> float:
    """Seconds of the same epoch in the Seq2SeqTrainer, its own start left out."""
    run = WhisperRun(config, corpus, 0)
    labels = labels_of(corpus.utterances, tokenizer_of(config.model), None, longest_labels(config.model))
    order = Sampling(config, corpus, 0).order(0)
    training = config.training
    gpu = torch.cuda.is_available()

    def together(items: list[int]) -> dict[str, torch.Tensor]:
        batch = collate(corpus, labels, items)
        return {"input_features": batch.features, "labels": batch.labels}

    class Ordered(Seq2SeqTrainer):
        def _get_train_sampler(self, train_dataset: object = None) -> Any:
            return order

    arguments = Seq2SeqTrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        warmup_steps=training.warmup_steps,
        lr_scheduler_type=training.lr_scheduler_type,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        num_train_epochs=1,
        optim=training.optim,
        bf16=training.bf16 and gpu,
        dataloader_num_workers=training.dataloader_num_workers if gpu else 0,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        use_cpu=not gpu,
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    dataset: Any = list(range(len(corpus.utterances)))
    trainer = Ordered(model=run.network, args=arguments, train_dataset=dataset, data_collator=together)
    trainer.log = lambda *a, **k: None  # type: ignore[method-assign]  # it prints a summary at the end
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    return clock.ended - clock.begun


class Clock(TrainerCallback):
    """When the second step began, and the last one ended."""

    begun = ended = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Each step; the last is waited for."""
        if state.global_step == state.max_steps:
            _wait()
        self.begun, self.ended = self.begun or now(), now()


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(name: str, config: Config, rounds: int, folder: str) -> None:
    """Print one line."""
    corpus = made_up(config)
    times = in_turns({"theirs": partial(theirs, config, corpus, folder), "ours": partial(ours, config, corpus)}, rounds)
    a, b = (statistics.median(times[key]) / (config.steps_per_epoch - 1) for key in ("ours", "theirs"))
    start = config.model.random_init
    assert start is not None
    batch = config.training.batch_size
    print(
        f"{name:8} {start.layers}+{start.layers} layers × {start.d_model}, {config.data.target_length:g} s, "
        f"batch {batch}: ours {1e3 * a:.1f} ms/step ({batch / a:.0f} samples/s), Seq2SeqTrainer {1e3 * b:.1f} ms/step "
        f"({batch / b:.0f} samples/s), ratio {ratio(times, 'ours', 'theirs'):.3f}x",
        flush=True,
    )


def main() -> None:
    """Measure and print a line per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps of a round")
    parser.add_argument("--gpu-batch", type=int, default=48)
    parser.add_argument("--sizes", nargs="*", choices=list(SIZES), default=list(SIZES))
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if gpu else "CPU, 1 thread"
    print(f"torch {torch.__version__}, {device}, {options.rounds} rounds of {options.steps} steps", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.sizes:
            start, seconds, batch = SIZES[name]
            measure(name, sized(start, seconds, batch, options.steps, bf16=False), options.rounds, folder)
        if gpu:
            config = sized(SMALL, 30.0, options.gpu_batch, options.steps, bf16=True)
            measure("small", config, options.rounds, folder)
        else:
            print("small    no GPU here: whisper-small's size in bfloat16 is not measured")


if __name__ == "__main__":
    main()
