"""What every registered model must fulfil. A new model adds its `Case` and passes all of it.

A run's state keeps the weights under `network`: the tests compare them there, and put NaN into them.
"""

import io
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spaces import strict_yaml
from spaces.paths import get, leaves, with_values
from spaces.space import parse_space
from spaces.values import ABSENT, freeze, thaw
from trainables.native import parse_native, plain
from trainables.registry import model_named, models
from trainables.run import Diverged

SPACES = Path(__file__).parents[2] / "spaces"


@dataclass(frozen=True)
class Case:
    """A tiny training of one model, and how to make each knob act in it."""

    base: Mapping[str, Any]
    data: Mapping[str, Any]
    steps: int  # a training long enough for every knob to have acted under its context
    live: Mapping[str, tuple[Any, Any]]  # knob → two values that must train differently
    contexts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # knob → what must hold for it to act
    shapes: frozenset[str] = frozenset()  # knobs of the network itself: its weights, or the fixed filter in front
    files: frozenset[str] = frozenset({"config.yaml", "config.py"})  # native files where the user gave none


DIPHONE_CHANGES = "dataset.data_transforms"
PLATEAUS = {"lr": 0.05, "warmup_epochs": 0, "scheduler_patience": 0}  # a rate that soon brings no gain

CASES = {
    "early_inference": Case(
        base={
            "tcn_channels": [4, 4],
            "tcn_kernel_size": 2,
            "mlp_hidden_dims": [4],
            "batch_size": 32,
            "warmup_epochs": 2,
            "lr": 0.01,
            "epochs": 8,
            "device": "cpu",
        },
        data={"generate": {"samples": 60, "n_points": 12}},
        steps=8,
        live={
            "lr": (1e-3, 1e-2),
            "warmup_epochs": (2, 3),
            "scheduler_factor": (0.3, 0.9),
            "scheduler_patience": (0, 30),
            "scheduler_min_lr": (1e-7, 1e-4),
            "batch_size": (16, 32),
            "weight_decay": (1e-7, 1e-2),
            "grad_clip_norm": (0.1, 20.0),
            "tcn_channels": ([4, 4], [4, 5]),
            "tcn_kernel_size": (2, 3),
            "tcn_dropout": (0.0, 0.2),
            "use_weighted_pooling": (True, False),
            "mlp_hidden_dims": ([4], [4, 4]),
            "output_dropout": (0.0, 0.2),
            "use_uncertainty": (True, False),
            "use_variance_regularization": (True, False),
            "variance_penalty_weight": (0.01, 0.1),
            "target_variance": (0.1, 0.2),
        },
        contexts={
            "scheduler_factor": PLATEAUS,
            "scheduler_patience": PLATEAUS,
            "scheduler_min_lr": {**PLATEAUS, "scheduler_factor": 1e-6},
        },
        shapes=frozenset(
            {"tcn_channels", "tcn_kernel_size", "mlp_hidden_dims", "use_uncertainty", "use_weighted_pooling"}
        ),
    ),
    "diphone_rnn": Case(
        base={
            "model": {
                "n_input_features": 4,
                "n_units": 8,
                "n_layers": 2,
                "rnn_dropout": 0.2,
                "input_network": {"input_layer_sizes": [4]},
            },
            "num_training_batches": 8,
            "lr_warmup_steps": 2,
            "lr_decay_steps": 7,
            "lr_warmup_steps_day": 1,
            "lr_decay_steps_day": 6,
            "alpha_schedule_step_interval": 2,
            "dataset": {"neural_dim": 4, "batch_size": 4, "days_per_batch": 2},
        },
        data={"generate": {"sentences": 28, "sessions": 2, "words_per_minute": 110}},
        steps=8,
        live={
            "use_alpha_schedule": (True, False),
            "alpha_schedule_start": (0.0, 0.1),
            "alpha_schedule_end": (0.2, 0.3),
            "alpha_schedule_step_size": (0.1, 0.2),
            "alpha_schedule_step_interval": (2, 3),
            "composite_loss_alpha": (0.5, 0.6),
            "lr_max": (1e-3, 1e-2),
            "lr_min": (1e-6, 1e-3),
            "lr_warmup_steps": (1, 2),
            "lr_decay_steps": (6, 8),
            "lr_max_day": (1e-3, 1e-2),
            "lr_min_day": (1e-6, 1e-3),
            "lr_warmup_steps_day": (0, 1),
            "lr_decay_steps_day": (5, 8),
            "grad_norm_clip_value": (0.3, 30.0),
            "weight_decay": (1e-6, 1e-1),
            "weight_decay_day": (0.0, 1e-2),
            "dataset.batch_size": (4, 6),
            "dataset.days_per_batch": (1, 2),
            "model.rnn_dropout": (0.0, 0.2),
            "model.input_network.input_layer_dropout": (0.0, 0.3),
            f"{DIPHONE_CHANGES}.white_noise_std": (0.0, 1.0),
            f"{DIPHONE_CHANGES}.constant_offset_std": (0.0, 0.2),
            f"{DIPHONE_CHANGES}.random_walk_std": (0.0, 0.1),
            f"{DIPHONE_CHANGES}.static_gain_std": (0.0, 0.1),
            f"{DIPHONE_CHANGES}.random_cut": (0, 6),
            f"{DIPHONE_CHANGES}.smooth_data": (True, False),
            f"{DIPHONE_CHANGES}.smooth_kernel_std": (1.0, 2.0),
            "model.patch_size": (12, 14),
            "model.patch_stride": (3, 4),
            "model.n_units": (8, 9),
            "model.n_layers": (1, 2),
            "model.bidirectional": (True, False),
        },
        contexts={"composite_loss_alpha": {"use_alpha_schedule": False}},
        shapes=frozenset(
            {
                "model.patch_size",
                "model.patch_stride",
                "model.n_units",
                "model.n_layers",
                "model.bidirectional",
                f"{DIPHONE_CHANGES}.smooth_data",
                f"{DIPHONE_CHANGES}.smooth_kernel_std",
            }
        ),
        files=frozenset({"rnn_args_diphone_sagemaker.yaml"}),
    ),
}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(params=models())
def model(request):
    assert request.param in CASES, f"add a Case for {request.param}"
    return model_named(request.param)


@pytest.fixture
def case(model):
    return CASES[model.name]


def knobs_of(name):
    file = SPACES / f"{name}.yaml"
    return [knob.path for knob in parse_space(strict_yaml.load(file), str(file)).knobs]


each_knob = pytest.mark.parametrize(("name", "knob"), [(name, knob) for name in models() for knob in knobs_of(name)])


@pytest.fixture
def space(model):
    file = SPACES / f"{model.name}.yaml"
    space = parse_space(strict_yaml.load(file), str(file))
    return space.in_steps(get(plain(model.parse({}, "documented")), model.length_key))


def build(model, case, seed=0, **values):
    config = model.parse(with_values(case.base, values), "case")
    return model.build(config, model.prepare(model.parse_data(case.data, config, "data"), config), seed)


def stored(run):
    buffer = io.BytesIO()
    torch.save(run.state(), buffer)
    return buffer.getvalue()


def loaded(data):
    return torch.load(io.BytesIO(data), weights_only=True)


def parts(node, path=""):
    match node:
        case dict():
            for key, value in node.items():
                yield from parts(value, f"{path}.{key}")
        case list() | tuple():
            for index, value in enumerate(node):
                yield from parts(value, f"{path}.{index}")
        case torch.Tensor():
            yield path, (node.dtype, tuple(node.shape), node.numpy().tobytes())
        case _:
            yield path, node


def fingerprint(run):
    return dict(parts(loaded(stored(run))))


# The space fits the config.


def test_space_fits_the_config(model, space):
    base = plain(model.parse({}, "documented"))
    space.check(base, model.unsearchable, "space")
    assert all(knob.why for knob in space.knobs)
    assert set(model.unsearchable) <= set(leaves(base))
    assert model.length_key in model.unsearchable
    assert model.changeable <= {knob.path for knob in space.knobs}


def test_every_key_is_searchable_or_says_why_not(model, space):
    searched = {knob.path for knob in space.knobs}
    assert set(leaves(plain(model.parse({}, "documented")))) == searched | set(model.unsearchable)


def test_documented_values_are_the_defaults_and_lie_in_the_space(model, space):
    base = plain(model.parse({}, "documented"))
    for knob in space.knobs:
        assert knob.documented is not ABSENT, knob.path
        assert knob.documented == freeze(get(base, knob.path)), knob.path
    assert space.outside(space.baseline(base), base) == []


def test_sampled_configs_parse_and_come_back_through_native_files(model, case, space):
    base = plain(model.parse({}, "documented"))
    rng = np.random.default_rng(0)
    for _ in range(30):
        values = {path: thaw(value) for path, value in space.sample(rng, base).items()}
        config = model.parse(with_values(base, values), "sampled")
        files = model.write_native(None, "config.yaml", values, config)
        assert set(files) == case.files
        source = json.dumps(base, indent=2) + "\n"
        files = {**files, **model.write_native(source, "mine.json", values, config)}
        for name, text in files.items():
            assert model.parse(parse_native(text, name, name), name) == config


def commented(section: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """YAML lines with the path of the key that each is about."""
    for key, value in section.items():
        here, indent = f"{path}{key}", "  " * path.count(".")
        nested = isinstance(value, dict)
        yield here, f"{indent}{key}: {'' if nested else json.dumps(value)}  # about {here}\n"
        if nested:
            yield from commented(value, f"{here}.")


def test_the_users_file_gets_only_the_changes(model, space):
    base = plain(model.parse({}, "documented"))
    lines = list(commented(base))
    source = "".join(line for _, line in lines)
    values = {path: thaw(value) for path, value in space.sample(np.random.default_rng(1), base).items()}
    written = model.write_native(source, "mine.yaml", values, model.parse(with_values(base, values), "c"))["mine.yaml"]
    changed = {key for (key, a), b in zip(lines, written.splitlines(keepends=True), strict=True) if a != b}
    assert changed <= set(values)
    assert all(f"# about {key}\n" in written for key, _ in lines)


# Schedules.


def test_knobs_are_pure_and_settle(model, case, space):
    base = plain(model.parse(case.base, "case"))
    rng = np.random.default_rng(0)
    for _ in range(20):
        config = model.parse(with_values(base, space.sample(rng, base)), "sampled")
        steps = [int(step) for step in rng.permutation(40)]
        seen = {step: dict(model.knobs(config, step)) for step in steps}
        assert all(math.isfinite(value) for values in seen.values() for value in values.values())
        assert {step: dict(model.knobs(config, step)) for step in sorted(steps)} == seen
        assert isinstance(model.settles(config), int)
        assert model.settles(config) >= 0


# Training.


@pytest.mark.parametrize("pauses", [[1], [3, 4], [2, 5, 7]])
def test_pausing_changes_no_bit(model, case, pauses):
    whole = build(model, case)
    whole.train(case.steps)
    part = build(model, case)
    for pause in pauses:
        part.train(pause)
        part.evaluate()
        state = stored(part)
        part.close()
        part = build(model, case)
        torch.manual_seed(99)
        part.restore(loaded(state))
        assert part.step == pause
    part.train(case.steps)
    assert fingerprint(part) == fingerprint(whole)
    assert part.evaluate() == whole.evaluate()


def test_same_seed_same_result_other_seed_other_result(model, case):
    runs = [build(model, case, seed=seed) for seed in (1, 1, 2)]
    for run in runs:
        run.train(2)
    first, again, other = (run.evaluate() for run in runs)
    assert first == again
    assert first != other


def test_metrics_are_finite_and_named_for_mlflow(model, case):
    run = build(model, case)
    metrics = {**run.train(2), **run.evaluate()}
    assert model.objective.metric in metrics
    assert all(re.fullmatch(r"[A-Za-z0-9_.\- /]+", key) for key in metrics)
    assert all(math.isfinite(value) for value in metrics.values())
    assert math.isfinite(model.objective.worst)
    assert set(model.knobs(model.parse(case.base, "case"), 0)) <= set(metrics)


@each_knob
def test_no_knob_is_dead(name, knob):
    model, case = model_named(name), CASES[name]
    assert knob in case.live, f"say in the Case of {name} which two values of {knob} train differently"
    prints = []
    for value in case.live[knob]:
        run = build(model, case, **{**case.contexts.get(knob, {}), knob: value})
        run.train(case.steps)
        prints.append({path: leaf for path, leaf in fingerprint(run).items() if path.startswith(".network.")})
    assert prints[0] != prints[1]


@each_knob
def test_the_objective_depends_on_no_knob(name, knob):
    model, case = model_named(name), CASES[name]
    if knob in case.shapes:
        pytest.skip("other weights")
    one, other = (build(model, case, seed, **{knob: value}) for seed, value in enumerate(case.live[knob]))
    one.train(1)
    other.restore(loaded(stored(one)))
    assert other.evaluate()[model.objective.metric] == one.evaluate()[model.objective.metric]


@pytest.mark.parametrize("then", ["train", "evaluate"])
def test_nan_ends_the_run(model, case, then):
    run = build(model, case)
    run.train(1)
    state = loaded(stored(run))
    state["network"] = {key: value * math.nan for key, value in state["network"].items()}
    run.restore(state)
    with pytest.raises(Diverged) as error:
        run.train(3) if then == "train" else run.evaluate()
    assert error.value.quantity
    assert error.value.step in (1, 2)


def test_planning_needs_no_torch(model):
    code = (
        f"import sys; from trainables.registry import model_named; m = model_named({model.name!r});"
        "c = m.parse({}, 'c'); m.knobs(c, 0); m.settles(c); m.write_native(None, 'c.yaml', {}, c);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
