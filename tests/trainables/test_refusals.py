"""What a model refuses of a user's config is said with file, key, value, what their script does and what to write."""

import re

import pytest
from scripts import SCRIPTS
from test_fidelity import schema_keys

from spaces.paths import with_values
from spaces.problems import BadInput
from trainables.native import parse_native
from trainables.registry import model_named

WRONG = (None, True, "false", "1e-3", "fast", -1, -0.5, 0, 0.0, 0.5, 1.0, 1.5, 3, 7.0, 1e6, [], [0], {}, {"a": 1})
INSTEAD = re.compile(r"should (be|have)|expected|write|set|leave|try")


def refused(name, native):
    with pytest.raises(BadInput) as error:
        model_named(name).parse(native, "mine.yaml")
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_refused_value_of_every_key_is_said_in_whole(name):
    model, script = model_named(name), SCRIPTS[name]
    file = script.file(frozenset())
    found = 0
    for key in schema_keys(name):
        for value in WRONG:
            native = with_values(file, {key.path: value})
            try:
                model.parse(native, "mine.yaml")
            except BadInput as error:
                own = [str(each) for each in error.problems if re.search(rf"\b{re.escape(key.path)}\b", each.where)]
                for told in own:
                    found += 1
                    assert told.startswith("mine.yaml"), told
                    assert value is None or isinstance(value, list | dict) or repr(value) in told, (value, told)
                    assert "script" in told, told
                    assert INSTEAD.search(told), told
    assert found > 100


PHASES = {"phases": [{"alpha": 1}, {"alpha": 1}]}
FLAT = {"alpha": 1}
CONTINUED = "python continue_training.py --model_path a.pth"


@pytest.mark.parametrize(
    ("name", "values", "parts"),
    [
        ("whisper_child", {"training.save_steps": 700}, "training save_steps 700 eval_steps 1000 Trainer try"),
        ("whisper_child", {"training.fp16": True, "training.bf16": True}, "training fp16 bf16 true Trainer set"),
        ("whisper_child", {"training.save_strategy": "steps"}, "training save_strategy output_dir null know name"),
        ("whisper_child", {"model.pretrained": None}, "model pretrained neither ends name"),
        ("whisper_child", {"model.forced_decoder_ids": [[1, 2]]}, "model forced_decoder_ids [[1, begins set null"),
        ("whisper_child", {"data.target_length": 1.011}, "data target_length 1.011 pairs try"),
        ("early_inference", {"scheduler_min_lr": 0.1}, "scheduler_min_lr 0.1 lr 0.001 stays set"),
        ("diphone_rnn", {"lr_min": 0.1}, "lr_min 0.1 lr_max 0.005 rises set"),
        ("diphone_rnn", {"lr_warmup_steps_day": 200000}, "lr_warmup_steps_day 200000 lr_decay_steps_day falls raise"),
        ("diphone_rnn", {"alpha_schedule_start": 0.7}, "alpha_schedule_start 0.7 alpha_schedule_end 0.6 trains set"),
        ("diphone_rnn", {"use_composite_loss": True, "dataset.n_classes": 41}, "use_composite_loss n_classes 41 set"),
        ("diphone_rnn", {"dataset.neural_dim": 64}, "n_input_features 512 neural_dim 64 builds make"),
        ("diphone_rnn", {"model.input_network.input_layer_sizes": [64]}, "input_layer_sizes [64] square write [512]"),
        ("diphone_rnn", {"init_from_checkpoint": True}, "init_from_checkpoint init_checkpoint_path None ends name"),
        (
            "diphone_rnn",
            {"dataset.dataset_probability_val": [1]},
            "dataset dataset_probability_val 1 sessions null takes give",
        ),
        (
            "diphone_rnn",
            {"dataset.sessions": ["a"], "dataset.dataset_probability_val": [0]},
            "dataset dataset_probability_val [0.0] validates raise",
        ),
        ("diphone_rnn", {"dataset.feature_subset": [1]}, "dataset feature_subset 1 neural_dim 512 ends make"),
        ("diphone_rnn", {"dataset.must_include_days": [0, 1, 2, 3, 4]}, "must_include_days 5 days_per_batch 4 name"),
        ("tts", {"model.text_encoder_heads": 7}, "model text_encoder_heads 7 text_encoder_dim 512 refuses choose"),
        ("tts", {"data.win_length": 2048}, "data win_length 2048 n_fft 1024 refuses set"),
        ("tts", {"data.mel_fmax": 12000.0}, "data mel_fmax 12000.0 mel_fmin 0.0 set 11025.0"),
        ("tts", {"model.n_mels": 40, "data.n_mels": 80}, "model.n_mels 40 data.n_mels 80 takes make"),
        ("tts", {"training.overrides": ["epochs"]}, "training overrides 'epochs' flags leave"),
        ("tts", {"training.optimization_level": "best"}, "training optimization_level 'best' refuses add"),
        (
            "tts",
            {"training.epochs": 50, "training.level_switch.rule": "epoch"},
            "training level_switch.epoch 50 epochs ended lower",
        ),
        (
            "tts",
            {"training.min_learning_rate": 0.01, "training.scheduler": "cosine"},
            "training.min_learning_rate 0.01 rise set",
        ),
        ("sequence_generator", {}, "loss missing scripts add"),
        ("sequence_generator", {"loss": "best"}, "loss 'best' scripts write"),
        ("sequence_generator", {**FLAT, "min_lr": 0.1}, "min_lr 0.1 start_lr 0.001 peak lower"),
        ("sequence_generator", {**FLAT, "save_training": True}, "save_training true output_dir None know name"),
        ("sequence_generator", {**FLAT, "component_weights": [0, 0, 0, 0, 0]}, "component_weights 0 weighs raise"),
        ("sequence_generator", {**PHASES, "epochs": 7}, "epochs 7 200 train leave"),
        ("sequence_generator", {"phases": 3}, "phases 3 train write"),
        ("sequence_generator", {**PHASES, "commands": []}, "phases commands know keep"),
        ("sequence_generator", {"plan": {}, **FLAT}, "alpha plan know take"),
        ("sequence_generator", {"plan": {"phase_2": {}}}, "plan phase_2 know name phase_1"),
        ("sequence_generator", {**FLAT, "commands": "x"}, "commands 'x' runs write"),
        ("sequence_generator", {**FLAT, "commands": ["python train.py"]}, "commands.0 'python train.py' write"),
        ("sequence_generator", {**FLAT, "commands": [f"{CONTINUED} '"]}, "commands.0 quotes shell close"),
        ("sequence_generator", {**FLAT, "commands": [f"{CONTINUED} 3 4"]}, "commands.0 '3' refuses write"),
        (
            "sequence_generator",
            {"phases": [{"alpha": 1, "epochs": "5-9"}]},
            "phases.0.epochs 5-9 hole see start",
        ),
        (
            "sequence_generator",
            {"phases": [{"alpha": 1, "epochs": "1-9"}, {"alpha": 1, "epochs": "5-9"}]},
            "phases.1.epochs 5-9 overlaps trains start",
        ),
        (
            "sequence_generator",
            {"phases": [{"alpha": 1, "hidden_size": 8}, {"alpha": 1, "hidden_size": 9}]},
            "phases.1.hidden_size 9 8 load make",
        ),
    ],
    ids=str,
)
def test_values_that_do_not_go_together_are_said_in_whole(name, values, parts):
    """`parts`: key, value, what the script does, what to write, in this order."""
    told = refused(name, with_values({}, values))
    assert any(all(part in each for part in parts.split()) for each in told), told
    assert all(each.startswith("mine.yaml") for each in told)
    assert all("script" in each or "shell" in each for each in told), told


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.yaml", "lr: 0.1\nlr: 0.2\n"),
        ("mine.json", '{"lr": 0.1, "lr": 0.2}'),
        ("mine.py", 'CONFIG = {"lr": 0.1, "lr": 0.2}'),
    ],
)
def test_a_key_that_stands_twice_is_refused_though_scripts_take_the_last_one(name, text):
    with pytest.raises(BadInput, match=rf"^{re.escape(name)}.*\blr\b.*twice; .*the last one in silence: keep one"):
        parse_native(text, name, name)
