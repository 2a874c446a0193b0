"""The tree of what trials trained once."""

from small_search import proposed, reported

from search.history.events import Ended, Forked
from search.history.records import Records
from search.report.stages import Stage, shared_stages


def records_of(*forks: tuple[int, int, int, int]) -> Records:
    """Trials as (number, source, step of the fork, last step); a source of -1: none."""
    found = Records()
    for number, source, begun, last in forks:
        found.apply(proposed(number))
        if source >= 0:
            found.apply(Forked(number, source, begun, 0.0))
        for step in range(1, last + 1):
            found.apply(reported(number, step, 0.5))
        found.apply(Ended(number, "completed", "", 0.0))
    return found


def test_a_search_that_shared_nothing_has_no_tree() -> None:
    assert shared_stages(records_of((0, -1, 0, 5), (1, -1, 0, 5))) is None


def test_the_stages_branch_where_trials_began() -> None:
    found = shared_stages(records_of((0, -1, 0, 9), (1, 0, 3, 9), (2, 0, 6, 9), (3, 1, 5, 7), (4, -1, 0, 2)))
    assert found is not None
    assert (found.trained, found.replayed) == (9 + 6 + 3 + 2 + 2, 3 + 6 + 5)
    rest = Stage(0, 3, 6, (Stage(0, 6, 9, ()), Stage(2, 6, 9, ())))
    other = Stage(1, 3, 5, (Stage(1, 5, 9, ()), Stage(3, 5, 7, ())))
    assert found.roots == (Stage(0, 0, 3, (rest, other)),)


def test_a_trial_that_changed_nothing_is_named_with_the_one_that_it_is() -> None:
    found = shared_stages(records_of((0, -1, 0, 4), (1, 0, 4, 4)))
    assert found is not None and found.roots == (Stage(0, 0, 4, (), (1,)),)
    assert (found.trained, found.replayed) == (4, 4)
