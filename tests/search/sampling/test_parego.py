import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.sampling.parego import Several, scalars, weights

tables = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(st.floats(-1e6, 1e6), min_size=width, max_size=width), min_size=1, max_size=12)
)


@given(tables, st.integers(0, 99))
def test_what_dominates_never_scores_worse(rows: list[list[float]], seed: int) -> None:
    table = np.array(rows)
    found = scalars(table, weights(table.shape[1], seed))
    for i, one in enumerate(table):
        for j, other in enumerate(table):
            if (one <= other).all():
                assert found[i] <= found[j]


@given(st.integers(1, 5), st.integers(0, 1000))
def test_weights_lie_on_the_simplex(objectives: int, seed: int) -> None:
    found = weights(objectives, seed)
    assert (found >= 0).all() and found.sum() == pytest.approx(1.0)
    assert found.tolist() == weights(objectives, seed).tolist()


def test_the_formula_by_hand() -> None:
    """Shares of better ones: first column 0, ½, 1; second 1, 0, 0 (a tie)."""
    table = np.array([[1.0, 9.0], [2.0, 3.0], [3.0, 3.0]])
    found = scalars(table, np.array([0.4, 0.6]))
    assert found.tolist() == pytest.approx([0.6 + 0.05 * 0.6, 0.2 + 0.05 * 0.2, 0.4 + 0.05 * 0.4])


def test_each_column_alone_is_found_by_its_weight() -> None:
    table = np.array([[1.0, 9.0], [2.0, 3.0], [3.0, 1.0]])
    assert scalars(table, np.array([1.0, 0.0])).argmin() == 0
    assert scalars(table, np.array([0.0, 1.0])).argmin() == 2


def trial(number: int, reports: dict[int, float], state: TrialState, value: float | None = None) -> FrozenTrial:
    made = create_trial(state=state, value=value, intermediate_values=reports)
    made.number = made._trial_id = number
    return made


def test_a_sampler_sees_weighed_values_and_the_originals_stay() -> None:
    done = trial(0, {1: 0.9, 3: 0.5}, TrialState.COMPLETE, 0.5)
    running = trial(1, {1: 0.8}, TrialState.RUNNING)
    diverged = trial(2, {1: 9.0}, TrialState.COMPLETE, 9.0)
    several = Several(2)
    for number, step, point in ((0, 1, (0.9, 2.0)), (0, 3, (0.5, 2.0)), (1, 1, (0.8, 1.0))):
        several.put(number, step, point)
    standing = several.standing([done, running, diverged], seed=4)
    seen = standing.window()
    assert [t.number for t in seen] == [0, 1, 2] and standing.finished == 2
    assert seen[0].value == seen[0].intermediate_values[3] < seen[0].intermediate_values[1]
    assert seen[2].value is not None and all(
        seen[2].value > v for t in seen[:2] for v in t.intermediate_values.values()
    )
    assert done.value == 0.5 and done.intermediate_values == {1: 0.9, 3: 0.5}
