"""Phase tables: the documented table of the sequence generator, exact ends, no holes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Linear,
    Noam,
    OneCycle,
    Phase,
    PhaseTable,
    Span,
    hold_table,
    teacher_forcing,
    warm_restarts,
)

PATIENT = settings(deadline=None)  # machines are shared: a slow example is not a failure

LENGTHS = [100] * 5
LEARNING_RATE = PhaseTable(
    (
        OneCycle(100, low=0.0005, high=0.001, end=0.0005),
        Cosine(100, 0.0005, 0.0001),
        Cosine(100, 0.0001, 0.00005),
        Cosine(100, 0.00005, 0.00001),
        Span(100, Constant(0.00001)),
    )
)
FORCING = PhaseTable(
    (
        teacher_forcing(100, 0.7, 0.6),
        teacher_forcing(100, 0.6, 0.5),
        teacher_forcing(100, 0.5, 0.4),
        teacher_forcing(100, 0.4, 0.3),
        Span(100, Constant(0.3)),
    )
)
EDGES = [(100 * phase, 100 * phase + 99) for phase in range(5)]
"""First and last epoch of each documented phase, 0-based."""


def test_the_documented_learning_rate() -> None:
    ends = [(LEARNING_RATE.at(first), LEARNING_RATE.at(last)) for first, last in EDGES]
    assert ends == [(0.0005, 0.0005), (0.0005, 0.0001), (0.0001, 0.00005), (0.00005, 0.00001), (0.00001, 0.00001)]
    assert LEARNING_RATE.at(29) == 0.001  # the 30th of 100 steps
    assert LEARNING_RATE.at(14) == pytest.approx(0.0005 + 0.0005 * 14 / 29)
    assert LEARNING_RATE.at(64) == pytest.approx(0.00075, abs=1e-6)  # half-way down the cosine
    for first, (start, end) in zip([100, 200, 300], ends[1:4], strict=True):
        middle = (LEARNING_RATE.at(first + 49) + LEARNING_RATE.at(first + 50)) / 2
        assert middle == pytest.approx((start + end) / 2)
    assert LEARNING_RATE.at(450) == LEARNING_RATE.at(10**9) == 0.00001
    assert LEARNING_RATE.settles == 30
    assert LEARNING_RATE.length == 500


def test_the_documented_teacher_forcing() -> None:
    ends = [(FORCING.at(first), FORCING.at(last)) for first, last in EDGES]
    assert ends == [(0.7, 0.6), (0.6, 0.5), (0.5, 0.4), (0.4, 0.3), (0.3, 0.3)]
    for first in [0, 100, 200, 300]:
        assert FORCING.at(first + 33) == pytest.approx(FORCING.at(first) - 0.1 / 3)
    assert FORCING.settles == 0


@pytest.mark.parametrize(
    ("knob", "cells"),
    [
        ("weight decay", [0.01, 0.008, 0.005, 0.003, 0.001]),
        ("noise", [0.05, 0.04, 0.03, 0.02, 0.01]),
        ("clip", [1.0, 0.9, 0.8, 0.7, 0.6]),
        ("alpha", [0.8, 0.75, 0.7, 0.65, 0.6]),
        ("max_lag", [10, 15, 15, 20, 20]),
    ],
)
def test_the_documented_constants(knob: str, cells: list[float]) -> None:
    table = hold_table(LENGTHS, cells)
    for (first, last), cell in zip(EDGES, cells, strict=True):
        assert table.at(first) == table.at(first + 50) == table.at(last) == cell
    assert table.at(10_000) == cells[-1]
    assert table.settles == 0


ends = st.floats(-1e6, 1e6)
lengths = st.integers(1, 400)
phases = st.one_of(
    st.builds(Linear, lengths, ends, ends),
    st.builds(Cosine, lengths, ends, ends),
    st.builds(lambda n, v, f: OneCycle(n, v[0], v[2], v[1], f), lengths, st.tuples(*[ends] * 3).map(sorted),
              st.floats(0, 0.99)),
    st.builds(lambda n, v: Span(n, Constant(v)), lengths, ends),
)  # fmt: skip


def end_of(phase: Phase) -> float:
    match phase:
        case Linear() | Cosine() | OneCycle():
            return phase.end
        case _:
            return phase.at(0)


@PATIENT
@given(parts=st.lists(phases, min_size=1, max_size=6))
def test_each_phase_ends_exactly_on_its_last_step_and_the_next_one_starts_after_it(parts: list[Phase]) -> None:
    table = PhaseTable(tuple(parts))
    first = 0
    for index, phase in enumerate(parts):
        last = first + phase.length - 1
        assert table.at(last) == end_of(phase)
        assert table.at(first) == phase.at(0)
        assert table.phase_at(first) == (index, 0)
        assert table.phase_at(last) == (index, phase.length - 1)
        first += phase.length
    assert table.length == first
    assert table.at(first) == table.at(first + 10**9) == end_of(parts[-1])
    assert table.settles == parts[0].settles


@PATIENT
@given(parts=st.lists(phases, min_size=2, max_size=6), cut=st.integers(1, 5), step=st.integers(0, 3000))
def test_tables_nest(parts: list[Phase], cut: int, step: int) -> None:
    flat = PhaseTable(tuple(parts))
    cut = min(cut, len(parts) - 1)
    nested = PhaseTable((PhaseTable(tuple(parts[:cut])), PhaseTable(tuple(parts[cut:]))))
    assert nested.at(step) == flat.at(step)
    assert (nested.length, nested.settles) == (flat.length, flat.settles)


@PATIENT
@given(n=lengths, start=ends, end=ends, shape=st.sampled_from([Linear, Cosine]))
def test_lines_and_cosines_are_monotone(n: int, start: float, end: float, shape: type[Linear] | type[Cosine]) -> None:
    phase = shape(n, start, end)
    values = [phase.at(step) for step in range(n + 5)]
    assert values == sorted(values, reverse=end < start)
    if n > 1:
        assert values[0] == start


@PATIENT
@given(n=st.integers(2, 300), low=st.floats(0, 1), fraction=st.floats(0, 0.99))
def test_one_cycle_has_its_peak_at_the_end_of_the_warmup(n: int, low: float, fraction: float) -> None:
    phase = OneCycle(n, low, 1.0, 0.0, fraction)
    assert phase.at(phase.peak_step) == 1.0
    assert phase.peak_step == max(0, min(round(fraction * n), n - 1) - 1)
    values = [phase.at(step) for step in range(n)]
    assert values[phase.peak_step :] == sorted(values[phase.peak_step :], reverse=True)
    assert values[0] == (low if phase.peak_step else 1.0)


@PATIENT
@given(n=st.integers(1, 300), data=st.data())
def test_restarts_within_a_plan_share_its_length(n: int, data: st.DataObject) -> None:
    cycles = data.draw(st.integers(1, n))
    table = warm_restarts(n, 1.0, 0.1, cycles)
    assert table.length == n
    sizes = [phase.length for phase in table.phases]
    assert len(sizes) == cycles
    assert max(sizes) - min(sizes) <= 1
    first = 0
    for size in sizes:
        assert table.at(first + size - 1) == 0.1
        assert size == 1 or table.at(first) == 1.0
        first += size


def test_a_level_switch_is_a_table_of_spans() -> None:
    before, after = Noam(1e-4, 10), CosineRestarts(100, 1.5e-5, 1e-6)
    table = PhaseTable((Span(50, before), Span(100, after)))
    assert [table.at(step) for step in (0, 49, 50, 149)] == [before.at(0), before.at(49), after.at(0), after.at(99)]
    assert table.at(500) == after.at(99)  # the table ends with its phases: no restart after it
    assert table.settles == before.settles
