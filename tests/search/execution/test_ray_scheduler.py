"""The scheduler on a stand-in for Ray that pauses, saves, fails and retries as the real one does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray_world import Trial, World, by_number, first, result, scheduler

from search.history.events import Paused, Promoted
from trainables.run import DIVERGED, ENDED, OBJECTIVE


@st.composite
def worlds(draw: st.DrawFn) -> World:
    trials = draw(st.integers(0, 30))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(trials, 28))
    numbers = st.integers(0, max(trials - 1, 0))
    return World(
        workers=draw(st.integers(1, 7)),
        trials=trials,
        score=lambda t, step: float(table[t, step]),
        pick=lambda n: int(rng.integers(n)),
        mode=draw(st.sampled_from(["promote", "promote", "stop"])),
        fails=draw(st.sampled_from([0.0, 0.0, 0.05])),
        fates=draw(st.dictionaries(numbers, st.sampled_from([ENDED, DIVERGED]), max_size=8)),
        rng=rng,
        first_exempt=draw(st.booleans()),
    )


def check_accounts(world: World) -> None:
    """Every trial is over, gone, or let go of at a rung that doesn't promote it."""
    bracket = world.scheduler.bracket
    assert set(bracket.reached) == set(range(world.trials))
    assert not bracket.running
    assert next(bracket.promotions(), None) is None and bracket.closing() is None
    assert world.abandoned <= set(bracket.waiting)


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_no_trial_starves_and_no_worker_idles(world: World) -> None:
    world.boot()
    world.run()
    check_accounts(world)
    if not world.fails:  # one that failed while it saved waits, too, but Ray doesn't hold it
        assert world.abandoned == set(world.scheduler.bracket.waiting)


@settings(max_examples=150, deadline=None)
@given(worlds(), st.lists(st.integers(1, 40), min_size=1, max_size=3))
def test_a_search_that_is_killed_goes_on_from_its_history(world: World, crashes: list[int]) -> None:
    for events in crashes:
        world.boot()
        if not all(world.event() for _ in range(events)):
            break
    world.scheduler.free()  # a failure just before the crash is taken in
    before = world.scheduler.bracket
    world.boot()
    assert world.scheduler.bracket == before
    world.run()
    check_accounts(world)


@pytest.mark.parametrize("workers", [1, 2])
def test_textbook_rungs(workers: int) -> None:
    world = World(workers, 27, by_number, first, first_exempt=False)
    world.boot()
    world.run()
    assert world.rungs() == [27, 9, 3, 1]
    kinds = [type(decision) for decision in world.decisions]
    assert (kinds.count(Paused), kinds.count(Promoted), len(world.abandoned)) == (39, 13, 26)


def test_a_grown_search_promotes_further() -> None:
    world = World(2, 9, by_number, first, first_exempt=False)
    world.boot()
    world.run()
    assert world.rungs() == [9, 3, 1, 1]
    world.trials = 27
    world.boot()
    world.run()
    assert world.rungs() == [27, 9, 3, 1]


def test_a_pause_that_fails_to_save_keeps_its_place() -> None:
    world = World(1, 3, by_number, first, first_exempt=False)
    world.boot()
    assert world.event() and world.live[0].saving
    trial = world.live[0]
    world.scheduler.on_trial_error(world, trial)
    world.drop(trial)
    world.scheduler.lost(0, again=True)
    assert world.scheduler.free() == 1 and world.scheduler.next_resumable() is None
    assert sorted(world.scheduler.bracket.waiting) == [0]
    world.run()
    assert world.rungs() == [3, 1, 1, 1]


def test_a_trial_stopped_by_someone_else_is_gone() -> None:
    ours = scheduler(workers=2)
    for number in (0, 1, 2):
        ours.on_trial_add(None, trial := Trial(number, "RUNNING"))
        assert ours.on_trial_result(None, trial, result(1, float(number))) == "PAUSE"
        trial.status = "PAUSED"
        if number == 0:
            ours.on_trial_remove(None, trial)
    ours.on_trial_add(None, late := Trial(3, "RUNNING"))
    ours.on_trial_complete(None, late, {})  # stopped before its first report
    assert sorted(ours.bracket.waiting) == [1, 2] and ours.bracket.final(0) and ours.bracket.final(3)
    assert ours.choose_trial_to_run(None) is None  # 0 holds the only promotion of the rung
    assert ours.room()


def test_ray_may_pickle_it_whatever_the_callbacks_hold() -> None:
    ours = scheduler(exhausted=iter([]).__next__)
    assert ours.__getstate__() == {}
    assert ours.set_search_properties(None, None) and ours.set_search_properties(OBJECTIVE, "min")
    assert not ours.set_search_properties(OBJECTIVE, "max") and not ours.set_search_properties("loss", "min")
    assert "trials per rung {1: 0, 3: 0, 9: 0, 27: 0}" in ours.debug_string()
    with pytest.raises(ValueError, match="workers is 0"):
        scheduler(workers=0)
