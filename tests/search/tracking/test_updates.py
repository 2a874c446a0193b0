"""Trials that begin as another has trained: what their runs say, and what counts as trained."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from small_search import proposed, reported

from search.history.events import Ended, Event, Forked, Kept, Started
from search.history.records import Records
from search.tracking.updates import PARENT, Trials, Update

SOURCE: list[Event] = [proposed(0), *(reported(0, step, 1 / step) for step in (3, 6, 9))]


def folded(events: Sequence[Event]) -> dict[int, Update]:
    trials, updates = Trials((3, 9)), dict[int, Update]()
    for event in events:
        trials.fold(event, updates)
    return updates


@pytest.mark.parametrize(
    ("forks", "named", "trained"),
    [
        ([], None, 18),
        ([Forked(1, 0, 6, 0.0)], "trial 0 at 6", 12),
        ([Forked(1, 0, 6, 0.0), Forked(1, 0, 3, 0.0)], "trial 0 at 3", 15),  # what was to be copied first was lost
    ],
)
def test_what_a_trial_copies_of_another_is_named_and_not_trained_again(
    forks: list[Event], named: str | None, trained: int
) -> None:
    events = [*SOURCE, proposed(1), *forks, *(reported(1, step, 0.9 / step) for step in (3, 6, 9))]
    updates = folded(events)
    assert updates[1].tags.get("forked_from") == named
    best = [point.step for point in updates[PARENT].metrics]
    assert best == [9, trained] and trained == Records(events).search_steps
    assert len([point for point in updates[1].metrics if point.key == "objective"]) == 3  # its curve is whole


def test_what_is_kept_for_others_is_no_matter_of_the_trials_run() -> None:
    trials, updates = Trials((3, 9)), dict[int, Update]()
    for event in SOURCE:
        trials.fold(event, updates)
    before = replace(updates[0], metrics=list(updates[0].metrics), tags=dict(updates[0].tags))
    trials.fold(Kept(0, 3, "key", "address", 100, None, 1.0), updates)
    assert updates[0] == before and set(updates) == {0, PARENT}


def test_a_trial_whose_beginning_is_not_known_is_named_by_its_number() -> None:
    update = folded([Started(4, "box", 7, "", 1.0), Ended(4, "failed", "why", 2.0)])[4]
    assert (update.name, update.tags["status"], update.ended) == ("trial 4", "failed", ("FAILED", 2000))
