"""A tiny training of each model, for tests of what all models must fulfil."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch


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
