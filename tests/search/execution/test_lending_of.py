"""The store of shared prefixes of a search: whether there is one, where it lies, what it may take."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_search import proposed, small_search

from search.execution import sharing
from search.execution.sharing import lending_of
from search.history.events import Kept
from search.history.records import Records
from search.persistence.folder import Folder
from search.prefixes.lending import Lending
from search.spec.plan import make_plan
from search.spec.search import Search
from tests.trainables.flat_store import URI, flat_store
from trainables.objects import Prefix
from trainables.prefix import Order
from trainables.start import StartAt

LATE = ("knobs=[scheduler_factor, scheduler_patience]", "space={scheduler_patience: {int: [8, 12]}}")
FREE = 5000
"""Bytes on the disk."""


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "shutil", SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=FREE)))


def lent(
    search: Search,
    path: Path,
    *kept: Kept,
    store: Prefix | None = None,
    data: str = "data",
    begin: StartAt | None = None,
) -> Lending | None:
    ledger: Any = SimpleNamespace(records=Records([proposed(0, {}), *kept]))
    return lending_of(search, make_plan(search).shared, Folder(path, (), ledger, "", store), data, begin)


def first(search: Search, path: Path, *kept: Kept, **more: Any) -> Order:
    """What the first trial is to do."""
    lending = lent(search, path, *kept, **more)
    assert lending is not None
    return lending.order(0)


def state(folder: Path, address: str, size: int, step: int = 9) -> Kept:
    """A state in the store, and the record of it."""
    place = folder / "prefixes" / address
    place.mkdir(parents=True)
    (place / f"{step:09d}.pt").write_bytes(b"x" * size)
    return Kept(0, step, f"key of {address}", address, size, None, 0.0)


@pytest.mark.parametrize("sets", [("share=off",), ("share=auto", "knobs=[lr]", "space={}")])
def test_a_search_that_shares_nothing_has_none(tmp_path: Path, sets: tuple[str, ...]) -> None:
    assert lent(small_search(tmp_path, *LATE, *sets), tmp_path) is None


def test_without_a_limit_it_may_take_a_share_of_the_free_disk_and_what_it_has(tmp_path: Path) -> None:
    search = small_search(tmp_path, *LATE)
    assert first(search, tmp_path).room == 0.1 * FREE
    kept = state(tmp_path, "a", 100)
    lending = lent(search, tmp_path, kept)
    assert lending is not None and lending.order(0).room == 420  # for four as large, and a little more
    assert lending.held == 100 and set(lending.kept) == {kept.key}  # nothing had to make room for it


def test_a_limit_holds_wherever_it_lies(tmp_path: Path) -> None:
    search = small_search(tmp_path, *LATE, "resources.prefixes=2 MB")
    assert first(search, tmp_path).room == search.prefixes == 2 * 10**6
    with flat_store():
        assert first(search, tmp_path, store=Prefix(URI)).room == search.prefixes


def test_what_the_journal_does_not_know_is_deleted_and_what_is_gone_is_not_lent(tmp_path: Path) -> None:
    known, unknown, gone = (state(tmp_path, name, 30) for name in ("known", "unknown", "gone"))
    (tmp_path / "prefixes" / "gone" / "000000009.pt").unlink()
    lending = lent(small_search(tmp_path, *LATE), tmp_path, known, gone)
    assert lending is not None and set(lending.kept) == {known.key}
    assert not (tmp_path / "prefixes" / unknown.address).exists()
    assert (tmp_path / "prefixes" / known.address).exists()


def test_in_a_store_it_lies_there_and_the_disk_does_not_limit_it(tmp_path: Path) -> None:
    with flat_store() as held:
        store = Prefix(URI)
        (store / "prefixes" / "unknown").put("000000009.pt", b"x")
        (store / "trials" / "t0000").put("mine", b"x")
        assert first(small_search(tmp_path, *LATE), tmp_path, store=store).room == sharing.IN_STORE
        assert list(held.content) == ["bucket/team/s/trials/t0000/mine"]


def test_states_are_only_for_trials_of_the_same_data_seed_and_start(tmp_path: Path) -> None:
    search = small_search(tmp_path, *LATE)
    at = StartAt(3, {0: "digest", 1: "of another seed"}, given=False)
    orders = [
        first(search, tmp_path),
        first(search, tmp_path, data="other"),
        first(search, tmp_path, begin=at),
        first(search, tmp_path, begin=StartAt(3, {0: "other"}, given=False)),
    ]
    keys = [set(order.last_calm.values()) for order in orders]
    assert all(keys) and not any(a & b for i, a in enumerate(keys) for b in keys[:i])
    same = StartAt(3, {0: "digest"}, given=True)
    assert first(search, tmp_path, begin=same) == orders[2] and first(search, tmp_path) == orders[0]
    assert min(orders[0].last_calm) == 1 and min(orders[2].last_calm) == 4  # nothing is trained up to the start
