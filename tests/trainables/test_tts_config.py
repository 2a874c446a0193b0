from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scripts import SCRIPTS

from spaces import strict_yaml
from spaces.paths import with_values
from spaces.problems import BadInput
from spaces.space import parse_space
from trainables.native import parse_native, plain, unknown_keys
from trainables.registry import model_named
from trainables.tts.command import commands

MODEL = model_named("tts")
RECIPE = {"training.optimization_level": "enhanced", "model.size": "small", "data.batch_size": 24}
"""Of the documented recipe."""


def config(**values):
    return MODEL.parse(with_values({}, values), "mine.yaml")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"training.gradient_clip_norm": 0}, r"training.gradient_clip_norm: .*greater than 0, got 0"),
        ({"training.level_switch.gradient_clip_norm": 0.0}, r"level_switch.gradient_clip_norm: .*greater than 0"),
        ({"training.scheduler_params.restart_mult": 0.8}, r"restart_mult: .*equal to 1, got 0.8"),
        (
            {"training.epochs": 20, "training.level_switch.rule": "plateau", "training.level_switch.window": 25},
            r"level_switch.window 25 is no shorter than the run, epochs 20",
        ),
        (
            {"training.epochs": 50, "training.level_switch.rule": "epoch"},
            r"level_switch.epoch 50 is not below epochs 50.*lower it, or set",
        ),
        (
            {"training.learning_rate": 1e-7, "training.scheduler": "cosine"},
            r"min_learning_rate 1e-06 is above the learning rate of the first level",
        ),
        (
            {"training.level_switch.rule": "epoch", "training.level_switch.learning_rate": 1e-7},
            r"above the learning rate after the switch, 1e-07",
        ),
        ({"training.stop_label_smoothing": 0.5}, r"stop_label_smoothing: .*less than 0.5"),
        ({"training.huber_delta": 0}, r"huber_delta: .*greater than 0"),
        ({"data.win_length": 2048}, r"win_length 2048 is above n_fft 1024"),
        ({"data.mel_fmax": 12000.0}, r"mel_fmax 12000.0 does not lie between mel_fmin 0.0 and half"),
        ({"model.text_encoder_heads": 7}, r"text_encoder_heads 7 does not divide text_encoder_dim 512"),
        ({"model.n_mels": 40, "data.n_mels": 80}, r"model.n_mels is 40, data.n_mels is 80; .*; make them equal"),
        ({"training.overrides": ["epochs"]}, r"overrides: 'epochs' is not one of learning_rate, "),
        ({"training.overrides": ["learning_rate"]}, r"overrides: 'learning_rate' is not one of .* with a value"),
    ],
)
def test_bad_values_are_named_before_training(values, said):
    with pytest.raises(BadInput, match=said):
        config(**values)


def test_a_window_as_long_as_the_run_is_no_matter_without_the_rule():
    assert config(**{"training.epochs": 60, "training.level_switch.window": 80}).training.level_switch.window == 80


@pytest.mark.parametrize(
    ("values", "scheduler"),
    [
        ({}, "noam"),
        ({"cosine_restarts": True}, "noam"),  # the name is asked first, and noam is its default
        ({"scheduler": "cosine"}, "warmup_cosine"),  # use_warmup_cosine_schedule is true where it is absent
        ({"scheduler": "cosine", "use_warmup_cosine_schedule": False}, "cosine"),
        ({"scheduler": "cosine", "cosine_restarts": True}, "cosine_restarts"),
        ({"scheduler": "cosine_with_restarts", "use_warmup_cosine_schedule": True}, "cosine_restarts"),
    ],
)
def test_name_and_flags_of_the_native_file_choose_the_scheduler(values, scheduler):
    mine = config(**{f"training.{key}": value for key, value in values.items()})
    assert mine.values(after=False).scheduler == scheduler


def test_nulls_are_absent_and_audio_keys_stand_in_either_section():
    nulls = {
        "model": {"decoder_dim": None},
        "data": None,
        "training": {"scheduler_params": None, "learning_rate": None},
    }
    assert MODEL.parse(nulls, "c") == MODEL.parse({}, "c")
    audio = {"sample_rate": 16000, "n_fft": 512, "hop_length": 128, "win_length": 512, "n_mels": 40}
    older, newer = MODEL.parse({"model": audio}, "c"), MODEL.parse({"data": audio}, "c")
    assert older == newer and older.data.n_mels == 40 and unknown_keys(older) == ()


def test_sizes_are_the_documented_ones():
    shapes = {size: config(**{"model.size": size}).model.shape for size in ("tiny", "small", "normal")}
    assert shapes == {"tiny": (256, 4, 768, 8), "small": (384, 6, 1024, 12), "normal": (512, 8, 1536, 16)}
    assert config(**{"model.size": "tiny", "model.decoder_dim": 96}).model.shape == (256, 4, 96, 8)


def test_a_files_own_sizes_are_trained():
    """A width of a documented size goes with its depth, and heads are 64 wide, as in the user's class."""
    sized = {"model.text_encoder_dim": 384, "model.decoder_dim": 1024}
    assert config(**sized).model.shape == (384, 6, 1024, 12) and config(**sized).model.heads == (6, 16)
    assert config().model.shape == (512, 8, 1536, 16) and config().model.heads == (8, 24)
    own = {"model.text_encoder_layers": 3, "model.decoder_layers": 5, "model.decoder_heads": 12}
    assert config(**own).model.shape == (512, 3, 1536, 5) and config(**own).model.heads == (8, 12)


def test_unknown_keys_are_carried():
    mine = MODEL.parse({"training": {"experiment": "x"}, "wandb": {"on": True}}, "mine.yaml")
    assert unknown_keys(mine) == ("training.experiment", "wandb")


# The documented command.


def test_the_commands_of_the_documented_recipe():
    first, between, second = commands(
        config(**RECIPE, **{"training.epochs": 150, "training.level_switch.rule": "epoch"})
    )
    assert first == (
        "python train_main.py --optimization-level enhanced --batch-size 24 --lr 0.0001 --gradient-clip 0.5 --epochs 50"
    )
    assert between == "then from its last checkpoint:"
    assert second == (
        "python train_main.py --optimization-level plateau_breaker --batch-size 24 --lr 1.5e-05 --gradient-clip 0.3 "
        "--epochs 150 --resume-checkpoint CHECKPOINT"
    )


def test_commands_carry_overrides_and_say_what_has_no_flag():
    values = {
        "training.epochs": 150,
        "training.level_switch.rule": "epoch",
        "training.level_switch.learning_rate": 1.2e-5,
        "training.level_switch.gradient_clip_norm": 0.25,
        "training.overrides": {"use_huber_loss": False},
    }
    lines = commands(config(**{**RECIPE, **values, "data.batch_size": 32}))
    assert lines[-1].startswith(
        "python train_main.py --optimization-level plateau_breaker --batch-size 32 --lr 1.2e-05"
    )
    assert "--gradient-clip 0.25" in lines[-1]
    assert lines[0] == lines[-2] == "with training: {use_huber_loss: false} in its config"


def test_commands_without_a_level_without_a_switch_and_at_a_plateau():
    plain = commands(config(**{"training.optimization_level": "custom", "training.level_switch.rule": "never"}))
    assert "--optimization-level" not in plain[-1] and plain[-1].endswith("--epochs 1000")
    found = commands(config(**RECIPE, **{"training.level_switch.rule": "plateau"}))
    assert found[0].startswith(
        "Stop the first command when the validation error has not fallen by 0.01 of itself in 10"
    )
    resumed = commands(
        config(**RECIPE, **{"training.resume_checkpoint": "a.pt", "training.level_switch.rule": "epoch"})
    )
    assert resumed[0].endswith("--epochs 50 --resume-checkpoint a.pt") and "a.pt" not in resumed[-1]


def test_levels_that_the_script_does_not_know_are_written_out():
    own = {"training.levels": {"mine": {"kl_loss_weight": 0.2}, "enhanced": {"mel_loss_weight": 3.0}}}
    lines = commands(
        config(**own, **RECIPE, **{"training.level_switch.rule": "epoch", "training.level_switch.level": "mine"})
    )
    assert lines[0] == "with training: {mel_loss_weight: 3.0} in its config"
    assert lines[-2] == "with training: {kl_loss_weight: 0.2} in its config" and "mine" not in lines[-1]


SOURCE = """\
# mine
model: {decoder_dim: 1024}   # small
training:
  learning_rate: 3.0e-4  # tuned by hand
  scheduler: noam
  scheduler_params: null
  gradient_clip_norm: 5e-1
"""


def files_of(source, values):
    base = plain(MODEL.parse(parse_native(source, "mine.yaml", "m"), "m"))
    trained = MODEL.parse(with_values(base, values), "w")
    return MODEL.write_native(source, "dir/mine.yaml", trained), trained


def test_the_native_file_holds_what_is_in_force_as_its_own():
    files, _ = files_of(SOURCE, {"training.overrides.learning_rate": 1e-3, "training.overrides.scheduler": "cosine"})
    sized = SOURCE.replace("{decoder_dim: 1024}", "{decoder_dim: 1024, decoder_layers: 12, decoder_heads: 16}")
    assert files["mine.yaml"] == sized.replace("3.0e-4", "0.001").replace("scheduler: noam", "scheduler: cosine") + (
        "  use_warmup_cosine_schedule: false\n"
    )
    files, trained = files_of(SOURCE, {"training.optimization_level": "plateau_breaker"})
    written = strict_yaml.loads(files["mine.yaml"], "w")["training"]
    assert written["scheduler_params"] == {"restart_period": 100 * trained.steps_per_epoch}
    assert (written["learning_rate"], written["scheduler"], written["cosine_restarts"]) == (1.5e-5, "cosine", True)
    head = files["train_main.yaml"].splitlines()[0]
    assert head.startswith("# python train_main.py --optimization-level plateau_breaker --batch-size 56 --lr 1.5e-05")


def test_a_switch_is_said_at_the_top_and_a_file_of_ours_keeps_its_form():
    switched = {"training.level_switch.rule": "epoch", "training.level_switch.epoch": 60}
    files, _ = files_of(SOURCE, switched)
    assert "#   training.level_switch: this file is the first level's" in files["mine.yaml"]
    assert "level_switch:" not in files["mine.yaml"].replace("training.level_switch:", "")
    ours = "training:\n  optimization_level: enhanced  # the flag\n"
    files, trained = files_of(ours, {**switched, "training.overrides.learning_rate": 1e-3})
    assert files["mine.yaml"].startswith(ours)
    assert MODEL.parse(parse_native(files["mine.yaml"], "mine.yaml", "w"), "w") == trained


SPACE = parse_space(strict_yaml.load(Path(__file__).parents[2] / "spaces" / "tts.yaml"), "tts.yaml").in_steps(1000)
LOADED = {  # the keys of the user's config class
    "model": {"text_encoder_dim", "text_encoder_layers", "text_encoder_heads", "decoder_dim", "decoder_layers",
              "decoder_heads"},
    "data": {"dataset_path", "metadata_train_file", "metadata_eval_file", "wavs_train_dir", "wavs_eval_dir",
             "sample_rate", "n_fft", "hop_length", "win_length", "n_mels", "batch_size", "max_mel_frames"},
    "training": {key.removeprefix("training.") for key in SCRIPTS["tts"].absent} | {"scheduler_params"},
}  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_no_key_is_new_to_the_users_loader_and_both_files_say_the_same(seed):
    base = plain(MODEL.parse(parse_native(SOURCE, "mine.yaml", "m"), "m"))
    drawn = SPACE.sample(np.random.default_rng(seed), base)
    files, trained = files_of(SOURCE, {**drawn, "training.level_switch.rule": "never"})
    for name, text in files.items():
        found = strict_yaml.loads(text, name)
        for section, keys in LOADED.items():
            assert set(found.get(section, {})) <= keys, name
        assert set(found["training"].get("scheduler_params") or {}) <= {
            "restart_period",
            "restart_mult",
            "min_learning_rate",
        }
        read, wanted = (asdict(each.values(after=False)) for each in (MODEL.parse(found, name), trained))
        if wanted["scheduler"] != "cosine_restarts":
            read["restart_period"] = wanted["restart_period"]  # nothing restarts
        assert read == wanted
        for key in ("dropout", "prenet_dropout"):
            assert f"#   model.{key}: " in text
