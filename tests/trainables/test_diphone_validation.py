"""Validation: what it takes, and that no knob changes what it finds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_trials import CORPUS, config, run, trial

from trainables.diphone_rnn.batches import alignable
from trainables.diphone_rnn.data import n_frames
from trainables.diphone_rnn.phonemes import needed_frames


def loud(one):
    """Weights at which the network says much: steady states and transitions, changing from frame to frame."""
    with torch.no_grad():
        one.network.out.weight.mul_(30)
        one.network.out.bias[:400:42] += 60
        one.network.out.bias[1:400:42] += 60
    return one


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
    other.restore({**other.state(), "network": state["network"], "step": 11})  # later in the schedule, too
    assert other.evaluate() == found


def test_validation_takes_every_trial_once_and_days_apart():
    one, heard = loud(run()), []
    with one.network.register_forward_pre_hook(lambda _module, given: heard.append(given)):
        found = one.evaluate()
    seen = sorted(pair for _, day, frames in heard for pair in zip(day.tolist(), frames.tolist(), strict=True))
    wanted = sorted((trial.session, n_frames(trial.n_bins, config().model)) for trial in CORPUS.validation)
    assert seen == wanted and len(set(wanted)) == len(wanted) == 9
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
