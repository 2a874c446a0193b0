from pathlib import Path

import pytest
from small_search import proposed, reported

from search.history.events import Changed, Ended, Event, Paused
from search.history.records import Records
from search.persistence.reconcile import reconcile
from spaces.problems import BadInput
from trainables import checkpoints
from trainables.layout import trial_folder


def saved(path: Path, number: int, *steps: int) -> None:
    folder = trial_folder(path, number) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    for step in steps:
        (folder / f"{step:09d}.pt").write_bytes(b"x")


def notes(path: Path, *events: Event, every: int = 1) -> list[str]:
    return list(reconcile(path, Records(events), every))


def ran(number: int, steps: int, seconds: float = 1.0) -> list[Event]:
    return [proposed(number), *(reported(number, s, 0.5, seconds=seconds) for s in range(1, steps + 1))]


@pytest.mark.parametrize("step", [3, 4])
def test_a_checkpoint_may_be_one_evaluation_ahead(step: int, tmp_path: Path) -> None:
    saved(tmp_path, 0, step - 1, step)
    assert notes(tmp_path, *ran(0, 3)) == []


def test_a_journal_that_is_older_than_its_trials_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, 0, 5)
    saved(tmp_path, 1, 2)
    with pytest.raises(BadInput) as caught:
        notes(tmp_path, *ran(0, 3, seconds=10.0))
    assert checkpoints.steps(trial_folder(tmp_path, 0) / "checkpoints") == [5]  # nothing was touched
    first, second = sorted(caught.value.problems, key=lambda p: p.where, reverse=True)
    assert "t0001" in first.where and "no such trial" in first.what
    assert "t0000" in second.where and "step 5" in second.what and "its step 3" in second.what
    assert "journal.jsonl" in first.what and "--name" in first.what


@pytest.mark.parametrize("kept", [(2, 3), (4, 9), (9,)])
def test_what_a_power_cut_took_from_the_journal_is_done_again(kept: tuple[int, ...], tmp_path: Path) -> None:
    """Quick evaluations: many may lie between the last record on the disk and the last checkpoint."""
    saved(tmp_path, 0, *kept)
    saved(tmp_path, 1, 1, 2)
    said = notes(tmp_path, *ran(0, 3, seconds=0.1))
    assert checkpoints.steps(trial_folder(tmp_path, 0) / "checkpoints") == sorted(s for s in kept if s <= 4)[::-1]
    assert checkpoints.steps(trial_folder(tmp_path, 1) / "checkpoints") == []  # it may be proposed anew, differently
    assert any("t0001" in line and "done again" in line for line in said)


def test_evaluations_are_counted_in_their_own_length(tmp_path: Path) -> None:
    saved(tmp_path, 0, 200)
    assert notes(tmp_path, proposed(0), reported(0, 100, 0.5), every=100) == []
    with pytest.raises(BadInput):
        notes(tmp_path, proposed(0), reported(0, 100, 0.5, seconds=9.0), every=50)


def test_a_trial_that_took_over_anothers_state_may_be_anywhere(tmp_path: Path) -> None:
    saved(tmp_path, 0, 9)
    assert notes(tmp_path, *ran(0, 3), Changed(0, {}, 0.0)) == []


def test_what_will_be_trained_again_is_told(tmp_path: Path) -> None:
    saved(tmp_path, 0, 1)
    (note,) = notes(tmp_path, *ran(0, 3))
    assert "trial 0" in note and "step 1 of 3" in note and "2.0 s" in note
    assert notes(tmp_path, *ran(0, 3), Paused(0, 3, 0.0)) == []  # it may never go on
    assert notes(tmp_path, *ran(0, 3), Ended(0, "completed", "", 0.0)) == []


def test_dear_checkpoints_that_are_gone_stop_the_search(tmp_path: Path) -> None:
    trial_folder(tmp_path, 0).mkdir(parents=True)
    with pytest.raises(BadInput) as caught:
        notes(tmp_path, *ran(0, 3, seconds=60.0))
    (problem,) = caught.value.problems
    assert "180 s of training" in problem.what and "delete the folder" in problem.what
    (note,) = notes(tmp_path, *ran(0, 3, seconds=6.0))  # cheap enough to do again
    assert "18.0 s" in note
    trial_folder(tmp_path, 0).rmdir()  # as it says
    assert len(notes(tmp_path, *ran(0, 3, seconds=60.0))) == 1


def test_checkpoints_that_made_room_are_not_missed(tmp_path: Path) -> None:
    saved(tmp_path, 0, 3)
    checkpoints.evict(trial_folder(tmp_path, 0) / "checkpoints")
    assert notes(tmp_path, *ran(0, 3, seconds=60.0), Paused(0, 3, 0.0)) == []
