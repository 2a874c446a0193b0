"""The loss and the metrics against numpy, and what must stay out of them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.sequence_generator.layout import OBJECTIVE
from trainables.sequence_generator.losses import autocorrelation, autocorrelation_error, training_loss
from trainables.sequence_generator.metrics import LAG, rollout_mae, time_error, validation_metrics

PATIENT = settings(deadline=None, max_examples=40)
EVEN = torch.ones(5)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def oracle(x: np.ndarray, max_lag: int) -> np.ndarray:
    """R(τ) = Σ x_t x_{t+τ} / Σ x_t², written out; (B, T, C) → (B, max_lag + 1, C)."""
    n = x.shape[1]
    return np.stack([(x[:, : n - lag] * x[:, lag:]).sum(1) / (x * x).sum(1) for lag in range(max_lag + 1)], axis=1)


@PATIENT
@given(st.integers(0, 10**6), st.integers(2, 40), st.data())
def test_autocorrelation_against_numpy(seed: int, frames: int, data: st.DataObject) -> None:
    lag = data.draw(st.integers(1, frames - 1))
    x = drawn(seed, 2, frames, 3) + 0.5
    found = autocorrelation(x, lag)
    assert found.shape == (2, lag + 1, 3)
    assert found.numpy() == pytest.approx(oracle(x.numpy(), lag), abs=1e-10)
    assert found[:, 0].numpy() == pytest.approx(1.0)  # R(0) = 1


def test_single_precision_is_enough() -> None:
    x = drawn(0, 4, 151, 5).cumsum(dim=1)
    found = autocorrelation(x.float(), 20).numpy()
    assert found == pytest.approx(oracle(x.numpy(), 20), abs=2e-6)


def test_a_sequence_of_zeros_has_a_finite_loss_and_gradient() -> None:
    x = torch.zeros(2, 30, 5, requires_grad=True)
    training_loss(x, drawn(1, 2, 30, 5).float(), 0.5, 10, EVEN).total.backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_the_error_is_the_mean_over_lags() -> None:
    a, b = drawn(1, 3, 30, 5), drawn(2, 3, 30, 5)
    expected = ((oracle(a.numpy(), 7) - oracle(b.numpy(), 7)) ** 2).mean(axis=1)
    assert autocorrelation_error(a, b, 7).numpy() == pytest.approx(expected)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_loss_is_the_documented_mix(alpha: float) -> None:
    a, b = drawn(1, 3, 30, 5), drawn(2, 3, 30, 5)
    a[:, 0] = b[:, 0]  # the given frame
    mae = np.abs((a - b).numpy()[:, 1:]).mean()
    pattern = ((oracle(a.numpy(), 10) - oracle(b.numpy(), 10)) ** 2).mean()
    losses = training_loss(a, b, alpha, 10, EVEN.double())
    assert float(losses.total) == pytest.approx(alpha * mae + (1 - alpha) * pattern)
    assert (float(losses.mae), float(losses.autocorrelation)) == pytest.approx((mae, pattern))


def test_weights_count_components() -> None:
    a, b = drawn(1, 3, 30, 5), drawn(2, 3, 30, 5)
    weights = torch.tensor([2.0, 0.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    mae = (np.abs((a - b).numpy()[:, 1:]).mean(axis=(0, 1)) * weights.numpy()).mean()
    losses = training_loss(a, b, 1.0, 10, weights)
    assert float(losses.total) == pytest.approx(mae)
    other = b.clone()
    other[:, :, 1] += 5  # has no weight
    assert float(training_loss(a, other, 0.5, 10, weights).total) == float(training_loss(a, b, 0.5, 10, weights).total)


# Metrics.


def test_predicting_the_training_mean_scores_the_worst_value() -> None:
    target = drawn(3, 6, 40, 5) * 1.7 + 0.3
    found = validation_metrics(torch.zeros(6, 39, 5), target)
    assert found[OBJECTIVE.metric] == OBJECTIVE.worst == 1.0
    assert all(found[f"{OBJECTIVE.metric}.comp_{i}"] == 1.0 for i in range(1, 6))


def test_a_perfect_rollout_scores_zero() -> None:
    target = drawn(3, 6, 40, 5)
    found = validation_metrics(target[:, 1:], target)
    assert found[OBJECTIVE.metric] == found["val_autocorrelation_error"] == found["val_time_error"] == 0


def test_the_objective_is_the_mae_over_that_of_the_mean() -> None:
    predicted, target = drawn(4, 6, 39, 5), drawn(5, 6, 40, 5)
    error = np.abs(predicted.numpy() - target.numpy()[:, 1:])
    expected = error.mean() / np.abs(target.numpy()[:, 1:]).mean()
    found = validation_metrics(predicted, target)
    assert found[OBJECTIVE.metric] == pytest.approx(expected) == pytest.approx(float(rollout_mae(predicted, target)))
    assert found["val_rollout_mae_sd"] == pytest.approx(error.mean())


def test_the_reported_autocorrelation_goes_to_lag_20() -> None:
    predicted, target = drawn(4, 6, 39, 5), drawn(5, 6, 40, 5)
    whole = np.concatenate([target.numpy()[:, :1], predicted.numpy()], axis=1)
    expected = ((oracle(whole, 20) - oracle(target.numpy(), 20)) ** 2).mean()
    assert LAG == 20
    assert validation_metrics(predicted, target)["val_autocorrelation_error"] == pytest.approx(expected)


def test_the_time_error_is_where_a_frame_is_found() -> None:
    target = torch.arange(30.0).reshape(1, 30, 1).expand(1, 30, 5)
    assert float(time_error(target[:, 1:], target)) == 0
    late = target[:, :-1]  # each frame a step late
    assert float(time_error(late, target)) == pytest.approx(28 / 30)  # all but the first and the last, which is missing
    predicted, truth = drawn(6, 2, 29, 5), drawn(7, 2, 30, 5)
    whole = np.concatenate([truth.numpy()[:, :1], predicted.numpy()], axis=1)
    distance = np.linalg.norm(truth.numpy()[:, :, None] - whole[:, None], axis=3)
    expected = np.abs(distance.argmin(axis=2) - np.arange(30)).mean()
    assert float(time_error(predicted, truth)) == pytest.approx(expected)
