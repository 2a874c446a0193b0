"""The schedules of whisper_child, its masks and its order: pure functions of the seed and the step."""

import logging
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from synthetic_children import AGES, config, corpus
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from spaces.problems import BadInput
from trainables.registry import model_named
from trainables.seeding import derive
from trainables.whisper_child.ages import lower_bound
from trainables.whisper_child.augment import mask, warn_of_clamping
from trainables.whisper_child.batches import IGNORED, Sampling, collate, training_batches
from trainables.whisper_child.schedule import curriculum, freeze, knobs, learning_rate, settles, step_knobs
from trainables.whisper_child.tokens import labels_of, tokenizer_of

CORPUS = corpus()
LABELS = labels_of(CORPUS.utterances, tokenizer_of(config().model), None, 24)


# Schedules.


@given(st.integers(0, 60), st.sampled_from(["linear", "cosine"]), st.integers(1, 8), st.integers(1, 3))
def test_rates_are_those_of_transformers(warmup, shape, epochs, accumulation):
    settings = config(
        training__warmup_steps=warmup,
        training__lr_scheduler_type=shape,
        training__num_epochs=epochs,
        training__gradient_accumulation_steps=accumulation,
    )
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=settings.training.learning_rate)
    make = get_linear_schedule_with_warmup if shape == "linear" else get_cosine_schedule_with_warmup
    theirs = make(optimizer, warmup, settings.total_steps)
    ours = learning_rate(settings)
    for step in range(settings.total_steps):
        assert ours.at(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-15)
        optimizer.step()
        theirs.step()


def test_steps_of_an_epoch_count_as_in_the_trainer():
    settings = config(data__train_utterances=20, training__batch_size=6, training__gradient_accumulation_steps=3)
    assert (settings.batches_per_epoch, settings.steps_per_epoch, settings.total_steps) == (4, 2, 6)


@given(st.integers(0, 30), st.integers(0, 10))
def test_the_encoder_thaws_at_its_step(steps, warmup):
    settings = config(model__freeze_encoder_steps=steps, model__unfreeze_warmup_steps=warmup, training__num_epochs=20)
    for step in range(45):
        now = step_knobs(settings, step)
        assert now["encoder_frozen"] == (step < steps)
        share = now["learning_rate_encoder"] / now["learning_rate"] if now["learning_rate"] else None
        if share is not None:
            assert share == pytest.approx(0 if step < steps else min(1, (step - steps + 1) / max(1, warmup)))


def test_an_encoder_frozen_for_good():
    settings = config(model__freeze_encoder=True, model__freeze_encoder_steps=2)
    assert all(step_knobs(settings, step)["encoder_frozen"] for step in (0, 5, 11))
    assert knobs(settings, 2)["learning_rate_encoder_mean"] == 0


def test_settles_after_warmup_freeze_and_curriculum():
    """4 steps an epoch."""
    assert settles(config(training__warmup_steps=0)) == 0
    assert settles(config(training__warmup_steps=5)) == 2
    assert settles(config(training__warmup_steps=0, model__freeze_encoder_steps=8)) == 2
    assert settles(config(model__freeze_encoder_steps=8, model__unfreeze_warmup_steps=4)) == 3
    assert settles(config(data__curriculum_learning=True, data__curriculum_epochs=3)) == 3
    assert settles(config(data__curriculum_epochs=3)) == 1  # off; three steps of warmup


def test_knobs_of_an_epoch_tell_different_rates_apart():
    """Both have the same rate at the last step of the epoch."""
    one, other = (knobs(config(training__warmup_steps=n), 0) for n in (0, 3))
    assert one["learning_rate_mean"] != other["learning_rate_mean"]
    frozen = [knobs(config(model__freeze_encoder_steps=n), 0)["learning_rate_encoder_mean"] for n in (0, 2)]
    assert frozen[0] != frozen[1]


def test_documented_values():
    model = model_named("whisper_child")
    settings = model.parse(model.documented(), "recipe")
    training, data, model = settings.training, settings.data, settings.model
    assert (training.lr_scheduler_type, training.early_stopping_patience, training.num_epochs) == ("cosine", 5, 20)
    assert (data.specaugment, data.freq_mask_param, data.time_mask_param) == (True, 27, 100)
    assert (data.freq_mask_count, data.time_mask_count, data.curriculum_epochs) == (1, 1, 1)
    assert (model.freeze_encoder_steps, model.unfreeze_warmup_steps, model.dropout) == (1000, 0, 0.1)
    assert (training.save_steps, training.eval_steps, training.save_total_limit) == (500, 500, 5)
    assert (training.batch_size, training.gradient_accumulation_steps, training.learning_rate) == (48, 2, 1e-5)
    assert (training.warmup_steps, training.weight_decay, training.max_grad_norm) == (500, 0.01, 1.0)
    assert model.pretrained == "openai/whisper-small" and data.val_ratio == 0.1 and training.seed == 42


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"training__save_steps": 5}, r"save_steps 5 must be a multiple of eval_steps 2, so that .*; try 4"),
        ({"training__fp16": True, "training__bf16": True}, "fp16 and bf16 are both true"),
        ({"training__save_strategy": "steps"}, "save_strategy steps needs output_dir"),
        ({"model__pretrained": "x"}, "expected one of pretrained and random_init, got both"),
        ({"model__random_init": None}, "expected one of pretrained and random_init, got neither"),
        (
            {"model__forced_decoder_ids": [[1, 2]]},
            "is not supported here; your script begins each transcript",
        ),
        ({"data__target_length": 0.41}, r"target_length 0.41 must be a multiple of 0.02 s.*try 0.42"),
        ({"data__val_ratio": 0.0}, "val_ratio"),
        ({"inference__max_length": 30}, "inference.max_length 30 is above model.random_init.max_target_positions 24"),
        ({"model__random_init__d_model": 15}, "d_model 15 must be a multiple of 2 × heads = 4"),
        ({"training__optim": "sgd"}, "optim"),
        ({"data__sample_rate": 8000}, "sample_rate"),
    ],
)
def test_bad_settings_are_refused(values, said):
    with pytest.raises(BadInput, match=said):
        config(**values)


# SpecAugment.

NOW = {"freq_mask_param": 27.0, "time_mask_param": 10.0, "freq_mask_count": 1.0, "time_mask_count": 1.0}


def masked(frames, seed=0, window=60, **changes):
    rng = np.random.default_rng(100)
    features = rng.normal(size=(len(frames), 80, window)).astype(np.float32)
    before = features.copy()
    mask(features, frames, {**NOW, **changes}, np.random.default_rng(seed))
    return before, features


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 10_000), st.integers(0, 90))
def test_masks_stay_inside_the_real_frames_and_hold_the_clips_minimum(frames, seed, widest):
    before, after = masked(frames, seed, freq_mask_param=float(widest), time_mask_param=float(widest))
    for was, now, length in zip(before, after, frames, strict=True):
        np.testing.assert_array_equal(was[:, length:], now[:, length:])
        assert (now[was != now] == was[:, :length].min()).all()


def quiet(clips, length):
    """Where each clip of `length` frames holds its minimum: (clips, bins, length)."""
    real = clips[:, :, :length]
    return real == real.min(axis=(1, 2), keepdims=True)


def spans(after, length=60):
    """Masked rows and masked columns of each clip."""
    hidden = quiet(after, length)
    return hidden.all(axis=2).sum(axis=1), hidden.all(axis=1).sum(axis=1)


def test_widths_are_uniform_up_to_their_parameter():
    count, frames = 4000, [60] * 4000
    rows, _ = spans(masked(frames, 1, time_mask_count=0.0)[1])
    assert rows.max() == 27 and rows.min() == 0
    assert chisquare(np.bincount(rows, minlength=28)).pvalue > 1e-3
    _, columns = spans(masked(frames, 2, freq_mask_count=0.0)[1])
    assert chisquare(np.bincount(columns, minlength=11)).pvalue > 1e-3
    assert abs(columns.mean() - 5) < 4 * np.sqrt(10 / count)


def test_starts_are_uniform_over_where_the_mask_fits():
    _, after = masked([40] * 6000, 3, freq_mask_count=0.0, time_mask_param=6.0)
    _, widths = spans(after, 40)
    first = [hidden.all(axis=0).argmax() for hidden, width in zip(quiet(after, 40), widths, strict=True) if width == 3]
    assert chisquare(np.bincount(first, minlength=38)).pvalue > 1e-3  # 40 − 3 + 1 places


def test_a_mask_wider_than_the_clip_is_drawn_up_to_the_clip():
    _, columns = spans(masked([7] * 3000, 4, freq_mask_count=0.0, time_mask_param=100.0)[1], 7)
    assert chisquare(np.bincount(columns, minlength=8)).pvalue > 1e-3


def test_counts_of_masks():
    _, after = masked([60] * 200, 5, freq_mask_count=3.0, time_mask_count=0.0, freq_mask_param=5.0)
    edges = np.diff(quiet(after, 60).all(axis=2).astype(int), axis=1, prepend=0)
    assert (edges == 1).sum(axis=1).max() == 3


def test_clamping_is_said_once_per_call(caplog):
    with caplog.at_level(logging.WARNING, "trainables.whisper_child"):
        warn_of_clamping([5, 50], 80, NOW)
        warn_of_clamping([50, 50], 80, NOW)
    assert [r.getMessage() for r in caplog.records] == [
        "time_mask_param 10 is wider than 1 of 2 clips; a mask in those is drawn up to their own length"
    ]


AUGMENTED = {"data__specaugment": True}


def test_each_step_masks_anew_and_the_same_step_alike():
    settings = config(training__batch_size=20, **AUGMENTED)
    sampling = Sampling(settings, CORPUS, 0)

    def of(step, seed=0):
        (batch,) = training_batches(settings, CORPUS, LABELS, sampling, seed, step)
        return dict(zip(batch.indices, batch.features.numpy(), strict=True))

    first, again, later, other = of(0), of(0), of(1), of(0, seed=1)
    for index in first:
        np.testing.assert_array_equal(first[index], again[index])
    for another in (later, other):
        assert sum(not np.array_equal(first[index], another[index]) for index in first) >= 19  # two draws differ
    plain = collate(CORPUS, LABELS, tuple(first))
    assert sum(not np.array_equal(clip, plain.features[i].numpy()) for i, clip in enumerate(first.values())) >= 19


def test_without_specaugment_clips_are_as_recorded():
    settings = config(training__batch_size=20)
    (batch,) = training_batches(settings, CORPUS, LABELS, Sampling(settings, CORPUS, 0), 0, 0)
    assert torch.equal(batch.features, collate(CORPUS, LABELS, batch.indices).features)


# Labels.


def test_no_start_token_in_the_labels():
    tokenizer = tokenizer_of(config().model)
    start, end = (tokenizer.convert_tokens_to_ids(token) for token in ("<|startoftranscript|>", "<|endoftext|>"))
    batch = collate(CORPUS, LABELS, range(6))
    assert not (batch.labels == start).any()
    for row, index in zip(batch.labels.tolist(), batch.indices, strict=True):
        real = [token for token in row if token != IGNORED]
        assert row == real + [IGNORED] * (len(row) - len(real))
        assert real[-1] == end and real.count(end) == 1
        assert tokenizer.decode(real, skip_special_tokens=True) == CORPUS.utterances[index].text
        assert tokenizer.convert_ids_to_tokens(real[:3]) == ["<|en|>", "<|transcribe|>", "<|notimestamps|>"]


# Order.


@pytest.mark.parametrize("on", [True, False])
def test_every_utterance_once_per_epoch(on):
    settings = config(data__curriculum_learning=on, training__gradient_accumulation_steps=3)
    sampling = Sampling(settings, CORPUS, 4)
    for epoch in range(3):
        steps = range(epoch * settings.steps_per_epoch, (epoch + 1) * settings.steps_per_epoch)
        taken = [index for step in steps for batch in sampling.step(step) for index in batch]
        assert taken == sampling.order(epoch)
        assert sorted(taken) == list(CORPUS.train)


@pytest.mark.parametrize("epochs", [1, 2])
def test_youngest_first_while_the_curriculum_lasts_and_free_after(epochs):
    settings = config(data__curriculum_learning=True, data__curriculum_epochs=epochs)
    free = Sampling(config(), CORPUS, 4)
    sampling = Sampling(settings, CORPUS, 4)
    for epoch in range(4):
        ages = [lower_bound(CORPUS.utterances[index].age) for index in sampling.order(epoch)]
        assert (ages == sorted(ages)) == (epoch < epochs)
        assert curriculum(settings).active(epoch) == (epoch < epochs)
        if epoch >= epochs:
            assert sampling.order(epoch) == free.order(epoch)
    if epochs == 2:
        assert sampling.order(0) != sampling.order(1), "shuffled within a bucket"
    assert Counter(CORPUS.utterances[i].age for i in sampling.order(0)) == dict.fromkeys(AGES, 4)


def test_orders_differ_by_epoch_and_seed():
    one, other = (Sampling(config(), CORPUS, seed) for seed in (0, 1))
    assert len({tuple(s.order(epoch)) for s in (one, other) for epoch in (0, 1)}) == 4
    assert derive(0, "order", 0) != derive(0, "order", 1)


def test_freeze_is_the_shared_schedule():
    assert freeze(config(model__freeze_encoder_steps=3)).settles == 3
