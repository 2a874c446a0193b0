import math

import numpy as np
import pytest
import rounding
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainables.tts.losses import (
    attention_loss,
    duration_loss,
    kl_loss,
    losses,
    mel_loss,
    smoothed_mel,
    stop_loss,
)
from trainables.tts.model import Spoken

RNG = np.random.default_rng(0)
COUNTS = torch.tensor([5, 7, 2])


def entropy(p):
    return -p * math.log(p) - (1 - p) * math.log(1 - p) if 0 < p < 1 else 0.0


def frames(*shape):
    return torch.from_numpy(RNG.normal(size=shape).astype(np.float32))


# The mel loss.


@pytest.mark.parametrize("delta", [0.0, 0.1, 1.0, 5.0])
def test_mel_loss_against_numpy(delta):
    predicted, target = frames(3, 7, 4), frames(3, 7, 4)
    real = torch.arange(7) < COUNTS.unsqueeze(1)
    p, y = predicted.numpy(), target.numpy()
    r = np.concatenate([np.abs(p[i, :n] - y[i, :n]).ravel() for i, n in enumerate(COUNTS.tolist())])
    expected = r if delta == 0 else np.where(r <= delta, r**2 / 2, delta * (r - delta / 2))
    assert float(mel_loss(predicted, target, real, delta)) == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize("delta", [0.3, 2.0])
def test_mel_loss_is_torchs_huber(delta):
    predicted, target = frames(2, 3, 4), frames(2, 3, 4)
    expected = nn.functional.huber_loss(predicted, target, delta=delta)
    found = mel_loss(predicted, target, torch.ones(2, 3, dtype=torch.bool), delta)
    assert float(found) == pytest.approx(float(expected), rel=2 * rounding.of_sum(predicted.numel()))


def test_padding_counts_for_nothing_in_any_loss():
    spoken, mel = a_batch()
    other = Spoken(*(x.clone() for x in spoken))
    other_mel = mel.clone()
    for i, n in enumerate(COUNTS.tolist()):
        other.mel[i, n:], other.stop[i, n:], other.attention[i, n:], other_mel[i, n:] = 9.0, -9.0, 9.0, 3.0
    now = {
        "huber_delta": 1.0,
        "mel_label_smoothing": 0.05,
        "stop_label_smoothing": 0.1,
        "stop_token_positive_weight": 5.0,
    }
    text, weights = torch.tensor([3, 4, 2]), dict.fromkeys(("mel", "stop", "kl", "duration", "attention"), 1.0)
    mean = frames(4)
    assert losses(spoken, mel, COUNTS, text, mean, now, weights) == losses(
        other, other_mel, COUNTS, text, mean, now, weights
    )


def a_batch():
    attention = torch.softmax(frames(3, 7, 4), dim=-1)
    durations = torch.tensor([[1.0, 2.0, 2.0, 0.0], [2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 0.0, 0.0]])
    return Spoken(frames(3, 7, 4), frames(3, 7), attention, durations, frames(3, 2), frames(3, 2)), frames(3, 7, 4)


def test_the_total_is_the_weighted_sum_of_the_parts():
    spoken, mel = a_batch()
    now = {
        "huber_delta": 0.0,
        "mel_label_smoothing": 0.0,
        "stop_label_smoothing": 0.0,
        "stop_token_positive_weight": 5.0,
    }
    weights = {"mel": 2.5, "stop": 0.7, "kl": 1.8, "duration": 0.1, "attention": 0.02}
    found = losses(spoken, mel, COUNTS, torch.tensor([3, 4, 2]), frames(4), now, weights)
    expected = sum(weights[name] * float(getattr(found, name)) for name in weights)
    assert float(found.total) == pytest.approx(expected, rel=1e-6)


def test_smoothed_frames_lean_to_the_mean_frame():
    mel, mean = frames(2, 3, 4), frames(4)
    assert smoothed_mel(mel, mean, 0.0) is mel
    expected = 0.95 * mel.numpy() + 0.05 * mean.numpy()
    assert np.allclose(smoothed_mel(mel, mean, 0.05), expected, atol=1e-6)


# The stop loss.


def best_logits(counts, smoothing, length=7):
    last = torch.arange(length) == (counts - 1).unsqueeze(1)
    target = last * (1 - smoothing) + smoothing / 2
    return torch.logit(target.double().clamp(1e-12, 1 - 1e-12))


@given(st.floats(0.01, 0.49), st.floats(1, 50))
def test_a_perfect_predictors_stop_loss_is_the_entropy_of_its_targets_and_no_more(smoothing, weight):
    found = float(stop_loss(best_logits(COUNTS, smoothing), COUNTS, smoothing, weight))
    p = smoothing / 2
    slope = math.log((1 - p) / p)  # of the entropy; the targets are computed in single precision, in three operations
    assert found == pytest.approx(entropy(p), abs=slope * rounding.of_sum(3), rel=1e-9)


def test_without_smoothing_a_perfect_predictor_has_no_stop_loss():
    assert float(stop_loss(best_logits(COUNTS, 0.0), COUNTS, 0.0, 5.0)) == pytest.approx(0.0, abs=1e-9)


def test_the_public_codes_floor_of_614_is_gone():
    """Weighting the positive part of smoothed negatives, nobody gets below .614; here it is H(.05) = .199."""
    target = torch.full((100_000,), 0.05, dtype=torch.float64)
    logits = torch.linspace(-8, 4, 4001, dtype=torch.float64)
    public = [
        float(nn.functional.binary_cross_entropy_with_logits(x, target[0], pos_weight=torch.tensor(5.0)))
        for x in logits
    ]
    assert min(public) == pytest.approx(0.614, abs=5e-4)
    ours = float(stop_loss(best_logits(COUNTS, 0.1), COUNTS, 0.1, 5.0))
    assert ours == pytest.approx(0.1985, abs=5e-4)


@given(st.floats(-4, 4))
def test_no_stop_logit_does_better_than_the_perfect_one(shift):
    best = best_logits(COUNTS, 0.1)
    assert float(stop_loss(best + shift, COUNTS, 0.1, 5.0)) >= float(stop_loss(best, COUNTS, 0.1, 5.0)) - 1e-12


def test_stop_loss_against_numpy():
    logits = RNG.normal(size=(3, 7))
    total = weight = 0.0
    for i, n in enumerate(COUNTS.tolist()):
        for t in range(n):
            y, w = (0.95, 5.0) if t == n - 1 else (0.05, 1.0)
            p = 1 / (1 + math.exp(-logits[i, t]))
            total += w * -(y * math.log(p) + (1 - y) * math.log(1 - p))
            weight += w
    assert float(stop_loss(torch.from_numpy(logits), COUNTS, 0.1, 5.0)) == pytest.approx(total / weight)


# KL, durations, attention.


def test_kl_against_a_numeric_integral():
    mean, log_variance = 0.7, -0.9
    z = np.linspace(-12, 12, 200_001)
    q = np.exp(-((z - mean) ** 2) / (2 * math.exp(log_variance))) / math.sqrt(2 * math.pi * math.exp(log_variance))
    log_ratio = -((z - mean) ** 2) / (2 * math.exp(log_variance)) - log_variance / 2 + z**2 / 2
    expected = np.trapezoid(q * log_ratio, z)
    found = kl_loss(torch.full((2, 3), mean), torch.full((2, 3), log_variance))
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert float(kl_loss(torch.zeros(2, 3), torch.zeros(2, 3))) == 0.0


def test_duration_loss():
    durations = torch.tensor([[2.0, 3.0, 0.0], [1.0, 1.0, 2.0]])
    expected = (abs(math.log(5 / 5)) + abs(math.log(4 / 8))) / 2
    assert float(duration_loss(durations, torch.tensor([5, 8]))) == pytest.approx(expected)


def test_attention_loss_against_a_loop():
    attention = torch.softmax(frames(2, 6, 4), dim=-1)
    symbols, lengths = torch.tensor([4, 3]), torch.tensor([6, 4])
    total = 0.0
    for i in range(2):
        for t in range(int(lengths[i])):
            for n in range(4):
                off = n / int(symbols[i]) - t / int(lengths[i])
                total += float(attention[i, t, n]) * (1 - math.exp(-(off**2) / (2 * 0.2**2)))
    assert float(attention_loss(attention, symbols, lengths)) == pytest.approx(total / 10, rel=1e-5)


def test_a_diagonal_costs_less_than_its_mirror_image():
    eye = torch.eye(6).unsqueeze(0)
    counts = torch.tensor([6])
    assert float(attention_loss(eye, counts, counts)) == pytest.approx(0.0, abs=1e-6)
    assert float(attention_loss(eye.flip(2), counts, counts)) > 0.5
