"""What the simulated days are for: they can be learnt within the demo's budget, and diphones help on them."""

from pathlib import Path
from statistics import mean

import pytest
import torch

from spaces import strict_yaml
from spaces.paths import with_values
from trainables.registry import model_named

MODEL = model_named("diphone_rnn")
DEMO = Path(__file__).parents[2] / "configs" / "diphone_rnn" / "rnn_args_diphone_sagemaker.yaml"
DATA = {"generate": {"sentences": 80, "sessions": 4, "seed": 0}}
# As benchmarks/diphone_vs_phoneme.py: 200 steps, and as little noise and dropout as such short trainings want.
COMPARED = {
    "num_training_batches": 200,
    "lr_decay_steps": 200,
    "lr_decay_steps_day": 200,
    "lr_warmup_steps": 13,
    "lr_warmup_steps_day": 13,
    "alpha_schedule_step_interval": 4,
    "model.rnn_dropout": 0.1,
    "model.input_network.input_layer_dropout": 0.1,
    "dataset.data_transforms.white_noise_std": 0.4,
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def per_after(seed=0, **values):
    """`val_per` at the end of a training of the demo's base."""
    torch.set_num_threads(1)
    config = MODEL.parse(with_values(strict_yaml.load(DEMO), values), "demo")
    run = MODEL.build(config, MODEL.prepare(MODEL.parse_data(DATA, config, "demo"), config), seed)
    run.train(config.num_training_batches)
    return run.evaluate()["val_per"]


def test_the_documented_recipe_learns_within_the_demos_budget():
    assert per_after() < 0.7  # saying nothing scores 1


def test_diphones_beat_phonemes_alone_at_equal_steps():
    """In the same network, over 3 seeds: the loss on diphones alone, and the documented ramp."""
    fixed = {"use_alpha_schedule": False}
    diphones = [per_after(seed, **COMPARED, **fixed, composite_loss_alpha=0.0) for seed in range(3)]
    ramp = [per_after(seed, **COMPARED) for seed in range(3)]
    phonemes = [per_after(seed, **COMPARED, **fixed, composite_loss_alpha=1.0) for seed in range(3)]
    assert mean(diphones) < mean(phonemes) - 0.1
    assert mean(ramp) < mean(phonemes) - 0.1
