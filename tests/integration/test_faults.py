"""The fault matrix of `benchmarks/faults.py` in small: each fault once, in a search of four trials."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from benchmarks.faults import Matrix
from benchmarks.faults_account import repeated
from benchmarks.faults_arena import SMALL
from benchmarks.faults_model import KNOBS, Trained, mark
from benchmarks.faults_rows import DRIVER_KILLED, FAULTS, Fault
from search.history.events import Proposed, Reported
from search.history.journal import Journal

HOLD = 0.1
"""The part of a fault's own length that it lasts here: a lock of 30 s lasts 3."""


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Matrix:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCHEDULE_SEARCH_CACHE", environment["SCHEDULE_SEARCH_CACHE"])
        made = Matrix(tmp_path_factory.mktemp("faults"), SMALL, HOLD)
        made.reference()
    return made


# One sitting each (the driver kill: two), 10 to 25 s. The others are in `make test-all`.
QUICK = {DRIVER_KILLED}


def param(fault: Fault) -> object:
    return pytest.param(fault, id=fault.name, marks=[] if fault.name in QUICK else pytest.mark.slow)


@pytest.mark.integration
@pytest.mark.parametrize("fault", [param(fault) for fault in FAULTS])
def test_nothing_is_lost(
    fault: Fault, matrix: Matrix, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = fault.missing()
    if missing:
        pytest.skip(missing)
    monkeypatch.setenv("SCHEDULE_SEARCH_CACHE", environment["SCHEDULE_SEARCH_CACHE"])
    account = matrix.play(fault, Random(0))  # noqa: S311 - the moment of a kill
    assert account.good, account.line(fault.what)


def test_the_account_tells_what_was_repeated_from_what_was_in_flight(tmp_path: Path) -> None:
    values = dict(zip(KNOBS, (0.1, 16, 0.0, 1), strict=True))
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append(Proposed(0, values, 5, "search", "baseline", 1.0))
        journal.append(Reported(0, 1, {"objective": 1.0}, 0.1, 2.0))
        reported = path.stat().st_size
        journal.append(Reported(0, 2, {"objective": 1.0}, 0.1, 3.0))
    one = mark(values, 5)
    first = [Trained(one, 1, 0), Trained(one, 2, reported)]
    assert repeated(path, first) == (0, 0)
    assert repeated(path, [*first, Trained(one, 2, reported)]) == (0, 1)
    assert repeated(path, [*first, Trained(one, 1, reported)]) == (1, 0)
    assert repeated(path, [*first, Trained(one, 1, reported - 1), Trained(one, 2, path.stat().st_size)]) == (1, 1)


def test_the_account_sees_every_difference(matrix: Matrix) -> None:
    """The comparison itself can fail: a reference that is changed in one place is no longer equal."""
    found = matrix.reference().outcome
    assert found.differences(found) == []
    assert (found.doubled, found.open_runs) == (0, 0)
    key = max(found.evaluations)
    fewer = {k: v for k, v in found.evaluations.items() if k != key}
    for name, value in (
        ("trials", found.trials[:-1]),
        ("evaluations", fewer),
        ("decisions", found.decisions[::-1]),
        ("best", None),
        ("tracked", {**found.tracked, 0: ("RUNNING", ())}),
    ):
        (told,) = replace(found, **{name: value}).differences(found)
        assert told.startswith(name)
