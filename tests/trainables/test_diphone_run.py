import io
import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_trials import BASE, corpus, trial

from spaces.paths import with_values
from spaces.problems import BadInput
from trainables.diphone_rnn.batches import Ahead, Sampling, alignable, collate, validation_batches
from trainables.diphone_rnn.phonemes import needed_frames
from trainables.diphone_rnn.run import DiphoneRun
from trainables.diphone_rnn.schedule import knobs
from trainables.registry import model_named
from trainables.run import Diverged

CORPUS = corpus()


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def config(**values):
    return model_named("diphone_rnn").parse(with_values(BASE, values), "c")


def run(seed=0, data=CORPUS, **values):
    return DiphoneRun(config(**values), data, seed)


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


def loud(one):
    """Weights at which the network says much: steady states and transitions, changing from frame to frame."""
    with torch.no_grad():
        one.network.out.weight.mul_(30)
        one.network.out.bias[:400:42] += 60
        one.network.out.bias[1:400:42] += 60
    return one


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
    rates = {group["name"]: group["lr"] for group in one._optimizer.param_groups}
    assert rates == {"bias": expected["lr"], "day": expected["lr_day"], "rest": expected["lr"]}


def test_the_first_batch_has_the_rate_of_batch_0():
    one = run()
    before = weights(one)
    assert one.train(1)["lr"] == 0
    assert same(before, weights(one))


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
    assert found["alpha"] == 0 and "val_der" in found and "train_loss_phoneme" not in found
    assert found["train_loss"] == found["train_loss_diphone"]


# The objective depends on no knob.

KNOBS = {
    "composite_loss_alpha": 0.1,
    "use_alpha_schedule": False,
    "use_composite_loss": False,
    "alpha_schedule_start": 0.3,
    "alpha_schedule_end": 1.0,
    "alpha_schedule_step_size": 0.4,
    "alpha_schedule_step_interval": 1,
    "lr_max": 0.5,
    "weight_decay": 0.3,
    "grad_norm_clip_value": 0.1,
    "num_training_batches": 7,
    "dataset.batch_size": 3,
    "dataset.days_per_batch": 1,
    "model.rnn_dropout": 0.7,
    "model.input_network.input_layer_dropout": 0.7,
    "dataset.data_transforms.white_noise_std": 5.0,
    "dataset.data_transforms.random_cut": 9,
    "dataset.data_transforms.static_gain_std": 1.0,
}


@pytest.fixture(scope="module")
def reference():
    one = loud(run())
    found = one.evaluate()
    assert 0 < found["val_per"] != found["val_per_diphones_first"]  # there is something to tell apart
    return one.state(), found


@pytest.mark.parametrize("knob", KNOBS)
def test_same_weights_give_the_same_metrics_whatever_the_knob(knob, reference):
    state, found = reference
    other = run(seed=5, **{knob: KNOBS[knob]})
    other.network.load_state_dict(state["network"])
    other._step = 11  # later in the schedule, too
    assert other.evaluate() == found


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


def test_validation_takes_every_trial_once_and_days_apart():
    one = loud(run())
    found = one.evaluate()
    trials = [trial for batch in one._validation._trials for trial in batch]
    assert sorted(map(id, trials)) == sorted(map(id, CORPUS.validation))
    days = {day: sum(len(t.phonemes) for t in CORPUS.validation if t.session == day) for day in range(3)}
    pooled = sum(found[f"val_per.day{day}"] * length for day, length in days.items()) / sum(days.values())
    assert found["val_per"] == pytest.approx(pooled)
    quiet = run(log_individual_day_val_PER=False).evaluate()
    assert "val_per.day0" not in quiet


def test_days_may_be_left_out_of_validation():
    chosen = {"dataset.sessions": ["day0", "day1", "day2"], "dataset.dataset_probability_val": [0, 1, 0]}
    found = run(**chosen).evaluate()
    assert "val_per.day1" in found and "val_per.day0" not in found


def test_trials_that_cannot_be_aligned_are_scored_without_a_loss():
    short = trial(0, 99, np.random.default_rng(0), labels=[1, 2, 3, 4, 5, 6], bins=40)
    odd = replace(CORPUS, validation=(*CORPUS.validation, short))
    assert not alignable(short, config().model) and needed_frames(short.diphones) == 13
    found, without = run(data=odd).evaluate(), run().evaluate()
    assert found["val_loss_diphone"] == pytest.approx(without["val_loss_diphone"], rel=1e-5)
    errors = found["val_per"] * sum(len(each.phonemes) for each in odd.validation)
    assert errors == pytest.approx(round(errors)) and found["val_per.day0"] != without["val_per.day0"]


# Batches.


def test_batches_are_of_some_days_with_as_many_trials_of_each():
    sampling = Sampling(config(), CORPUS, seed=1)
    for step in range(20):
        days = [trial.session for trial in sampling.trials(step)]
        assert len(days) == 6 and sorted(days.count(day) for day in set(days)) == [3, 3]
    drawn = {trial.session for step in range(20) for trial in sampling.trials(step)}
    assert drawn == {0, 1, 2}
    assert sampling.trials(3) == Sampling(config(), CORPUS, seed=1).trials(3) != sampling.trials(4)
    assert sampling.trials(3) != Sampling(config(), CORPUS, seed=2).trials(3)


def test_more_days_than_there_are_and_odd_sizes():
    sampling = Sampling(config(**{"dataset.days_per_batch": 9, "dataset.batch_size": 7}), CORPUS, 0)
    days = [trial.session for trial in sampling.trials(0)]
    assert sorted(days.count(day) for day in set(days)) == [2, 2, 3]


def test_days_that_every_batch_must_have():
    sampling = Sampling(config(**{"dataset.must_include_days": [2]}), CORPUS, 0)
    assert all(2 in {trial.session for trial in sampling.trials(step)} for step in range(9))
    with pytest.raises(BadInput, match="3 is no day: there are 3"):
        Sampling(config(**{"dataset.must_include_days": [3]}), CORPUS, 0)


def test_collated_trials():
    trials = Sampling(config(), CORPUS, 0).trials(0)
    batch = collate(trials, config().model)
    assert batch.features.shape == (6, max(trial.n_bins for trial in trials), 6)
    for row, each in enumerate(trials):
        assert np.array_equal(batch.features[row, : each.n_bins], each.features())
        assert not batch.features[row, each.n_bins :].any()
        assert batch.targets.phonemes[row, : len(each.phonemes)].tolist() == each.phonemes.tolist()
        assert batch.targets.diphone_counts[row] == 2 * len(each.phonemes) + 1
    cut = batch.without_start(3, config().model)
    assert torch.equal(cut.features, batch.features[:, 3:])
    assert cut.targets.frames.tolist() == [(trial.n_bins - 3 - 14) // 4 + 1 for trial in trials]


def test_validation_batches_hold_trials_of_like_length():
    batches = validation_batches(CORPUS.validation * 200)
    lengths = [trial.n_bins for batch in batches for trial in batch]
    assert len(batches) > 1 and lengths == sorted(lengths, reverse=True)


def test_reading_ahead_gives_the_same_batches():
    asked = []

    def make(step):
        asked.append(step)
        return step

    ahead = Ahead(make, workers=2)
    assert [ahead.batch(step, 10) for step in range(10)] == list(range(10))
    assert ahead.batch(4, 6) == 4  # a restored run goes back
    ahead.close()
    assert sorted(asked) == sorted([*range(10), 4, 5])


# Divergence, the run's own early stopping, the log, a start from a checkpoint.


def test_a_huge_rate_diverges_naming_quantity_and_step():
    one = run(grad_norm_clip_value=0, lr_warmup_steps=0)
    one._config = one._config.model_copy(update={"lr_max": 1e30, "lr_min": 1e30})  # beyond what the config takes
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
    one._metrics = None
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
