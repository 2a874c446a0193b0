"""Which storage several nodes can share, tried with nodes that see different files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from search.history.events import Ended, Reported, Started
from search.history.journal import parse, read
from search.persistence.object_store_journal import journal, parts
from tests.integration.conftest import make_project, run, start
from tests.integration.machines import Machines, missing
from tests.integration.s3_server import BUCKET, Server
from trainables.objects import Prefix

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

SHARED, OWN = "shared", "own"


@pytest.fixture(scope="module")
def user(s3: Server, environment: dict[str, str]) -> dict[str, str]:
    return {**environment, **s3.environment, "RAY_AUTH_MODE": "disabled"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The head's own disk, with `shared` beside it, which every node sees."""
    place = tmp_path_factory.mktemp("machines")
    for name in (SHARED, OWN):
        (place / name).mkdir()
    return place


@pytest.fixture(scope="module")
def machines(folder: Path, user: dict[str, str]) -> Iterator[Machines]:
    if reason := missing():
        pytest.skip(reason)
    made = Machines(user)
    try:
        made.add(hides=[folder / OWN])
        yield made
    finally:
        made.end()


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def search_in(folder: Path, machines: Machines, user: dict[str, str], *words: str) -> tuple[int, str]:
    place = folder / OWN
    make_project(place)
    return run("search.run", ["search.yaml", "--name", "s", "--address", machines.address, *words], place, user)


def test_a_folder_of_one_node_is_refused_before_anything_is_written(
    machines: Machines, folder: Path, user: dict[str, str]
) -> None:
    make_project(folder / OWN)
    before = listing(folder)
    code, output = search_in(folder, machines, user)
    assert code == 2, output
    error = output[output.index("error: ") :]
    assert "results: 1 of 2 nodes don't reach it" in error and "sees another folder there, or none" in error
    assert "--storage /nfs/searches" in error and "Traceback" not in output
    assert listing(folder) == before


def test_a_folder_that_all_nodes_share_is_used_by_all(machines: Machines, folder: Path, user: dict[str, str]) -> None:
    code, output = search_in(folder, machines, user, "--storage", str(folder / SHARED))
    assert code == 0, output
    events = read(folder / SHARED / "s" / "journal.jsonl")[0]
    assert len({event.pid for event in events if isinstance(event, Started)}) >= 2
    assert not list((folder / SHARED).glob(".seen-*"))
    assert not (folder / OWN / "results").exists()


def test_a_store_needs_no_folder_in_common(machines: Machines, folder: Path, user: dict[str, str]) -> None:
    storage = f"s3://{BUCKET}/nodes"
    longer = ["--set", "data.generate.samples=2000", "--set", "early_stopping={kind: none}"]  # for the slower to begin
    code, output = search_in(folder, machines, user, "--storage", storage, *longer)
    assert code == 0, output
    store = Prefix(f"{storage}/s")
    events = parse(journal(store, parts(store)), "the store")[0]
    ended = [event for event in events if isinstance(event, Ended)]
    assert {event.status for event in ended} <= {"completed", "stopped"}
    reports = [(event.trial, event.step) for event in events if isinstance(event, Reported)]
    assert len(set(reports)) == len(reports)
    place = folder / OWN / "results" / "s"
    here = {path.parent.name for path in place.glob("trials/*/log.txt")}
    assert here < {f"t{event.trial:04d}" for event in ended}  # the others trained where nobody sees their files
    assert (place / "best.yaml").read_bytes() == store.get("best.yaml")
    assert list(place.glob("trials/*/checkpoints/*.pt"))  # the winner's, wherever it was trained


def test_a_node_that_joins_and_sees_another_folder_ends_the_search_and_costs_no_trial(
    folder: Path, user: dict[str, str]
) -> None:
    """Trials there would begin anew, in silence, and nobody would find what they keep."""
    if reason := missing():
        pytest.skip(reason)
    place = folder / "late"
    place.mkdir()
    make_project(place)
    machines = Machines(user)
    words = ["search.yaml", "--name", "s", "--address", machines.address, "--set", "budget.trials=400"]
    try:
        with start("search.run", words, place, user) as process:
            try:
                journal_ = place / "results" / "s" / "journal.jsonl"
                machines.wait(lambda: journal_.exists() and b"Reported" in journal_.read_bytes(), "an evaluation")
                machines.add(hides=[place])
                output = process.communicate(timeout=240)[0]
            finally:
                process.kill()
    finally:
        machines.end()
    assert process.returncode == 3, output
    assert f"does not see {place}/results/s: the search's folder is not the one" in output
    assert "when the cause is mended, go on with" in output
    statuses = {event.status for event in read(journal_)[0] if isinstance(event, Ended)}
    assert "failed" not in statuses
