"""Runs on fresh seeds that are begun while the search still trains."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_search import proposed, records_of, reported, trial

from search.app.fresh_seeds import Ahead
from search.history.events import Event
from search.history.records import Records
from search.spec.config import Confirm
from trainables.run import Objective


def context(records: Records, goes_on: bool = True, trained: bool = False, confirm: Confirm | None = None) -> Any:
    """As much of a run as is asked for, with a ledger that keeps nothing on disk."""
    search = SimpleNamespace(
        start=SimpleNamespace(trained=True) if trained else None,
        goes_on=goes_on,
        settings=SimpleNamespace(confirm=confirm or Confirm(top=2, seeds="auto"), sampler=SimpleNamespace(seed=6)),
        model=SimpleNamespace(objective=Objective("mae", "min", 1.0, "prior sd")),
        further=(),
    )
    ledger = SimpleNamespace(records=records, emit=records.apply)
    folder, plan = SimpleNamespace(ledger=ledger, path=Path()), SimpleNamespace(rungs=(2, 6, 18))
    return SimpleNamespace(search=search, folder=folder, plan=plan)


def searched(*more: list[Event]) -> Records:
    return records_of([proposed(0, origin="baseline"), reported(0, 1, 0.5)], *more)


def test_each_run_is_handed_out_once_and_more_come_with_what_the_search_finds() -> None:
    records = searched()
    fill = Ahead(context(records))
    assert fill(None) is None  # nothing to compare the baseline with
    for event in (proposed(1), reported(1, 1, 0.4)):
        records.apply(event)
    assert [fill(None), fill(None), fill(None)] == [2, 3, None]  # one candidate: two pairs
    for event in (proposed(4), reported(4, 1, 0.3)):
        records.apply(event)
    assert [fill(None), fill(None)] == [5, None]  # one seed more, which chooses between two
    assert [(run.proposed.origin, run.proposed.seed) for run in records.of_kind("confirm")] == [
        ("trial 0", 7),
        ("trial 0", 8),
        ("trial 0", 9),
    ]


def test_configs_that_nothing_can_displace_follow_the_baseline_and_are_not_gone_on_with_where_something_can() -> None:
    records = searched(trial(1, 0.4), trial(2, 0.3))
    confirm = Confirm(top=2, seeds=2)
    fill = Ahead(context(records, confirm=confirm))
    assert [fill(None), fill(None), fill(None)] == [3, 4, None]
    for event in (proposed(5), reported(5, 1, 0.9)):
        records.apply(event)
    assert [fill((5,)), fill((5,)), fill((5,))] == [6, 7, None]  # both seeds of trial 2: one place is 5's to take
    again = Ahead(context(records, confirm=confirm))
    assert [again(None), again(None), again(None)] == [3, 4, None]
    runs = records.of_kind("confirm")
    assert [(run.proposed.origin, run.proposed.seed) for run in runs[2:]] == [("trial 2", 7), ("trial 2", 8)]


def test_runs_of_an_earlier_sitting_come_first_and_ended_ones_no_more() -> None:
    over = trial(2, 0.5, origin="trial 0", kind="confirm", seed=7)
    other = [proposed(4, origin="trial 0", kind="confirm", seed=99)]  # of a confirmation on more seeds than now
    records = searched(trial(1, 0.4), over, [proposed(3, origin="trial 0", kind="confirm", seed=8)], other)
    fill = Ahead(context(records))
    assert [fill(None), fill(None)] == [3, None]


@pytest.mark.parametrize("why", [{"goes_on": False}, {"trained": True}, {"confirm": Confirm(seeds=0)}])
def test_nothing_is_begun_that_would_have_to_be_trained_anew(why: dict[str, Any]) -> None:
    assert Ahead(context(searched(trial(1, 0.4)), **why))(()) is None
