import io
import logging
import math
import re
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from synthetic_clips import BASE, folder

from spaces.paths import with_values
from spaces.problems import BadInput
from trainables import checkpoints
from trainables.registry import model_named
from trainables.run import Diverged
from trainables.tts.alarms import NAMES
from trainables.tts.batches import Split, epoch_order, validation_order
from trainables.tts.corpus import load
from trainables.tts.mel import Mels
from trainables.tts.run import TtsRun
from trainables.tts.schedule import knobs, rate, stage
from trainables.tts.validation import Validation

SWITCH = "training.level_switch"
AT_PLATEAU = {f"{SWITCH}.rule": "plateau", f"{SWITCH}.window": 2, f"{SWITCH}.minimum_gain": 0.5}  # found at epoch 3


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("clips") / "d")


def config(**values):
    return model_named("tts").parse(with_values(BASE, values), "c")


@pytest.fixture
def run(path):
    def made(seed=0, **values):
        mine = config(**values)
        return TtsRun(mine, load(path, mine.data, "digest"), seed)

    return made


def weights(one):
    return {name: value.clone() for name, value in one.network.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def through_a_file(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


# Training goes on as if it had not been paused, across a switch, too.


@pytest.mark.parametrize("switch", [{}, AT_PLATEAU], ids=["epoch", "plateau"])
@pytest.mark.parametrize("pauses", [[3], [4], [5], [1, 2, 3, 4, 5, 6, 7]])
def test_pausing_around_the_switch_changes_no_bit(run, switch, pauses):
    whole, part = run(**switch), run(**switch)
    metrics = whole.train(8)
    for pause in pauses:
        part.train(pause)
        part.evaluate()
        state = through_a_file(part.state())
        part = run(**switch)
        torch.manual_seed(99)
        part.restore(state)
    part.train(7)
    last = part.train(8)
    assert same(weights(whole), weights(part)) and whole.evaluate() == part.evaluate()
    assert all(whole.state()[key] == part.state()[key] for key in ("switch", "patience", "adaptive", "history"))
    assert last["level_switched"] == metrics["level_switched"] == 1.0


def test_a_plateau_switches_the_level_and_says_so(run, caplog):
    with caplog.at_level(logging.INFO, "trainables.tts"):
        one = run(**AT_PLATEAU)
        seen = [one.train(epoch)["level_switched"] for epoch in range(1, 6)]
    assert one.state()["switch"]["switched_at"] == 3 and seen == [0, 0, 0, 1, 1]
    assert (
        "level enhanced from epoch 0" in caplog.text
        and "epoch 3: the level is plateau_breaker from here on" in caplog.text
    )
    level = stage(one._config, 4, 3)
    last = (5 - level.first) * one.per_epoch - 1  # the last step of epoch 4, counted from the switch
    assert level.first == 3
    assert one.optimizer.param_groups[0]["lr"] == rate(one._config, level, one.per_epoch).at(last)


def test_what_a_plateau_does_is_what_the_same_epoch_does(run):
    found, planned = run(**AT_PLATEAU), run(**{f"{SWITCH}.epoch": 3})
    found.train(7)
    planned.train(7)
    assert same(weights(found), weights(planned))


def test_the_switch_does_not_depend_on_who_evaluates(run):
    one, other = run(**AT_PLATEAU), run(**AT_PLATEAU)
    one.train(6)
    for epoch in range(1, 7):
        other.train(epoch)
        for _ in range(3):
            other.evaluate()
    assert same(weights(one), weights(other)) and one.state()["switch"] == other.state()["switch"]


def test_until_the_switch_both_train_alike_and_not_after(run):
    switched, plain = run(**{f"{SWITCH}.epoch": 3}), run(**{f"{SWITCH}.rule": "never"})
    switched.train(3)
    plain.train(3)
    assert same(weights(switched), weights(plain))
    switched.train(4)
    plain.train(4)
    assert not same(weights(switched), weights(plain))


def test_a_checkpoint_reached_under_another_level_goes_on_under_this_ones(run):
    enhanced = {f"{SWITCH}.rule": "never"}
    breaker = {**enhanced, "training.optimization_level": "plateau_breaker", "training.overrides.learning_rate": 1e-3}
    one = run(**enhanced)
    one.train(4)
    other = run(**breaker)
    other.restore(through_a_file(one.state()))
    assert other.evaluate() == one.evaluate()
    trained = other.train(5)
    assert (trained["kl_loss_weight"], trained["gradient_clip_norm"], trained["mel_loss_weight"]) == (1.2, 0.3, 2.0)
    one.train(5)
    assert not same(weights(one), weights(other))


def test_a_run_starts_from_a_checkpoint_file(run, tmp_path):
    one = run(seed=3)
    one.train(2)
    torch.save({"model_state_dict": one.network.state_dict(), "epoch": 2}, tmp_path / "c.pt")
    checkpoints.write(tmp_path / "trial", 2, {"run": one.state()})
    for start in (tmp_path / "c.pt", tmp_path / "trial"):
        other = run(**{"training.resume_checkpoint": str(start), "training.optimization_level": "plateau_breaker"})
        assert other.step == 0 and same(weights(one), weights(other))
        assert other.evaluate()["val_mel_mae"] == one.evaluate()["val_mel_mae"]
    with pytest.raises(BadInput, match=r"prenet.0.weight has shape \(16, 80\), the config's network \(32, 80\)"):
        run(**{"training.resume_checkpoint": str(tmp_path / "c.pt"), "model.decoder_dim": 32})
    with pytest.raises(BadInput, match=r"training.resume_checkpoint: .*none.pt: no such file"):
        run(**{"training.resume_checkpoint": str(tmp_path / "none.pt")})
    (tmp_path / "bad.pt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(BadInput, match=r"is no checkpoint of plain tensors"):
        run(**{"training.resume_checkpoint": str(tmp_path / "bad.pt")})


def test_a_checkpoint_to_start_from_is_checked_first_and_belongs_to_the_digest(run, path, tmp_path):
    model, start = model_named("tts"), tmp_path / "c.pt"

    def ready(**values):
        mine = config(**values)
        return model.prepare(model.parse_data({"data_dir": str(path)}, mine, "s"), mine)

    with pytest.raises(BadInput, match=r"^training.resume_checkpoint: .*c\.pt: no such file"):
        ready(**{"training.resume_checkpoint": str(start)})
    torch.save({"model_state_dict": run(seed=3).network.state_dict()}, start)
    with pytest.raises(BadInput, match=r"^training.resume_checkpoint: .* has shape .*: set the sizes"):
        ready(**{"training.resume_checkpoint": str(start), "model.decoder_dim": 32})
    first = ready(**{"training.resume_checkpoint": str(start)})
    assert first.digest != ready().digest and "; starts from c.pt (" in first.summary
    torch.save({"model_state_dict": run(seed=4).network.state_dict()}, start)
    assert ready(**{"training.resume_checkpoint": str(start)}).digest != first.digest


# It learns, and steps have the rates of the schedule.


def test_it_learns(run):
    one = run(**{"training.epochs": 40, f"{SWITCH}.rule": "never", "training.overrides.gradient_clip_norm": 5.0})
    before = one.evaluate()
    assert before["val_mel_mae"] == pytest.approx(before["mean_frame_mae"], rel=1e-5)
    assert one.worst == pytest.approx(before["mean_frame_mae"], rel=1e-5)  # what a trivial predictor scores
    one.train(30)
    after = one.evaluate()
    assert after["val_mel_mae"] < 0.75 * before["val_mel_mae"]


def test_every_step_has_its_own_rate(run, monkeypatch):
    one = run(**{"training.overrides.scheduler": "noam", "training.warmup_steps": 6, f"{SWITCH}.rule": "never"})
    assert one.per_epoch == 3  # 8 clips in batches of 3
    seen = []
    step = one.optimizer.step
    monkeypatch.setattr(one.optimizer, "step", lambda: (seen.append(one.optimizer.param_groups[0]["lr"]), step()))
    one.train(3)
    assert seen == pytest.approx([5e-3 * min(n / 6, math.sqrt(6 / n)) for n in range(1, 10)])


def test_accumulated_batches_make_one_step_of_their_mean(run):
    split = {"training.gradient_accumulation_steps": 3, "model.dropout": 0.0, "model.prenet_dropout": 0.0}
    one = run(**split)
    assert one.per_epoch == 1
    one.network.eval()  # no draws but the latent's
    before = weights(one)
    one.train(1)
    assert not same(before, weights(one)) and int(one.optimizer.state_dict()["state"][0]["step"]) == 1


def test_epochs_take_every_clip_once_in_an_order_of_their_own(path):
    mine = config()
    split = load(path, mine.data, "digest").train
    for epoch in range(3):
        order = epoch_order(split, 3, seed=0, epoch=epoch)
        assert sorted(i for batch in order for i in batch) == list(range(8)) and {len(b) for b in order} == {3, 2}
    assert epoch_order(split, 3, 0, 1) != epoch_order(split, 3, 0, 2)
    assert epoch_order(split, 3, 0, 1) == epoch_order(split, 3, 0, 1) != epoch_order(split, 3, 1, 1)


def test_clips_of_like_length_share_a_batch():
    lengths = np.random.default_rng(0).integers(10, 500, 200)

    class Clip:
        def __init__(self, frames):
            self.frames = frames

    clips = [Clip(int(n)) for n in lengths]
    split = Split(clips, Mels(np.zeros((0, 2), np.float32), np.zeros(1, np.int64)))  # type: ignore[arg-type]
    spread = [np.ptp([clips[i].frames for i in batch]) for batch in epoch_order(split, 8, 0, 0)]
    assert np.mean(spread) < 100
    batches = validation_order(clips)  # type: ignore[arg-type]
    assert sorted(i for batch in batches for i in batch) == list(range(200)) and len(batches) > 1
    assert all(len(batch) * max(clips[i].frames for i in batch) <= 12_000 for batch in batches)


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


def test_a_huge_rate_diverges_naming_quantity_and_step(path, caplog):
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
