"""The gate of schedulers that promote nothing, and what both gates do as room comes and goes."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from search.execution.admission import Gate, Slots
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
