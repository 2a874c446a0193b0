"""Searches of a user's own code begin with what an MLflow experiment holds: scores of the same code, configs of other
code, from whatever YAML."""

from pathlib import Path

import pytest

from search.history.events import Proposed, WarmStarted
from search.history.journal import read
from tests.integration.conftest import run
from tests.trainables.own.own_project import SEARCH, write_project

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

Environment = dict[str, str]
QUICK = ["--set", "check=null", "--set", "confirm.seeds=0"]


def taken(folder: Path) -> tuple[WarmStarted, list[str]]:
    """What a search took over, and where its trials came from."""
    events = read(folder / "journal.jsonl")[0]
    first = events[0]
    assert isinstance(first, WarmStarted)
    return first, [event.origin for event in events if isinstance(event, Proposed)]


def test_own_code_begins_with_an_experiments_trials(tmp_path: Path, environment: Environment) -> None:
    """The store is MLflow's own sqlite file; another project of the same file name tracks to it, too."""
    folder, other = tmp_path / "project", tmp_path / "other"
    write_project(folder)
    code, output = run("search.run", ["mine.yaml", *QUICK], folder, environment)
    assert code == 0, output
    (folder / "wide.yaml").write_text(SEARCH.replace("[1e-4, 1e-1]", "[1e-5, 1]"))
    warm = ["--set", "warm_start={experiment: mine, first: 1}", *QUICK, "--set", "budget.trials=2"]
    code, output = run("search.run", ["wide.yaml", *warm], folder, environment)
    assert code == 0 and "warm start: 4 of 4 trials of MLflow experiment mine" in output, output
    found, origins = taken(folder / "results/wide")
    assert [each.name for each in found.observations] == [f"mine trial {number}" for number in range(4)]
    assert origins == ["baseline", f"warm {found.first[0].name}"]
    code, output = run(
        "search.run", ["wide.yaml", *warm[2:], "--name", "w", "--set", "warm_start={search: mine}"], folder, environment
    )
    assert code == 0, output
    assert taken(folder / "results/w")[0].observations == found.observations

    write_project(other)
    with (other / "train.py").open("a") as file:
        file.write("# other code\n")
    uri = f"sqlite:///{folder}/results/mlflow.db"
    words = [*warm, "--set", f"tracking.uri={uri}"]
    code, output = run("search.run", ["mine.yaml", *words], other, environment)
    assert code == 0, output
    found, origins = taken(other / "results/mine")
    assert not found.observations and found.left_out == 4 and "by other code" in found.why
    assert origins == ["baseline", f"warm {found.first[0].name}"]
