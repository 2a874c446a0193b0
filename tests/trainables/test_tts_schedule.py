import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces import strict_yaml
from spaces.paths import with_values
from spaces.space import parse_space
from trainables.native import plain
from trainables.registry import model_named
from trainables.tts.schedule import describe, knobs, rate, settles, stage

MODEL = model_named("tts")
SPACE = parse_space(strict_yaml.load(Path(__file__).parents[2] / "spaces" / "tts.yaml"), "tts.yaml").in_steps(150)
RECIPE = {"epochs": 150, "level_switch": {"rule": "epoch"}}
BASE = plain(MODEL.parse(with_values(MODEL.documented(), {f"training.{k}": v for k, v in RECIPE.items()}), "c"))
SCHEDULERS = ("noam", "cosine", "cosine_restarts", "warmup_cosine")


def config(**values):
    return MODEL.parse(with_values(BASE, values), "c")


def rates_of(mine, per_epoch, switched_at=None):
    for epoch in range(mine.training.epochs):
        now = stage(mine, epoch, switched_at)
        schedule = rate(mine, now, per_epoch)
        yield from (schedule.at((epoch - now.first) * per_epoch + i) for i in range(per_epoch))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@given(seed=st.integers(0, 10**9), per_epoch=st.integers(1, 7), found=st.none() | st.integers(1, 149))
def test_the_rate_is_finite_and_positive_at_every_step_of_every_setting(scheduler, seed, per_epoch, found):
    values = {**SPACE.sample(np.random.default_rng(seed), BASE), "training.overrides.scheduler": scheduler}
    mine = config(**values)
    for lr in rates_of(mine, per_epoch, found):
        assert math.isfinite(lr) and 0 < lr <= 2e-3


def test_knobs_take_their_rate_from_the_first_step_of_the_epoch():
    mine = config(**{"training.overrides.scheduler": "noam", "training.warmup_steps": 40})
    every = list(rates_of(mine, 7))
    assert [knobs(mine, epoch, 7)["lr"] for epoch in range(150)] == every[::7]
    assert every[0] == pytest.approx(1e-4 / 40) and every[39] == 1e-4


def test_a_switch_starts_the_new_levels_schedule():
    mine = config(**{"training.level_switch.epoch": 60})
    assert knobs(mine, 49)["lr"] < 1e-5 < knobs(mine, 50)["lr"] == 1e-4  # enhanced restarts every 50 epochs
    assert (
        knobs(mine, 60)["lr"] == 1.5e-5 and knobs(mine, 59)["level_switched"] == 0 != knobs(mine, 60)["level_switched"]
    )
    noam = config(**{"training.level_switch.level": "basic", "training.level_switch.epoch": 60})
    assert knobs(noam, 60)["lr"] == pytest.approx(1e-5 / 4000)


def test_a_plateau_switches_when_it_was_found():
    mine = config(**{"training.level_switch.rule": "plateau"})
    assert {stage(mine, epoch).level for epoch in range(150)} == {"enhanced"}
    assert stage(mine, 69, 70).level == "enhanced" and stage(mine, 70, 70).level == "plateau_breaker"
    assert knobs(mine, 70, None, 70)["lr"] == 1.5e-5


def test_a_level_never_switched_to():
    mine = config(**{"training.level_switch.rule": "never"})
    assert {stage(mine, epoch, 3).level for epoch in range(150)} == {"enhanced"}


def test_warmup_cosine_ends_at_the_least_rate_of_its_stage():
    values = {
        "training.overrides.scheduler": "warmup_cosine",
        "training.warmup_steps": 10,
        "training.level_switch.epoch": 60,
    }
    every = list(rates_of(config(**values), 5))
    assert every[:11] == pytest.approx([1e-4 * n / 10 for n in range(1, 11)] + [1e-4])
    assert every[60 * 5 - 1] == 1e-6 and every[60 * 5] == pytest.approx(1.5e-6) and every[-1] == 1e-6


def test_restarts_grow_by_the_multiplier():
    values = {
        "training.level_switch.rule": "never",
        "training.overrides.restart_period": 10,
        "training.scheduler_params.restart_mult": 2.0,
    }
    mine = config(**values)
    peaks = [epoch for epoch in range(150) if knobs(mine, epoch)["lr"] == 1e-4]
    assert peaks == [0, 10, 30, 70]


def test_options_that_are_off_are_zero():
    on = knobs(config(), 0)
    assert (on["huber_delta"], on["mel_label_smoothing"], on["stop_label_smoothing"], on["adaptive"]) == (
        1,
        0.05,
        0.1,
        1,
    )
    off = knobs(config(**{"training.optimization_level": "basic"}), 0)
    assert (off["huber_delta"], off["mel_label_smoothing"], off["stop_label_smoothing"], off["adaptive"]) == (
        0,
        0,
        0,
        0,
    )


def test_settling_is_the_first_levels_warmup_in_epochs():
    assert settles(config()) == 0  # restarts have none
    noam = {"training.overrides.scheduler": "noam", "training.warmup_steps": 4000}
    per_epoch = config().steps_per_epoch
    assert per_epoch == math.ceil(12_500 / 24)
    assert settles(config(**noam)) == math.ceil(4000 / per_epoch)
    accumulated = config(**noam, **{"training.gradient_accumulation_steps": 2})
    assert accumulated.steps_per_epoch == math.ceil(per_epoch / 2) and settles(accumulated) == 16


def test_description_names_the_levels_and_when():
    said = describe(config(), 521)
    assert "level enhanced from epoch 0: learning rate 0.0001" in said and "level plateau_breaker from epoch 50" in said
    assert "521 steps per epoch" in said and "use_huber_loss" in said
    assert "has not fallen by 0.01 of itself in 10 epochs" in describe(
        config(**{"training.level_switch.rule": "plateau"}), 1
    )
