"""The alpha ramp's documented table, freeze, curriculum, periodic actions, and the plateau controller."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.schedules import AlphaRamp, Curriculum, Freeze, PlateauState, ReduceOnPlateau, due

PATIENT = settings(deadline=None)  # machines are shared: a slow example is not a failure

DOCUMENTED = AlphaRamp(start=0.0, end=0.6, step_size=0.1, step_interval=3000)


def test_the_documented_alpha_table_holds_exactly() -> None:
    table = {0: 0.0, 3000: 0.1, 6000: 0.2, 9000: 0.3, 12_000: 0.4, 15_000: 0.5, 18_000: 0.6}
    for first, alpha in table.items():
        assert [DOCUMENTED.at(first + more) for more in (0, 1, 1500, 2999)] == [alpha] * 4
    assert DOCUMENTED.at(149_999) == DOCUMENTED.at(10**15) == 0.6
    assert DOCUMENTED.settles == 18_000


@pytest.mark.parametrize(
    ("ramp", "stairs", "settles"),
    [
        (AlphaRamp(0.0, 0.6, 0.1, 5000), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6], 30_000),
        (AlphaRamp(0.0, 0.7, 0.1, 3000), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.7], 21_000),
        (AlphaRamp(0.0, 0.6, 0.15, 3000), [0.0, 0.15, 0.3, 0.45, 0.6, 0.6], 12_000),
        (AlphaRamp(0.1, 0.5, 0.15, 10), [0.1, 0.25, 0.4, 0.5, 0.5], 30),
        (AlphaRamp(0.3, 0.3, 0.1, 10), [0.3, 0.3], 0),
        (AlphaRamp(0, 1, 1, 10), [0.0, 1.0, 1.0], 10),
    ],
)
def test_variants_of_the_alpha_ramp(ramp: AlphaRamp, stairs: list[float], settles: int) -> None:
    assert [ramp.at(k * ramp.step_interval) for k in range(len(stairs))] == stairs
    assert ramp.settles == settles


@PATIENT
@given(
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    size=st.floats(0.01, 1),
    interval=st.integers(1, 5000),
    step=st.integers(0, 10**7),
)
def test_the_alpha_ramp_is_its_formula(ends: list[float], size: float, interval: int, step: int) -> None:
    start, end = ends
    ramp = AlphaRamp(start, end, size, interval)
    assert ramp.at(step) == pytest.approx(min(end, start + (step // interval) * size), rel=1e-12, abs=1e-15)
    assert ramp.at(ramp.settles) == end
    if ramp.settles:
        assert ramp.settles % interval == 0
        assert ramp.at(ramp.settles - 1) <= end


@PATIENT
@given(freeze=st.integers(0, 2000), step=st.integers(0, 4000))
def test_a_group_is_frozen_exactly_before_freeze_steps(freeze: int, step: int) -> None:
    gate = Freeze(freeze)
    assert gate.frozen(step) == (step < freeze)
    assert gate.at(step) == (0.0 if step < freeze else 1.0)
    assert gate.settles == freeze


def test_an_unfrozen_group_can_be_warmed_up() -> None:
    gate = Freeze(1000, unfreeze_warmup_steps=4)
    assert [gate.at(step) for step in range(998, 1006)] == [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert gate.settles == 1004
    assert Freeze(1000, unfreeze_warmup_steps=1).settles == 1000


@PATIENT
@given(freeze=st.integers(0, 50), warmup=st.integers(0, 50), step=st.integers(0, 150))
def test_the_factor_is_zero_only_while_frozen(freeze: int, warmup: int, step: int) -> None:
    gate = Freeze(freeze, warmup)
    assert (gate.at(step) == 0) == gate.frozen(step)


def test_a_curriculum_orders_its_first_epochs() -> None:
    assert [Curriculum(1).active(epoch) for epoch in range(3)] == [True, False, False]
    assert [Curriculum(2).at(epoch) for epoch in range(3)] == [1.0, 1.0, 0.0]
    assert not Curriculum(0).active(0)
    assert Curriculum(2).settles == 2


def test_periodic_actions() -> None:
    assert [step for step in range(12) if due(step, every=5)] == [5, 10]
    assert [step for step in range(12) if due(step, every=5, last=11)] == [5, 10, 11]
    assert [step for step in range(12) if due(step, every=5, last=10)] == [5, 10]
    assert [step for step in range(12) if due(step, every=0, last=11)] == [11]
    assert not any(due(step, every=0) for step in range(12))
    assert not due(0, every=5, last=0)


@settings(PATIENT, max_examples=150)
@given(
    metrics=st.lists(
        st.one_of(st.floats(-2, 2), st.sampled_from([1.0, 1 - 1e-4, 1 - 2e-4, 0.9999, -1.0])), min_size=1, max_size=80
    ),
    factor=st.floats(0.1, 0.9),
    patience=st.integers(0, 6),
    min_lr=st.sampled_from([0.0, 1e-6, 1e-4, 1e-3, 1e-2]),
)
def test_the_plateau_controller_decides_as_pytorchs(
    metrics: list[float], factor: float, patience: int, min_lr: float
) -> None:
    lr = 1e-3
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience, min_lr=min_lr)
    rule, state = ReduceOnPlateau(lr, factor, patience, min_lr), PlateauState()
    for metric in metrics:
        oracle.step(metric)
        state = rule.step(state, metric)
        assert lr * state.scale == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        assert (state.best, state.bad) == (oracle.best, oracle.num_bad_epochs)


def test_the_plateau_controller_with_the_documented_numbers() -> None:
    rule, state = ReduceOnPlateau(1e-3, factor=0.7, patience=10, min_lr=1e-6), PlateauState()
    scales = []
    for _ in range(1 + 11 * 25):
        state = rule.step(state, 1.0)
        scales.append(state.scale)
    assert scales[:12] == [1.0] * 11 + [0.7]  # the first sets the best, ten are put up with, the next reduces
    assert 1e-3 * scales[-1] == pytest.approx(1e-6)
    assert scales == sorted(scales, reverse=True)


@pytest.mark.parametrize("metric", [math.nan, math.inf, -math.inf])
def test_the_plateau_controller_refuses_what_is_not_a_number(metric: float) -> None:
    with pytest.raises(ValueError, match="metric must be finite"):
        ReduceOnPlateau(1e-3, 0.5, 1).step(PlateauState(), metric)
