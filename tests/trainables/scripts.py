"""What the users' training scripts take for an absent key, from their code. Written here once more, so that a slip in a
schema shows; a key that a script has no value of its own for stands in `needed`, and in every file of a user's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spaces.paths import get, has, with_values

Native = Mapping[str, Any]


@dataclass(frozen=True)
class Script:
    """One model's training script, or the class that reads its config."""

    absent: Mapping[str, Any]
    """Dotted key → its value where a file lacks it."""
    needed: Mapping[str, Any]
    """Dotted key → a value, for keys that a user's file has."""
    older: Mapping[str, Any]
    """Values of an older script, which a file without all of `newer` is for."""
    newer: frozenset[str]
    together: tuple[frozenset[str], ...]
    """Keys of which a file has all or none."""
    normal: Callable[[dict[str, Any]], dict[str, Any]]
    """What the script makes of the whole config: keys that only say how others are meant are gone."""
    suffixes: tuple[str, ...] = ("yaml", "json")

    def file(self, omitted: frozenset[str]) -> dict[str, Any]:
        """A user's file of the recent script without some keys; needed ones it always has."""
        return with_values({}, {**{k: v for k, v in self.absent.items() if k not in omitted}, **self.needed})

    def takes(self, native: Native) -> dict[str, Any]:
        """Dotted key → what the script trains with, given a file."""
        newer = not self.older or any(has(native, key) for key in self.newer)
        values = self.absent if newer else {**self.absent, **self.older}
        return self.normal({key: get(native, key) if has(native, key) else value for key, value in values.items()})


def script(
    absent: Native,
    needed: Native,
    older: Native | None = None,
    newer: frozenset[str] = frozenset(),
    together: tuple[frozenset[str], ...] = (),
    normal: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> Script:
    """A `Script`; sections are written as nested mappings."""
    return Script(_flat(absent), _flat(needed), older or {}, newer, together, normal)


def _flat(node: Native, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.items():
        nested = isinstance(value, Mapping) and value
        found |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def _cosine(values: dict[str, Any]) -> dict[str, Any]:
    """tts: the name is asked first; the flags say which cosine it is."""
    left = {key: value for key, value in values.items() if not key.endswith(("_warmup_cosine_schedule", "_restarts"))}
    if values["training.scheduler"] == "cosine":
        restarts, warmup = values["training.cosine_restarts"], values["training.use_warmup_cosine_schedule"]
        left["training.scheduler"] = "cosine_restarts" if restarts else "warmup_cosine" if warmup else "cosine"
    return left


SCRIPTS: Mapping[str, Script] = {
    "whisper_child": script(
        absent={
            "model": {"freeze_encoder_steps": 0, "freeze_encoder": False, "dropout": 0.1,
                      "gradient_checkpointing": False},
            "data": {"specaugment": False, "freq_mask_param": 27, "time_mask_param": 100, "curriculum_learning": False},
            "training": {
                "lr_scheduler_type": "linear", "early_stopping_patience": 0, "num_epochs": 10, "batch_size": 8,
                "eval_batch_size": 8, "learning_rate": 1e-5, "warmup_steps": 500, "gradient_accumulation_steps": 4,
                "save_steps": 1000, "eval_steps": 1000, "logging_steps": 100, "save_total_limit": 3,
            },
        },
        needed={"training": {"weight_decay": 0.01}},
        together=(frozenset({"training.save_steps", "training.eval_steps"}),),
    ),
    "diphone_rnn": script(
        absent={
            "use_composite_loss": False, "use_alpha_schedule": False, "composite_loss_alpha": 0.5,
            "alpha_schedule_start": 0.0, "alpha_schedule_end": 0.6, "alpha_schedule_step_size": 0.1,
            "alpha_schedule_step_interval": 3000, "model": {"bidirectional": False}, "early_stopping": True,
            "save_best_checkpoint": True, "gpu_number": 0,
        },
        needed={
            "model": {"n_units": 768, "rnn_dropout": 0.4, "rnn_trainable": True, "n_layers": 5, "patch_size": 14,
                      "patch_stride": 4, "input_network": {"input_trainable": True, "input_layer_dropout": 0.2}},
            "num_training_batches": 120000, "lr_scheduler_type": "linear", "lr_max": 0.004, "lr_min": 1e-4,
            "lr_decay_steps": 120000, "lr_warmup_steps": 900, "lr_max_day": 0.006, "lr_min_day": 2e-4,
            "lr_decay_steps_day": 110000, "lr_warmup_steps_day": 800, "beta0": 0.9, "beta1": 0.999, "epsilon": 0.1,
            "weight_decay": 0.001, "weight_decay_day": 0.0, "grad_norm_clip_value": 10,
            "dataset": {
                "batch_size": 64, "n_classes": 1681, "days_per_batch": 4,
                "data_transforms": {
                    "white_noise_std": 1.0, "constant_offset_std": 0.2, "random_walk_std": 0.0, "random_walk_axis": -1,
                    "static_gain_std": 0.0, "random_cut": 3, "smooth_kernel_size": 100, "smooth_data": True,
                    "smooth_kernel_std": 2,
                },
            },
        },
    ),
    "early_inference": script(
        absent={
            "weight_decay": 1e-5, "grad_clip_norm": 5.0, "scheduler_factor": 0.7, "scheduler_patience": 10,
            "scheduler_min_lr": 1e-6, "warmup_epochs": 5, "prefix_length": 30, "batch_size": 256, "lr": 1e-3,
            "val_split": 0.2, "tcn_channels": [128, 256, 512, 512], "tcn_kernel_size": 7, "tcn_dropout": 0.2,
            "mlp_hidden_dims": [256, 128], "output_dropout": 0.1, "use_uncertainty": True,
            "use_weighted_pooling": True, "use_variance_regularization": True, "variance_penalty_weight": 0.01,
            "target_variance": 0.1, "seed": 42, "normalize_inputs": True, "normalize_outputs": True,
        },
        needed={"epochs": 50, "early_stopping_patience": 10},
        older={
            "weight_decay": 0.0, "grad_clip_norm": 0.0, "warmup_epochs": 0, "scheduler_factor": 0.5,
            "scheduler_patience": 5, "scheduler_min_lr": 0.0, "use_weighted_pooling": False,
            "use_variance_regularization": False,
        },
        newer=frozenset({"weight_decay", "grad_clip_norm", "scheduler_factor", "scheduler_patience",
                         "scheduler_min_lr", "warmup_epochs"}),
    ),
    "sequence_generator": script(
        absent={
            "epochs": 100, "start_lr": 1e-3, "min_lr": 5e-4, "teacher_forcing_start": 0.7,
            "teacher_forcing_end": 0.6, "weight_decay": 0.01, "noise_level": 0.05, "clip_grad_norm": 1.0, "max_lag": 10,
            "hidden_size": 256, "num_layers": 2, "dropout": 0.3, "batch_size": 32, "existing_model": None,
            "teacher_forcing": True, "mixed_precision": False, "seed": 42,
        },
        needed={"alpha": 0.8},
    ),
    "tts": script(
        absent={
            "training": {
                "epochs": 1000, "learning_rate": 1e-4, "warmup_steps": 4000, "weight_decay": 1e-6,
                "gradient_clip_norm": 1.0, "gradient_accumulation_steps": 1, "optimizer": "adamw", "scheduler": "noam",
                "mel_loss_weight": 2.5, "kl_loss_weight": 1.0, "duration_loss_weight": 0.1,
                "attention_loss_weight": 0.02, "use_adaptive_loss_weights": True, "use_label_smoothing": True,
                "mel_label_smoothing": 0.05, "stop_label_smoothing": 0.1, "use_huber_loss": True, "huber_delta": 1.0,
                "stop_token_positive_weight": 5.0, "use_warmup_cosine_schedule": True, "cosine_restarts": False,
                "min_learning_rate": 1e-6, "early_stopping_patience": 25,
            },
        },
        needed={"model": {"decoder_dim": 1024, "decoder_layers": 12, "decoder_heads": 16}},
        normal=_cosine,
    ),
}  # fmt: skip
