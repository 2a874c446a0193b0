"""The gate of schedulers that promote nothing, and what both gates do as room comes and goes."""

from dataclasses import dataclass

from search.execution.admission import Gate, Slots
from search.execution.ray_scheduler import RungScheduler
from search.stopping.bracket import Bracket
from search.stopping.rungs import Rule


@dataclass
class Supply:
    """New trials, so many of them."""

    left: int

    def exhausted(self) -> bool:
        return self.left == 0


def rung_gate(room: list[int], supply: Supply) -> Gate:
    return RungScheduler(
        Bracket(Rule("promote", (1, 3), 3, "min", 9.0)), lambda: room[0], supply.exhausted, lambda _: None
    )


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
