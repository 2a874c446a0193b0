"""Training tts: the objective, which depends on no knob, what depends on results, and divergence."""

import logging
import math
import re
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from synthetic_clips import folder
from tts_runs import SWITCH, config, run_on

from trainables.run import Diverged
from trainables.tts.alarms import NAMES
from trainables.tts.corpus import load
from trainables.tts.run import TtsRun
from trainables.tts.schedule import knobs
from trainables.tts.validation import Validation


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("clips") / "d")


@pytest.fixture
def run(path):
    return partial(run_on, path)


# The objective depends on no knob.

LOSS_KNOBS = {
    "training.overrides.mel_loss_weight": 0.1,
    "training.overrides.kl_loss_weight": 9.0,
    "training.stop_loss_weight": 0.0,
    "training.attention_loss_weight": 7.0,
    "training.overrides.use_label_smoothing": False,
    "training.mel_label_smoothing": 0.4,
    "training.overrides.use_huber_loss": False,
    "training.huber_delta": 0.01,
    "training.overrides.use_adaptive_loss_weights": False,
    "training.stop_token_positive_weight": 50.0,
    "training.optimization_level": "basic",
    f"{SWITCH}.level": "basic",
    "data.batch_size": 7,
    "model.dropout": 0.7,
    "model.prenet_dropout": 0.1,
}


@pytest.mark.parametrize("knob", LOSS_KNOBS)
def test_the_same_weights_have_the_same_metrics_under_any_knob(run, knob):
    one = run()
    one.train(5)
    other = run(seed=7, **{knob: LOSS_KNOBS[knob]})
    # Earlier in the schedule, too: under another level.
    other.restore({**other.state(), "network": one.network.state_dict(), "step": 2})
    assert other.evaluate() == one.evaluate()


def test_the_validation_loss_does_depend_on_them(run):
    one = run(**{"training.optimization_level": "custom", "training.use_huber_loss": True})
    now = knobs(one._config, 0)
    weights = one.weights(now)
    validation = Validation(one._validation.split, one._device, nullcontext, one._config.data.mcd_sentences)
    found = [
        validation.run(one.network, now, weights),
        validation.run(one.network, now, {**weights, "mel": 0.1}),
        validation.run(one.network, {**now, "huber_delta": now["huber_delta"] / 4}, weights),
    ]
    assert len({each.loss for each in found}) == 3 and len({each.metrics["val_mel_mae"] for each in found}) == 1


def test_metrics_against_numpy(run):
    one = run()
    one.train(3)
    one.network.eval()
    wrong = values = hits = said = 0.0
    split = one._validation.split
    for index in range(len(split)):
        batch = split.batch([index])
        with torch.no_grad():
            out = one.network(batch.text, batch.text_counts, batch.mel, batch.mel_counts, sample=False)
        wrong += np.abs(out.mel.numpy() - batch.mel.numpy()).sum()
        values += batch.mel.numel()
        stops = out.stop[0].numpy() > 0
        said, hits = said + stops.sum(), hits + stops[-1]
    found = one.evaluate()
    assert found["val_mel_mae"] == pytest.approx(wrong / values, rel=1e-5)
    assert found["val_stop_f1"] == pytest.approx(2 * hits / (said + len(split)))
    assert 0 <= found["val_attention_diagonal"] <= 1


def test_free_synthesis_is_measured_when_it_is_due(run):
    one = run(**{"training.mcd_every": 2, "training.epochs": 5, f"{SWITCH}.epoch": 2})
    due = {}
    for epoch in range(1, 6):
        one.train(epoch)
        found = one.evaluate()
        due[epoch] = "val_mcd_db" in found and "val_stopped" in found
        assert found == one.evaluate()
    assert due == {1: False, 2: True, 3: False, 4: True, 5: True}  # and at the end
    assert "val_mcd_db" not in run(**{"data.mcd_sentences": 0, "training.mcd_every": 1}).evaluate()


def test_bfloat16_computes_about_the_same(run):
    plain, half = run(), run()
    half._amp = True  # as on a GPU that has it
    found, other = plain.train(2), half.train(2)
    assert other["train_loss"] == pytest.approx(found["train_loss"], rel=0.01)
    assert other["train_loss"] != found["train_loss"]
    assert half.evaluate()["val_mel_mae"] == pytest.approx(plain.evaluate()["val_mel_mae"], rel=0.01)


# What depends on results.


def test_adaptive_weights_stay_within_5_percent_and_go_on_after_a_restore(run):
    one = run(**{f"{SWITCH}.rule": "never"})
    seen = []
    for epoch in range(1, 6):
        trained = one.train(epoch)
        seen.append(trained["weight_mel"])
        assert 0.95 * 2.5 - 1e-9 <= trained["weight_mel"] <= 1.05 * 2.5 + 1e-9
        assert trained["weight_attention"] == 0.02 and trained["weight_stop"] == 1.0
    assert seen[:2] == [2.5, 2.5] and len(set(seen)) > 2  # two epochs are needed to compare
    off = run(**{f"{SWITCH}.rule": "never", "training.overrides.use_adaptive_loss_weights": False})
    assert off.train(5)["weight_mel"] == 2.5


def test_its_own_early_stopping(run):
    values = {
        f"{SWITCH}.rule": "never",
        "training.early_stopping_patience": 2,
        "training.overrides.learning_rate": 1e-6,
    }
    one = run(**{**values, "training.min_learning_rate": 1e-7, "training.epochs": 60})
    one.restore({**one.state(), "patience": {"best": 0.0, "since": 0}})  # what no epoch reaches
    one.train(60)
    assert one.step == 2 and one.ended == "val_mel_mae has not fallen below 0 for 2 epochs"
    assert one.train(60) == {}
    assert run(**{"training.early_stopping_patience": 0}).ended is None


def test_warnings_are_logged_once_and_on_the_trial(run, caplog):
    with caplog.at_level(logging.WARNING, "trainables.tts"):
        one = run(**{"training.overrides.gradient_clip_norm": 1e-3})
        trained = one.train(3)
    assert trained["warn_clipping"] == 1.0 and trained["clipped_steps"] == 1.0
    assert caplog.text.count("the gradient norm is at the clip in most steps") == 1
    quiet = run(**{"training.overrides.gradient_clip_norm": 1e6}).train(3)
    assert set(NAMES) <= set(quiet) and quiet["warn_clipping"] == 0.0


def test_a_plan_with_another_number_of_clips_is_said(run, caplog):
    with caplog.at_level(logging.INFO, "trainables.tts"):
        run()
        assert "planned with" not in caplog.text
        run(**{"data.train_clips": 12_500})
    assert "planned with 4167 optimiser steps per epoch, not 3: data.train_clips is 12500, there are 8" in caplog.text


def test_it_reads_phonemes_too(run):
    pytest.importorskip("espeakng_loader")
    one = run(**{"data.text_input": "phonemes"})
    assert len(one.network.embedding.weight) == 42
    assert one.train(1)["train_loss"] > 0


# Divergence.


def test_a_huge_rate_diverges_naming_quantity_and_step(path):
    mine = config(**{f"{SWITCH}.rule": "never", "training.overrides.gradient_clip_norm": 1e30})
    # Beyond what the config takes.
    overrides = mine.training.overrides.model_copy(update={"scheduler": "noam", "learning_rate": 1e30})
    training = mine.training.model_copy(update={"overrides": overrides, "warmup_steps": 1})
    one = TtsRun(mine.model_copy(update={"training": training}), load(path, mine.data, "digest"), 0)
    with pytest.raises(Diverged) as error:
        one.train(9)
    assert error.value.step == one.step + 1 and re.match(r"train_loss|gradient", error.value.quantity)


@pytest.mark.parametrize("name", ["encoder.0.feed_forward.0.weight", "decoder.1.cross.query.bias", "text_norm.weight"])
def test_nan_is_caught_at_once_naming_the_tensor(run, name, caplog):
    one = run()
    one.train(1)
    with torch.no_grad():
        dict(one.network.named_parameters())[name].view(-1)[-1] = math.nan
    with pytest.raises(Diverged) as error:
        one.train(3)
    assert error.value.step == 2 and name in error.value.quantity
    with pytest.raises(Diverged) as error:
        one.evaluate()
    assert error.value.quantity == "val_mel_mae" and error.value.step == 1
    assert "val_mel_mae is nan" in caplog.text


def test_a_gradient_that_is_not_finite_is_named(run):
    one = run()
    one.network.style.weight.register_hook(lambda grad: grad * math.inf)
    with pytest.raises(Diverged, match=r"gradient of style.weight"):
        one.train(1)
