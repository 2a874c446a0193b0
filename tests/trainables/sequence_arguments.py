"""Arguments of the user's own script for sequence_generator, and how a config of them is refused."""

import pytest

from spaces.problems import BadInput
from trainables.registry import model_named
from trainables.sequence_generator.forms import parse_config

MODEL = model_named("sequence_generator")
ARGS = {  # one args.json, as documented
    "data_dir": "/data/spinodal",
    "num_workers": 4,
    "hidden_size": 256,
    "num_layers": 2,
    "dropout": 0.3,
    "max_lag": 10,
    "batch_size": 32,
    "epochs": 100,
    "start_lr": 1e-3,
    "min_lr": 5e-4,
    "weight_decay": 0.01,
    "clip_grad_norm": 1.0,
    "teacher_forcing": True,
    "teacher_forcing_ratio": 0.7,
    "teacher_forcing_start": 0.7,
    "teacher_forcing_end": 0.6,
    "noise_level": 0.05,
    "mixed_precision": False,
    "no_cuda": False,
    "seed": 42,
    "save_every": 5,
    "output_dir": "out",
    "existing_model": None,
    "alpha": 0.8,  # no argument of theirs: what the user adds
}
RECIPE = MODEL.documented()


def problems(native: object) -> str:
    with pytest.raises(BadInput) as error:
        parse_config(native, "mine.yaml")  # type: ignore[arg-type]
    return str(error.value)
