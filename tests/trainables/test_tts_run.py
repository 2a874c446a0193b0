"""Training tts: it goes on as if it had not been paused, it learns, and steps have the rates of the schedule."""

import logging
import math
from functools import partial

import numpy as np
import pytest
import torch
from synthetic_clips import folder
from tts_runs import SWITCH, config, run_on, same, through_a_file, weights

from spaces.problems import BadInput
from trainables import checkpoints
from trainables.registry import model_named
from trainables.tts.batches import Split, epoch_order, validation_order
from trainables.tts.corpus import load
from trainables.tts.mel import Mels
from trainables.tts.schedule import rate, stage

AT_PLATEAU = {f"{SWITCH}.rule": "plateau", f"{SWITCH}.window": 2, f"{SWITCH}.minimum_gain": 0.5}  # found at epoch 3


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("clips") / "d")


@pytest.fixture
def run(path):
    return partial(run_on, path)


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
