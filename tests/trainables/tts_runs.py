"""Small runs of tts."""

import io

import torch
from synthetic_clips import BASE

from spaces.paths import with_values
from trainables.registry import model_named
from trainables.tts.corpus import load
from trainables.tts.run import TtsRun

SWITCH = "training.level_switch"


def config(**values):
    return model_named("tts").parse(with_values(BASE, values), "c")


def run_on(path, seed=0, **values):
    mine = config(**values)
    return TtsRun(mine, load(path, mine.data, "digest"), seed)


def weights(one):
    return {name: value.clone() for name, value in one.network.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def through_a_file(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
