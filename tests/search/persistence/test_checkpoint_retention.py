from pathlib import Path

import pytest
from small_search import proposed, reported

from search.history.events import Ended, Event, Paused, Promoted
from search.history.records import Records
from search.persistence.checkpoint_retention import CheckpointRetention, shown
from trainables import checkpoints
from trainables.layout import trial_folder

SIZE = 1000


class Search:
    """Trials with checkpoints of `SIZE` bytes, and the retention that listens."""

    def __init__(self, path: Path, limit: int | None = None, mode: str = "min", kept: int | None = None) -> None:
        self.path, self.records, self.said = path, Records(), list[str]()
        self.retention = CheckpointRetention(path, self.records, mode, limit, self.said.append, kept)  # type: ignore[arg-type]

    def emit(self, *events: Event) -> None:
        for event in events:
            self.records.apply(event)
            self.retention(event)

    def paused(self, number: int, objective: float, step: int = 3) -> None:
        folder = trial_folder(self.path, number) / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{step:09d}.pt").write_bytes(bytes(SIZE))
        known = [] if number in self.records.trials else [proposed(number)]
        self.emit(*known, reported(number, step, objective), Paused(number, step, 0.0))

    def held(self) -> set[int]:
        return {n for n in self.records.trials if checkpoints.size(trial_folder(self.path, n) / "checkpoints")}


@pytest.mark.parametrize(("mode", "best"), [("min", 1), ("max", 0)])
def test_the_least_promising_lose_theirs_when_room_runs_out(mode: str, best: int, tmp_path: Path) -> None:
    search = Search(tmp_path, 2 * SIZE, mode)
    search.paused(0, 0.9)
    search.paused(1, 0.1)
    assert search.held() == {0, 1} and search.retention.held == 2 * SIZE and not search.said
    search.paused(2, 0.5)
    assert search.held() == {best, 2} and search.retention.held == 2 * SIZE
    assert len(search.said) == 1 and "resources.disk" in search.said[0]
    search.emit(Promoted(1, 3, 0.0))
    search.paused(3, 0.4)
    search.paused(4, 0.3, step=9)  # a higher rung is worth more than a better value
    assert 4 in search.held() and len(search.said) == 1
    assert checkpoints.survey(tmp_path)[2].evicted or mode == "max"


def test_a_running_trial_keeps_its_own(tmp_path: Path) -> None:
    search = Search(tmp_path, SIZE)
    search.paused(0, 0.9)
    search.emit(Promoted(0, 3, 0.0))
    search.paused(1, 0.1)
    assert search.held() == {0}  # over the limit, but only what waits may go


def test_what_nothing_needs_is_deleted_at_once(tmp_path: Path) -> None:
    search = Search(tmp_path)
    for number in range(5):
        search.paused(number, 0.5)
    for number, status in enumerate(("completed", "diverged", "failed", "stopped")):
        search.emit(Ended(number, status, "", 0.0))  # type: ignore[arg-type]
    assert search.held() == {2, 3, 4}  # for who looks for the cause; for a grown budget; for its promotion
    again = CheckpointRetention(tmp_path, search.records, "min", None, print)
    assert again.held == 3 * SIZE == search.retention.held and again.limit > again.held
    assert again.whose == "1 trial failed, 1 trial stopped at a rung, 1 trial unfinished"


def confirmed(search: Search, number: int, seed: int, status: str = "completed") -> Path:
    """A confirmation run that has ended, with two checkpoints; their folder."""
    folder = trial_folder(search.path, number) / "checkpoints"
    folder.mkdir(parents=True)
    for step in (6, 9):
        (folder / f"{step:09d}.pt").write_bytes(bytes(SIZE))
    run = proposed(number, kind="confirm", origin=f"trial {number}", seed=seed)
    search.emit(run, reported(number, 9, 0.5), Ended(number, status, "", 0.0))  # type: ignore[arg-type]
    return folder


def test_one_of_the_confirmed_is_handed_over_so_they_keep_their_last(tmp_path: Path) -> None:
    search = Search(tmp_path, kept=1)
    folders = [confirmed(search, number, seed) for number, seed in enumerate((1, 1, 2))]
    diverged = confirmed(search, 3, 1, "diverged")
    assert [checkpoints.steps(folder) for folder in (*folders, diverged)] == [[9], [9], [], []]
    assert search.retention.held == 2 * SIZE
    search.retention.handed_over(1)
    assert search.held() == {1} and search.retention.held == SIZE
    assert search.retention.whose == "1 confirmation run"
    search.paused(4, 0.5)
    search.paused(5, 0.5)
    assert search.retention.whose == "1 confirmation run, 2 trials unfinished"
    for number in (4, 5):
        search.emit(Ended(number, "completed", "", 0.0))
    search.retention.handed_over(None)
    assert search.held() == set()


def test_what_is_handed_over_goes_last_when_room_runs_out(tmp_path: Path) -> None:
    search = Search(tmp_path, 2 * SIZE, kept=1)
    confirmed(search, 0, 1)
    search.paused(1, 0.1)
    search.paused(2, 0.2)
    assert search.held() == {0, 1}
    confirmed(search, 3, 1)
    confirmed(search, 4, 1)
    assert len(search.held()) == 2 and not {1, 2} & search.held()  # the limit is the user's


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (3.2e12, "3.2 TB")])
def test_sizes_for_people(size: float, text: str) -> None:
    assert shown(size) == text
