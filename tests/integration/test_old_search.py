"""A search that an earlier version left unfinished goes on: `old_search/` was written before `search/` had packages.

Its journal has records without number and chain. The trials' checkpoints, which are no text, are not part of it: what
runs or waits is trained up to its rung again. (Its warmup was searched over 0 and 1 epochs, which train alike and are
refused today: the upper end is 2 here.)
"""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from search.common.clock import now
from search.execution.choose_stopping import choose
from search.history.events import Phase
from search.history.journal import read
from search.persistence.folder import JOURNAL, opened
from search.spec.as_begun import as_begun
from search.spec.plan import make_plan
from search.spec.resolve import resolve
from search.spec.search import Search
from spaces import strict_yaml
from tests.integration.conftest import run
from trainables.run import Prepared

OLD = Path(__file__).parent / "old_search"
NAME = "old"
STATUSES = ["completed", "running", "completed", "paused", "paused", "paused", "proposed"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The user's folder with the search's folder in it."""
    for name in ("base.yaml", "config.yaml"):
        shutil.copy(OLD / name, tmp_path / name)
    folder = tmp_path / "results" / NAME
    folder.mkdir(parents=True)
    for name in ("search.yaml", "plan.json", JOURNAL):
        shutil.copy(OLD / name, folder / name)
    return tmp_path


def old(project: Path) -> tuple[Search, Prepared]:
    described = strict_yaml.load(OLD / "search.yaml")
    assert isinstance(described, dict)
    search = as_begun(resolve(project / "config.yaml", [], NAME), described)
    return search, Prepared(Path(), described["data_digest"], "")


def test_an_old_search_is_the_same_search_and_its_rungs_are_known(project: Path) -> None:
    search, prepared = old(project)
    plan, path = make_plan(search), project / "results" / NAME
    before = len(read(path / JOURNAL)[0])
    with opened(path, search, plan, prepared, lambda _: None) as folder:
        assert [trial.status for trial in folder.records.trials.values()] == STATUSES
        gate, _ = choose(search, plan, folder, lambda: 2, lambda: False)
        assert gate.next_resumable() == 1  # it was running
        assert gate.has_pending_work() and not gate.finished()
        folder.ledger.emit(Phase("search", now()))
    assert len(read(path / JOURNAL)[0]) == before + 1


@pytest.mark.integration
@pytest.mark.slow
def test_an_old_search_goes_on_to_its_end(project: Path, environment: dict[str, str]) -> None:
    code, output = run("search.run", ["config.yaml", "--name", NAME, "--resume"], project, environment)
    assert code == 0, output
    trials = pd.read_csv(project / "results" / NAME / "trials.csv").set_index("number")
    assert (trials.kind == "search").sum() == 9 and set(trials.status) <= {"completed", "stopped"}
    events = read(OLD / JOURNAL)[0]
    whole = {e.trial: e.metrics["objective"] for e in events if type(e).__name__ == "Reported" and e.step == 9}
    assert whole and all(trials.objective[number] == value for number, value in whole.items())
