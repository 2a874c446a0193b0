"""Simulated searches: the clock, the order of decisions, the rows of a table."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import Heard, Move, flat, table_of

from search.simulate.advice import Listed
from search.simulate.clock import Choice, Run, simulate
from search.simulate.ours import Halving, RungPolicy, whole
from search.simulate.sources import Kind, Rows, learned, make_source
from search.simulate.tournament import Ours, play, play_all
from search.stopping.bracket import Bracket, Report
from search.stopping.rungs import Mode, Rule

NAN = math.nan
RUNGS = (1, 3, 9)


def search(
    curves: Sequence[Sequence[float]],
    workers: int = 1,
    mode: Mode = "promote",
    rungs: tuple[int, ...] = RUNGS,
    baseline: bool = False,
    evaluations: int = 10**6,
    marks: Sequence[int] = (),
) -> tuple[Run, list[Move], RungPolicy]:
    """A search of just these configs, in this order, until nothing is left to do."""
    bracket = Bracket(Rule(mode, rungs, 3, "min", 1e9), exempt=lambda trial: baseline and trial == 0)
    source = Heard(Listed(curves))
    policy = RungPolicy(bracket, source, len(curves))
    return simulate(policy, workers, evaluations, marks), source.moves, policy


def test_one_worker_decides_as_the_paper_says() -> None:
    """Worked by hand: trial n scores n; a third of each rung goes on, from the top rung down, before a new one."""
    run, moves, _ = search(flat(range(9), 9))
    assert moves == [
        *[("propose", 0, 0), ("pause", 0, 1), ("propose", 1, 0), ("pause", 1, 1), ("propose", 2, 0), ("pause", 2, 1)],
        *[("promote", 0, 1), ("pause", 0, 3)],
        *[("propose", 3, 0), ("pause", 3, 1), ("propose", 4, 0), ("pause", 4, 1), ("propose", 5, 0), ("pause", 5, 1)],
        *[("promote", 1, 1), ("pause", 1, 3)],
        *[("propose", 6, 0), ("pause", 6, 1), ("propose", 7, 0), ("pause", 7, 1), ("propose", 8, 0), ("pause", 8, 1)],
        *[("promote", 2, 1), ("pause", 2, 3), ("promote", 0, 3), ("completed", 0, 9)],
    ]
    assert run == Run((Choice(0, 0),), trials=9, evaluations=9 + 3 * 2 + 6)


def test_without_enough_trials_for_a_promotion_the_best_is_trained_to_the_end() -> None:
    run, moves, _ = search(flat([2.0, 1.0], 9))
    assert moves[-4:] == [("promote", 1, 1), ("pause", 1, 3), ("promote", 1, 3), ("completed", 1, 9)]
    assert run.chosen == (Choice(1, 1),) and run.evaluations == 1 + 9


def test_the_baseline_is_never_paused() -> None:
    _, moves, _ = search(flat([9.0, 1.0, 2.0, 3.0], 9), baseline=True)
    assert moves[:3] == [("propose", 0, 0), ("completed", 0, 9), ("propose", 1, 0)]


def test_a_diverged_trial_ends_at_once_and_is_never_handed_over() -> None:
    curves = [[0.1, NAN, *[NAN] * 7], [2.0] * 9, [3.0] * 9, [4.0] * 9]
    run, moves, policy = search(curves)
    assert ("diverged", 0, 2) in moves and run.chosen == (Choice(1, 1),)
    assert policy.bracket.diverged == {0}


def test_in_mode_stop_the_worst_end_at_the_rung_and_others_run_through() -> None:
    _, moves, _ = search(flat([1.0, 2.0, 0.5], 9), mode="stop")
    assert moves == [
        *[("propose", 0, 0), ("completed", 0, 9), ("propose", 1, 0), ("stopped", 1, 1)],
        *[("propose", 2, 0), ("completed", 2, 9)],
    ]


def test_workers_come_in_their_order_and_a_free_one_takes_the_next_trial_at_once() -> None:
    run, moves, _ = search(flat([3.0, 2.0, 1.0, 4.0], 3), workers=2, rungs=(1, 3), evaluations=4)
    assert moves == [
        *[("propose", 0, 0), ("propose", 1, 0)],
        *[("pause", 0, 1), ("propose", 2, 0), ("pause", 1, 1), ("propose", 3, 0)],
        *[("pause", 2, 1), ("promote", 2, 1), ("pause", 3, 1)],  # the third report makes a third promotable
    ]
    assert run.evaluations == 4


def test_what_is_handed_over_is_noted_at_each_mark() -> None:
    curves = [[5.0, 4.0, 3.0], [1.0, 9.0, 9.0]]
    policy = RungPolicy(Bracket(Rule("stop", (3,), 2, "min", 1e9)), Listed(curves), 2)
    run = simulate(policy, 1, 6, (1, 3, 4, 5, 6))
    # After 4 evaluations trial 1 is at step 1 with 1.0, trial 0 at step 3 with 3.0.
    assert run.chosen == (Choice(0, 0), Choice(0, 0), Choice(1, 0), Choice(0, 0), Choice(0, 0))


def test_marks_that_are_never_reached_hold_the_end() -> None:
    run, _, _ = search(flat([1.0], 3), rungs=(3,), marks=(2, 3, 50))
    assert run.chosen == (Choice(0, 0),) * 3 and run.evaluations == 3


def test_a_clock_without_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="workers is 0"):
        search(flat([1.0], 3), workers=0, rungs=(3,))


SCORES = st.one_of(st.integers(0, 6).map(float), st.just(NAN))
CURVES = st.lists(st.lists(SCORES, min_size=9, max_size=9), min_size=1, max_size=24)


@given(CURVES, st.integers(1, 4), st.sampled_from(["promote", "stop"]), st.booleans())
def test_a_simulated_search_keeps_the_rules(
    curves: list[list[float]], workers: int, mode: Mode, baseline: bool
) -> None:
    run, moves, policy = search(curves, workers, mode, baseline=baseline)
    ends = [move for move in moves if move[0] in {"stopped", "diverged", "completed"}]
    assert len({trial for _, trial, _ in ends}) == len(ends), "a trial ends once"
    assert [trial for kind, trial, _ in moves if kind == "propose"] == list(range(len(curves)))
    reached = dict.fromkeys(range(len(curves)), 0)
    for kind, trial, step in moves:
        if kind in {"pause", "stopped", "diverged", "completed"}:
            assert step > reached[trial], "a trial only goes forward"
            reached[trial] = step
    assert run.evaluations == sum(reached.values())
    healthy = [t for t, step in reached.items() if math.isfinite(curves[t][step - 1]) and not (baseline and t == 0)]
    if healthy and mode == "promote":
        assert max(reached[t] for t in healthy) == 9, "someone is trained to the end"
    if mode == "promote":
        for low, high in pairwise(policy.bracket.rungs):
            by_promotion = [t for t in high.scores if t not in policy.bracket.diverged and not (baseline and t == 0)]
            assert len(by_promotion) <= max(1, len(low.ranked) // 3)


@given(CURVES, st.integers(1, 4), st.sampled_from(["promote", "stop"]))
def test_asking_the_bracket_at_every_step_changes_nothing(curves: list[list[float]], workers: int, mode: Mode) -> None:
    """The policy asks it only at rungs; Ray's adapter at each report."""
    _, moves, _ = search(curves, workers, mode)
    source = Heard(Listed(curves))
    policy = RungPolicy(Bracket(Rule(mode, RUNGS, 3, "min", 1e9)), source, len(curves))
    policy._rungs = frozenset(range(1, 10))
    simulate(policy, workers, 10**6)
    assert source.moves == moves


@given(CURVES, st.integers(1, 4))
def test_every_promotion_is_one_that_the_rungs_allow(curves: list[list[float]], workers: int) -> None:
    _, moves, _ = search(curves, workers)
    bracket = Bracket(Rule("promote", RUNGS, 3, "min", 1e9))
    for kind, trial, step in moves:
        if kind == "propose":
            bracket.start(trial)
        elif kind == "promote":
            assert trial in {*bracket.promotions(), bracket.closing()}
            bracket.start(trial)
        else:
            bracket.report(Report(trial, step, curves[trial][step - 1]))


# Rows and samplers.


def test_a_draw_becomes_the_nearest_row_that_is_left() -> None:
    rng = np.random.default_rng(1)
    table = table_of(rng.random((40, 3)), rng.random((40, 9)))
    rows, left = Rows(table), set(range(40))
    for trial in range(40):
        point = rng.random(3)
        row = rows.nearest(point)
        assert row == min(left, key=lambda r: (float(((table.unit[r] - point) ** 2).sum()), r))
        assert rows.give(trial, row) == table.seen[row].tolist()
        left.remove(row)
    assert rows.left == 0


@pytest.mark.parametrize("kind", ["random", "tpe", "forest"])
def test_a_search_that_has_used_up_the_pool_trains_the_best_to_the_end(kind: Kind) -> None:
    rng = np.random.default_rng(2)
    table = table_of(rng.random((12, 2)), np.repeat(rng.random((12, 1)), 9, axis=1))
    bracket = Halving("promote", 1, 3).bracket(table)
    source, rows = make_source(table, kind, 0, 0, bracket.rule.rungs)
    run = simulate(RungPolicy(bracket, source, first=1), 3, 10**6)
    assert run.trials == 12 and sorted(rows.of.values()) == list(range(12))
    best = int(table.seen[:, -1].argmin())
    assert run.chosen[0].furthest is not None and rows.of[run.chosen[0].furthest] == best


@pytest.mark.parametrize("kind", ["random", "tpe", "forest"])
def test_equal_seeds_give_equal_searches_and_tasks_have_configs_of_their_own(kind: Kind) -> None:
    rng = np.random.default_rng(3)
    table = table_of(rng.random((60, 2)), rng.random((60, 9)))

    def rows(seed: int, task: int) -> list[int]:
        policy, known = Ours(Halving("promote", 1, 3), kind).start(table, seed, task)
        simulate(policy, 2, 60)
        return list(known.values())

    assert rows(0, 7) == rows(0, 7)
    assert rows(0, 7) != rows(1, 7) and rows(0, 7) != rows(0, 8) and rows(1, 0) != rows(0, 1)


def test_the_sampler_is_told_the_rows_values_and_the_baseline_comes_first() -> None:
    rng = np.random.default_rng(4)
    table = table_of(rng.random((30, 2)), rng.random((30, 9)), baseline=17)
    source, rows = learned(table, "tpe", 0, (1, 3, 9))
    curves = [source.propose(trial) for trial in range(30)]
    assert rows.of[0] == 17
    assert all(curve == table.curves[rows.of[trial]] for trial, curve in enumerate(curves))
    known = {trial.user_attrs["trial"]: trial.params for trial in source._proposer._told.values()}
    assert known == {trial: dict(table.values[row]) for trial, row in rows.of.items() if trial in known}
    assert len(known) >= 29 and source.propose(30) is None


def test_random_search_draws_as_the_services_own_random_sampler_does() -> None:
    """On average over many searches the two give each row as often: by a wide margin, as they are random."""
    rng = np.random.default_rng(5)
    table = table_of(rng.random((5, 2)) ** 2, rng.random((5, 9)))  # uneven: rows own shares of very different size

    def shares(make: Any) -> Any:
        first = np.zeros(5)
        for seed in range(400):
            source, rows = make(seed)
            source.propose(1)
            first[rows.of[1]] += 1
        return first / 400

    quick = shares(lambda seed: make_source(table, "random", seed, 0, (9,)))
    real = shares(lambda seed: learned(table, "random", seed, (9,)))
    assert np.abs(quick - real).max() < 0.12
    assert quick.max() - quick.min() > 0.15


def test_a_sampler_hears_of_pauses_promotions_and_ends() -> None:
    table = table_of(np.linspace(0, 1, 9)[:, None], np.array(flat(range(9), 9)))
    source, _ = learned(table, "tpe", 0, RUNGS)
    policy = RungPolicy(Bracket(Rule("promote", RUNGS, 3, "min", 9.0)), source, 9, first=1)
    simulate(policy, 1, 10**6)
    by_state: dict[str, int] = {}
    for trial in source._proposer._told.values():
        by_state[trial.user_attrs["status"]] = by_state.get(trial.user_attrs["status"], 0) + 1
    assert by_state == {"completed": 1, "paused": 8}


# Policies.


def test_without_early_stopping_everyone_runs_to_the_horizon() -> None:
    table = table_of(np.linspace(0, 1, 4)[:, None], np.array(flat(range(4), 9)))
    policy, rows = Ours(None).start(table, 0, 0)
    run = simulate(policy, 2, 10**6)
    assert run.evaluations == 36 and len(rows) == 4
    assert whole(table).rule.rungs == (9,)


def test_an_automatic_first_rung_is_a_25th_of_the_horizon() -> None:
    assert Halving().rungs(50, 1) == (2, 6, 18, 50)
    assert Halving().rungs(1000, 10) == (40, 120, 360, 1000)
    assert Halving("promote", 1, 4).rungs(50, 1) == (1, 4, 16, 50)


def test_games_come_in_one_order_whatever_the_number_of_processes() -> None:
    rng = np.random.default_rng(6)
    tables = [table_of(rng.random((20, 2)), rng.random((20, 9)), name=name) for name in ("a", "b")]
    contenders = [Ours(Halving("promote", 1, 3)), Ours(None)]
    alone = list(play_all(contenders, tables, (0, 1), 2, (9, 18)))
    assert [(g.seed, g.task, g.policy) for g in alone[:3]] == [
        (0, "a", contenders[0].name),
        (0, "a", contenders[1].name),
        (0, "b", contenders[0].name),
    ]
    assert list(play_all(contenders, tables, (0, 1), 2, (9, 18), jobs=2)) == alone
    known = {(game.policy, game.task, game.seed) for game in alone[:5]}
    assert list(play_all(contenders, tables, (0, 1), 2, (9, 18), skip=known)) == alone[5:]


def test_a_game_scores_what_is_handed_over_by_its_true_value() -> None:
    """The row that looks best is in truth the median; regret counts the truth, and steps, not evaluations."""
    seen = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    table = table_of(np.array([[0.1], [0.5], [0.9]]), seen, true=np.array([5.0, 4.0, 6.0]), every=10)
    game = play(Ours(None), table, 0, 1, (20, 40, 60))
    assert game.newest[-1] == 1.0 and game.furthest[-1] == 1.0 and game.trials == 3
    assert table.regrets.tolist() == [1.0, 0.0, 1.0]
