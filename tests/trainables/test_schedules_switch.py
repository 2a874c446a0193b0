import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.schedules import PlateauSwitch, SwitchState

METRICS = st.lists(st.floats(0.01, 100), min_size=1, max_size=60)


def run(rule, metrics, state=None):
    state = state or SwitchState()
    for step, metric in enumerate(metrics, start=1):
        state = rule.step(state, metric, step)
    return state


@given(METRICS, st.integers(1, 10), st.floats(0, 0.5))
def test_it_switches_at_the_first_window_without_gain(metrics, window, gain):
    """Against a rule written the other way: look back from each step."""
    best, last_gain, expected = math.inf, 0, None
    for step, metric in enumerate(metrics, start=1):
        if metric < best * (1 - gain):
            best, last_gain = metric, step
        if step - last_gain == window:
            expected = step
            break
    assert run(PlateauSwitch(window, gain), metrics).switched_at == expected


@given(METRICS, st.integers(1, 10), st.floats(0, 0.5), st.data())
def test_the_state_is_all_there_is(metrics, window, gain, data):
    rule, cut = PlateauSwitch(window, gain), data.draw(st.integers(0, len(metrics)))
    state = run(rule, metrics[:cut])
    for step, metric in enumerate(metrics[cut:], start=cut + 1):
        state = rule.step(state, metric, step)
    assert state == run(rule, metrics)


def test_small_gains_add_up():
    creeping = [0.995**n for n in range(40)]
    assert run(PlateauSwitch(3, 0.01), creeping).switched_at is None
    assert run(PlateauSwitch(2, 0.01), creeping).switched_at == 3  # a gain takes three evaluations


def test_once_switched_it_stays():
    rule = PlateauSwitch(2, 0.0)
    state = run(rule, [1.0, 1.0, 1.0])
    assert state.switched_at == 3 and rule.step(state, 0.1, 4) is state


@pytest.mark.parametrize(
    ("arguments", "named"), [((0, 0.1), "window"), ((3, 1.0), "minimum_gain"), ((3, -0.1), "minimum_gain")]
)
def test_impossible_arguments(arguments, named):
    with pytest.raises(ValueError, match=named):
        PlateauSwitch(*arguments)


def test_a_metric_that_is_not_finite():
    with pytest.raises(ValueError, match="metric must be finite"):
        PlateauSwitch(3, 0.1).step(SwitchState(), math.nan, 1)
