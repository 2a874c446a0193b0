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
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spaces import strict_yaml
from spaces.paths import get, leaves, with_values
from spaces.space import parse_space
from spaces.values import ABSENT, freeze, thaw
from trainables.keys import differing, ours
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
    partial: frozenset[str] = frozenset()  # those that hold what the user's script can be told, and a note of the rest
    begins: Mapping[str, int] = field(default_factory=dict)  # start of a knob's path → the step before which none acts


def sequence_phases(**values: tuple[Any, Any]) -> dict[str, tuple[Any, Any]]:
    """Knob → two values, for a knob that each of the five phases has."""
    first = {"lr_start", "teacher_forcing_start", "weight_decay", "noise_level", "clip_grad_norm"}  # have native keys
    return {
        f"plan.phase_{number}.{key}": pair
        for number in range(1, 6)
        for key, pair in values.items()
        if not (number == 1 and key in first) and not (number == 5 and key == "length")
    }


def sequence_contexts(key: str, **values: Any) -> dict[str, dict[str, Any]]:
    """What must hold in a phase for its `key` to act."""
    phases = [f"plan.phase_{number}" for number in range(1, 6)]
    return {f"{phase}.{key}": {f"{phase}.{other}": value for other, value in values.items()} for phase in phases}


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
            "use_composite_loss": True,
            "use_alpha_schedule": True,
            "composite_loss_alpha": 0.6,
            "early_stopping": False,
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
    "whisper_child": Case(
        base={
            "model": {
                "pretrained": None,
                "random_init": {"d_model": 8, "layers": 1, "heads": 2, "ffn_dim": 8, "max_target_positions": 24},
                "gradient_checkpointing": False,
                "freeze_encoder_steps": 2,
            },
            "data": {
                "target_length": 0.4,
                "train_utterances": 12,
                "specaugment": True,
                "time_mask_param": 10,
                "curriculum_learning": True,
            },
            "training": {
                "num_epochs": 8,
                "max_epochs": 8,
                "batch_size": 6,
                "gradient_accumulation_steps": 1,
                "learning_rate": 0.01,
                "warmup_steps": 2,
                "lr_scheduler_type": "cosine",
                "early_stopping_patience": 0,
                "eval_steps": 1,
                "save_steps": 1,
            },
            "inference": {"max_length": 8},
        },
        data={"generate": {"children": 2, "utterances": 2, "words": 1}},
        steps=8,
        live={
            "training.learning_rate": (1e-3, 1e-2),
            "training.lr_scheduler_type": ("linear", "cosine"),
            "training.warmup_steps": (2, 3),
            "training.num_epochs": (6, 8),
            "model.freeze_encoder_steps": (0, 3),
            "model.unfreeze_warmup_steps": (0, 3),
            "training.batch_size": (4, 6),
            "training.gradient_accumulation_steps": (1, 2),
            "training.weight_decay": (1e-3, 0.3),
            "training.max_grad_norm": (0.1, 10.0),
            "training.early_stopping_patience": (0, 1),
            "model.dropout": (0.0, 0.2),
            "data.specaugment": (True, False),
            "data.freq_mask_param": (0, 27),
            "data.freq_mask_count": (1, 2),
            "data.time_mask_param": (0, 10),
            "data.time_mask_count": (1, 2),
            "data.curriculum_learning": (True, False),
            "data.curriculum_epochs": (1, 2),
        },
        files=frozenset({"baseline_whisper_small.yaml"}),
    ),
    "tts": Case(
        base={
            "model": {
                "size": "demo",
                "text_encoder_dim": 8,
                "text_encoder_layers": 1,
                "decoder_dim": 8,
                "decoder_layers": 1,
            },
            "data": {"batch_size": 4, "train_clips": 8, "mcd_sentences": 1},
            "training": {
                "epochs": 1000,
                "optimization_level": "enhanced",
                "overrides": {"learning_rate": 1e-2},
                "level_switch": {"rule": "epoch", "epoch": 3, "learning_rate": 2e-3},
            },
        },
        data={"generate": {"sentences": 10}},
        steps=8,
        live={
            "training.optimization_level": ("enhanced", "basic"),
            "training.level_switch.rule": ("epoch", "never"),
            "training.level_switch.epoch": (2, 3),
            "training.level_switch.level": ("plateau_breaker", "basic"),
            "training.level_switch.window": (2, 3),
            "training.level_switch.minimum_gain": (1e-4, 0.5),
            "training.level_switch.back_after": (0, 2),
            "training.overrides.learning_rate": (1e-3, 1e-2),
            "training.overrides.mel_loss_weight": (1.0, 2.5),
            "training.overrides.kl_loss_weight": (0.1, 5.0),
            "training.overrides.gradient_clip_norm": (0.05, 10.0),
            "training.overrides.scheduler": ("noam", "cosine"),
            "training.overrides.restart_period": (2, 3),
            "training.scheduler_params.restart_mult": (1.0, 2.0),
            "training.level_switch.learning_rate": (1e-3, 1e-2),
            "training.level_switch.mel_loss_weight": (1.0, 2.5),
            "training.level_switch.kl_loss_weight": (0.1, 5.0),
            "training.level_switch.gradient_clip_norm": (0.05, 10.0),
            "training.level_switch.restart_period": (2, 3),
            "training.warmup_steps": (4, 8),
            "training.min_learning_rate": (1e-8, 1e-4),
            "training.weight_decay": (1e-6, 1e-1),
            "training.gradient_accumulation_steps": (1, 2),
            "data.batch_size": (4, 8),
            "training.stop_loss_weight": (0.1, 1.0),
            "training.duration_loss_weight": (0.1, 1.0),
            "training.attention_loss_weight": (0.02, 1.0),
            "training.overrides.use_adaptive_loss_weights": (True, False),
            "training.overrides.use_label_smoothing": (True, False),
            "training.mel_label_smoothing": (0.0, 0.1),
            "training.stop_label_smoothing": (0.0, 0.1),
            "training.overrides.use_huber_loss": (True, False),
            "training.huber_delta": (0.1, 1.0),
            "training.stop_token_positive_weight": (1.0, 5.0),
            "model.dropout": (0.0, 0.2),
            "model.prenet_dropout": (0.0, 0.5),
        },
        contexts={
            "training.level_switch.window": {
                "training.level_switch.rule": "plateau",
                "training.level_switch.minimum_gain": 0.9,
            },
            "training.level_switch.minimum_gain": {
                "training.level_switch.rule": "plateau",
                "training.level_switch.window": 1,
            },
            "training.scheduler_params.restart_mult": {
                "training.level_switch.rule": "never",
                "training.overrides.restart_period": 2,
            },
            "training.warmup_steps": {"training.overrides.scheduler": "noam"},
        },
        files=frozenset({"train_main.yaml"}),
        partial=frozenset({"train_main.yaml"}),
    ),
    "sequence_generator": Case(
        base={
            "hidden_size": 4,
            "num_layers": 2,
            "dropout": 0.2,
            "batch_size": 8,
            "epochs": 15,
            "start_lr": 0.01,
            "weight_decay": 0.1,
            "teacher_forcing_start": 0.9,
            "no_cuda": True,
            "plan": {
                f"phase_{number}": {
                    "length": 1 / (6 - number),
                    "lr_schedule": "cosine",
                    "lr_end": 0.8,
                    "teacher_forcing_end": 0.9,
                    "weight_decay": 0.9,
                    "noise_level": 0.9,
                    "clip_grad_norm": 0.1 if number == 2 else 0.9,
                    "max_lag": 5,
                }
                for number in range(1, 6)
            },
        },
        data={"generate": {"simulations": 12, "grid": 16, "frames": 24}},
        steps=15,
        live={
            "start_lr": (1e-3, 1e-2),
            "teacher_forcing_start": (0.2, 0.9),
            "weight_decay": (1e-3, 1e-1),
            "noise_level": (0.0, 0.1),
            "clip_grad_norm": (0.01, 1.0),
            "hidden_size": (4, 5),
            "num_layers": (1, 2),
            "dropout": (0.0, 0.2),
            "bidirectional": (True, False),
            "attention": (True, False),
            "batch_size": (4, 8),
            "curriculum_epochs": (0, 1),
            "component_weights": ([1.0, 1.0, 1.0, 1.0, 1.0], [2.0, 1.0, 1.0, 1.0, 1.0]),
            "plan.phase_1.lr_warmup_fraction": (0.3, 0.7),
            **sequence_phases(
                length=(0.4, 0.6),
                lr_schedule=("constant", "cosine"),
                lr_start=(0.5, 1.0),
                lr_end=(0.5, 0.9),
                lr_warmup=(0.2, 0.8),
                lr_cycles=(1, 2),
                teacher_forcing_start=(0.2, 1.0),
                teacher_forcing_end=(0.1, 0.9),
                weight_decay=(0.1, 1.0),
                noise_level=(0.1, 1.0),
                clip_grad_norm=(0.1, 1.0),
                alpha=(0.2, 0.9),
                max_lag=(2, 6),
            ),
        },
        contexts={
            **sequence_contexts("lr_warmup", lr_schedule="one_cycle", lr_warmup_fraction=0.7),
            **sequence_contexts("lr_cycles", lr_schedule="restarts"),
            "plan.phase_1.lr_warmup_fraction": {"plan.phase_1.lr_schedule": "one_cycle"},
            "curriculum_epochs": {"batch_size": 4},
        },
        shapes=frozenset({"hidden_size", "num_layers", "bidirectional", "attention"}),
        files=frozenset({"phases.yaml", "commands.yaml"}),
        partial=frozenset({"commands.yaml"}),
        begins={f"plan.phase_{number}.": 3 * (number - 1) for number in range(1, 6)},
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
    return space.in_steps(get(plain(model.parse(model.documented(), "documented")), model.length_key))


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
    base = plain(model.parse(model.documented(), "documented"))
    space.check(base, model.unsearchable, "space")
    assert all(knob.why for knob in space.knobs)
    assert set(model.unsearchable) <= set(leaves(base))
    assert model.length_key in model.unsearchable
    assert model.changeable <= {knob.path for knob in space.knobs}


def test_every_key_is_searchable_or_says_why_not(model, space):
    searched = {knob.path for knob in space.knobs}
    assert set(leaves(plain(model.parse(model.documented(), "documented")))) == searched | set(model.unsearchable)


def test_documented_values_are_the_defaults_and_lie_in_the_space(model, space):
    base = plain(model.parse(model.documented(), "documented"))
    for knob in space.knobs:
        assert knob.documented is not ABSENT, knob.path
        assert knob.documented == freeze(get(base, knob.path)), knob.path
    assert space.outside(space.baseline(base), base) == []


def test_sampled_configs_parse_and_come_back_through_native_files(model, case, space):
    base = plain(model.parse(model.documented(), "documented"))
    rng = np.random.default_rng(0)
    for _ in range(10):
        values = {path: thaw(value) for path, value in space.sample(rng, base).items()}
        config = model.parse(with_values(base, values), "sampled")
        files = model.write_native(None, "config.yaml", config)
        assert set(files) == case.files
        source = json.dumps(base, indent=2) + "\n"
        files = {**files, **model.write_native(source, "mine.json", config)}
        for name, text in files.items():
            if name in case.partial:
                continue
            read = plain(model.parse(parse_native(text, name, name), name))
            told = set() if name == "mine.json" else {path for path, _ in ours(config)}
            assert differing(read, plain(config)).keys() <= told


def commented(section: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """YAML lines with the path of the key that each is about."""
    for key, value in section.items():
        here, indent = f"{path}{key}", "  " * path.count(".")
        nested = isinstance(value, dict)
        yield here, f"{indent}{key}: {'' if nested else json.dumps(value)}  # about {here}\n"
        if nested:
            yield from commented(value, f"{here}.")


def test_the_users_file_gets_only_the_changes(model, space):
    base = plain(model.parse(model.documented(), "documented"))
    lines = list(commented(base))
    source = "".join(line for _, line in lines)
    values = {path: thaw(value) for path, value in space.sample(np.random.default_rng(1), base).items()}
    written = model.write_native(source, "mine.yaml", model.parse(with_values(base, values), "c"))["mine.yaml"]
    changed = {key for (key, a), b in zip(lines, written.splitlines(keepends=True), strict=True) if a != b}
    assert changed <= set(values)
    assert all(f"# about {key}\n" in written for key, _ in lines)


def test_an_omitted_key_trains_as_its_absent_value(model, case):
    """Bit for bit, over two evaluations: the case's file against the same with all that it omits spelt out."""
    whole = plain(model.parse(case.base, "case"))
    trained = []
    for native in (case.base, whole):
        config = model.parse(native, "case")
        run = model.build(config, model.prepare(model.parse_data(case.data, config, "data"), config), 0)
        found = []
        for until in (1, 2):
            run.train(until)
            found.append(run.evaluate())
        trained.append((found, fingerprint(run)))
        run.close()
    assert trained[0] == trained[1]


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


def test_a_diverged_training_scores_a_finite_number_that_the_objectives_worst_bounds(model, case):
    worst = build(model, case).worst
    assert math.isfinite(worst)
    assert worst <= model.objective.worst if model.objective.mode == "min" else worst >= model.objective.worst


def test_artifacts_are_files_and_change_nothing(model, case, tmp_path):
    run = build(model, case)
    run.train(1)
    before, metrics = fingerprint(run), run.evaluate()
    run.artifacts(tmp_path)
    assert all(path.is_file() and path.stat().st_size for path in tmp_path.iterdir())
    assert fingerprint(run) == before and run.evaluate() == metrics


def test_the_config_takes_what_the_data_says_of_itself(model, case):
    config = model.parse(case.base, "case")
    prepared = model.prepare(model.parse_data(case.data, config, "case"), config)
    told = model.parse(with_values(plain(config), prepared.keys), "told")
    again = model.prepare(model.parse_data(case.data, told, "case"), told)
    assert (again.keys, again.digest, again.path) == (prepared.keys, prepared.digest, prepared.path)


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
    begins = next((step for start, step in case.begins.items() if knob.startswith(start)), 0)
    context = case.contexts.get(knob, {})
    runs = [build(model, case, **{**context, knob: value}) for value in case.live[knob]]
    for run in runs if begins else ():
        run.restore(loaded(trained(name, begins)))
    for step in range(begins + 1, case.steps + 1):
        for run in runs:
            run.train(step)
        one, other = (network(run) for run in runs)
        if one != other:
            return
    pytest.fail(f"{case.live[knob]} train alike for {case.steps} steps")


@cache
def trained(name, until):
    """The state of the base config after so many steps."""
    run = build(model_named(name), CASES[name])
    run.train(until)
    return stored(run)


def network(run):
    return {path: leaf for path, leaf in fingerprint(run).items() if path.startswith(".network.")}


@each_knob
def test_the_objective_depends_on_no_knob(name, knob):
    model, case = model_named(name), CASES[name]
    if knob in case.shapes:
        pytest.skip("other weights")
    one, other = (build(model, case, seed, **{knob: value}) for seed, value in enumerate(case.live[knob]))
    one.train(1)
    other.restore(loaded(stored(one)))
    found, expected = other.evaluate(), one.evaluate()
    for metric in (model.objective.metric, *model.objective.further):
        assert found[metric] == expected[metric]


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


def test_planning_needs_no_torch():
    code = (
        "import sys; from trainables.registry import model_named\n"
        f"for name in {list(models())!r}:\n"
        "    m = model_named(name); c = m.parse(m.documented(), 'c'); m.knobs(c, 0); m.settles(c)\n"
        "    m.write_native(None, 'c.yaml', c)\n"
        "    assert 'torch' not in sys.modules, name"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
