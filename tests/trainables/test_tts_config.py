import pytest

from spaces.paths import with_values
from spaces.problems import BadInput
from trainables.native import unknown_keys
from trainables.registry import model_named
from trainables.tts.command import commands

MODEL = model_named("tts")


def config(**values):
    return MODEL.parse(with_values({}, values), "mine.yaml")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"training.gradient_clip_norm": 0}, r"training.gradient_clip_norm: .*greater than 0, got 0"),
        ({"training.level_switch.gradient_clip_norm": 0.0}, r"level_switch.gradient_clip_norm: .*greater than 0"),
        ({"training.scheduler_params.restart_multiplier": 0.8}, r"restart_multiplier: .*equal to 1, got 0.8"),
        (
            {"training.epochs": 20, "training.level_switch.rule": "plateau", "training.level_switch.window": 25},
            r"level_switch.window 25 is no shorter than the run, epochs 20",
        ),
        (
            {"training.epochs": 50, "training.level_switch.rule": "epoch"},
            r"level_switch.epoch 50 is not below epochs 50.*lower it, or set",
        ),
        ({"training.learning_rate": 1e-7}, r"min_learning_rate 1e-06 is above the learning rate of the first level"),
        (
            {"training.level_switch.rule": "epoch", "training.level_switch.learning_rate": 1e-7},
            r"above the learning rate after the switch, 1e-07",
        ),
        (
            {"training.use_warmup_cosine_schedule": True, "training.cosine_restarts": True},
            r"use_warmup_cosine_schedule and cosine_restarts are both true",
        ),
        ({"training.scheduler": "noam", "training.cosine_restarts": True}, r"scheduler is noam, and the flags say"),
        ({"training.stop_label_smoothing": 0.5}, r"stop_label_smoothing: .*less than 0.5"),
        ({"training.huber_delta": 0}, r"huber_delta: .*greater than 0"),
        ({"data.win_length": 2048}, r"win_length 2048 is above n_fft 1024"),
        ({"data.mel_fmax": 12000.0}, r"mel_fmax 12000.0 must lie above mel_fmin 0.0 and at most at half"),
        ({"model.attention_heads": 7}, r"attention_heads 7 does not divide the width 384"),
    ],
)
def test_bad_values_are_named_before_training(values, said):
    with pytest.raises(BadInput, match=said):
        config(**values)


def test_a_window_as_long_as_the_run_is_no_matter_without_the_rule():
    assert config(**{"training.epochs": 60, "training.level_switch.window": 80}).training.level_switch.window == 80


def test_flags_of_the_native_file_choose_the_scheduler():
    assert config(**{"training.cosine_restarts": True}).values(after=False).scheduler == "cosine_restarts"
    warm = config(**{"training.use_warmup_cosine_schedule": True, "training.scheduler": "cosine"})
    assert warm.values(after=False).scheduler == "warmup_cosine"


def test_sizes_are_the_documented_ones():
    shapes = {size: config(**{"model.size": size}).model.shape for size in ("tiny", "small", "normal")}
    assert shapes == {"tiny": (256, 4, 768, 8), "small": (384, 6, 1024, 12), "normal": (512, 8, 1536, 16)}
    assert config(**{"model.size": "tiny", "model.decoder_dim": 96}).model.shape == (256, 4, 96, 8)


def test_unknown_keys_are_carried():
    mine = MODEL.parse({"training": {"experiment": "x"}, "wandb": {"on": True}}, "mine.yaml")
    assert unknown_keys(mine) == ("training.experiment", "wandb")


# The documented command.


def test_the_commands_of_the_documented_recipe():
    first, between, second = commands(config(**{"training.epochs": 150, "training.level_switch.rule": "epoch"}))
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
        "data.batch_size": 32,
        "training.level_switch.learning_rate": 1.2e-5,
        "training.level_switch.gradient_clip_norm": 0.25,
        "training.use_huber_loss": False,
    }
    lines = commands(config(**values))
    assert lines[-1].startswith(
        "python train_main.py --optimization-level plateau_breaker --batch-size 32 --lr 1.2e-05"
    )
    assert "--gradient-clip 0.25" in lines[-1]
    assert lines[0] == lines[-2] == "with training: {use_huber_loss: false} in its config"


def test_commands_without_a_level_without_a_switch_and_at_a_plateau():
    plain = commands(config(**{"training.optimization_level": "custom", "training.level_switch.rule": "never"}))
    assert "--optimization-level" not in plain[-1] and plain[-1].endswith("--epochs 1000")
    found = commands(config(**{"training.level_switch.rule": "plateau"}))
    assert found[0].startswith(
        "Stop the first command when the validation error has not fallen by 0.01 of itself in 10"
    )
    resumed = commands(config(**{"training.resume_checkpoint": "a.pt", "training.level_switch.rule": "epoch"}))
    assert resumed[0].endswith("--epochs 50 --resume-checkpoint a.pt") and "a.pt" not in resumed[-1]


def test_levels_that_the_script_does_not_know_are_written_out():
    own = {"training.levels": {"mine": {"kl_loss_weight": 0.2}, "enhanced": {"mel_loss_weight": 3.0}}}
    lines = commands(config(**own, **{"training.level_switch.rule": "epoch", "training.level_switch.level": "mine"}))
    assert lines[0] == "with training: {mel_loss_weight: 3.0} in its config"
    assert lines[-2] == "with training: {kl_loss_weight: 0.2} in its config" and "mine" not in lines[-1]


def test_the_native_files():
    source = "# mine\ntraining:\n  learning_rate: 3.0e-4  # tuned by hand\n"
    changes = {"training.learning_rate": 1e-3, "training.level_switch.epoch": 60}
    whole = config(**changes, **{"training.level_switch.rule": "epoch"})
    files = MODEL.write_native(source, "dir/mine.yaml", changes, whole)
    assert (
        files["mine.yaml"]
        == "# mine\ntraining:\n  learning_rate: 0.001  # tuned by hand\n  level_switch: {epoch: 60}\n"
    )
    head = files["train_main.yaml"].splitlines()
    assert head[0].startswith("# python train_main.py --optimization-level enhanced") and "--epochs 60" in head[0]
