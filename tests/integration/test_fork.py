"""Searches that start from earlier ones, as a user runs them: forks, and warm starts from an MLflow experiment."""

import shutil
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.history.events import Phase, Proposed, Reported, WarmStarted
from search.history.journal import read
from search.spec.resolve import resolve
from search.spec.search import Search
from search.warm_start import earlier
from search.warm_start.warm import warm_start
from spaces import strict_yaml
from tests.integration.conftest import make_project, run, start
from tests.integration.test_search import COMPARED, Environment, kill_tree, trials_of, wait_for_reports

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:The ``noload``:DeprecationWarning"),  # MLflow 3.17 on SQLAlchemy 2.1
    pytest.mark.slow,
]

NARROW = "space.lr={float: [5e-4, 4e-3], log: true}"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> Path:
    """A folder in which a search `old` has run."""
    folder = make_project(tmp_path_factory.mktemp("old"))
    code, output = run("search.run", ["search.yaml", "--name", "old", "--set", "confirm.seeds=1"], folder, environment)
    assert code == 0, output
    return folder


@pytest.fixture
def project(old: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(old, tmp_path / "project"))


def warmed(folder: Path, name: str) -> WarmStarted:
    """What a search took over, which is in its journal before anything else."""
    first, second = read(folder / "results" / name / "journal.jsonl")[0][:2]
    assert isinstance(first, WarmStarted) and isinstance(second, Phase)
    return first


def test_a_fork_takes_over_what_fits_and_runs_the_best_first(project: Path, environment: Environment) -> None:
    source = project / "results/old"
    before = {p.name: p.read_bytes() for p in source.iterdir() if p.is_file()}
    words = ["search.yaml", "--name", "old", "--fork", "new", "--set", NARROW, "--set", "budget.trials=4"]
    code, output = run("search.run", [*words, "--set", "warm_start.first=2"], project, environment)
    assert code == 2 and "warm_start" in output
    code, output = run("search.run", [*words, "--set", "confirm.seeds=0"], project, environment)
    assert code == 0 and "Traceback" not in output, output
    assert {p.name: p.read_bytes() for p in source.iterdir() if p.is_file()} == before

    trials = trials_of(project, "old").query("kind == 'search'")
    inside = trials[(trials.lr >= 5e-4) & (trials.lr <= 4e-3)]
    assert 0 < len(inside) < len(trials)
    taken = warmed(project, "new")
    assert [each.name for each in taken.observations] == [f"old trial {number}" for number in inside.number]
    assert [each.reports[-1][1] for each in taken.observations] == list(inside.objective)
    assert [each.status for each in taken.observations] == list(inside.status)
    assert f"warm start: {len(inside)} of {len(trials)} trials of search old taken over" in output
    assert "is not in float [5e-4, 0.004] log" in output and "run first, after the baseline: old trial" in output

    own = trials_of(project, "new")
    best = inside[inside.origin != "baseline"].sort_values(["steps", "objective"], ascending=[False, True])[:3]
    assert list(own.number) == [0, 1, 2, 3]
    assert list(own.origin) == ["baseline", *(f"warm old trial {number}" for number in best.number[: len(own) - 1])]
    assert list(own.lr[1:]) == list(best.lr)
    assert set(own.steps) <= {1, 3, 9}

    storage = JournalStorage(JournalFileBackend(str(project / "results/new/study.journal")))
    study = optuna.load_study(study_name="new", storage=storage)
    assert len(study.trials) == len(inside) + 4
    client = MlflowClient(f"sqlite:///{project}/results/mlflow.db")
    experiment = client.get_experiment_by_name("early_inference")
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id], filter_string="tags.search = 'new'")
    assert parent.data.tags["warm_start"] == "search old"
    nested = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    assert len(client.search_runs([experiment.experiment_id], filter_string=nested)) == 4

    code, again = run("search.run", [*words, "--set", "confirm.seeds=0"], project, environment)
    assert code == 0, again  # the same command again shows it
    assert sum(isinstance(e, WarmStarted) for e in read(project / "results/new/journal.jsonl")[0]) == 1


def test_a_killed_fork_goes_on_to_the_same_result_without_its_source(project: Path, environment: Environment) -> None:
    """With one worker, so that the order of results is the same."""
    common = ["--set", NARROW, "--set", "resources.cpu=2", "--set", "confirm.seeds=0", "--set", "budget.trials=7"]
    words = ["search.yaml", "--name", "old", *common]
    code, output = run("search.run", [*words, "--fork", "whole"], project, environment)
    assert code == 0, output
    with start("search.run", [*words, "--fork", "cut"], project, environment) as process:
        wait_for_reports(project / "results/cut/journal.jsonl", 12, process)
        kill_tree(process)
    (project / "results/old").rename(project / "gone")
    code, output = run("search.run", [*words, "--fork", "cut"], project, environment)
    assert code == 0, output
    whole, cut = (trials_of(project, name)[COMPARED] for name in ("whole", "cut"))
    pd.testing.assert_frame_equal(whole, cut)
    assert (whole.origin == "tpe").sum() == 3
    assert replace(warmed(project, "whole"), at=0.0) == replace(warmed(project, "cut"), at=0.0)
    steps = [(e.trial, e.step) for e in read(project / "results/cut/journal.jsonl")[0] if isinstance(e, Reported)]
    assert len(steps) == len(set(steps))


def test_an_experiment_gives_the_same_observations_as_the_folder(project: Path, environment: Environment) -> None:
    def taken(warm: str, *overrides: str) -> WarmStarted:
        search: Search = resolve(project / "search.yaml", [f"warm_start={warm}", *overrides])
        found = earlier.read(search, project / "results" / "new", project)
        assert found is not None
        return warm_start(search, found, data, 0.0)

    data = strict_yaml.load(project / "results/old/search.yaml")["data_digest"]
    for overrides in [(), (NARROW,), ("knobs=[lr, batch_size, warmup_epochs, tcn_dropout]",), ("budget.steps=3",)]:
        folder = taken("{search: old}", *overrides)
        assert len(folder.observations) + folder.left_out == 9
        uri = f"sqlite:///{project}/results/mlflow.db"
        runs = taken(f"{{experiment: early_inference, uri: '{uri}'}}", *overrides)
        assert runs == replace(folder, source=f"MLflow experiment early_inference in {uri}")
    assert len(folder.observations) == 9 and {each.reports[-1][0] for each in folder.observations} == {1, 3}

    whole = taken("{search: old}")
    words = ["search.yaml", "--name", "new", "--set", "warm_start={experiment: early_inference, first: 1}"]
    words += ["--set", "budget.trials=2", "--set", "confirm.seeds=0"]
    code, output = run("search.run", words, project, environment)
    assert code == 0 and "warm start: 9 of 9 trials of MLflow experiment early_inference" in output, output
    proposed = [e for e in read(project / "results/new/journal.jsonl")[0] if isinstance(e, Proposed)]
    assert [e.origin for e in proposed] == ["baseline", f"warm {warmed(project, 'new').first[0].name}"]
    assert warmed(project, "new").observations == whole.observations


def test_an_experiment_that_is_not_there_or_holds_nothing(project: Path, environment: Environment) -> None:
    def refused(warm: str) -> str:
        files = {p for p in (project / "results").rglob("*") if p.is_file()}
        words = ["search.yaml", "--name", "new", "--set", f"warm_start={warm}"]
        code, output = run("search.run", words, project, environment)
        assert code == 2 and "Traceback" not in output, output
        assert {p for p in (project / "results").rglob("*") if p.is_file()} == files
        return output

    assert "there is no experiment 'early_inferenc'; did you mean 'early_inference'?" in refused(
        "{experiment: early_inferenc}"
    )
    assert "it has no trials of a search; trials of early_inference are needed" in refused("{experiment: Default}")
    (project / "results/broken.db").write_bytes(b"this is no database, whatever its name says" * 100)
    assert "can't be read: " in refused(f"{{experiment: e, uri: 'sqlite:///{project}/results/broken.db'}}")
