import subprocess
import sys
from pathlib import Path

import pytest

from spaces.problems import BadInput
from trainables.early_inference.config import NEWER
from trainables.early_inference.schedule import knobs, settles
from trainables.native import parse_native, plain, unknown_keys
from trainables.registry import model_named

MODEL = model_named("early_inference")

DOCUMENTED = {
    "prefix_length": 30,
    "batch_size": 256,
    "lr": 1e-3,
    "val_split": 0.2,
    "weight_decay": 1e-5,
    "grad_clip_norm": 5.0,
    "scheduler_factor": 0.7,
    "scheduler_patience": 10,
    "scheduler_min_lr": 1e-6,
    "warmup_epochs": 5,
    "tcn_channels": [128, 256, 512, 512],
    "tcn_kernel_size": 7,
    "tcn_dropout": 0.2,
    "mlp_hidden_dims": [256, 128],
    "output_dropout": 0.1,
    "use_uncertainty": True,
    "use_weighted_pooling": True,
    "use_variance_regularization": True,
    "variance_penalty_weight": 0.01,
    "target_variance": 0.1,
    "seed": 42,
}


def test_the_documented_recipe_and_what_the_newer_script_does_without_a_key():
    recipe = MODEL.documented()
    assert {key: recipe[key] for key in DOCUMENTED} == DOCUMENTED
    assert plain(MODEL.parse(recipe, "c")) == recipe
    assert isinstance(recipe["prefix_length"], int)  # it names the npz key in the user's own script
    for key in sorted(NEWER):  # any one of them tells the newer script
        whole = plain(MODEL.parse({key: DOCUMENTED[key]}, "c"))
        assert {key: whole[key] for key in DOCUMENTED} == DOCUMENTED


# The older script's file.

CASE = (Path(__file__).parent / "cases" / "urea_older.txt").read_text()


def test_an_older_file_trains_as_the_older_script():
    config = MODEL.parse(parse_native(CASE, "urea_older.py", "c"), "c")
    for step in range(50):
        now = knobs(config, step)
        assert (now["lr"], now["weight_decay"], now["grad_clip_norm"]) == (1e-3, 0, 0)
        assert now["variance_penalty_weight"] == 0
    assert settles(config) == 0 and not config.use_weighted_pooling and config.use_uncertainty
    assert (config.scheduler_factor, config.scheduler_patience, config.scheduler_min_lr) == (0.5, 5, 0)


OLDER_FILE = parse_native(CASE, "urea_older.py", "c")


def test_a_note_says_what_an_older_script_can_not_train():
    trained = MODEL.parse({**plain(MODEL.parse(OLDER_FILE, "c")), "weight_decay": 1e-4, "lr": 2e-3}, "w")
    head = MODEL.write_native(CASE, "urea_older.py", trained)["urea_older.py"].splitlines()[:3]
    assert head[1] == "#   weight_decay: 1e-4 (an older script trains as with 0)"
    assert not head[2].startswith("#   ")


def test_a_warmup_of_one_epoch_is_none():
    one, none = (MODEL.parse({"warmup_epochs": count}, "c") for count in (1, 0))
    assert MODEL.static(one) == MODEL.static(none)
    assert [knobs(one, step) for step in range(5)] == [knobs(none, step) for step in range(5)]


def test_a_penalty_that_nothing_reads_changes_nothing():
    off = [MODEL.parse({"warmup_epochs": 0, "use_uncertainty": False, "target_variance": v}, "c") for v in (0.1, 0.5)]
    assert MODEL.static(off[0]) == MODEL.static(off[1]) and knobs(off[0], 3) == knobs(off[1], 3)


def test_unknown_keys_are_carried_and_listed():
    config = MODEL.parse({"lr": 1e-2, "wandb_project": "mine", "extra": {"a": [1]}}, "c")
    assert unknown_keys(config) == ("extra", "wandb_project")
    assert plain(config)["extra"] == {"a": [1]}


@pytest.mark.parametrize(
    ("native", "said"),
    [
        ({"lr": 0}, "c lr: input should be greater than 0, got 0"),
        ({"lr": "1e-3"}, "c lr"),
        ({"lr": float("nan")}, "c lr"),
        ({"batch_size": 2.5}, "c batch_size"),
        ({"use_uncertainty": 1}, "c use_uncertainty"),
        ({"val_split": 1}, "c val_split: input should be less than 1, got 1"),
        ({"tcn_channels": []}, "c tcn_channels"),
        ({"tcn_channels": [16, 0]}, "c tcn_channels.1"),
        ({"tcn_dropout": 1}, "c tcn_dropout"),
        ({"scheduler_factor": 1.0}, "c scheduler_factor: input should be less than 1"),
        ({"device": "tpu"}, "c device"),
        ({"prefix_length": True}, "c prefix_length"),
        ({"lr": 1e-4, "scheduler_min_lr": 1e-3}, "scheduler_min_lr 0.001 is above lr 0.0001"),
    ],
)
def test_bad_values_name_key_value_and_bound(native, said):
    with pytest.raises(BadInput) as error:
        MODEL.parse(native, "c")
    assert said in str(error.value)


def test_all_problems_come_together():
    with pytest.raises(BadInput) as error:
        MODEL.parse({"lr": -1, "epochs": 0, "seed": -3}, "c")
    assert len(error.value.problems) == 3


def test_epoch_1_does_not_run_at_the_full_rate():
    config = MODEL.parse({"lr": 1e-3, "warmup_epochs": 5}, "c")
    rates = [knobs(config, step)["lr"] for step in range(7)]
    assert rates == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3, 1e-3, 1e-3])
    assert settles(config) == 5
    assert settles(MODEL.parse({"warmup_epochs": 0}, "c")) == 0
    assert knobs(MODEL.parse({"warmup_epochs": 0}, "c"), 0)["lr"] == 1e-3


def test_penalty_switch_is_a_weight_of_zero():
    assert knobs(MODEL.parse({"use_variance_regularization": False}, "c"), 0)["variance_penalty_weight"] == 0


def test_everything_but_build_is_free_of_torch():
    code = (
        "import sys; from trainables.registry import model_named; m = model_named('early_inference');"
        "c = m.parse({}, 'c'); m.parse_data({'generate': {}}, c, 'd'); m.knobs(c, 0); m.settles(c);"
        "m.write_native(None, 'c.yaml', c); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
