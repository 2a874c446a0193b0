"""One training of whisper_child: what is trained when, what validation hears, when it ends, what it leaves behind."""

import logging
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from synthetic_children import config, corpus
from transformers import get_linear_schedule_with_warmup

from trainables.ahead import Ahead
from trainables.run import Diverged
from trainables.seeding import derive
from trainables.whisper_child.batches import Sampling, training_batches
from trainables.whisper_child.model import groups, network_of
from trainables.whisper_child.run import WhisperRun
from trainables.whisper_child.tokens import labels_of, tokenizer_of

CORPUS = corpus()
FROZEN = {"model__freeze_encoder_steps": 5}


def run(seed=0, data=CORPUS, **values):
    return WhisperRun(config(**values), data, seed)


def weights(one):
    return {name: value.clone() for name, value in one.network.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def encoder(values):
    return {name: value for name, value in values.items() if name.startswith("model.encoder.")}


def after_each_step(one, epochs, look):
    """Train to epoch `epochs`: what `look` finds after each optimizer step, given what the step returned."""
    train_step, found = one.train_step, []

    def watched(batches, now):
        parts = train_step(batches, now)
        found.append(look(parts))
        return parts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one, "train_step", watched)
        one.train(epochs)
    return found


# Freezing.


def test_encoder_gradients_are_absent_before_the_freeze_ends_and_present_after(caplog):
    one = run(**FROZEN, training__warmup_steps=0)
    parameters, at_first = dict(one.network.model.encoder.named_parameters()), encoder(weights(one))

    def look(_parts):
        return {name for name, p in parameters.items() if p.grad is not None}, encoder(weights(one))

    with caplog.at_level(logging.INFO, "trainables.whisper_child"):
        found = after_each_step(one, 2, look)
    trained, after = zip(*found, strict=True)
    frozen = [True] * 5 + [False] * 3
    assert list(trained) == [set() if still else parameters.keys() - {"embed_positions.weight"} for still in frozen]
    assert [same(*pair) for pair in pairwise([at_first, *after])] == frozen
    said = [record.getMessage() for record in caplog.records if "encoder is" in record.getMessage()]
    assert said == ["step 0: the encoder is frozen", "step 5: the encoder is unfrozen"]


def test_the_decoder_learns_while_the_encoder_is_frozen():
    one = run(**FROZEN, training__warmup_steps=0)
    before = weights(one)
    after, *_ = after_each_step(one, 1, lambda _parts: weights(one))
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved and not any(name.startswith("model.encoder.") for name in moved)


def test_a_run_restored_after_the_freeze_is_not_frozen_and_before_it_is():
    for pause, frozen in ((1, True), (2, False)):  # 4 steps an epoch
        one = run(**FROZEN)
        one.train(pause)
        other = run(**FROZEN)
        other.restore(one.state())
        parameters = [p for n, p in other.network.model.encoder.named_parameters() if "emb" not in n]
        first, *_ = after_each_step(other, pause + 1, lambda _parts, of=parameters: {p.requires_grad for p in of})
        assert first == {not frozen}


def test_the_unfrozen_encoder_warms_up():
    steps = []
    for warmup in (0, 8):
        one = run(**FROZEN, model__unfreeze_warmup_steps=warmup, training__warmup_steps=0)
        found = after_each_step(one, 2, lambda _parts, of=one: encoder(weights(of)))
        before, after = found[4:6]  # the first step that it takes part in
        steps.append(max(float((value - before[name]).abs().max()) for name, value in after.items()))
    assert steps[1] == pytest.approx(steps[0] / 8, rel=0.05)  # AdamW's first step is the rate itself


def test_an_encoder_frozen_for_good_never_moves():
    one = run(model__freeze_encoder=True)
    before = encoder(weights(one))
    one.train(3)
    assert same(before, encoder(weights(one)))


# The plain baseline.


def bare(settings, seed):
    """What one would write without any of this: transformers' schedule, torch's AdamW, a loop."""
    tokenizer = tokenizer_of(settings.model)
    torch.manual_seed(derive(seed, "weights"))
    network = network_of(settings, tokenizer)
    labels = labels_of(CORPUS.utterances, tokenizer, None, 24)
    optimizer = torch.optim.AdamW(groups(network), lr=settings.training.learning_rate)
    for group in optimizer.param_groups:
        group["weight_decay"] = settings.training.weight_decay if group["decays"] else 0.0
    schedule = get_linear_schedule_with_warmup(optimizer, settings.training.warmup_steps, settings.total_steps)
    sampling = Sampling(settings, CORPUS, seed)
    trained = [weights for group in optimizer.param_groups for weights in group["params"]]
    network.train()
    for step in range(settings.total_steps):
        (batch,) = training_batches(settings, CORPUS, labels, sampling, seed, step)
        torch.manual_seed(derive(seed, "dropout", step, 0))
        network(input_features=batch.features, labels=batch.labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, settings.training.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return network.state_dict()


def test_all_enhancements_off_is_the_plain_baseline_to_the_bit():
    values = {"model__dropout": 0.1}
    one = run(seed=2, **values)
    one.train(3)
    assert same(bare(config(**values), 2), weights(one))


@pytest.mark.parametrize(
    "neutral",
    [
        {"data__freq_mask_param": 5, "data__time_mask_count": 3},  # specaugment is off
        {"data__specaugment": True, "data__freq_mask_param": 0, "data__time_mask_param": 0},
        {"data__curriculum_epochs": 3},  # curriculum_learning is off
        {"training__early_stopping_patience": 50},
        {"model__gradient_checkpointing": True},
        {"training__eval_steps": 1},
        {"training__fp16": False},
        {"training__logging_steps": 1},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_gate_that_is_shut_changes_no_bit(neutral):
    plain, other = run(), run(**neutral)
    plain.train(2)
    other.train(2)
    assert same(weights(plain), weights(other))


@pytest.mark.parametrize(
    "change",
    [
        {"data__specaugment": True},
        {"data__curriculum_learning": True},
        {"model__freeze_encoder_steps": 2},
        {"training__lr_scheduler_type": "cosine"},
    ],
    ids=lambda values: next(iter(values)),
)
def test_an_open_gate_changes_the_training(change):
    plain, other = run(), run(**change)
    plain.train(2)
    other.train(2)
    assert not same(weights(plain), weights(other))


# Precision. A GPU's is tried on the CPU, where float16 itself is not.


def scaled(initial):
    scaler = torch.amp.GradScaler("cpu", init_scale=initial)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.amp, "GradScaler", lambda _device, **_enabled: scaler)  # as a GPU without bfloat16 has it
        return run()


def test_scaled_gradients_train_the_same():
    plain, other = run(), scaled(1024.0)
    plain.train(2)
    other.train(2)
    assert same(weights(plain), weights(other)), "a power of two scales exactly"
    restored = scaled(8.0)
    restored.restore(other.state())
    assert restored.state()["scaler"]["scale"] == 1024.0
    other.train(3)
    restored.train(3)
    assert same(weights(restored), weights(other))


def test_an_overflow_leaves_the_step_out_and_is_no_divergence():
    one = scaled(1024.0)
    one.train(1)
    before = weights(one)
    overflow = one.network.proj_out.weight.register_hook(lambda gradient: gradient * torch.inf)

    def look(parts):
        overflow.remove()
        return weights(one), float(parts["gradient_norm"]), one.state()["scaler"]["scale"]

    (after, norm, scale), *_ = after_each_step(one, 2, look)
    assert same(before, after) and norm == 0 and scale == 512.0
    assert not same(before, weights(one))


def test_without_a_scaler_it_is():
    one = run()
    one.train(1)
    one.network.proj_out.weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(Diverged, match=r"gradient_norm is (inf|nan) at step 2"):
        one.train(2)


def test_bfloat16_is_near_float32():
    plain, other = run(), run()
    other._amp = torch.bfloat16
    a, b = plain.train(3), other.train(3)
    assert a["train_loss"] != b["train_loss"]
    assert b["train_loss"] == pytest.approx(a["train_loss"], rel=0.02)


# What the network hears and says.


def test_the_decoder_starts_with_one_start_token():
    one, seen = run(), []
    one.network.model.decoder.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["input_ids"].clone()), with_kwargs=True
    )
    one.train(1)
    start = tokenizer_of(config().model).convert_tokens_to_ids("<|startoftranscript|>")
    assert len(seen) == 4
    assert all((ids[:, 0] == start).all() and not (ids[:, 1:] == start).any() for ids in seen)


def test_validation_is_never_masked():
    heard = []
    masks = {"data__specaugment": True, "data__freq_mask_param": 80, "data__time_mask_param": 40}
    for values in ({}, masks):
        one = run(**values)
        one.network.model.encoder.register_forward_pre_hook(
            lambda module, args: heard[-1].append(args[0].clone()) if args and not module.training else None
        )
        heard.append([])
        one.evaluate()
    assert heard[0] and len(heard[0]) == len(heard[1])
    assert all(torch.equal(a, b) for a, b in zip(*heard, strict=True))
    clips = {tuple(CORPUS.features.clip(i)[:, 0]) for i in CORPUS.validation}
    assert all(tuple(clip[:, 0].numpy()) in clips for batch in heard[0] for clip in batch)


def test_what_has_been_learnt_is_said():
    """Six validation utterances that are those of the training, by heart: WER 0, and each age has its own."""
    same_clips = replace(CORPUS, validation=CORPUS.train[:6])
    one = run(data=same_clips, training__num_epochs=60, training__max_epochs=60, training__learning_rate=1e-2,
              inference__max_length=16, model__random_init__d_model=32)  # fmt: skip
    one.train(60)
    found = one.evaluate()
    assert found["val_wer"] == 0 and found["val_cer"] == 0 and found["val_loss"] < 0.2
    assert {key for key in found if key.startswith("val_wer.")} == {
        "val_wer.3-4", "val_wer.5-7", "val_wer.8-11", "val_wer.12_and_up", "val_wer.unknown"
    }  # fmt: skip


def test_evaluating_changes_nothing():
    one, other = run(model__dropout=0.1), run(model__dropout=0.1)
    for epoch in (1, 2, 3):
        one.train(epoch)
        one.evaluate()
        one.evaluate()
    other.train(3)
    assert same(weights(one), weights(other))


def test_threads_that_read_ahead_give_the_same_batches():
    settings = config(data__specaugment=True)
    labels = labels_of(CORPUS.utterances, tokenizer_of(settings.model), None, 24)

    def batches(step):
        return training_batches(settings, CORPUS, labels, Sampling(settings, CORPUS, 0), 0, step)

    ahead = Ahead(batches, workers=3, depth=4)
    for step in (0, 1, 2, 7, 8):  # a restored run jumps
        for got, wanted in zip(ahead.step(step, 9), batches(step), strict=True):
            assert torch.equal(got.features, wanted.features) and torch.equal(got.labels, wanted.labels)
    ahead.close()


# Ends.


def test_patience_counts_evaluations_and_ends_the_run(monkeypatch):
    rates = iter([0.9, 0.5, 0.7, 0.5, 0.6, 0.4])
    one = run(training__early_stopping_patience=3)  # an evaluation every 2 of 4 steps
    monkeypatch.setattr(one, "evaluate", lambda: {"val_wer": next(rates)})
    one.train(3)
    assert one.ended == "the WER has not fallen below 0.5 in 3 evaluations, one every 2 steps"
    assert (one.state()["step"], one.step) == (10, 3)
    before = weights(one)
    one.train(3)
    assert same(before, weights(one))
    other = run(training__early_stopping_patience=3)
    other.restore(one.state())
    assert other.ended == one.ended
    assert run().ended is None


def test_a_shorter_plan_ends_before_the_budget():
    one = run(training__num_epochs=2)
    one.train(3)
    assert (one.step, one.ended) == (2, "its 2 epochs are trained, and the learning rate is 0")
    whole = run(training__num_epochs=3)
    whole.train(3)
    assert (whole.step, whole.ended) == (3, None)


def test_the_seen_ages_are_logged(caplog):
    with caplog.at_level(logging.INFO, "trainables.whisper_child"):
        run(data__curriculum_learning=True)
    assert "ages, training+validation: 3-4 4+2, 5-7 4+1, 8-11 4+1, 12+ 4+1, unknown 4+1" in caplog.text
    assert "youngest first for 1 epochs, then free" in caplog.text
