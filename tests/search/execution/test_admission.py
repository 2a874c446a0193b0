"""The gate of schedulers that promote nothing, and what both gates do as room comes and goes."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from search.execution.admission import Gate, Slots, gain
from search.execution.ray_scheduler import RungScheduler
from search.stopping.bracket import Bracket
from search.stopping.rungs import Rule
from trainables.run import OBJECTIVE, STEP

FILL = 100
"""The first number of the runs that fill idle workers."""


@dataclass
class Supply:
    """New trials, so many of them."""

    left: int

    def exhausted(self) -> bool:
        return self.left == 0


def rung_gate(room: list[int], supply: Supply) -> Gate:
    bracket = Bracket(Rule("promote", (1, 3), 3, "min", 9.0))
    return RungScheduler(bracket, lambda: room[0], supply.exhausted, lambda _: None, lambda number: number < FILL)


def test_slots_open_and_close_with_the_room() -> None:
    room, supply = [1], Supply(9)
    gate = Slots(lambda: room[0], supply.exhausted, [4, 5])
    assert gate.next_resumable() == 4
    gate.busy.add(4)
    assert gate.next_resumable() is None and not gate.room()
    room[0] = 2  # a node has joined
    assert gate.next_resumable() == 5
    gate.busy.add(5)
    room[0] = 3
    assert gate.next_resumable() is None and gate.room()
    room[0] = 1  # two were lost: what runs, runs on
    assert not gate.room() and not gate.finished()
    gate.busy.discard(4)
    gate.lost(4, again=True)
    assert gate.next_resumable() is None  # 5 has the only worker
    gate.busy.discard(5)
    assert gate.next_resumable() == 4


def train(lengths: list[int], workers: int, turn: int) -> tuple[int, int]:
    """Units until all are trained, one after the other between two evaluations, and how often a trial made room."""
    left = dict(enumerate(lengths))
    gate = Slots(lambda: workers, lambda: True, list(left), left=left.__getitem__, turn=turn)
    units = turns = 0
    while not gate.finished():
        while (number := gate.next_resumable()) is not None:
            gate.busy.add(number)
        units += 1
        for number in sorted(gate.busy):
            left[number] -= 1
            if not left[number]:
                gate.left_worker(number)
            elif gate.makes_room(number):
                gate.left_worker(number)
                gate.unfinished.append(number)
                turns += 1
                entering = gate.next_resumable()
                assert entering is not None
                gate.busy.add(entering)
    return units, turns


def test_the_last_trials_take_turns_so_that_none_is_waited_for() -> None:
    nine = [27] * 9  # on eight workers, in one go: two rounds
    assert train(nine, 8, 0) == (54, 0)
    assert train(nine, 8, 1)[0] == 31  # 9 * 27 / 8 = 30.4
    units, turns = train(nine, 8, 2)
    assert units <= 33 and turns <= 27 / 2 + 1


def test_no_more_make_room_than_wait() -> None:
    left = {0: 20, 1: 9, 2: 9}
    gate = Slots(lambda: 2, lambda: True, [0], busy={1, 2}, left=left.__getitem__, turn=2)
    assert [gate.makes_room(number) for number in (1, 2)] == [True, False]  # 1 has still to save its state
    gate.left_worker(1)
    assert gate.next_resumable() == 0


def test_where_each_worker_gets_as_much_nobody_makes_room() -> None:
    for count, workers in [(8, 8), (5, 8), (16, 8), (12, 2), (1, 1), (7, 1)]:
        units, turns = train([27] * count, workers, 2)
        assert (units, turns) == (-(-count // workers) * 27, 0)
    assert train([27] * 11, 2, 2)[1] <= 13  # the last three alone


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 6))
def test_with_turns_the_end_is_close_to_the_best_that_there_is(lengths: list[int], workers: int, turn: int) -> None:
    units, _ = train(lengths, workers, turn)
    at_best = max(max(lengths), sum(lengths) / workers)
    assert units <= at_best + 2 * turn
    assert units <= train(lengths, workers, 0)[0] + turn


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.lists(st.integers(1, 40), max_size=5))
def test_the_gain_is_what_one_go_takes_longer_than_the_best(running: list[int], waiting: list[int]) -> None:
    ends = sorted(running)
    for each in sorted(waiting, reverse=True):
        ends = sorted([ends[0] + each, *ends[1:]])
    everyone = running + waiting
    best = max(max(everyone), sum(everyone) / len(running))
    assert gain(running, waiting) == ends[-1] - best >= 0


def test_who_has_work_left_is_hungry() -> None:
    supply = Supply(1)
    gate = Slots(lambda: 1, supply.exhausted, [0])
    assert gate.has_pending_work()
    assert gate.next_resumable() == 0 and gate.has_pending_work()  # a new one may come
    supply.left = 0
    assert not gate.has_pending_work()
    gate.lost(0, again=True)
    assert gate.has_pending_work()


def test_the_rungs_ask_for_more_while_there_is_work() -> None:
    room, supply = [2], Supply(1)
    gate = rung_gate(room, supply)
    assert gate.room() and gate.has_pending_work()
    supply.left = 0
    assert not gate.has_pending_work() and gate.finished()


def test_the_rungs_let_in_no_more_than_there_is_room_for() -> None:
    room, supply = [0 + 1], Supply(9)
    gate = rung_gate(room, supply)
    assert isinstance(gate, RungScheduler)
    gate.bracket.start(0)
    gate.bracket.start(1)  # an earlier process left both running; there is room for one now
    assert gate.next_resumable() == 0 and not gate.room()
    room[0] = 3
    assert gate.next_resumable() == 0 and gate.room()


def test_who_waits_for_all_it_runs_has_no_worker_to_spare() -> None:
    gate = Slots(lambda: 2, Supply(0).exhausted)
    gate.busy.add(0)
    assert gate.room() and not gate.spare() and gate.undecided() is None


def test_only_those_at_work_are_undecided_once_no_other_can_be_promoted() -> None:
    gate = rung_gate([8], Supply(0))
    assert isinstance(gate, RungScheduler)
    trials = [ray_trial(number) for number in range(4)]
    for each in trials:
        gate.on_trial_add(None, each)

    def reports(number: int, step: int, value: float) -> None:
        result = {STEP: step, OBJECTIVE: value}
        told = gate.on_trial_result(None, trials[number], result)
        if told == "PAUSE":
            assert gate.undecided() is None  # it still saves, and may be promoted then
            trials[number].status = "PAUSED"
        elif told == "STOP":
            gate.on_trial_complete(None, trials[number], result)

    assert gate.undecided() is None
    for number in range(3):
        reports(number, 1, 0.1 * number)
    assert gate.undecided() is None  # trial 0 is to be promoted
    while (chosen := gate.choose_trial_to_run(None)) is not None and chosen.status == "PAUSED":
        chosen.status = "RUNNING"
    assert gate.undecided() is None  # trial 3 has a rung before it
    reports(3, 1, 0.9)
    assert gate.undecided() is None  # should trial 0 diverge, the closing promotion takes another
    reports(0, 3, 0.5)
    assert gate.undecided() == ()


def ray_trial(number: int) -> Any:
    return SimpleNamespace(config={"trial": number}, status="RUNNING")


def test_what_fills_idle_workers_takes_none_from_the_search_and_leaves_at_its_end() -> None:
    room, supply = [3], Supply(1)
    gate = rung_gate(room, supply)
    assert isinstance(gate, RungScheduler)
    gate.on_trial_add(None, own := ray_trial(0))
    assert not gate.spare()  # a new trial may come
    supply.left = 0
    assert gate.spare()
    fills = [ray_trial(FILL), ray_trial(FILL + 1)]
    for fill in fills:
        gate.on_trial_add(None, fill)
    assert gate.free() == 0 and not gate.spare()
    better = {STEP: 1, OBJECTIVE: -1.0}  # the rungs hear nothing of it
    assert gate.on_trial_result(None, fills[0], better) == "CONTINUE"
    gate.on_trial_error(None, fills[1])
    gate.lost(FILL + 1, again=True)
    assert gate.free() == 1 and gate.next_resumable() is None  # the confirmation tries it again
    room[0] = 1  # a node was lost: the search goes first
    assert gate.on_trial_result(None, fills[0], better) == "STOP"
    room[0] = 3
    assert gate.on_trial_result(None, own, {STEP: 3, OBJECTIVE: 0.5}) == "STOP"
    gate.on_trial_complete(None, own, {STEP: 3, OBJECTIVE: 0.5})
    assert not gate.spare() and not gate.finished()
    assert gate.on_trial_result(None, fills[0], {STEP: 2, OBJECTIVE: -1.0}) == "STOP"
    gate.on_trial_complete(None, fills[0], {STEP: 2, OBJECTIVE: -1.0})
    assert gate.finished() and set(gate.bracket.reached) == {0}
