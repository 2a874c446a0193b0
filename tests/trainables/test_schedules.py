"""What holds for every schedule: bounds, purity, the settling point, and what is refused."""

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.schedules import (
    AlphaRamp,
    Constant,
    Cosine,
    CosineRestarts,
    Curriculum,
    EpochWarmup,
    Freeze,
    Linear,
    Noam,
    OneCycle,
    PhaseTable,
    ReduceOnPlateau,
    Schedule,
    Span,
    Warmup,
    due,
    hold_table,
    teacher_forcing,
    warm_restarts,
    warmup_cosine,
    warmup_linear,
)

PATIENT = settings(deadline=None)  # machines are shared: a slow example is not a failure

values = st.floats(0, 10)
lengths = st.integers(1, 300)
warmups = st.integers(0, 300)
steps = st.one_of(st.integers(0, 1000), st.integers(0, 10**18))
ordered = st.tuples(values, values).map(sorted)
triple = st.tuples(values, values, values).map(sorted)

Bounded = tuple[Schedule, float, float]
"""A schedule and the bounds of its values."""


def _ends(make: Callable[[int, float, float], Schedule]) -> st.SearchStrategy[Bounded]:
    return st.builds(lambda n, a, b: (make(n, a, b), min(a, b), max(a, b)), lengths, values, values)


RATES: dict[str, st.SearchStrategy[Bounded]] = {
    "constant": values.map(lambda v: (Constant(v), v, v)),
    "linear": _ends(Linear),
    "cosine": _ends(Cosine),
    "one_cycle": st.builds(
        lambda n, v, f, w: (OneCycle(n, v[0], v[2], v[1], f, w), v[0], v[2]),
        lengths,
        triple,
        st.floats(0, 0.99),
        st.sampled_from(["linear", "cosine"]),
    ),
    "warmup": st.builds(lambda n, v: (Warmup(n, Constant(v)), 0.0, v), warmups, values),
    "warmup_linear": st.builds(lambda n, m, v: (warmup_linear(v, n, n + m), 0.0, v), warmups, lengths, values),
    "warmup_cosine": st.builds(
        lambda n, m, v: (warmup_cosine(v[1], n, n + m, v[0]), 0.0, v[1]), warmups, lengths, ordered
    ),
    "epoch_warmup": st.builds(lambda n, v: (EpochWarmup(v, n), 0.0, v), warmups, values),
    "noam": st.builds(lambda n, v: (Noam(v, n), 0.0, v), lengths, values),
    "restarts": st.builds(
        lambda n, v, m: (CosineRestarts(n, v[1], v[0], m), v[0], v[1]),
        lengths,
        ordered,
        st.one_of(st.just(1.0), st.floats(1, 4), st.floats(0, 1e-6).map(lambda e: 1 + e), st.floats(1, 1e6)),
    ),
    "warm_restarts": st.builds(
        lambda n, m, v: (warm_restarts(n + m, v[1], v[0], n), v[0], v[1]), lengths, warmups, ordered
    ),
    "alpha": st.builds(
        lambda v, size, interval: (AlphaRamp(v[0], v[1], size, interval), v[0], v[1]),
        st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
        st.floats(0.01, 1),
        st.integers(1, 20),
    ),
    "freeze": st.builds(lambda n, m: (Freeze(n, m), 0.0, 1.0), warmups, warmups),
    "curriculum": warmups.map(lambda n: (Curriculum(n), 0.0, 1.0)),
}
_leaf = st.one_of(*RATES.values())
_spans = st.lists(st.tuples(lengths, _leaf), min_size=1, max_size=4)
ANY = {
    **RATES,
    "span": st.builds(lambda n, b: (Span(n, b[0]), b[1], b[2]), lengths, _leaf),
    "table": _spans.map(
        lambda parts: (
            PhaseTable(tuple(Span(n, bounded[0]) for n, bounded in parts)),
            min(bounded[1] for _, bounded in parts),
            max(bounded[2] for _, bounded in parts),
        )
    ),
}


@pytest.mark.parametrize("kind", ANY)
@PATIENT
@given(data=st.data())
def test_every_value_is_finite_between_its_ends_and_the_same_whenever_asked(kind: str, data: st.DataObject) -> None:
    schedule, low, high = data.draw(ANY[kind])
    for step in [*data.draw(st.lists(steps, min_size=1, max_size=10)), schedule.settles]:
        value = schedule.at(step)
        assert math.isfinite(value)
        assert low <= value <= high
        assert value == schedule.at(step)


@pytest.mark.parametrize("kind", ANY)
@PATIENT
@given(data=st.data())
def test_a_schedule_is_a_plain_value_and_refuses_negative_steps(kind: str, data: st.DataObject) -> None:
    schedule, _, _ = data.draw(ANY[kind])
    assert hash(schedule) == hash(schedule)
    assert schedule.settles >= 0
    with pytest.raises(ValueError, match=r"step must be >= 0, got -1"):
        schedule.at(-1)


NEVER_RISE_AFTER = ["constant", "one_cycle", "warmup", "warmup_linear", "warmup_cosine", "epoch_warmup", "noam"]
STAY_AFTER = ["constant", "warmup", "epoch_warmup", "alpha", "freeze", "curriculum"]
NEVER_FALL_BEFORE = [*NEVER_RISE_AFTER, "alpha", "freeze"]
FULL_AT_LAST = ["one_cycle", "epoch_warmup", "noam", "freeze"]
"""Slow starts whose own last step is full; in the others the first step after them is."""


@pytest.mark.parametrize("kind", NEVER_FALL_BEFORE)
@PATIENT
@given(data=st.data())
def test_a_slow_start_climbs_until_it_settles_and_is_full_there(kind: str, data: st.DataObject) -> None:
    schedule, _, high = data.draw(ANY[kind])
    if schedule.settles == 0:
        assert schedule.at(0) == high or kind == "one_cycle"  # of a single step, which is its end
        return
    full = schedule.settles - (kind in FULL_AT_LAST and schedule.at(schedule.settles - 1) == high)
    start = [schedule.at(step) for step in range(full + 1)]
    assert start == sorted(start)
    assert start[-1] == high
    if high - start[0] > 1e-9:
        assert start[-2] < high  # and not a step earlier


@pytest.mark.parametrize("kind", NEVER_RISE_AFTER)
@PATIENT
@given(data=st.data())
def test_a_learning_rate_only_falls_once_it_has_settled(kind: str, data: st.DataObject) -> None:
    schedule, _, _ = data.draw(ANY[kind])
    rest = [schedule.at(schedule.settles + more) for more in range(400)]
    assert rest == sorted(rest, reverse=True)


@pytest.mark.parametrize("kind", STAY_AFTER)
@PATIENT
@given(data=st.data(), more=steps)
def test_what_only_ramps_is_constant_once_it_has_settled(kind: str, data: st.DataObject, more: int) -> None:
    schedule, _, _ = data.draw(ANY[kind])
    assert schedule.at(schedule.settles + more) == schedule.at(schedule.settles)


def test_decays_and_restarts_are_not_slow_starts_but_rises_are() -> None:
    assert Linear(100, 0.7, 0.3).settles == Cosine(100, 1.0, 0.1).settles == CosineRestarts(100, 1.0).settles == 0
    assert Linear(100, 0.0, 1.0).settles == Cosine(100, 0.0, 1.0).settles == 100
    assert Warmup(10, Linear(5, 1.0, 2.0)).settles == 15
    assert Span(50, Freeze(1000)).settles == 50


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: AlphaRamp(0.0, 0.6, 0.1, 0), "step_interval must be > 0, got 0"),
    (lambda: AlphaRamp(0.0, 0.6, 0.0, 10), "step_size must be > 0 and finite, got 0.0"),
    (lambda: AlphaRamp(0.0, 0.6, -0.1, 10), "step_size must be > 0 and finite, got -0.1"),
    (lambda: AlphaRamp(0.6, 0.2, 0.1, 10), r"end must be in [start, 1] = [0.6, 1], got 0.2"),
    (lambda: AlphaRamp(0.0, 1.2, 0.1, 10), r"end must be in [start, 1] = [0.0, 1], got 1.2"),
    (lambda: AlphaRamp(math.nan, 1.0, 0.1, 10), r"start must be in [0, 1], got nan"),
    (lambda: CosineRestarts(10, 1.0, multiplier=0.8), "multiplier must be in [1, 1e6], got 0.8"),
    (lambda: CosineRestarts(10, 1.0, multiplier=math.nan), "multiplier must be in [1, 1e6], got nan"),
    (lambda: CosineRestarts(0, 1.0), "period must be >= 1, got 0"),
    (lambda: CosineRestarts(10, 1.0, 2.0), "low must be <= high = 1.0, got 2.0"),
    (lambda: Noam(1.0, 0), "warmup_steps must be >= 1, got 0"),
    (lambda: Noam(math.inf, 1), "peak must be finite, got inf"),
    (lambda: Warmup(-1, Constant(1.0)), "warmup_steps must be >= 0, got -1"),
    (lambda: warmup_linear(1.0, 100, 100), "total_steps must be > warmup_steps = 100, got 100"),
    (lambda: warmup_cosine(1.0, 100, 50), "decay_steps must be > warmup_steps = 100, got 50"),
    (lambda: warmup_cosine(1.0, 0, 50, 2.0), "floor must be <= peak = 1.0, got 2.0"),
    (lambda: EpochWarmup(1.0, -1), "warmup_epochs must be >= 0, got -1"),
    (lambda: EpochWarmup(math.nan, 1), "peak must be finite, got nan"),
    (lambda: Linear(0, 1.0, 0.0), "length must be >= 1, got 0"),
    (lambda: Cosine(10, math.inf, 0.0), "start must be finite, got inf"),
    (lambda: OneCycle(10, 2.0, 1.0, 0.0), "low must be <= high = 1.0, got 2.0"),
    (lambda: OneCycle(10, 0.0, 1.0, 0.0, 1.0), r"warmup_fraction must be in [0, 1), got 1.0"),
    (lambda: OneCycle(10, 0.0, 1.0, 0.0, 0.3, "cubic"), "warmup must be 'linear' or 'cosine', got 'cubic'"),  # type: ignore[arg-type]
    (lambda: PhaseTable(()), "phases must be at least one phase, got ()"),
    (lambda: Span(0, Constant(1.0)), "length must be >= 1, got 0"),
    (lambda: hold_table([1, 2], [1.0]), "values must be one per phase, 2 of them, got (1.0,)"),
    (lambda: hold_table([1, 0], [1.0, 2.0]), "length must be >= 1, got 0"),
    (lambda: hold_table([], []), "phases must be at least one phase, got ()"),
    (lambda: teacher_forcing(10, 1.1, 0.5), r"start must be in [0, 1], got 1.1"),
    (lambda: teacher_forcing(10, 1.0, -0.5), r"end must be in [0, 1], got -0.5"),
    (lambda: warm_restarts(10, 1.0, 0.1, 0), r"cycles must be in [1, length] = [1, 10], got 0"),
    (lambda: warm_restarts(10, 1.0, 0.1, 11), r"cycles must be in [1, length] = [1, 10], got 11"),
    (lambda: Freeze(-1), "freeze_steps must be >= 0, got -1"),
    (lambda: Freeze(1, -1), "unfreeze_warmup_steps must be >= 0, got -1"),
    (lambda: Curriculum(-1), "curriculum_epochs must be >= 0, got -1"),
    (lambda: Constant(math.nan), "value must be finite, got nan"),
    (lambda: due(-1, 5), "step must be >= 0, got -1"),
    (lambda: due(1, -5), "every must be >= 0, got -5"),
    (lambda: due(1, 5, -1), "last must be >= 0, got -1"),
    (lambda: ReduceOnPlateau(0.0, 0.5, 5), "lr must be > 0 and finite, got 0.0"),
    (lambda: ReduceOnPlateau(1.0, 1.0, 5), "factor must be in (0, 1), got 1.0"),
    (lambda: ReduceOnPlateau(1.0, 0.5, -1), "patience must be >= 0, got -1"),
    (lambda: ReduceOnPlateau(1.0, 0.5, 5, -1.0), "min_lr must be >= 0 and finite, got -1.0"),
    (lambda: ReduceOnPlateau(1.0, 0.5, 5, 0.0, 1.0), "threshold must be in [0, 1), got 1.0"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message for _, message in BAD])
def test_wrong_arguments_are_refused_with_name_bound_and_value(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


def test_schedules_import_without_torch_and_numpy() -> None:
    probe = "import sys, trainables.schedules; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
