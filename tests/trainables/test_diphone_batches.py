"""Batches of trials: which ones, side by side, read ahead by threads, and computed on in bfloat16."""

import math
import threading
import time

import numpy as np
import pytest
import torch
from synthetic_trials import CORPUS, config

from spaces.problems import BadInput
from trainables.ahead import Ahead
from trainables.builtin_run import bfloat16
from trainables.diphone_rnn import run as run_module
from trainables.diphone_rnn import validation as validation_module
from trainables.diphone_rnn.batches import Batch, Sampling, collate, ready, validation_batches
from trainables.diphone_rnn.run import DiphoneRun
from trainables.diphone_rnn.schedule import knobs

# Which trials, side by side.


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
    with pytest.raises(BadInput, match="3 is no day, and your script ends there: name others, from 0 to 2"):
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


# Reading ahead.


@pytest.fixture
def ahead():
    """A reader of steps by two threads, the earlier of each pair the slower; `made` holds what was asked for."""
    made = []

    def make(step):
        made.append(step)
        time.sleep(0.02 if step % 2 == 0 else 0)
        if step == 13:
            raise BadInput.of("trial_0013", "gone")
        return step

    reader = Ahead(make, workers=2, depth=4)
    reader.made = made
    yield reader
    reader.close()


def test_batches_come_in_order_whichever_is_ready_first(ahead):
    assert [ahead.step(step, 10) for step in range(10)] == list(range(10))
    assert ahead.step(4, 6) == 4  # a restored run goes back
    ahead.close()
    assert sorted(ahead.made) == sorted([*range(10), 4, 5])  # each once, none beyond `until`


def test_only_so_many_are_read_ahead(ahead):
    ahead.step(0, 1000)
    ahead.close()
    assert max(ahead.made) < 4


def test_the_threads_work_while_the_caller_does(ahead):
    ahead.step(0, 8)
    deadline = time.monotonic() + 5
    while len(ahead.made) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert set(ahead.made) == {0, 1, 2, 3}


def test_an_error_is_raised_at_its_own_batch_and_leaves_the_others(ahead):
    assert [ahead.step(step, 20) for step in range(10, 13)] == [10, 11, 12]
    with pytest.raises(BadInput, match="trial_0013: gone"):
        ahead.step(13, 20)
    assert ahead.step(14, 20) == 14


def test_its_threads_end_with_it_even_amid_errors():
    before = set(threading.enumerate())

    def make(step):
        raise OSError(f"no step {step}")

    reader = Ahead(make, workers=3, depth=6)
    with pytest.raises(OSError, match="no step 5"):
        reader.step(5, 100)
    assert set(threading.enumerate()) > before
    reader.close()
    assert set(threading.enumerate()) == before


def test_a_run_that_reads_ahead_trains_and_validates_to_the_same_bit(monkeypatch):
    """As on a GPU, but for the device: read ahead for training and, as nothing is kept, for every validation."""
    monkeypatch.setattr(validation_module, "IN_MEMORY", 0)
    monkeypatch.setattr("trainables.diphone_rnn.batches.VALIDATION_BINS", 500)
    assert len(validation_batches(CORPUS.validation)) > 3
    plain, before = DiphoneRun(config(), CORPUS, 0), threading.active_count()
    monkeypatch.setattr(run_module, "Ahead", lambda make, _threads, _depth: Ahead(make, workers=3, depth=6))
    monkeypatch.setattr(validation_module, "Ahead", lambda make, _threads, _depth: Ahead(make, workers=1, depth=2))
    threaded = DiphoneRun(config(), CORPUS, 0)
    for until in (2, 7, 9):
        assert plain.train(until) == threaded.train(until)
        assert plain.evaluate() == threaded.evaluate()
    for name, weights in plain.network.state_dict().items():
        assert torch.equal(weights, threaded.network.state_dict()[name])
    assert threading.active_count() == before + 4
    threaded.close()
    assert threading.active_count() == before


def test_only_a_gpu_gets_page_locked_memory(monkeypatch):
    trials = Sampling(config(), CORPUS, 0).trials(0)
    monkeypatch.setattr(Batch, "pin", lambda _: "pinned")
    assert ready(trials, config().model, torch.device("cuda")) == "pinned"
    plain = ready(trials, config().model, torch.device("cpu"))
    assert torch.equal(plain.features, collate(trials, config().model).features)
    assert plain.to(torch.device("cpu")) is plain


def test_what_moves_to_a_device_and_what_stays():
    batch = collate(Sampling(config(), CORPUS, 0).trials(0), config().model).to(torch.device("meta"))
    moved = (batch.features, batch.day, batch.targets.phonemes, batch.targets.diphones)
    counts = (batch.bins, batch.targets.frames, batch.targets.phoneme_counts, batch.targets.diphone_counts)
    assert {x.device.type for x in moved} == {"meta"} and {x.device.type for x in counts} == {"cpu"}


# bfloat16, here on the CPU; a GPU takes the same path.


def step_of(amp, **values):
    """Logits, losses and gradients of the first step, without dropout, noise and clipping."""
    off = {
        "model.rnn_dropout": 0,
        "model.input_network.input_layer_dropout": 0,
        "dataset.data_transforms.white_noise_std": 0,
        "model.n_units": 32,
    }
    chosen = config(**off, **values)
    run, said = DiphoneRun(chosen, CORPUS, 0), []
    run._amp = amp
    batch = ready(Sampling(chosen, CORPUS, 0).trials(0), chosen.model, torch.device("cpu"))
    with run.network.register_forward_hook(lambda _module, _given, logits: said.append(logits)):
        parts = run.train_batch(batch, {**knobs(chosen, 0), "alpha": 0.4, "grad_norm_clip_value": 0})
    (logits,) = said
    return logits, parts, {name: p.grad for name, p in run.network.named_parameters()}


@pytest.mark.parametrize("bidirectional", [False, True])
def test_autocast_gives_losses_and_gradients_near_those_of_float32(bidirectional):
    exact_logits, exact, gradients = step_of(amp=False, **{"model.bidirectional": bidirectional})
    logits, losses, found = step_of(amp=True, **{"model.bidirectional": bidirectional})
    assert (exact_logits.dtype, logits.dtype) == (torch.float32, torch.bfloat16)
    for name in ("train_loss", "train_loss_phoneme", "train_loss_diphone"):
        part, whole = losses[name], exact[name]
        assert part.dtype == torch.float32 and math.isfinite(part)
        assert float(part) == pytest.approx(float(whole), rel=0.01)
    for name, gradient in gradients.items():
        assert found[name].dtype == torch.float32 and bool(torch.isfinite(found[name]).all())
        cosine = torch.nn.functional.cosine_similarity(found[name].flatten(), gradient.flatten(), dim=0)
        assert float(cosine) > 0.98, name
        assert float(found[name].norm()) == pytest.approx(float(gradient.norm()), rel=0.1), name


def test_a_run_learns_in_bfloat16():
    rates = {"lr_max": 0.02, "lr_max_day": 0.02, "num_training_batches": 60}
    run = DiphoneRun(config(**rates), CORPUS, 0)
    run._amp = True
    before = run.evaluate()
    run.train(40)
    assert run.evaluate()["val_loss_diphone"] < 0.6 * before["val_loss_diphone"]


@pytest.mark.parametrize(
    ("gpu", "has", "use_amp", "amp"),
    [(True, True, True, True), (True, False, True, False), (True, True, False, False), (False, True, True, False)],
)
def test_bfloat16_is_for_gpus_that_have_it_themselves(monkeypatch, gpu, has, use_amp, amp):
    def supported(including_emulation=True):
        return has or including_emulation

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert bfloat16(use_amp) is amp
