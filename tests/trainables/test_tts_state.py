import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.tts.adaptive import ADAPTED, AdaptiveState, adapted
from trainables.tts.alarms import RISING, STALE, History
from trainables.tts.metrics import cepstra, f1, mcd_dtw

WEIGHTS = {"mel": 2.5, "stop": 1.0, "kl": 1.8, "duration": 0.1, "attention": 0.02}


# Adaptive weights.


@given(st.lists(st.tuples(st.floats(1e-9, 1e6), st.floats(1e-9, 1e6)), min_size=1, max_size=20), st.floats(0, 9))
def test_weights_stay_within_their_bounds_whatever_the_losses(epochs, given_weight):
    state = AdaptiveState()
    for mel, kl in epochs:
        state = state.step({"mel": mel, "kl": kl})
        found = state.weights({**WEIGHTS, "mel": given_weight})
        assert 0.95 * given_weight - 1e-9 <= found["mel"] <= 1.05 * given_weight + 1e-9
        assert not 1 <= given_weight <= 5 or 1 <= found["mel"] <= 5
        assert {key: found[key] for key in found if key not in ADAPTED} == {
            key: WEIGHTS[key] for key in WEIGHTS if key not in ADAPTED
        }


def test_the_loss_that_falls_least_gains_weight():
    state = AdaptiveState().step({"mel": 1.0, "kl": 1.0})
    assert state.weights(WEIGHTS) == WEIGHTS  # one epoch says nothing
    state = state.step({"mel": 0.95, "kl": 0.75})
    found = state.weights(WEIGHTS)
    lean = math.tanh((0.95 - 0.85) / 0.1)
    assert found["mel"] == pytest.approx(2.5 * (1 + 0.05 * lean)) and found["kl"] == pytest.approx(
        1.8 * (1 - 0.05 * lean)
    )


@pytest.mark.parametrize(
    ("given_weight", "lean", "expected"), [(2.0, 1, 2.1), (4.9, 1, 5.0), (1.0, -1, 1.0), (0.5, 1, 0.5), (6.0, -1, 6.0)]
)
def test_a_weight_is_moved_within_1_and_5_or_not_at_all(given_weight, lean, expected):
    assert adapted(given_weight, lean) == pytest.approx(expected)


# Warnings.


def after(train, validation=None, clipped=0.0, stale=0):
    history = History()
    for t, v in zip(train, validation or [1.0] * len(train), strict=True):
        history = history.step(t, v, clipped, stale)
    return history


def test_a_rising_loss():
    assert "warn_loss_rising" in after(range(RISING + 1)).warnings()
    assert after(range(RISING)).warnings() == ()
    assert after([0, 1, 2, 3, 3, 4]).warnings() == ()
    assert "warn_loss_rising" not in after(range(9)).switched().warnings()  # another level, another loss


def test_validation_that_leaves_training():
    falling = [6, 5, 4, 3, 2, 1]
    assert after(falling, [1, 2, 3, 4, 5, 6]).warnings() == ("warn_val_diverging",)
    assert after(falling, falling).warnings() == ()
    assert after(falling, [1.0, 1.0, 1.0, 1.005, 1.005, 1.005]).warnings() == ()  # noise
    assert after([1.0] * 6, [1, 2, 3, 4, 5, 6]).warnings() == ()
    assert after(falling[:5], [1, 2, 3, 4, 5]).warnings() == ()


def test_no_improvement_and_clipping():
    assert after([1.0], stale=STALE).warnings() == ("warn_no_improvement",)
    assert after([1.0], stale=STALE - 1).warnings() == ()
    assert after([1.0], clipped=0.51).warnings() == ("warn_clipping",)
    assert after([1.0], clipped=0.5).warnings() == ()


@given(st.lists(st.floats(0, 9), max_size=40))
def test_the_history_is_bounded(losses):
    assert len(after(losses).train) <= 6


# Measures.


def test_mcd_of_the_same_speech_is_0_however_it_is_stretched():
    frames = np.random.default_rng(0).normal(size=(20, 80))
    assert mcd_dtw(frames, frames) == pytest.approx(0.0, abs=1e-5)
    assert mcd_dtw(np.repeat(frames, 2, axis=0), frames) == pytest.approx(0.0, abs=1e-5)


def test_mcd_of_a_known_difference():
    """All frames alike and apart by a cosine of amplitude a: c_1 differs by a/2."""
    bins = np.arange(80)
    wave = 0.8 * np.cos(np.pi * (bins + 0.5) / 80)
    one, other = np.zeros((7, 80)), np.tile(wave, (5, 1))
    assert mcd_dtw(one, other) == pytest.approx(10 * math.sqrt(2) / math.log(10) * 0.4, rel=1e-6)
    assert mcd_dtw(one + 3.0, other) == pytest.approx(mcd_dtw(one, other))  # loudness does not count


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_the_path_against_a_plain_loop(rows, columns, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(rows, 80)), rng.normal(size=(columns, 80))
    distance = np.linalg.norm(cepstra(a)[:, None] - cepstra(b)[None], axis=2)
    cost = np.full((rows + 1, columns + 1), np.inf)
    cost[0, 0] = 0
    length = np.zeros((rows + 1, columns + 1))
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            before = [(cost[i - 1, j - 1], i - 1, j - 1), (cost[i - 1, j], i - 1, j), (cost[i, j - 1], i, j - 1)]
            best = min(before, key=lambda x: x[0])
            cost[i, j], length[i, j] = best[0] + distance[i - 1, j - 1], length[best[1], best[2]] + 1
    expected = 10 * math.sqrt(2) / math.log(10) * cost[-1, -1] / length[-1, -1]
    assert mcd_dtw(a, b) == pytest.approx(expected, rel=1e-5)


def test_f1():
    assert f1(0, 0, 4) == 0.0 and f1(4, 4, 4) == 1.0 and f1(2, 4, 4) == 0.5 and f1(0, 0, 0) == 0.0
