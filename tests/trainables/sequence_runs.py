"""Small runs of sequence_generator."""

import io

import pytest
import torch

from spaces.paths import with_values
from trainables.native import plain
from trainables.registry import model_named
from trainables.run import Prepared
from trainables.sequence_generator.run import SequenceRun

MODEL = model_named("sequence_generator")
GENERATE = {"generate": {"simulations": 20, "grid": 16, "frames": 26}}
PHASES = [  # 2, 3 and 2 epochs
    {"epochs": 2, "start_lr": 0.02, "min_lr": 0.01, "noise_level": 0.1, "alpha": 0.8, "max_lag": 5},
    {"epochs": 3, "start_lr": 0.01, "min_lr": 0.002, "noise_level": 0.05, "alpha": 0.5, "max_lag": 9},
    {"epochs": 2, "start_lr": 0.002, "min_lr": 0.002, "noise_level": 0.0, "alpha": 0.2, "max_lag": 20},
]
BASE = {"hidden_size": 6, "num_layers": 2, "dropout": 0.2, "batch_size": 6, "no_cuda": True, "phases": PHASES}


def prepared_in(cache) -> Prepared:
    """Generated data, kept in the folder `cache`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        config = MODEL.parse(BASE, "c")
        return MODEL.prepare(MODEL.parse_data(GENERATE, config, "s"), config)


def config_of(**values):
    """The config of BASE with values in the plan's form."""
    return MODEL.parse(with_values(plain(MODEL.parse(BASE, "c")), values), "c")


def build(prepared, seed=0, **values) -> SequenceRun:
    run = MODEL.build(config_of(**values), prepared, seed)
    assert isinstance(run, SequenceRun)
    return run


def through_disk(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


def same(one: SequenceRun, other: SequenceRun) -> bool:
    a, b = one.state(), other.state()
    flat = [(x, y) for x, y in zip(leaves(a), leaves(b), strict=True)]
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in flat)


def leaves(node):
    match node:
        case dict():
            for value in node.values():
                yield from leaves(value)
        case list() | tuple():
            for value in node:
                yield from leaves(value)
        case _:
            yield node
