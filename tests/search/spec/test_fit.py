"""Spaces that fit their base; and files of users, as they are, as the base of a search."""

from pathlib import Path

import pytest

from search.spec.effect import changed, same_effect
from search.spec.plan import make_plan
from search.spec.plan_text import describe
from search.spec.resolve import resolve
from search.spec.search import Search
from spaces.paths import with_values
from spaces.problems import BadInput
from trainables.registry import model_named

WHISPER_PLAIN = """\
model: {name: whisper, variant: small, pretrained: openai/whisper-small, language: en, task: transcribe, dropout: 0.1,
  gradient_checkpointing: true}
data: {train_manifest: train.jsonl, audio_dirs: [audio], val_ratio: 0.1, sample_rate: 16000, target_length: 30}
training: {output_dir: out, num_epochs: 10, batch_size: 16, gradient_accumulation_steps: 2, learning_rate: 1e-5,
  warmup_steps: 500, save_steps: 500, eval_steps: 500, weight_decay: 0.01}
"""
DIPHONE_PLAIN = """\
model: {n_input_features: 512, n_units: 768, rnn_dropout: 0.4, n_layers: 5, patch_size: 14, patch_stride: 4}
num_training_batches: 120000
lr_scheduler_type: cosine
lr_max: 0.005
lr_min: 0.0001
lr_decay_steps: 120000
dataset: {batch_size: 64, n_classes: 41, sessions: [t15.2023.08.11], dataset_dir: data}
"""
DIPHONE_ONLY = """\
model: {n_input_features: 512, n_units: 1024, n_layers: 5, patch_size: 14, patch_stride: 4}
num_training_batches: 150000
lr_scheduler_type: linear
lr_decay_steps: 150000
dataset: {batch_size: 32, n_classes: 1681, sessions: [t15.2023.08.11], dataset_dir: data}
"""
ALPHA = ["alpha_schedule_end", "alpha_schedule_start", "alpha_schedule_step_interval", "alpha_schedule_step_size"]


FROZEN = "model: {freeze_encoder: true}\ntraining: {num_epochs: 3, max_epochs: 3}\n"


def search_of(folder: Path, model: str, base: str, more: str = "", steps: str = "null") -> Search:
    (folder / "mine.yaml").write_text(base, encoding="utf-8")
    text = f"model: {model}\nbase: mine.yaml\ndata: {{generate: {{}}}}\nbudget: {{trials: 4, steps: {steps}}}\n{more}"
    (folder / "search.yaml").write_text(text, encoding="utf-8")
    return resolve(folder / "search.yaml")


def test_a_plain_whisper_file_is_searched_from_what_it_trains(tmp_path: Path) -> None:
    search = search_of(tmp_path, "whisper_child", WHISPER_PLAIN)
    training, data = search.base["training"], search.base["data"]
    assert (training["lr_scheduler_type"], training["early_stopping_patience"]) == ("linear", 0)
    assert (data["specaugment"], data["curriculum_learning"]) == (False, False)
    assert search.base["model"]["freeze_encoder_steps"] == 0
    assert search.horizon == 10 and search.base["training"]["max_epochs"] == 10
    baseline = search.space.baseline(search.base)
    assert baseline["data.specaugment"] is False and "data.freq_mask_param" not in baseline
    told = describe(search, make_plan(search))
    (line,) = [line for line in told.splitlines() if line.startswith("mine.yaml omits these")]
    for said in ("training.lr_scheduler_type: 'linear'", "data.specaugment: false", "model.freeze_encoder_steps: 0"):
        assert said in line
    assert "training.warmup_steps" not in line  # the file has it


@pytest.mark.parametrize(("base", "alpha"), [(DIPHONE_PLAIN, 1.0), (DIPHONE_ONLY, 0.0)], ids=["41", "1681"])
def test_a_diphone_file_without_loss_keys_has_no_alpha_to_search(tmp_path: Path, base: str, alpha: float) -> None:
    search = search_of(tmp_path, "diphone_rnn", base)
    config = search.model.parse(search.base, "base")
    assert {search.model.knobs(config, step)["alpha"] for step in (0, 30_000, 119_999)} == {alpha}
    gone = {*ALPHA, "use_alpha_schedule", "composite_loss_alpha"}
    assert set(search.left_out) == gone and not gone & {knob.path for knob in search.space.knobs}
    told = describe(search, make_plan(search))
    (line,) = [line for line in told.splitlines() if line.startswith("not searched")]
    assert all(path in line for path in gone) and "use_composite_loss: false" in line
    assert not gone & set(search.filled)


def test_a_knob_that_the_search_names_and_the_base_hides_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="alpha_schedule_end: never acts: it needs use_composite_loss to be true"):
        search_of(tmp_path, "diphone_rnn", DIPHONE_PLAIN, "knobs: [alpha_schedule_end, lr_max]\n")


def test_an_inert_knob_is_refused_with_the_key_that_hides_it(tmp_path: Path) -> None:
    base = FROZEN
    knobs = "knobs: [model.freeze_encoder_steps, training.learning_rate]\n"
    with pytest.raises(BadInput) as error:
        search_of(tmp_path, "whisper_child", base, knobs)
    assert "model.freeze_encoder_steps: all its values train alike with model.freeze_encoder: true" in str(error.value)


def test_an_inert_knob_of_the_models_own_space_is_left_out(tmp_path: Path) -> None:
    search = search_of(tmp_path, "whisper_child", FROZEN)
    hidden = {"model.freeze_encoder_steps", "model.unfreeze_warmup_steps"}
    assert search.left_out == dict.fromkeys(hidden, "model.freeze_encoder: true")
    assert "training.learning_rate" in search.space.by_path


def test_a_knob_that_acts_only_beyond_the_budget_is_inert(tmp_path: Path) -> None:
    more = "space: {alpha_schedule_step_interval: {int: [200, 900]}}\n"  # in batches, of which there are 100
    base = DIPHONE_ONLY + "use_composite_loss: true\nuse_alpha_schedule: true\n"
    with pytest.raises(BadInput, match=r"alpha_schedule_step_interval: all its values train alike with 100 steps"):
        search_of(tmp_path, "diphone_rnn", base, more, "100 steps")


def test_knobs_of_phases_that_a_file_does_not_have_are_left_out_in_one_line(tmp_path: Path) -> None:
    search = search_of(tmp_path, "sequence_generator", "epochs: 100\nstart_lr: 0.001\nmin_lr: 0.0005\nloss: mae\n")
    searched = {knob.path for knob in search.space.knobs}
    assert "plan.phase_1.alpha" in searched and not {path for path in searched if "phase_2" in path}
    told = describe(search, make_plan(search)).splitlines()
    (line,) = [line for line in told if "plan.phase_2.length" in line]
    assert line.startswith("not searched, as nothing would change with this base: ") and "it has no such key" in line


def test_what_acts_between_evaluations_is_seen(tmp_path: Path) -> None:
    """A warmup of a few batches, where the search evaluates every 6000."""
    more = "space: {lr_warmup_steps: {int: [0, 40]}}\nknobs: [lr_warmup_steps]\n"
    assert "lr_warmup_steps" in search_of(tmp_path, "diphone_rnn", DIPHONE_ONLY, more).space.by_path


def test_values_that_act_alike_have_the_same_effect() -> None:
    model = model_named("whisper_child")
    base = model.documented()
    off = with_values(base, {"data.specaugment": False})
    assert same_effect(model, off, with_values(off, {"data.time_mask_param": 7}), 3)
    assert not same_effect(model, base, with_values(base, {"data.time_mask_param": 7}), 3)
    assert not same_effect(model, base, with_values(base, {"data.time_mask_param": -7}), 3)  # no config at all


def test_values_that_act_alike_are_no_change() -> None:
    model = model_named("diphone_rnn")
    base = with_values(model.documented(), {"early_stopping": False})
    one, other = {"lr_max": 0.01, "early_stopping_val_steps": 3}, {"lr_max": 0.02, "early_stopping_val_steps": 9}
    assert [path for path in one if changed(model, base, one, other, path, 100)] == ["lr_max"]
    assert changed(model, base, one, {"lr_max": 0.01}, "early_stopping_val_steps", 100)  # no longer active


def test_without_a_base_trial_0_is_the_recipe(tmp_path: Path) -> None:
    text = "model: diphone_rnn\nbase: null\ndata: {generate: {}}\nbudget: {trials: 4}\n"
    (tmp_path / "search.yaml").write_text(text, encoding="utf-8")
    search = resolve(tmp_path / "search.yaml")
    assert search.base["use_composite_loss"] is True and search.base["composite_loss_alpha"] == 0.6
    assert search.filled == {} and search.left_out == {}
