from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.history.events import Phase
from search.history.journal import Journal, parse, read
from search.persistence import object_store_journal
from search.persistence.lease import Lease
from search.persistence.object_store_journal import Mirror, journal, parts, upload
from spaces.problems import BadInput
from tests.trainables.flat_store import URI, Flat, flat_store
from trainables.objects import Prefix

STORE = Prefix(URI)


@dataclass
class Held:
    """A lease that is ours."""

    epoch: int
    id: str

    def check(self) -> None: ...


def driver(epoch: int, identity: str = "") -> Mirror:
    return Mirror(STORE, cast(Lease, Held(epoch, identity or f"{epoch:04x}")))


@pytest.fixture
def store() -> Iterator[Flat]:
    with flat_store() as made:
        yield made


RECORDS = st.lists(st.binary(min_size=1, max_size=40), max_size=12)


@given(sittings=st.lists(st.tuples(RECORDS, RECORDS, st.booleans()), max_size=5), full=st.integers(1, 100))
def test_the_journal_is_what_drivers_committed_in_turn(sittings: list[Any], full: int) -> None:
    """Each takes over where the store ends then; the one before may write on for a while, unaware, and is not heard."""
    with flat_store(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_store_journal, "FULL", full)
        expected, zombie, last = b"", None, b""
        for epoch, (records, late, dies_at_once) in enumerate(sittings, 1):
            known = journal(STORE, parts(STORE))
            assert known == expected
            now = driver(epoch)
            now.begin(len(known))
            if dies_at_once:
                continue
            for record in records:
                now.commit(record)
                expected += record
                assert journal(STORE, parts(STORE)) == expected
            if zombie is not None and records:
                for record in last:
                    zombie.commit(record)
                assert journal(STORE, parts(STORE)) == expected
            if records:
                zombie, last = now, late
        assert journal(STORE, parts(STORE)) == expected


def test_no_object_grows_beyond_its_size(store: Flat) -> None:
    now = driver(1)
    for _ in range(1000):
        now.commit(b"x" * 200)
    sizes = sorted(len(data) for data, _ in store.content.values())
    assert sum(sizes) == 200_000 and len(sizes) == 7 and sizes[-1] < object_store_journal.FULL + 200
    assert store.asked == {"put": 1000}


def test_a_hole_is_no_journal(store: Flat) -> None:
    now = driver(1)
    for _ in range(3):
        now.commit(b"x" * object_store_journal.FULL)
    names = sorted(store.content)
    for lost in names[:-1]:
        kept = store.content.pop(lost)
        with pytest.raises(BadInput, match=r"bytes from \d+ are missing"):
            journal(STORE, parts(STORE))
        store.content[lost] = kept
    del store.content[names[-1]]
    assert (
        len(journal(STORE, parts(STORE))) == 2 * object_store_journal.FULL
    )  # its end could not be told from one that never was


def test_two_drivers_of_one_number_are_not_mixed(store: Flat) -> None:
    driver(1, "aa").commit(b"x")
    driver(1, "bb").commit(b"y")
    with pytest.raises(BadInput, match="two drivers began at the same moment"):
        parts(STORE)


def test_a_record_is_in_the_store_before_it_is_here(store: Flat, tmp_path: Path) -> None:
    now, path = driver(1), tmp_path / "journal.jsonl"
    seen: list[tuple[int, int]] = []

    def first(record: bytes) -> None:
        now.commit(record)
        seen.append((len(parse(journal(STORE, parts(STORE)), "")[0]), len(read(path)[0])))

    with Journal(path, first=first) as file:
        for at in range(3):
            file.append(Phase("search", float(at)))
    assert seen == [(1, 0), (2, 1), (3, 2)]
    assert path.read_bytes() == journal(STORE, parts(STORE))


def test_what_people_look_at_is_uploaded_and_what_is_of_one_machine_is_not(store: Flat, tmp_path: Path) -> None:
    kept = ("best.yaml", "native/base.yaml", "figures/a.png", "trials/t0000/log.txt", "trials/t0000/artifacts/a.png")
    left = (
        ".owner",
        ".lock",
        "journal.jsonl",
        "tracking.jsonl",
        "study.journal",
        "study.journal.lock",
        "ray/x/y",
        "trials/t0000/worker.json",
        "trials/t0000/checkpoints/000000001.pt",
    )
    for name in (*kept, *left):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    upload(STORE, tmp_path)
    assert STORE.sizes(recursive=True) == {name: len(name) for name in kept}
    store.asked.clear()
    (tmp_path / "trials/t0000/log.txt").write_text("longer than before, by far")
    upload(STORE, tmp_path)
    assert store.asked == {"list": 1, "put": 4}  # three of the search's own, and the log
