from dataclasses import replace
from pathlib import Path

import pytest

from spaces import strict_yaml
from spaces.problems import BadInput
from trainables.native import unknown_keys
from trainables.registry import model_named
from trainables.tts.config import Config
from trainables.tts.levels import CUSTOM, KEYS, LEVELS
from trainables.tts.schedule import knobs, stage

MODEL = model_named("tts")


def config(size="small", **training):
    return MODEL.parse({"model": {"size": size}, "training": training}, "c")


def under(level, size="small", **training):
    return config(size, optimization_level=level, level_switch={"rule": "never"}, **training).values(after=False)


TABLE = {  # the document's table of levels, cell by cell
    "learning_rate": {"basic": 1e-5, "enhanced": 1e-4, "plateau_breaker": 1.5e-5},
    "mel_loss_weight": {"basic": 1.0, "enhanced": 2.5, "plateau_breaker": 2.0},
    "kl_loss_weight": {"basic": 1.0, "enhanced": 1.8, "plateau_breaker": 1.2},
    "gradient_clip_norm": {"basic": 0.5, "enhanced": 0.5, "plateau_breaker": 0.3},
    "scheduler": {"basic": "noam", "enhanced": "cosine_restarts", "plateau_breaker": "cosine_restarts"},
    "use_adaptive_loss_weights": {"basic": False, "enhanced": True, "plateau_breaker": True},
    "use_label_smoothing": {"basic": False, "enhanced": True, "plateau_breaker": True},
    "use_huber_loss": {"basic": False, "enhanced": True, "plateau_breaker": True},
}


@pytest.mark.parametrize("level", ["basic", "enhanced", "plateau_breaker"])
@pytest.mark.parametrize("key", TABLE)
def test_the_level_table(level, key):
    assert getattr(under(level), key) == TABLE[key][level]


def test_the_cells_that_depend_on_more():
    assert under("plateau_breaker").restart_period == 100
    clips = {size: under("enhanced", size).gradient_clip_norm for size in ("demo", "tiny", "small", "normal")}
    assert clips == {"demo": 0.5, "tiny": 0.5, "small": 0.5, "normal": 0.8}
    wide = {"model": {"decoder_dim": 1024}, "training": {"optimization_level": "enhanced"}}
    assert MODEL.parse(wide, "c").values(after=False).gradient_clip_norm == 0.5  # it is the width that counts
    assert under("plateau_breaker", "normal").gradient_clip_norm == 0.3


EXPLICIT = {
    "learning_rate": 3e-3,
    "mel_loss_weight": 4.5,
    "kl_loss_weight": 0.3,
    "gradient_clip_norm": 7.0,
    "scheduler": "cosine",
    "use_adaptive_loss_weights": False,
    "use_label_smoothing": False,
    "use_huber_loss": False,
}
FILE = Config().values(after=False)
"""What a file that says nothing trains with, under no level."""


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("key", EXPLICIT)
def test_overrides_beat_levels_and_levels_beat_the_file(level, key):
    """Before and after the switch: 0, false and the like are values, too."""
    assert set(KEYS) == {*EXPLICIT, "restart_period"}
    overridden = {"overrides": {key: EXPLICIT[key]}}
    assert getattr(under(level, **overridden), key) == EXPLICIT[key]
    switched = config(level_switch={"rule": "epoch", "level": level}, **overridden)
    assert getattr(switched.values(after=True), key) == EXPLICIT[key]
    row = getattr(LEVELS[level], key)
    own = {key: EXPLICIT[key], **({"use_warmup_cosine_schedule": False} if key == "scheduler" else {})}
    for said, absent in ((own, EXPLICIT[key]), ({}, getattr(FILE, key))):
        assert getattr(under(level, **said), key) == (absent if row is None else row)
        after = config(level_switch={"rule": "epoch", "level": level}, **said).values(after=True)
        assert getattr(after, key) == (absent if row is None else row)
    if key != "scheduler":
        assert getattr(under(level, **own, overrides=[key]), key) == EXPLICIT[key]


def test_a_value_for_after_the_switch_goes_before_one_for_the_whole_run():
    both = config(
        optimization_level="enhanced",
        overrides={"learning_rate": 1e-3},
        level_switch={"learning_rate": 2e-5, "gradient_clip_norm": 0.25},
    )
    before, after = both.values(after=False), both.values(after=True)
    assert (before.learning_rate, after.learning_rate) == (1e-3, 2e-5)
    assert (before.gradient_clip_norm, after.gradient_clip_norm) == (0.5, 0.25)
    assert after.mel_loss_weight == 2.0  # the level's, where nothing is said


def test_the_restart_period_too():
    assert under("enhanced", overrides={"restart_period": 7}).restart_period == 7
    switched = config(overrides={"restart_period": 7}, level_switch={"restart_period": 9})
    assert (switched.values(after=False).restart_period, switched.values(after=True).restart_period) == (7, 9)
    steps = Config().steps_per_epoch  # a file's own is in optimiser steps, as its script counts
    assert under(CUSTOM, scheduler_params={"restart_period": 12 * steps}).restart_period == 12


CASE = strict_yaml.load(Path(__file__).parent / "cases" / "tts_noam_pair.yaml")


def test_the_users_default_pair_means_noam_with_one_warning():
    mine = MODEL.parse(CASE, "tts_noam_pair.yaml")
    assert mine.values(after=False).scheduler == "noam" and not unknown_here(mine)
    assert mine.remarks() == (
        "scheduler noam wins over use_warmup_cosine_schedule, as in your script: no cosine is trained",
    )
    assert mine.model.shape == (512, 6, 1024, 12) and mine.model.heads == (8, 16)
    assert (mine.data.sample_rate, mine.data.n_mels, mine.data.metadata_train_file) == (22050, 80, "metadata_train.csv")


def unknown_here(mine):
    return [key for key in unknown_keys(mine) if not key.startswith("data.")]  # the splits are the data's own


@pytest.mark.parametrize("level", ["basic", "enhanced", "plateau_breaker"])
def test_levels_and_the_switch_change_the_knobs_of_a_real_shaped_file(level):
    training = CASE["training"]
    own, switched = (
        MODEL.parse({**CASE, "training": {**training, **values}}, "c")
        for values in ({}, {"level_switch": {"rule": "epoch", "epoch": 50, "level": level}})
    )
    levelled = MODEL.parse({**CASE, "training": {**training, "optimization_level": level}}, "c")
    first, there, after = knobs(own, 0), knobs(levelled, 0), knobs(switched, 50)
    for key in ("mel_loss_weight", "kl_loss_weight", "gradient_clip_norm"):
        assert there[key] == after[key] == getattr(LEVELS[level], key)
    assert knobs(own, 60)["lr"] != knobs(levelled, 60)["lr"] and there["lr"] == after["lr"]
    changed = [key for key in first if first[key] != there[key]]
    assert changed and knobs(switched, 49) == knobs(own, 49)
    if level == "plateau_breaker":
        assert {"lr", "mel_loss_weight", "kl_loss_weight", "gradient_clip_norm"} <= set(changed)


def test_after_the_plateau_the_first_level_may_be_in_force_again():
    switch = {"rule": "plateau", "back_after": 5}
    mine = config(epochs=60, optimization_level="enhanced", level_switch=switch)
    levels = {epoch: stage(mine, epoch, 20).level for epoch in (0, 19, 20, 24, 25, 59)}
    assert list(levels.values()) == ["enhanced"] * 2 + ["plateau_breaker"] * 2 + ["enhanced"] * 2
    assert knobs(mine, 25, 7, 20)["lr"] == knobs(mine, 0, 7)["lr"]  # its schedule begins anew
    planned = config(epochs=60, level_switch={"rule": "epoch", "epoch": 10, "back_after": 5})
    assert [stage(planned, epoch).after for epoch in (9, 10, 14, 15)] == [False, True, True, False]


def test_the_documented_recipe():
    file = Path(__file__).parents[2] / "configs" / "tts" / "recipe.yaml"
    documented = MODEL.parse(strict_yaml.load(file), "recipe")
    plain = config(epochs=150, optimization_level="enhanced", level_switch={"rule": "epoch"})
    assert documented.values(after=False) == plain.values(after=False)
    assert documented.values(after=True) == plain.values(after=True)
    seen = {epoch: stage(documented, epoch).level for epoch in (0, 49, 50, 149)}
    assert seen == {0: "enhanced", 49: "enhanced", 50: "plateau_breaker", 149: "plateau_breaker"}
    assert knobs(documented, 49)["kl_loss_weight"] == 1.8 and knobs(documented, 50)["kl_loss_weight"] == 1.2
    scaled = MODEL.parse(strict_yaml.load(file.with_name("recipe_demo.yaml")), "recipe")
    for after in (False, True):  # the demo's is the same but for lengths, sizes and learning rates
        rate = 16 * documented.values(after).learning_rate
        assert scaled.values(after) == replace(documented.values(after), learning_rate=pytest.approx(rate))
    values = MODEL.parse(MODEL.documented(), "c")
    assert (values.data.batch_size, values.training.epochs, values.training.warmup_steps) == (24, 1000, 4000)


def test_a_file_that_knows_no_switch_has_none():
    assert {stage(config(epochs=30), epoch).level for epoch in range(30)} == {CUSTOM}


def test_custom_sets_nothing():
    assert under("custom") == FILE


def test_a_users_own_level_and_other_values_for_a_documented_one():
    levels = {"mine": {"learning_rate": 5e-4, "use_huber_loss": True}, "basic": {"kl_loss_weight": 0.2}}
    mine, basic = under("mine", levels=levels), under("basic", levels=levels)
    assert (mine.learning_rate, mine.use_huber_loss, mine.mel_loss_weight) == (5e-4, True, 2.5)
    assert (basic.kl_loss_weight, basic.learning_rate) == (0.2, 1e-5)
    assert under("mine", levels=levels, learning_rate=9e-4).learning_rate == 5e-4


def test_an_unknown_level_names_the_nearest():
    with pytest.raises(BadInput, match="optimization_level 'enhancd' is no level; did you mean 'enhanced'"):
        config(optimization_level="enhancd")
    with pytest.raises(BadInput, match=r"level_switch.level 'breaker' is no level.*training.levels"):
        config(level_switch={"level": "breaker"})
