"""The tests behind the verdict: their errors are those that they promise, and runs come in turn."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_search import records_of, trial

from search.history.events import Event, Reported
from search.history.records import Records, Trial
from search.results.confirm import due
from search.results.procedure import ALPHA, SPENDING, Estimate, boundaries, hopeless, in_turn, quantile, settled
from search.results.verdict import judge
from search.spec.config import Confirm
from trainables.run import Objective

MIN = Objective("mae", "min", 1.0, "prior sd")
SEEDS = range(1, 9)
Run = list[tuple[str, int]]


def test_the_boundaries_spend_the_error_as_promised() -> None:
    """Against plain simulation: 400,000 sequences without a gain, whatever their scale."""
    gains = np.random.default_rng(11).standard_normal((400_000, 8)) * 3
    n = np.arange(1, 9)
    mean = gains.cumsum(1) / n
    scatter = np.sqrt(((gains**2).cumsum(1) - n * mean**2)[:, 1:] / (n[1:] - 1))
    t = mean[:, 1:] / scatter * np.sqrt(n[1:])
    crossed = np.zeros(len(t), dtype=bool)
    for pairs, least in boundaries(8).items():
        crossed |= t[:, pairs - 2] > least
        assert crossed.mean() == pytest.approx(ALPHA * (pairs / 8) ** SPENDING, abs=1e-3)


def test_a_confirmation_with_one_look_is_the_plain_test() -> None:
    assert boundaries(3)[3] == pytest.approx(quantile(3), rel=1e-6)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8))
def test_it_switches_where_the_interval_says_so_and_never_where_it_gave_up(gains: list[float]) -> None:
    found = in_turn(gains, 8)
    above = found.low is not None and found.low > 0
    assert not (above and hopeless(gains))
    assert settled(gains, 8) == (above or hopeless(gains) or len(gains) == 8)
    assert (found.low is None) == (len(gains) < 3)


def test_several_comparisons_take_wider_intervals() -> None:
    gains = [0.1, 0.13, 0.07]
    alone, best_of_three = Estimate.of(gains), Estimate.of(gains, quantile(3, 3))
    assert alone.low is not None and best_of_three.low is not None
    assert alone.low > 0 > best_of_three.low and alone.mean == best_of_three.mean


# One seed at a time.


def searched(candidates: int) -> Records:
    trials = [trial(number, 0.4 + number / 100, values={"lr": 0.01 * number}) for number in range(1, candidates + 1)]
    return records_of(trial(0, 0.5, values={"lr": 1e-3}, origin="baseline"), *trials)


def confirm(
    records: Records,
    gains: dict[int, float],
    chosen: int,
    events: list[Event] | None = None,
    workers: int = 1,
    first: Callable[[list[Trial]], list[Trial]] = lambda runs: runs,
) -> list[Run]:
    """Train what is proposed and what comes due until nothing does; `gains`: of the trial `chosen`, by seed; `first`:
    which of the runs in flight end before more are asked for.

    Returns the batches in order; what happens is added to `events`.
    """
    batches: list[Run] = []
    while True:
        for run in first([run for run in records.of_kind("confirm") if not run.over]):
            of, seed = int(run.proposed.origin.removeprefix("trial ")), run.proposed.seed
            value = 0.5 if of == 0 else 0.5 - gains[seed] if of == chosen else 0.6
            for event in trial(run.number, value, origin=run.proposed.origin, kind="confirm", seed=seed)[1:]:
                if not isinstance(event, Reported) or not run.reports:
                    records.apply(event)
                    if events is not None:
                        events.append(event)
        batch = due(records, MIN, Confirm(top=3, seeds="auto", max=8), 1, 0.0, workers=workers)
        if not batch and all(run.over for run in records.of_kind("confirm")):
            return batches
        if not batch:
            continue
        batches.append([(run.origin, run.seed) for run in batch])
        for run in batch:
            records.apply(run)
            if events is not None:
                events.append(run)


def test_the_first_seed_chooses_and_does_not_count() -> None:
    records = searched(3)
    gains = dict(zip(SEEDS, [0.30, 0.10, 0.11, 0.10, 0.09, 0.1, 0.1, 0.1], strict=True))
    batches = confirm(records, gains, chosen=2)
    needed = [("trial 0", 2), ("trial 0", 3)]  # whichever is chosen: for workers that the first seed leaves idle
    assert batches[0] == [*((f"trial {of}", 1) for of in (0, 1, 2, 3)), *needed]
    assert batches[1] == [("trial 2", 2), ("trial 2", 3)]
    assert batches[2:] == [[("trial 0", seed), ("trial 2", seed)] for seed in range(4, 2 + len(batches))]
    found = judge(records, MIN, 8)
    assert found is not None and found.decision == "switch" and found.winner.trial == 2
    assert len(batches) < 6  # so large a gain takes no eight seeds
    assert list(found.pairs) == list(range(2, 2 + len(batches))) and found.gain is not None
    assert found.gain.mean == pytest.approx(np.mean([gains[seed] for seed in found.pairs]))
    assert found.winner.estimate.mean == pytest.approx(0.5 - found.gain.mean) and found.winner.by_seed[1] == 0.2


@given(st.lists(st.integers(-20, 40), min_size=8, max_size=8), st.integers(2, 16), st.randoms(use_true_random=False))
def test_seeds_that_are_trained_ahead_change_no_verdict(gains: list[int], workers: int, rng: random.Random) -> None:
    by_seed = {seed: gain / 100 + 1e-6 * seed for seed, gain in zip(SEEDS, gains, strict=True)}
    in_turn, ahead = searched(2), searched(2)
    confirm(in_turn, by_seed, chosen=1)
    most: list[int] = []

    def some(runs: list[Trial]) -> list[Trial]:
        most.append(len({run.proposed.seed for run in runs}))
        return rng.sample(runs, rng.randint(1, len(runs))) if runs else []

    confirm(ahead, by_seed, chosen=1, workers=workers, first=some)
    assert judge(ahead, MIN, 8) == judge(in_turn, MIN, 8)
    assert max(most) <= max(3, workers // 2)  # the first, and the two that are always needed


def test_eight_workers_train_four_pairs_at_once() -> None:
    records = searched(1)
    batches = confirm(records, dict.fromkeys(SEEDS, 0.1), chosen=1, workers=8)
    assert batches[0] == [(f"trial {of}", seed) for seed in (1, 2, 3, 4) for of in (0, 1)] and len(batches) == 1


def test_two_seeds_against_the_only_candidate_end_it() -> None:
    records = searched(1)
    assert len(confirm(records, dict.fromkeys(SEEDS, -0.01), chosen=1)) == 1
    found = judge(records, MIN, 8)
    assert found is not None and found.decision == "keep" and found.winner.baseline


def test_what_is_open_at_the_end_is_undecided_with_a_number_of_seeds() -> None:
    records = searched(1)
    gains = dict(zip(SEEDS, [0.1, -0.03, 0.1, -0.02, 0.1, -0.02, 0.1, 0.02], strict=True))
    confirm(records, gains, chosen=1)
    found = judge(records, MIN, 8)
    assert found is not None and found.decision == "undecided" and found.handed_over.baseline
    assert list(found.pairs) == list(SEEDS) and found.needed is not None and 8 < found.needed <= 40


def test_taken_up_after_any_event_it_trains_what_the_undisturbed_one_would() -> None:
    gains = dict(zip(SEEDS, [0.1, 0.1, 0.05, 0.1, 0.02, 0.1, 0.1, 0.1], strict=True))
    events: list[Event] = []
    undisturbed = searched(2)
    confirm(undisturbed, gains, 1, events)
    runs = {(run.proposed.origin, run.proposed.seed) for run in undisturbed.of_kind("confirm")}
    for cut in range(len(events)):
        records = searched(2)
        for event in events[:cut]:
            records.apply(event)
        confirm(records, gains, 1)
        again = [(run.proposed.origin, run.proposed.seed) for run in records.of_kind("confirm")]
        assert set(again) == runs and len(again) == len(runs)
        assert judge(records, MIN, 8) == judge(undisturbed, MIN, 8)


@pytest.mark.parametrize(("candidates", "gain"), [(1, -0.01), (1, 0.1), (3, -0.01), (3, 0.0)])
def test_what_is_trained_lies_between_what_the_plan_says(candidates: int, gain: float) -> None:
    chances = {
        seed: gain + (0.2 if seed == 1 and candidates > 1 else 0.3 * (-1) ** seed * (gain > 0)) for seed in SEEDS
    }
    records = searched(candidates)
    confirm(records, chances, chosen=1)
    fewest, most = Confirm(seeds="auto").runs(candidates)
    trained = len(records.of_kind("confirm"))
    assert fewest <= trained <= most
    assert (trained == fewest) == (gain <= 0)
