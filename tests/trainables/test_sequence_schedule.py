"""The schedules of sequence_generator: every cell of the documented table, kinds of rates, and what acts when."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.paths import with_values
from trainables.native import plain
from trainables.registry import model_named
from trainables.schedules import warm_restarts
from trainables.sequence_generator.forms import parse_config
from trainables.sequence_generator.schedule import describe, knobs, last_epochs, settles

PATIENT = settings(deadline=None, max_examples=40)
RECIPE = model_named("sequence_generator").documented()
DOCUMENTED = parse_config(RECIPE, "documented")

# models.md, section 2: first epoch, rate at its first, middle and last, forcing at both ends, then the values held
STRAIGHT = (99 - 50) / 99  # weight of the start at the 51st of 100 epochs
CELLS = [
    (0, (5e-4, 5e-4 + 5e-4 * 0.5 * (1 + np.cos(np.pi * 21 / 70)), 5e-4), (0.7, 0.6), 0.01, 0.05, 1.0, 0.8, 10),
    (100, (5e-4, 1e-4 + 4e-4 * STRAIGHT, 1e-4), (0.6, 0.5), 0.008, 0.04, 0.9, 0.75, 15),
    (200, (1e-4, 5e-5 + 5e-5 * STRAIGHT, 5e-5), (0.5, 0.4), 0.005, 0.03, 0.8, 0.7, 15),
    (300, (5e-5, 1e-5 + 4e-5 * STRAIGHT, 1e-5), (0.4, 0.3), 0.003, 0.02, 0.7, 0.65, 20),
    (400, (1e-5, 1e-5, 1e-5), (0.3, 0.3), 0.001, 0.01, 0.6, 0.6, 20),
]


@pytest.mark.parametrize("cell", CELLS, ids=[f"phase {n}" for n in range(1, 6)])
def test_every_cell_of_the_documented_table(cell) -> None:
    first, rates, (start, end), decay, noise, clip, alpha, lag = cell
    steps = (first, first + 50, first + 99)
    forced = (start, end + STRAIGHT * (start - end), end)
    for place, (step, rate, forcing) in enumerate(zip(steps, rates, forced, strict=True)):
        now = knobs(DOCUMENTED, step)
        exact = place != 1  # ends are hit exactly, a middle as far as floats go
        assert now["lr"] == (rate if exact else pytest.approx(rate, rel=1e-12)), step
        assert now["teacher_forcing"] == (forcing if exact else pytest.approx(forcing, rel=1e-12)), step
        held = (now["weight_decay"], now["noise_level"], now["clip_grad_norm"], now["alpha"], now["max_lag"])
        assert held == (decay, noise, clip, alpha, lag), step
        assert now["phase"] == first // 100 + 1


def test_the_warmup_of_the_first_phase() -> None:
    assert knobs(DOCUMENTED, 29)["lr"] == 1e-3  # the 30th of 100 epochs
    assert knobs(DOCUMENTED, 14)["lr"] == pytest.approx(5e-4 + 5e-4 * 14 / 29)
    assert settles(DOCUMENTED) == 30


def test_the_last_values_hold_after_the_plan() -> None:
    assert knobs(DOCUMENTED, 10**6) == knobs(DOCUMENTED, 499)


def test_phases_end_where_they_should() -> None:
    assert last_epochs(DOCUMENTED) == [100, 200, 300, 400, 500]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("constant", [0.008] * 5),
        ("linear", [0.008, 0.0065, 0.005, 0.0035, 0.002]),
        ("cosine", [0.002 + 0.003 * (1 + np.cos(np.pi * i / 4)) for i in range(5)]),
        ("one_cycle", [0.002, 0.008, 0.0065, 0.0035, 0.002]),  # two epochs up
        ("restarts", [warm_restarts(5, 0.008, 0.002, 2).at(i) for i in range(5)]),
    ],
)
def test_kinds_of_rates(kind, expected) -> None:
    phase = {"epochs": 5, "start_lr": 0.008, "min_lr": 0.002, "lr_schedule": kind, "lr_cycles": 2, "alpha": 1.0}
    config = parse_config({"phases": [phase]}, "p")
    assert [knobs(config, step)["lr"] for step in range(5)] == pytest.approx(expected)


def test_a_short_phase_has_at_most_one_restart_an_epoch() -> None:
    phase = {"epochs": 2, "start_lr": 0.008, "min_lr": 0.002, "lr_schedule": "restarts", "lr_cycles": 4, "alpha": 1.0}
    assert [knobs(parse_config({"phases": [phase]}, "p"), step)["lr"] for step in range(2)] == [0.002, 0.002]


def test_without_teacher_forcing_no_input_is_forced() -> None:
    config = parse_config({**RECIPE, "teacher_forcing": False}, "c")
    assert {knobs(config, step)["teacher_forcing"] for step in range(0, 500, 50)} == {0.0}


def test_a_curriculum_settles_when_it_is_over() -> None:
    config = parse_config({**RECIPE, "curriculum_epochs": 40}, "c")
    assert settles(config) == 40
    assert [knobs(config, step)["curriculum"] for step in (0, 39, 40, 499)] == [1.0, 1.0, 0.0, 0.0]


LATE = {
    "length": 0.7, "lr_schedule": "cosine", "lr_start": 0.3, "lr_end": 0.3, "teacher_forcing_start": 0.1,
    "teacher_forcing_end": 0.1, "weight_decay": 0.1, "noise_level": 0.1, "clip_grad_norm": 0.3, "alpha": 0.1,
    "max_lag": 3,
}  # fmt: skip


@PATIENT
@given(st.integers(2, 5), st.sampled_from(sorted(LATE)), st.integers(20, 300))
def test_late_knobs_do_not_touch_earlier_epochs(phase: int, key: str, epochs: int) -> None:
    falling = {
        "plan.phase_5.lr_schedule": "linear",
        "plan.phase_5.lr_end": 0.5,
    }  # the documented last phase holds its rate
    one = parse_config(with_values({**plain(DOCUMENTED), "epochs": epochs}, falling), "c")
    other = parse_config(with_values(plain(one), {f"plan.phase_{phase}.{key}": LATE[key]}), "c")
    first = last_epochs(one)[phase - 2]
    assert [knobs(one, step) for step in range(first)] == [knobs(other, step) for step in range(first)]
    if not (phase == 5 and key == "length"):
        assert [knobs(one, step) for step in range(first, epochs)] != [
            knobs(other, step) for step in range(first, epochs)
        ]


def test_the_plan_is_shown_as_a_table() -> None:
    text = describe(DOCUMENTED).splitlines()
    assert len(text) == 6
    assert "1–100" in text[1] and "0.0005 → 0.001 → 0.0005 one_cycle" in text[1] and "0.7 → 0.6" in text[1]
    assert "401–500" in text[5] and "1e-05 fixed" in text[5]
