"""Learning rates against their oracles: PyTorch's and Hugging Face's schedulers, papers' closed forms."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.schedules import (
    Constant,
    CosineRestarts,
    EpochWarmup,
    Noam,
    OneCycle,
    Schedule,
    Warmup,
    warmup_cosine,
    warmup_linear,
)

PATIENT = settings(deadline=None)  # machines are shared: a slow example is not a failure

PEAK = 3e-4


def rates(make: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler], steps: int) -> list[float]:
    """The learning rate that each of `steps` optimizer steps runs with under a scheduler of PyTorch's kind."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=PEAK)
    scheduler = make(optimizer)
    seen = []
    for step in range(steps):
        seen.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step + 1 < steps:
            scheduler.step()
    return seen


def ours(schedule: Schedule, steps: int) -> list[float]:
    return [schedule.at(step) for step in range(steps)]


def close(expected: list[float], absolute: float = 0.0) -> object:
    return pytest.approx(expected, rel=1e-12, abs=absolute)


@settings(PATIENT, max_examples=25)
@given(warmup=st.integers(0, 40), rest=st.integers(1, 100))
def test_warmup_linear_is_hugging_faces(warmup: int, rest: int) -> None:
    total = warmup + rest
    expected = rates(
        lambda o: transformers.get_linear_schedule_with_warmup(o, warmup, total),  # type: ignore[no-untyped-call]
        steps=total + 20,
    )
    assert ours(warmup_linear(PEAK, warmup, total), total + 20) == close(expected)


@settings(PATIENT, max_examples=25)
@given(warmup=st.integers(0, 40), rest=st.integers(1, 100))
def test_warmup_cosine_is_hugging_faces_up_to_its_end(warmup: int, rest: int) -> None:
    total = warmup + rest
    expected = rates(lambda o: transformers.get_cosine_schedule_with_warmup(o, warmup, total), steps=total + 1)
    assert ours(warmup_cosine(PEAK, warmup, total), total + 1) == close(expected)
    assert ours(warmup_cosine(PEAK, warmup, total), total + 20)[total:] == [0.0] * 20


@settings(PATIENT, max_examples=25)
@given(warmup=st.integers(0, 40))
def test_plain_warmup_is_hugging_faces(warmup: int) -> None:
    expected = rates(lambda o: transformers.get_constant_schedule_with_warmup(o, warmup), steps=60)
    assert ours(Warmup(warmup, Constant(PEAK)), 60) == close(expected)


@settings(PATIENT, max_examples=25)
@given(warmup=st.integers(0, 40), rest=st.integers(1, 100), ratio=st.floats(0, 1))
def test_warmup_cosine_to_a_floor_is_the_lambda_of_the_diphone_trainer(warmup: int, rest: int, ratio: float) -> None:
    decay = warmup + rest

    def factor(step: int) -> float:
        if step < warmup:
            return step / warmup
        if step >= decay:
            return ratio
        return ratio + (1 - ratio) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (decay - warmup)))

    expected = rates(lambda o: torch.optim.lr_scheduler.LambdaLR(o, factor), steps=decay + 20)
    assert ours(warmup_cosine(PEAK, warmup, decay, ratio * PEAK), decay + 20) == close(expected)


def test_the_documented_rate_of_the_diphone_decoder() -> None:
    rate = warmup_cosine(0.005, 1000, 150_000, 0.0005)
    assert (rate.at(0), rate.at(500), rate.at(1000)) == (0.0, 0.0025, 0.005)
    assert rate.at(75_500) == pytest.approx((0.005 + 0.0005) / 2)
    assert rate.at(149_999) > rate.at(150_000) == rate.at(10**9) == 0.0005
    assert rate.settles == 1000


@settings(PATIENT, max_examples=25)
@given(period=st.integers(1, 30), multiplier=st.integers(1, 4), low=st.floats(0, PEAK))
def test_cosine_restarts_are_pytorchs(period: int, multiplier: int, low: float) -> None:
    expected = rates(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, period, multiplier, low), steps=200
    )
    # PyTorch computes the same equation about the low end; near it the two round differently, relative to the peak.
    assert ours(CosineRestarts(period, PEAK, low, multiplier), 200) == close(expected, absolute=1e-15 * PEAK)


@PATIENT
@given(period=st.integers(1, 200), multiplier=st.floats(1, 3))
def test_every_restart_trains_a_step_at_the_full_rate_and_cycles_never_shrink(period: int, multiplier: float) -> None:
    rate = ours(CosineRestarts(period, 1.0, 0.0, multiplier), 1500)
    restarts = [step for step, value in enumerate(rate) if value == 1.0]
    assert restarts[0] == 0
    cycles = [after - before for before, after in itertools.pairwise(restarts)]
    # Restarts lie on whole steps, so a cycle may be a step off its exact length.
    assert all(after >= before - 1 for before, after in itertools.pairwise(cycles))
    for number, cycle in enumerate(cycles):
        assert abs(cycle - period * multiplier**number) <= 1 + 1e-6


@pytest.mark.parametrize("multiplier", [1, 1.0000001, 1.5, 2, 3, 1e6])
def test_restarts_stay_finite_after_any_number_of_steps(multiplier: float) -> None:
    rate = CosineRestarts(100, PEAK, 1e-6, multiplier)
    for step in [0, 1, 99, 100, 10**6, 2**53 - 1, 2**53 + 1, 10**18]:
        assert 1e-6 <= rate.at(step) <= PEAK


@pytest.mark.parametrize(("length", "fraction"), [(100, 0.3), (10, 0.5), (200, 0.25), (50, 0.9)])
def test_one_cycle_is_pytorchs(length: int, fraction: float) -> None:
    low, high, end = 0.4 * PEAK, PEAK, 0.1 * PEAK
    expected = rates(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, max_lr=high, total_steps=length, pct_start=fraction, div_factor=high / low, final_div_factor=low / end
        ),
        steps=length,
    )
    schedule = OneCycle(length, low, high, end, fraction, warmup="cosine")
    assert ours(schedule, length) == close(expected, absolute=1e-15 * PEAK)


@PATIENT
@given(d_model=st.integers(1, 4096), warmup=st.integers(1, 20_000), step=st.integers(0, 10**7))
def test_noam_is_equation_3(d_model: int, warmup: int, step: int) -> None:
    number = step + 1
    paper = d_model**-0.5 * min(number**-0.5, number * warmup**-1.5)
    assert Noam((d_model * warmup) ** -0.5, warmup).at(step) == pytest.approx(paper, rel=1e-12)


def test_noam_can_be_given_its_peak() -> None:
    rate = Noam(1e-4, 4000)
    assert rate.at(3999) == 1e-4
    assert rate.at(0) == pytest.approx(1e-4 / 4000)
    assert rate.at(15_999) == pytest.approx(5e-5)
    assert rate.settles == 4000


def test_the_first_epoch_never_runs_at_the_full_rate() -> None:
    assert ours(EpochWarmup(1e-3, 5), 7) == close([2e-4, 4e-4, 6e-4, 8e-4, 1e-3, 1e-3, 1e-3])
    assert ours(EpochWarmup(1e-3, 0), 3) == [1e-3] * 3
    assert EpochWarmup(1e-3, 5).settles == 5
    assert EpochWarmup(1e-3, 1).settles == EpochWarmup(1e-3, 0).settles == 0
