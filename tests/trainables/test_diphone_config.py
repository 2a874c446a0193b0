import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.paths import get, leaves, with_values
from spaces.problems import BadInput
from trainables.diphone_rnn.config import Config, init_path
from trainables.diphone_rnn.schedule import alpha_table, describe, knobs, settles
from trainables.native import parse_native, plain, unknown_keys
from trainables.registry import model_named

MODEL = model_named("diphone_rnn")

DOCUMENTED = {
    "num_training_batches": 150_000,
    "lr_max": 0.005,
    "lr_min": 0.0005,
    "lr_decay_steps": 150_000,
    "lr_warmup_steps": 1000,
    "lr_max_day": 0.005,
    "lr_min_day": 0.0005,
    "lr_decay_steps_day": 150_000,
    "lr_warmup_steps_day": 1000,
    "beta0": 0.9,
    "beta1": 0.999,
    "epsilon": 1e-8,
    "weight_decay": 5e-4,
    "weight_decay_day": 0,
    "seed": 10,
    "grad_norm_clip_value": 5,
    "composite_loss_alpha": 0.6,
    "alpha_schedule_start": 0.0,
    "alpha_schedule_end": 0.6,
    "alpha_schedule_step_size": 0.1,
    "alpha_schedule_step_interval": 3000,
    "batches_per_train_log": 200,
    "batches_per_val_step": 1500,
    "batches_per_save": 0,
    "early_stopping_val_steps": 20,
}
DOCUMENTED_NETWORK = {"n_input_features": 512, "n_units": 1024, "rnn_dropout": 0.5, "n_layers": 5}
TABLE = [(0, 0.0), (3000, 0.1), (6000, 0.2), (9000, 0.3), (12_000, 0.4), (15_000, 0.5), (18_000, 0.6)]


RECIPE = MODEL.documented()


def recipe(**changes):
    return MODEL.parse({**RECIPE, **changes}, "recipe")


def test_the_recipe_is_the_documented_one():
    whole = plain(recipe())
    assert whole["use_composite_loss"] and whole["use_alpha_schedule"]
    assert {key: whole[key] for key in DOCUMENTED} == DOCUMENTED
    assert {key: whole["model"][key] for key in DOCUMENTED_NETWORK} == DOCUMENTED_NETWORK
    assert (whole["model"]["patch_size"], whole["model"]["patch_stride"]) == (14, 4)
    assert whole["model"]["input_network"]["input_layer_dropout"] == 0.3
    assert (whole["dataset"]["batch_size"], whole["dataset"]["n_classes"]) == (32, 1681)
    assert whole["dataset"]["data_transforms"]["smooth_kernel_size"] == 100


USERS_FILE = """
model:
  n_input_features: 512
  n_units: 1024
  rnn_dropout: 0.5
  rnn_trainable: true
  n_layers: 5
  bidirectional: false
  patch_size: 14
  patch_stride: 4
  input_network: {n_input_layers: 1, input_layer_sizes: [512], input_trainable: true, input_layer_dropout: 0.3}
gpu_number: '0'
mode: train
use_amp: true
output_dir: trained_models/a
checkpoint_dir: trained_models/a/checkpoint
init_from_checkpoint: false
init_checkpoint_path: None
save_best_checkpoint: true
save_all_val_steps: false
save_final_model: false
save_val_metrics: true
early_stopping: false
early_stopping_val_steps: 20
num_training_batches: 150000
lr_scheduler_type: cosine
lr_max: 0.005
lr_min: 0.0005
lr_decay_steps: 150000
lr_warmup_steps: 1000
lr_max_day: 0.005
lr_min_day: 0.0005
lr_decay_steps_day: 150000
lr_warmup_steps_day: 1000
beta0: 0.9
beta1: 0.999
epsilon: 1e-8
weight_decay: 5e-4
weight_decay_day: 0
seed: 10
grad_norm_clip_value: 5
use_composite_loss: true
composite_loss_alpha: 0.6
use_alpha_schedule: true
alpha_schedule_start: 0.0
alpha_schedule_end: 0.6
alpha_schedule_step_size: 0.1
alpha_schedule_step_interval: 3000
batches_per_train_log: 200
batches_per_val_step: 1500
batches_per_save: 0
log_individual_day_val_PER: true
log_val_skip_logs: false
save_val_logits: false
save_val_data: false
dataset:
  data_transforms: {white_noise_std: 1.0, constant_offset_std: 0.2, random_walk_std: 0.0, random_walk_axis: -1,
    static_gain_std: 0.0, random_cut: 3, smooth_kernel_size: 100, smooth_data: true, smooth_kernel_std: 2}
  neural_dim: 512
  batch_size: 32
  n_classes: 1681
  max_seq_elements: 500
  days_per_batch: 4
  seed: 1
  num_dataloader_workers: 4
  loader_shuffle: false
  must_include_days: null
  test_percentage: 0.1
  feature_subset: null
  dataset_dir: data/hdf5_data_diphone
  bad_trials_dict: null
  sessions: [t15.2023.08.11, t15.2023.08.13]
  dataset_probability_val: [0, 1]
"""


def test_every_key_of_the_users_file_is_known_and_it_is_the_recipe():
    config = MODEL.parse(parse_native(USERS_FILE, "mine.yaml", "mine.yaml"), "mine.yaml")
    assert unknown_keys(config) == ()
    told, defaults = plain(config), plain(recipe())
    assert leaves(told) == leaves(defaults)
    own = {"gpu_number", "output_dir", "checkpoint_dir", "init_checkpoint_path"}
    own |= {f"dataset.{key}" for key in ("dataset_dir", "sessions", "dataset_probability_val")}
    assert {path for path in leaves(told) if get(told, path) != get(defaults, path)} == own


def test_unknown_keys_are_carried_and_listed_at_every_depth():
    native = {
        "wandb": "x",
        "model": {"mine": 1, "input_network": {"own": [2]}},
        "dataset": {"data_transforms": {"a": 3}},
    }
    config = MODEL.parse(native, "c")
    assert unknown_keys(config) == ("dataset.data_transforms.a", "model.input_network.own", "model.mine", "wandb")
    assert plain(config)["model"]["input_network"]["own"] == [2]


@pytest.mark.parametrize(
    ("native", "said"),
    [
        ({"composite_loss_alpha": 1.1}, "c composite_loss_alpha: input should be less than or equal to 1, got 1.1"),
        ({"alpha_schedule_start": -0.1}, "c alpha_schedule_start: input should be greater than or equal to 0"),
        ({"alpha_schedule_end": 2}, "c alpha_schedule_end: input should be less than or equal to 1, got 2"),
        ({"alpha_schedule_step_interval": 0}, "c alpha_schedule_step_interval: input should be greater than or equal"),
        ({"alpha_schedule_step_interval": -5}, "c alpha_schedule_step_interval"),
        ({"alpha_schedule_step_size": 0}, "c alpha_schedule_step_size: input should be greater than 0, got 0"),
        (
            {"alpha_schedule_start": 0.7},
            "alpha_schedule_start 0.7 is above alpha_schedule_end 0.6; your script trains with",
        ),
        ({"lr_min": 0.01}, "lr_min 0.01 is above lr_max 0.005"),
        ({"lr_min_day": 0.01}, "lr_min_day 0.01 is above lr_max_day 0.005"),
        ({"lr_warmup_steps": 150_000}, "lr_warmup_steps 150000 must lie below lr_decay_steps 150000"),
        ({"lr_warmup_steps_day": 200_000}, "lr_warmup_steps_day 200000 must lie below lr_decay_steps_day"),
        ({"lr_scheduler_type": "step"}, "c lr_scheduler_type: input should be 'cosine' or 'linear'"),
        ({"dataset": {"n_classes": 40}}, "c dataset.n_classes: input should be 41 or 1681, got 40"),
        (
            {"use_composite_loss": True, "dataset": {"n_classes": 41}},
            "use_composite_loss true needs dataset.n_classes 1681, got 41",
        ),
        ({"dataset": {"neural_dim": 256}}, "model.n_input_features 512 and dataset.neural_dim 256"),
        ({"model": {"input_network": {"input_layer_sizes": [64]}}}, "input_layer_sizes [64] is not [512]"),
        ({"model": {"rnn_dropout": 1}}, "c model.rnn_dropout: input should be less than 1, got 1"),
        ({"dataset": {"data_transforms": {"random_walk_axis": 0}}}, "c dataset.data_transforms.random_walk_axis"),
        ({"dataset": {"data_transforms": {"white_noise_std": -1}}}, "c dataset.data_transforms.white_noise_std"),
        ({"dataset": {"sessions": ["a"], "dataset_probability_val": [1, 0]}}, "has 2 entries, sessions is 1 names"),
        ({"dataset": {"sessions": ["a"], "dataset_probability_val": [0]}}, "your script validates nothing"),
        ({"dataset": {"feature_subset": [1]}}, "feature_subset names 1 channels, neural_dim is 512; your script ends"),
        ({"dataset": {"feature_subset": [3, 1, 3], "neural_dim": 3}}, "feature_subset names channel 3 twice"),
        ({"dataset": {"feature_subset": [-1]}}, "c dataset.feature_subset.0: input should be greater than or equal"),
        ({"dataset": {"must_include_days": [0, 1], "days_per_batch": 1}}, "must_include_days names 2 days"),
        ({"init_from_checkpoint": True}, "init_from_checkpoint true needs init_checkpoint_path"),
    ],
)
def test_bad_values_name_key_value_and_bound(native, said):
    with pytest.raises(BadInput) as error:
        MODEL.parse(native, "c")
    assert said in str(error.value)


def test_a_path_of_none_is_none():
    assert init_path(Config(init_checkpoint_path="None")) is None
    assert init_path(Config(init_from_checkpoint=True, init_checkpoint_path="a.pt")) == "a.pt"
    assert init_path(Config(init_checkpoint_path="a.pt")) is None


def test_the_users_file_is_accepted_and_keeps_its_comments():
    source = (
        "model:\n  n_units: 768 # per layer\n  patch_size: 14\ngpu_number: '1'\ninit_checkpoint_path: None\n"
        "lr_max: 0.005  # peak\ndataset:\n  # the noise\n  data_transforms: {white_noise_std: 1.0}\n"
    )
    changes = {"lr_max": 0.003, "dataset.data_transforms.white_noise_std": 0.5, "model.n_layers": 3}
    found = MODEL.parse(with_values(parse_native(source, "mine.yaml", "c"), changes), "found")
    written = MODEL.write_native(source, "mine.yaml", found)
    assert set(written) == {"mine.yaml"}
    text = written["mine.yaml"]
    assert "lr_max: 0.003  # peak" in text and "n_units: 768 # per layer" in text and "  # the noise" in text
    assert "white_noise_std: 0.5" in text and "n_layers: 3" in text and "gpu_number: '1'" in text


# The alpha schedule.


def test_the_documented_table_at_every_boundary():
    config = recipe()
    for start, alpha in TABLE:
        assert knobs(config, start)["alpha"] == alpha
        assert knobs(config, start + 2999)["alpha"] == alpha
    assert knobs(config, 149_999)["alpha"] == 0.6
    assert settles(config) == 18_000
    ends = [start - 1 for start, _ in TABLE[1:]]
    assert alpha_table(config) == [(s, e, a) for (s, a), e in zip(TABLE, [*ends, None], strict=True)]


@pytest.mark.parametrize(
    ("change", "at", "alpha", "settled"),
    [
        ({"alpha_schedule_step_interval": 5000}, 5000, 0.1, 30_000),
        ({"alpha_schedule_end": 0.7}, 21_000, 0.7, 21_000),
        ({"alpha_schedule_step_size": 0.15}, 6000, 0.3, 12_000),
        ({"alpha_schedule_start": 0.6}, 0, 0.6, 1000),
        ({"use_alpha_schedule": False}, 0, 0.6, 1000),
        ({"use_alpha_schedule": False, "composite_loss_alpha": 0.25}, 9, 0.25, 1000),
        ({"use_composite_loss": False}, 99_999, 0.0, 1000),
        ({"use_composite_loss": False, "dataset": {"n_classes": 41}}, 0, 1.0, 1000),
    ],
)
def test_variants(change, at, alpha, settled):
    config = recipe(**change)
    assert knobs(config, at)["alpha"] == alpha
    assert settles(config) == settled


@given(st.integers(0, 200_000))
def test_alpha_is_the_documented_formula(step):
    config = recipe()
    assert knobs(config, step)["alpha"] == pytest.approx(min(0.6, 0.0 + (step // 3000) * 0.1), abs=1e-12)
    table = {first: alpha for first, _, alpha in alpha_table(config)}
    assert knobs(config, step)["alpha"] == table[max(first for first in table if first <= step)]


def test_the_table_in_words():
    said = describe(recipe())
    for line in ("0–2999 → 0\n", "3000–5999 → 0.1\n", "15000–17999 → 0.5\n", "18000+ → 0.6\n"):
        assert line in said
    assert "lr: 0 → 0.005 over 1000 batches, then a cosine to 0.0005 at batch 150000" in said
    assert "0+ → 0.6" in describe(recipe(use_alpha_schedule=False))
    line = "lr: 0 → 0.005 over 1000 batches, then a line to 0.0005 at batch 150000"
    assert line in describe(recipe(lr_scheduler_type="linear"))


def test_rates_warm_up_and_decay_apart():
    config = recipe(lr_warmup_steps_day=500, lr_max_day=0.01, lr_min_day=0.001, lr_decay_steps_day=10_500)
    assert [knobs(config, step)["lr"] for step in (0, 500, 1000, 150_000, 190_000)] == pytest.approx(
        [0, 0.0025, 0.005, 0.0005, 0.0005]
    )
    assert [knobs(config, step)["lr_day"] for step in (0, 250, 500, 5500, 10_500)] == pytest.approx(
        [0, 0.005, 0.01, 0.0055, 0.001]
    )
    assert settles(config) == 18_000


def test_a_linear_rate_falls_in_a_line_in_both_groups_then_stays():
    config = Config(
        lr_scheduler_type="linear",
        lr_warmup_steps=100,
        lr_decay_steps=1100,
        lr_max_day=0.01,
        lr_min_day=0.002,
        lr_warmup_steps_day=0,
        lr_decay_steps_day=400,
    )
    assert [knobs(config, step)["lr"] for step in (0, 50, 100, 600, 1100, 9000)] == pytest.approx(
        [0, 0.0025, 0.005, 0.00275, 0.0005, 0.0005]
    )
    assert [knobs(config, step)["lr_day"] for step in (0, 100, 200, 400, 9000)] == pytest.approx(
        [0.01, 0.008, 0.006, 0.002, 0.002]
    )


def test_what_a_file_trains_follows_from_its_classes():
    """As in the users' script: no loss key means the classes' own loss."""
    phonemes, diphones = MODEL.parse({"dataset": {"n_classes": 41}}, "c"), MODEL.parse({}, "c")
    assert {knobs(phonemes, step)["alpha"] for step in (0, 9000, 149_999)} == {1.0}
    assert {knobs(diphones, step)["alpha"] for step in (0, 9000, 149_999)} == {0.0}
    mixed = MODEL.parse({"use_composite_loss": True}, "c")
    assert {knobs(mixed, step)["alpha"] for step in (0, 9000, 149_999)} == {0.5}


def test_what_cannot_act_is_no_part_of_the_static_config():
    def static(**change):
        return MODEL.static(recipe(**change))

    one, two = ({**RECIPE["model"], "n_layers": 1, "rnn_dropout": rate} for rate in (0.1, 0.4))
    assert static(model=one) == static(model=two)
    assert static(early_stopping_val_steps=3) == static()
    assert static(early_stopping=True, early_stopping_val_steps=3) != static(early_stopping=True)
    assert static(output_dir="a", batches_per_train_log=7) == static()
    fixed = {**RECIPE["model"], "input_network": {**RECIPE["model"]["input_network"], "input_trainable": False}}
    assert knobs(recipe(model=fixed), 500)["lr_day"] == 0


def test_nobody_logs_for_planning(caplog):
    with caplog.at_level(logging.INFO):
        settles(Config())
    assert not caplog.records
