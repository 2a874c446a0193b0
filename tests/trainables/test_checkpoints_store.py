"""Checkpoints in an object store: the same as in a folder, whatever is done to them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainables.flat_store import URI, Flat, flat_store
from trainables import checkpoints
from trainables.layout import checkpoint_folder
from trainables.objects import Prefix

TRIALS = 3


@pytest.fixture
def store() -> Iterator[Flat]:
    with flat_store() as made:
        yield made


def state(step: int) -> dict[str, Any]:
    return {"weights": torch.full((3,), float(step)), "step": step}


def act(place: checkpoints.Place, what: str, step: int) -> None:
    match what:
        case "write":
            checkpoints.write(place, step, state(step))
        case "remove":
            checkpoints.remove(place, beyond=step)
        case "trim":
            checkpoints.trim(place)
        case "evict" if checkpoints.steps(place):
            checkpoints.evict(place)


ACTS = st.tuples(st.sampled_from(["write", "write", "write", "remove", "trim", "evict"]), st.integers(0, 12))


@given(acts=st.lists(st.tuples(st.integers(0, TRIALS - 1), ACTS), max_size=12))
def test_a_store_holds_what_a_folder_would(acts: list[tuple[int, tuple[str, int]]], tmp_path_factory: Any) -> None:
    folder: Path = tmp_path_factory.mktemp("trials")
    with flat_store():
        bucket = Prefix(URI)
        for number, (what, step) in acts:
            for place in (checkpoint_folder(folder, number), checkpoint_folder(folder, number, bucket)):
                act(place, what, step)
        there = checkpoints.survey(bucket)
        here = {number: held for number, held in checkpoints.survey(folder).items() if held != checkpoints.Held()}
        assert {number: held for number, held in there.items() if held != checkpoints.Held()} == here
        for number in range(TRIALS):
            one, other = checkpoint_folder(folder, number), checkpoint_folder(folder, number, bucket)
            assert checkpoints.steps(one) == checkpoints.steps(other)
            assert checkpoints.size(one) == checkpoints.size(other)
            first, second = checkpoints.newest(one, "cpu"), checkpoints.newest(other, "cpu")
            assert (first is None) == (second is None)
            if first is not None and second is not None:
                assert first[0] == second[0] == second[1]["step"]
                assert torch.equal(first[1]["weights"], second[1]["weights"])


def test_a_damaged_object_is_passed_over(store: Flat) -> None:
    place = checkpoint_folder("/nowhere", 0, Prefix(URI))
    for step in (1, 2):
        checkpoints.write(place, step, state(step))
    path = "bucket/team/s/trials/t0000/checkpoints/000000002.pt"
    data = store.content[path][0]
    for damaged in (b"", data[:40], data[:-1] + bytes([data[-1] ^ 1])):
        store.content[path] = (damaged, 0.0)
        found = checkpoints.newest(place, "cpu")
        assert found is not None and found[0] == 1


def test_what_is_replaced_goes_only_when_the_new_one_is_there(store: Flat) -> None:
    place = checkpoint_folder("/nowhere", 0, Prefix(URI, tries=1))
    for step in (1, 2):
        checkpoints.write(place, step, state(step))
    store.fails = 1
    with pytest.raises(OSError, match="SLOW_DOWN"):
        checkpoints.write(place, 3, state(3))
    assert checkpoints.steps(place) == [2, 1]


def test_the_state_of_all_trials_takes_one_request(store: Flat) -> None:
    for number in range(30):
        checkpoints.write(checkpoint_folder("/nowhere", number, Prefix(URI)), 1, state(1))
    before = store.asked.total()
    assert set(checkpoints.survey(Prefix(URI))) == set(range(30))
    assert store.asked.total() == before + 1


def test_the_requests_of_a_checkpoint(store: Flat) -> None:
    place = checkpoint_folder("/nowhere", 0, Prefix(URI))
    for step in (1, 2, 3):
        store.asked.clear()
        checkpoints.write(place, step, state(step))
    assert store.asked == {"put": 1, "list": 1, "delete": 1}
