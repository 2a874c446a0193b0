"""Who starts from what, who keeps what, and what is deleted: without a search, over a toy of a model."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.history.events import Ended, Kept, Paused, Proposed, Reported
from search.history.records import Records
from search.prefixes.key import Identity
from search.prefixes.lending import Common, Entry, Lending, evicted
from search.prefixes.predict import Lengths, Outline, Prediction
from trainables.prefix import Controller, Order, Sharing
from trainables.run import Model

HORIZON = 10
Config = Mapping[str, float]


def realised(config: Config, step: int) -> float:
    """A rate that is one until the config's `at`, then its own."""
    return config["rate"] if step >= config["at"] else 1.0


SCHEDULED: Sharing[Config] = Sharing(realised)
WAITING: Sharing[Config] = Sharing(
    lambda config, step: 1.0,  # noqa: ARG005
    Controller(
        unacted=lambda config: {},  # noqa: ARG005
        settings=lambda config: {"patience": config["patience"]},
        earliest=lambda config: int(config["patience"]) + 2,
        seen=lambda state: state["longest"],
        calm=lambda config, longest: longest <= config["patience"],
    ),
)
MODEL = cast(Model[Any, Any], SimpleNamespace(name="toy", static=lambda config: {"width": config.get("width", 1)}))


class Scene:
    """A search of trials that all train in the order in which they are proposed."""

    def __init__(self, drawn: list[Config], sharing: Sharing[Config] = SCHEDULED, cap: int = 100) -> None:
        self.records, self.dropped = Records(), list[str]()
        outlines = tuple(Outline(MODEL, sharing, config, Lengths(HORIZON, 1)) for config in drawn)
        prediction = Prediction(outlines, Lengths(HORIZON, 1), (0,) * len(drawn), 0)
        identity = Identity("toy", "code", "data", 0, 1)
        self.common = Common(MODEL, sharing, identity, prediction, dict, cap)
        self.lending = Lending(self.common, self.records, {}, self.dropped.append)

    def tell(self, *events: Any) -> None:
        for event in events:
            self.records.apply(event)
            self.lending(event)

    def order(self, number: int, config: Config, seed: int = 0) -> Order:
        self.tell(Proposed(number, config, seed, "search", "random", 0.0))
        return self.lending.order(number)

    def reports(self, number: int, upto: int, begin: int = 1) -> None:
        self.tell(*(Reported(number, step, {"objective": step}, 1.0, 0.0) for step in range(begin, upto + 1)))

    def kept(self, number: int, step: int, key: str, size: int = 10, seen: int | None = 0) -> None:
        self.tell(Kept(number, step, key, f"at {key}" if size else "", size, seen, 0.0))


LATE = [{"at": 6, "rate": rate} for rate in (0.1, 0.2, 0.3)]


def test_the_first_keeps_where_others_part_and_the_next_start_there() -> None:
    scene = Scene(LATE)
    first = scene.order(0, {"at": 6, "rate": 0.4})
    assert first.fork is None and set(first.keep) == {6, HORIZON}
    scene.reports(0, 6)
    scene.kept(0, 6, first.keep[6][0])
    order = scene.order(1, {"at": 6, "rate": 0.5})
    assert order.fork is not None and (order.fork.step, order.fork.source) == (6, 0)
    assert [report["step"] for report in order.fork.reports] == list(range(1, 7))
    assert [report["objective"] for report in order.fork.reports] == list(range(1, 7))
    assert set(order.keep) == {HORIZON}


def test_two_that_need_the_same_unfinished_prefix_never_both_keep_it() -> None:
    scene = Scene(LATE)
    first, second = scene.order(0, {"at": 6, "rate": 0.4}), scene.order(1, {"at": 6, "rate": 0.5})
    assert second.fork is None and 6 in first.keep and 6 not in second.keep
    scene.reports(0, 3)
    scene.tell(Paused(0, 3, 0.0))  # it waits at a rung, and may never come there
    assert 6 in scene.order(2, {"at": 6, "rate": 0.6}).keep


@pytest.mark.parametrize(
    ("config", "seed"),
    [({"at": 5, "rate": 0.4}, 0), ({"at": 6, "rate": 0.4, "width": 2}, 0), ({"at": 6, "rate": 0.4}, 1)],
    ids=["parts earlier", "another network", "another seed"],
)
def test_nothing_is_lent_to_another_training(config: Config, seed: int) -> None:
    scene = Scene(LATE)
    first = scene.order(0, {"at": 6, "rate": 0.4})
    scene.reports(0, 6)
    scene.kept(0, 6, first.keep[6][0])
    assert scene.order(1, config, seed).fork is None


def test_the_same_training_is_not_trained_again() -> None:
    scene = Scene(LATE)
    first = scene.order(0, {"at": 6, "rate": 0.4, "name": 1})
    scene.reports(0, HORIZON)
    scene.kept(0, HORIZON, first.keep[HORIZON][0], size=0)
    fork = scene.order(1, {"at": 6, "rate": 0.4, "name": 2}).fork
    assert fork is not None and fork.step == HORIZON and not fork.stored and len(fork.reports) == HORIZON


def test_a_controller_that_has_not_acted_shares_with_those_that_would_not_have_either() -> None:
    scene = Scene([{"patience": each} for each in (2, 4, 6)], WAITING)
    first = scene.order(0, {"patience": 5})
    assert set(first.last_calm) == set(range(1, HORIZON))
    scene.reports(0, 8)
    scene.kept(0, 8, first.last_calm[8], seen=4)
    patient, hasty = scene.order(1, {"patience": 4}), scene.order(2, {"patience": 3})
    assert patient.fork is not None and patient.fork.step == 8
    assert hasty.fork is None


def test_what_a_worker_does_not_find_is_lent_no_more() -> None:
    scene = Scene(LATE)
    key = scene.order(0, {"at": 6, "rate": 0.4}).keep[6][0]
    scene.reports(0, 6)
    scene.kept(0, 6, key)
    scene.lending.gone(key, "an address of another machine type")
    assert scene.order(1, {"at": 6, "rate": 0.5}).fork is not None
    scene.lending.gone(key, f"at {key}")
    order = scene.order(2, {"at": 6, "rate": 0.6})
    assert order.fork is None and 6 in order.keep and scene.dropped == [f"at {key}"]


def test_it_is_the_same_after_a_restart_and_what_nobody_knows_is_deleted() -> None:
    scene = Scene(LATE)
    key = scene.order(0, {"at": 6, "rate": 0.4}).keep[6][0]
    scene.reports(0, 6)
    scene.kept(0, 6, key)
    scene.tell(Proposed(1, {"at": 6, "rate": 0.5}, 0, "search", "random", 0.0))
    dropped = list[str]()
    again = Lending(scene.common, scene.records, {f"at {key}": 10, "orphan": 3}, dropped.append)
    assert dropped == ["orphan"]
    fork = again.order(1).fork
    assert fork is not None and fork.step == 6
    without = Lending(scene.common, scene.records, {}, dropped.append)
    assert without.order(1).fork is None


def test_reports_that_the_driver_has_are_not_copied_again() -> None:
    scene = Scene(LATE)
    key = scene.order(0, {"at": 6, "rate": 0.4}).keep[6][0]
    scene.reports(0, 6)
    scene.kept(0, 6, key)
    scene.order(1, {"at": 6, "rate": 0.5})
    scene.reports(1, 4)
    fork = scene.lending.order(1).fork
    assert fork is not None and [report["step"] for report in fork.reports] == [5, 6]


def test_the_store_stays_within_its_cap_and_lets_go_of_what_is_worth_least() -> None:
    scene = Scene([{"at": at, "rate": rate} for at in (3, 5, 7) for rate in (0.1, 0.2, 0.3)], cap=25)
    for number, at in enumerate((3, 5, 7)):
        order = scene.order(number, {"at": at, "rate": 0.4 + number})
        for step, keys in order.keep.items():
            if step < HORIZON and order.room >= 10:
                scene.reports(number, step, scene.records.trials[number].step + 1)
                scene.kept(number, step, keys[0])
        scene.tell(Ended(number, "stopped", "", 0.0))
        assert scene.lending.held <= 25
    assert scene.dropped and scene.lending.held == 20


entries = st.lists(
    st.builds(Entry, st.uuids().map(str), st.uuids().map(str), st.integers(1, 9), st.integers(1, 50), st.just(0)),
    max_size=8,
    unique_by=lambda entry: entry.key,
)


@given(entries, st.integers(-5, 200), st.data())
def test_eviction_frees_enough_or_all_it_may_and_never_what_is_in_use(
    found: list[Entry], needed: int, data: st.DataObject
) -> None:
    used = {entry.key for entry in found if data.draw(st.booleans())}
    gone = evicted(found, needed, used, 5)
    assert not {entry.key for entry in gone} & used
    freed, free = sum(entry.size for entry in gone), sum(entry.size for entry in found if entry.key not in used)
    assert freed >= min(needed, free)
    assert needed > 0 or not gone


def test_a_hit_lately_is_worth_more_than_one_long_ago() -> None:
    old, new = (Entry(key, key, 5, 10, 0, 0, [at]) for key, at in (("old", 0), ("new", 90)))
    assert [entry.key for entry in evicted([new, old], 5, (), 100)] == ["old"]
    large: Callable[[], Entry] = lambda: Entry("large", "large", 5, 1000, 0, 0, [90])  # noqa: E731
    assert [entry.key for entry in evicted([new, large()], 5, (), 100)] == ["large"]
