import io
import logging
import math
from dataclasses import replace

import pytest
import torch
from synthetic_trials import CORPUS, config, run

from spaces.problems import BadInput
from trainables.diphone_rnn.data import Dropped
from trainables.diphone_rnn.run import DiphoneRun
from trainables.diphone_rnn.schedule import knobs
from trainables.run import Diverged


def weights(one):
    return {name: value.clone() for name, value in one.network.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def restored(one, **values):
    buffer = io.BytesIO()
    torch.save(one.state(), buffer)
    other = run(**values)
    other.restore(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    return other


# Training goes on as if it had not been paused.


@pytest.mark.parametrize("pauses", [[1], [2, 3, 5, 6, 9], list(range(1, 12))])
def test_pausing_at_any_batch_changes_no_bit(pauses):
    whole, part = run(), run()
    metrics = whole.train(12)
    for pause in pauses:
        part.train(pause)
        part.evaluate()
        part = restored(part)
        torch.manual_seed(99)
    part.train(11)
    last = part.train(12)
    assert same(weights(whole), weights(part))
    assert whole.evaluate() == part.evaluate()
    assert all(last[key] == metrics[key] for key in knobs(config(), 0))


@pytest.mark.parametrize("pause", range(1, 12))
def test_alpha_and_rate_go_on_at_the_true_batch(pause):
    one = run()
    one.train(pause)
    one = restored(one)
    now, expected = one.train(pause + 1), knobs(config(), pause)
    assert {key: now[key] for key in expected} == expected
    rates = {group["name"]: group["lr"] for group in one.optimizer.param_groups}
    assert rates == {"bias": expected["lr"], "day": expected["lr_day"], "rest": expected["lr"]}


def test_the_first_batch_has_the_rate_of_batch_0():
    one = run()
    before = weights(one)
    assert one.train(1)["lr"] == 0
    assert same(before, weights(one))


def test_the_optimiser_has_the_configs_constants():
    one = run(beta0=0.8, beta1=0.99, epsilon=1e-6)
    one.train(2)
    again = restored(one, beta0=0.8, beta1=0.99, epsilon=1e-6)
    found = {(tuple(group["betas"]), group["eps"]) for group in again.optimizer.param_groups}
    assert found == {((0.8, 0.99), 1e-6)}
    for key, value in (("beta0", 0.5), ("beta1", 0.9), ("epsilon", 1e-2)):
        other, plain = run(**{key: value}), run()
        other.train(5)
        plain.train(5)
        assert not same(weights(other), weights(plain)), key


def test_gradients_are_clipped_by_their_global_norm():
    clipped, free = (run(grad_norm_clip_value=value) for value in (0.5, 0))
    norms = [one.train(1)["gradient_norm"] for one in (clipped, free)]
    assert norms[0] == norms[1] > 0.5
    found = [math.sqrt(sum(float(p.grad.square().sum()) for p in one.network.parameters())) for one in (clipped, free)]
    assert found == pytest.approx([0.5, norms[1]], rel=1e-4)


def test_it_learns():
    one = run(lr_max=0.02, lr_max_day=0.02, num_training_batches=60, composite_loss_alpha=0.5)
    before = one.evaluate()
    one.train(40)
    after = one.evaluate()
    assert after["val_loss_diphone"] < 0.6 * before["val_loss_diphone"]
    assert after["val_loss_phoneme"] < 0.6 * before["val_loss_phoneme"]


def test_phonemes_alone_and_diphones_alone():
    alone = run(**{"dataset.n_classes": 41, "use_composite_loss": False})
    found = {**alone.train(2), **alone.evaluate()}
    assert found["alpha"] == 1 and "val_der" not in found and "train_loss_diphone" not in found
    pure = run(use_composite_loss=False)
    found = {**pure.train(2), **pure.evaluate()}
    assert found["alpha"] == 0 and "val_der" in found
    assert found["train_loss"] == found["train_loss_diphone"]
    assert found["train_loss_phoneme"] > 0  # told, though it is no part of the loss


def test_evaluating_changes_nothing():
    one, other = run(), run()
    one.train(2)
    other.train(2)
    for _ in range(3):
        one.evaluate()
    torch.rand(5)
    one.train(5)
    other.train(5)
    assert same(weights(one), weights(other))


# Divergence, the run's own early stopping, the log, a start from a checkpoint.


def test_a_huge_rate_diverges_naming_quantity_and_step():
    mine = config(grad_norm_clip_value=0, lr_warmup_steps=0)
    beyond = {"lr_max": 1e30, "lr_min": 1e30}  # what the config takes
    one = DiphoneRun(mine.model_copy(update=beyond), CORPUS, 0)
    with pytest.raises(Diverged) as error:
        one.train(40)
    assert error.value.quantity.startswith(("train_loss", "gradient_norm"))
    assert 1 < error.value.step <= 40


@pytest.mark.parametrize(("where", "quantity"), [("train", "train_loss"), ("evaluate", "val_logits")])
def test_nan_is_caught_at_once(where, quantity):
    one = run()
    one.train(2)
    with torch.no_grad():
        one.network.h0.fill_(math.nan)
    with pytest.raises(Diverged) as error:
        one.train(5) if where == "train" else one.evaluate()
    assert (error.value.quantity, error.value.step) == (quantity, 3 if where == "train" else 2)


def test_early_stopping_is_the_trainings_own():
    stopping = {"early_stopping": True, "early_stopping_val_steps": 2, "batches_per_val_step": 2, "lr_max": 1e-3}
    one, other = run(**stopping), run(**stopping)
    one.train(40)
    assert one.step < 40 and one.ended is not None and "in 2 validations, one every 2 batches" in one.ended
    for until in range(1, 41):  # however often anyone looks
        other.train(until)
        other.evaluate()
        other = restored(other, **stopping)
    assert (other.step, other.ended) == (one.step, one.ended)
    assert run().ended is None


def test_the_schedule_is_in_the_log_and_alpha_at_every_interval(caplog):
    with caplog.at_level(logging.INFO, "trainables.diphone_rnn"):
        one = run(batches_per_train_log=2)
        one.train(7)
        one = restored(one, batches_per_train_log=2)
        one.train(8)
    said = caplog.text
    for line in ("0–2 → 0\n", "3–5 → 0.1\n", "15–17 → 0.5\n", "18+ → 0.6\n"):
        assert line in said
    logged = [line for line in said.splitlines() if ": train_loss" in line]
    assert [line.split("batch ")[1].split(":")[0] for line in logged] == ["2", "4", "6", "8"]
    assert ["alpha 0," in line for line in logged] == [True, False, False, False]
    assert "alpha 0.1," in logged[1] and "alpha 0.2," in logged[3]
    assert "goes on at batch 7: alpha 0.2, lr" in said


def test_each_trial_that_cannot_be_aligned_is_in_the_log(caplog):
    dropped, unaligned = Dropped("a.hdf5 trial_0001", 13, 12), Dropped("b.hdf5 trial_0002", 9, 0)
    with caplog.at_level(logging.INFO, "trainables.diphone_rnn"):
        run(data=replace(CORPUS, dropped=(dropped,) * 9, unaligned=(unaligned,)))
    said = caplog.text
    assert said.count("not trained on, as CTC can't align it: a.hdf5 trial_0001 (needs 13 frames, has 12)") == 9
    assert "validated without a loss, as CTC can't align it: b.hdf5 trial_0002 (needs 9 frames, has 0)" in said


def test_a_run_starts_from_a_users_checkpoint(tmp_path):
    one = run(seed=3)
    one.train(3)
    state = {f"_orig_mod.{name}": value for name, value in one.network.state_dict().items()}
    torch.save({"model_state_dict": state}, tmp_path / "c.pt")
    start = {"init_from_checkpoint": True, "init_checkpoint_path": str(tmp_path / "c.pt")}
    other = run(**start)
    assert same(weights(one), weights(other)) and other.step == 0
    assert other.evaluate() == one.evaluate()
    with pytest.raises(BadInput, match="h0 has shape"):
        run(**start, **{"model.n_units": 9})


def test_frozen_day_layers_stay():
    one = run(**{"model.input_network.input_trainable": False, "lr_warmup_steps": 0})
    before = weights(one)
    one.train(3)
    after = weights(one)
    assert torch.equal(before["day_weights"], after["day_weights"])
    assert not torch.equal(before["out.weight"], after["out.weight"])
