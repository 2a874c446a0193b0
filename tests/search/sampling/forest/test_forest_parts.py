"""What the forest sampler is made of: columns of the unit cube, observations, trees, and what hangs on what."""

import math
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import norm, rankdata
from sklearn.ensemble import ExtraTreesRegressor

from search.sampling.forest import conditional_params
from search.sampling.forest.columns import Column
from search.sampling.forest.observations import Observations, last_step, normal_scores, observe, thinned
from search.sampling.forest.trees import fit

MIN, MAX = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
DISTRIBUTIONS: list[BaseDistribution] = [
    FloatDistribution(-2.0, 5.0),
    FloatDistribution(1e-6, 1e-1, log=True),
    FloatDistribution(0.0, 0.3, step=0.1),
    FloatDistribution(-10.2, 10.2, step=0.1),
    IntDistribution(0, 7),
    IntDistribution(2, 10, step=4),
    IntDistribution(1, 300, log=True),
    CategoricalDistribution(("a", None, 3, 2.5)),
    CategoricalDistribution((True, False)),
    FloatDistribution(1.0, 1.0),
    IntDistribution(4, 4),
    IntDistribution(4, 4, log=True),
]

# --- columns -----------------------------------------------------------------------------------------------------


@given(distribution=st.sampled_from(DISTRIBUTIONS), unit=st.floats(0, 1))
def test_each_place_is_a_value_and_each_value_a_place(distribution: BaseDistribution, unit: float) -> None:
    column = Column("k", distribution)
    value = column.value(unit)
    assert column.holds(value)
    assert type(value) in (float, int, str, bool, type(None))
    (place,) = column.snapped(np.array([unit]))
    assert 0 <= place <= 1
    assert column.units([value])[0] == pytest.approx(place, abs=1e-9)
    assert column.value(place) == pytest.approx(value) if isinstance(value, float) else column.value(place) == value


def test_values_own_equal_shares_and_whole_numbers_on_a_log_scale_half_a_unit_to_either_side() -> None:
    assert Column("k", IntDistribution(0, 3)).units([0, 1, 2, 3]).tolist() == [0.125, 0.375, 0.625, 0.875]
    assert Column("k", CategoricalDistribution("ab")).units(["b", "a", "c"]).tolist()[:2] == [0.75, 0.25]
    assert Column("k", FloatDistribution(1e-4, 1.0, log=True)).units([1e-2])[0] == pytest.approx(0.5)
    logs = Column("k", IntDistribution(1, 2, log=True)).units([1, 2])
    assert logs == pytest.approx([math.log(1 / 0.5) / math.log(5), math.log(2 / 0.5) / math.log(5)])


def test_what_is_no_value_has_no_place_and_what_lies_outside_is_at_the_end() -> None:
    numbers = Column("k", FloatDistribution(1.0, 2.0)).units([None, "x", math.nan, 0.5, 9])
    assert np.isnan(numbers[:3]).all()
    assert numbers[3:].tolist() == [0.0, 1.0]
    assert np.isnan(Column("k", FloatDistribution(1.0, 2.0, log=True)).units([-1.0])).all()
    assert np.isnan(Column("k", CategoricalDistribution((1, 2))).units([None, "1"])).all()
    assert np.isnan(Column("k", IntDistribution(1, 5)).units([None])).all()
    assert not Column("k", IntDistribution(1, 5)).holds(6)
    assert not Column("k", CategoricalDistribution((1, 2))).holds("x")


def test_a_uniform_draw_is_uniform_over_values() -> None:
    units = (np.arange(60_000) + 0.5) / 60_000
    for distribution in (
        IntDistribution(3, 9, step=3),
        CategoricalDistribution("xyz"),
        FloatDistribution(0, 1, step=0.5),
    ):
        column = Column("k", distribution)
        _, counts = np.unique(column.snapped(units), return_counts=True)
        assert counts.tolist() == [20_000] * 3


# --- observations ------------------------------------------------------------------------------------------------


def trial(
    state: TrialState = TrialState.COMPLETE,
    values: Any = None,
    reports: dict[int, float] | None = None,
    violation: float | None = None,
) -> FrozenTrial:
    made = optuna.trial.create_trial(state=TrialState.RUNNING, intermediate_values=reports or {})
    made.state = state
    if values is not None:
        made.values = values if isinstance(values, list) else [values]
    if violation is not None:
        made.set_constraint("c", violation)
    return made


def rows(seen: Observations) -> list[tuple[int, float]]:
    return list(zip(seen.trial.tolist(), seen.step.tolist(), strict=True))


ONE = np.ones(1)


def test_each_trial_counts_at_each_rung_that_it_has_reached() -> None:
    trials = [
        trial(values=0.1, reports={step: 1 / step for step in range(1, 10)}),
        trial(TrialState.PRUNED, reports={1: 0.9, 2: 0.8, 3: 0.7}),
        trial(TrialState.RUNNING, reports={1: 0.95}),
        trial(TrialState.RUNNING),
        trial(values=0.3),
    ]
    seen = observe(trials, [MIN], (1, 3, 9), 9, ONE)
    assert rows(seen) == [(0, 1), (0, 3), (0, 9), (1, 1), (1, 3), (2, 1), (4, 9)]
    raw = [1.0, 1 / 3, 0.1, 0.9, 0.7, 0.95, 0.3]
    assert seen.target == pytest.approx(norm.ppf((rankdata(raw) - 0.5) / 7))


def test_a_report_between_rungs_counts_where_it_is() -> None:
    seen = observe([trial(TrialState.PRUNED, reports={2: 0.5, 5: 0.4})], [MIN], (1, 3, 9), 9, ONE)
    assert rows(seen) == [(0, 2), (0, 5)]


def test_maximising_mirrors_the_targets() -> None:
    values = [0.3, 0.1, 0.2]
    small = observe([trial(values=value) for value in values], [MIN], (1,), 1, ONE)
    large = observe([trial(values=value) for value in values], [MAX], (1,), 1, ONE)
    assert large.target == pytest.approx(-small.target)


def test_violations_and_what_is_no_number_rank_behind_all_else() -> None:
    trials = [
        trial(values=1e9),
        trial(values=0.0, violation=1.0),
        trial(values=0.0, violation=2.0),
        trial(values=0.0, violation=-1.0),
        trial(TrialState.PRUNED, values=0.2, reports={1: math.nan}),
    ]
    seen = observe(trials, [MIN], (1, 9), 9, ONE)
    order = [rows(seen)[i] for i in np.argsort(seen.target)]
    assert order == [(3, 9), (0, 9), (4, 1), (1, 9), (2, 9)]
    assert seen.healthy.tolist() == [True, False, False, True, False]


def test_several_objectives_become_one_by_the_augmented_tchebycheff_norm() -> None:
    values = [[0.0, 10.0], [5.0, 5.0], [10.0, 0.0]]
    trials = [trial(values=value) for value in values]
    for weights in ([0.8, 0.2], [0.2, 0.8], [0.5, 0.5]):
        seen = observe(trials, [MIN, MAX], (1,), 1, np.array(weights))
        share = np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]) * weights  # the second is maximised
        raw = share.max(axis=1) + 0.05 * share.sum(axis=1)
        assert seen.target.argsort().tolist() == raw.argsort().tolist()
    one_sided = observe(trials, [MIN, MIN], (1,), 1, np.array([1.0, 0.0]))
    assert one_sided.target.argsort().tolist() == [0, 1, 2]


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([-1.0, 0.5, 3.0, math.inf])), min_size=1))
def test_normal_scores_are_those_of_mean_ranks(pairs: list[tuple[float, float]]) -> None:
    first, then = np.array(pairs).T
    places = rankdata([sorted(set(pairs)).index(pair) for pair in pairs])
    assert normal_scores(first, then) == pytest.approx(norm.ppf((places - 0.5) / len(pairs)))


def test_without_rungs_steps_are_thinned_to_thirds() -> None:
    assert thinned(1000) == (12, 37, 111, 333, 1000)
    assert thinned(2) == (1, 2)
    assert last_step([trial(), trial(reports={3: 1.0, 40: 1.0})]) == 40
    assert last_step([]) == 1
    long = trial(values=0.1, reports={step: 1 / step for step in range(1, 1001)})
    assert len(observe([long] * 3, [MIN], thinned(1000), 1000, ONE)) == 15
    assert len(observe([], [MIN], (1,), 1, ONE)) == 0


# --- trees -------------------------------------------------------------------------------------------------------


def test_the_forest_predicts_as_well_as_scikit_learns_own() -> None:
    rng = np.random.default_rng(0)
    x, new = rng.random((600, 6)), rng.random((600, 6))

    def truth(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(np.sin(6 * points[:, 0]) + 2 * points[:, 1] * points[:, 2])

    y = truth(x) + 0.1 * rng.standard_normal(600)
    ours = fit(x, y, rng)
    theirs = ExtraTreesRegressor(30, bootstrap=True, min_samples_leaf=4, max_features=4, random_state=0).fit(x, y)
    error = np.mean((ours.predict(new)[0] - truth(new)) ** 2)
    assert error < 1.15 * np.mean((theirs.predict(new) - truth(new)) ** 2)
    assert error < 0.2 * np.var(truth(new))


def test_trees_scatter_where_little_was_seen_and_agree_where_all_is_one() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate((rng.random((300, 2)) * 0.5, rng.random((12, 2)) * 0.5 + 0.5))
    _, sd = fit(x, x.sum(axis=1), rng).predict(np.array([[0.25, 0.25], [0.75, 0.75]]))
    assert sd[1] > 2 * sd[0]
    mean, sd = fit(x, np.full(len(x), 3.0), rng).predict(x)
    assert mean == pytest.approx(np.full(len(x), 3.0))
    assert sd == pytest.approx(np.zeros(len(x)))


def test_equal_seeds_give_equal_forests_and_leaves_hold_enough() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.random((100, 3)), rng.random(100)
    first, again, other = (fit(x, y, np.random.default_rng(seed)).predict(x)[0] for seed in (5, 5, 6))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    for tree in fit(x, y, rng, trees=5, min_leaf=7).trees:
        assert tree.n_node_samples[tree.children_left == -1].min() >= 7


# --- what hangs on what ------------------------------------------------------------------------------------------


def test_nested_conditions_are_learned_from_trials() -> None:
    columns = [
        Column("x", FloatDistribution(0, 1)),
        Column("kind", CategoricalDistribution("abc")),
        Column("depth", IntDistribution(1, 2)),
        Column("rate", FloatDistribution(0, 1)),
    ]
    rng = np.random.default_rng(0)
    full = np.column_stack([column.snapped(rng.random(60)) for column in columns])
    truth = np.ones(full.shape, dtype=bool)
    truth[:, 2] = full[:, 1] < 0.6  # depth: with kind a and b
    truth[:, 3] = truth[:, 2] & (full[:, 2] > 0.5)  # rate: with depth 2
    switches = conditional_params.learn(columns, np.where(truth, full, np.nan)[:40])
    assert [(switch.column, switch.by) for switch in switches] == [(2, 1), (3, 2)]
    assert (conditional_params.apply(switches, full[40:]) == truth[40:]).all()


def test_where_nothing_explains_a_gap_the_knob_counts_as_there() -> None:
    columns = [Column("x", FloatDistribution(0, 1)), Column("y", FloatDistribution(0, 1))]
    units = np.array([[0.1, np.nan], [0.2, 0.5], [0.1, 0.7]])
    assert conditional_params.learn(columns, units) == ()
    assert conditional_params.apply((), units).all()
