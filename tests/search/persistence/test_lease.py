import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import count

import psutil
import pytest

from search.persistence import lease
from search.persistence.lease import EXPIRE_SECONDS, LEASE, Displaced, Lease, Owner
from spaces.problems import BadInput
from tests.trainables.flat_store import URI, Flat, flat_store
from trainables.objects import Prefix

STORE = Prefix(URI)
OTHER = Owner(epoch=3, id="ab", host="elsewhere", boot="another", pid=1, began=5.0)


class World:
    """A store, time that passes only when somebody rests, and what happens meanwhile."""

    def __init__(self, store: Flat) -> None:
        self.store, self.said = store, list[str]()
        self.made: list[Lease] = []
        self.then: dict[int, Owner | None] = {}
        """After so many rests somebody writes."""
        self._rests = count(1)

    def rest(self, seconds: float) -> None:
        self.store.now += seconds
        number = next(self._rests)
        if number in self.then:
            write(self.then[number])

    def taken(self, least: int = 1) -> Lease:
        made = Lease(STORE, self.rest, lambda: self.store.now)
        self.made.append(made)
        made.take(least, self.said.append)
        return made


def write(owner: Owner | None) -> None:
    if owner is None:
        STORE.delete(LEASE)
    else:
        STORE.put(LEASE, json.dumps(asdict(owner)).encode())


def there() -> Owner | None:
    content = STORE.get(LEASE)
    return None if content is None else Owner(**json.loads(content))


@pytest.fixture
def world() -> Iterator[World]:
    with flat_store() as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease, "RENEW_SECONDS", 3600.0)  # by hand
        made = World(store)
        yield made
        write(None)
        for each in made.made:
            each.release(keep=True)  # its thread ends


def test_the_first_driver_has_the_number_one_and_leaves_nothing_where_nothing_began(world: World) -> None:
    held = world.taken()
    now = there()
    assert held.epoch == 1 and now is not None
    assert now == Owner(1, held.id, socket.gethostname(), now.boot, os.getpid(), now.began)
    assert now.began == pytest.approx(psutil.Process().create_time(), abs=1)
    held.release(keep=False)
    assert world.store.content == {} and world.said == []


def test_a_driver_that_has_ended_in_order_is_followed_at_once(world: World) -> None:
    held = world.taken()
    held.release(keep=True)
    assert world.taken().epoch == 2
    assert world.store.now == 2 * lease.SETTLE_SECONDS and world.said == []


def test_the_number_is_above_those_of_all_that_wrote(world: World) -> None:
    assert world.taken(least=7).epoch == 7
    write(OTHER)
    world.store.now += 2 * EXPIRE_SECONDS
    assert world.taken(least=2).epoch == 4


def test_another_driver_of_this_machine_is_refused_while_its_process_lives(world: World) -> None:
    first = world.taken()
    with pytest.raises(BadInput, match=r"pid \d+ is running this search; wait for it or stop it"):
        world.taken()
    owner = there()
    assert owner is not None and owner.id == first.id
    write(replace(owner, pid=2**22 + 1))  # killed
    assert world.taken().epoch == 2
    write(replace(owner, began=1.0))  # its number belongs to another process now
    assert world.taken().epoch == 2


def test_a_lost_machine_is_waited_for_by_the_store_s_clock(world: World) -> None:
    write(OTHER)
    world.store.now += 30
    assert world.taken().epoch == 4
    assert EXPIRE_SECONDS <= world.store.now < EXPIRE_SECONDS + lease.RENEW_SECONDS / 5 + lease.SETTLE_SECONDS
    said = "elsewhere pid 1 had this search 30 s ago: waiting until nothing was heard from it for 45 s"
    assert world.said == [said]
    assert set(world.store.content) == {f"bucket/team/s/{LEASE}"}  # no claim is left


def test_one_that_is_heard_of_while_it_is_waited_for_keeps_its_search(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 10.0)
    write(OTHER)
    world.then[2] = replace(OTHER, beat=1)
    with pytest.raises(BadInput, match="elsewhere pid 1 is running this search"):
        world.taken()
    assert there() == replace(OTHER, beat=1)


@pytest.mark.parametrize("end", [None, replace(OTHER, released=True)])
def test_one_that_ends_while_it_is_waited_for_is_followed_at_once(
    world: World, end: Owner | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 10.0)
    write(OTHER)
    world.then[1] = end
    assert world.taken().epoch == (4 if end else 1)
    assert world.store.now < 5


def test_of_two_that_come_at_once_the_later_one_stays(world: World) -> None:
    world.then[1] = OTHER
    with pytest.raises(BadInput, match="elsewhere pid 1 is running this search"):
        world.taken()
    assert there() == OTHER


def test_a_driver_that_was_taken_over_hears_of_it_before_it_writes(world: World) -> None:
    held = world.taken()
    write(OTHER)
    held.check()  # it was sure of it a moment ago
    world.store.now += EXPIRE_SECONDS / 2 + 1
    for _ in range(2):
        with pytest.raises(Displaced, match="elsewhere pid 1 has taken this search over"):
            held.check()
    held.release(keep=True)
    assert there() == OTHER


def test_a_driver_that_was_silent_for_long_but_not_taken_over_goes_on(world: World) -> None:
    held = world.taken()
    for beat in (1, 2):
        world.store.now += 10 * EXPIRE_SECONDS
        held.check()
        now = there()
        assert now is not None and now.beat == beat and now.id == held.id
    asked = world.store.asked.total()
    held.check()
    assert world.store.asked.total() == asked


def test_being_taken_over_is_no_failure_of_a_trial() -> None:
    assert not issubclass(Displaced, Exception)


def test_an_object_that_says_nothing_is_named(world: World) -> None:
    STORE.put(LEASE, b"{}")
    with pytest.raises(BadInput, match=r"lease.json: says nothing of use"):
        world.taken()
