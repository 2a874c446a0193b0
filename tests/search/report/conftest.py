"""A finished search with its report, what is found in it, and copies of its folder as it was earlier."""

import shutil
from pathlib import Path

import pytest

from benchmarks.report_folder import make_folder
from search.history.journal import Journal, read
from search.report.build import write
from search.report.findings import Findings, find
from search.report.material import gather


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "results" / "made"
    make_folder(folder)
    write(folder)
    return folder


@pytest.fixture(scope="module")
def found(finished: Path) -> Findings:
    return find(gather(finished))


def copied(folder: Path, to: Path, events: int) -> Path:
    """The folder as it was after so many events, before anything was handed over."""
    to.mkdir(parents=True)
    for name in ("search.yaml", "plan.json"):
        shutil.copy(folder / name, to / name)
    with Journal(to / "journal.jsonl") as journal:
        for event in read(folder / "journal.jsonl")[0][:events]:
            journal.append(event)
    return to
