"""Whole searches as a user runs them: real Ray, real MLflow, real Optuna storage, in processes of their own."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
import pandas as pd
import psutil
import pytest
from mlflow.tracking import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.history.events import Event, Paused, Phase, Promoted, Proposed, Reported, Started
from search.history.journal import read
from search.history.records import Records
from search.stopping.bracket import Bracket, Report
from search.stopping.rungs import Rule
from spaces import strict_yaml
from tests.integration.conftest import BASE, SEARCH, make_project, run, start
from trainables.early_inference.metrics import OBJECTIVE

pytestmark = pytest.mark.integration

Environment = dict[str, str]
COMPARED = ["number", "kind", "origin", "status", "objective", "steps", "seed", "lr", "batch_size", "warmup_epochs"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> tuple[Path, str]:
    """The folder in which a whole search has run, and what it printed."""
    folder = make_project(tmp_path_factory.mktemp("finished"))
    code, output = run("search.run", ["search.yaml", "--name", "s"], folder, environment)
    assert code == 0, output
    return folder, output


def trials_of(folder: Path, name: str = "s") -> pd.DataFrame:
    return pd.read_csv(folder / "results" / name / "trials.csv")


def test_a_search_ends_with_its_table_and_its_files(finished: tuple[Path, str]) -> None:
    folder, output = finished
    for text in ("documented baseline", "verdict: ", "results/s/best.yaml", "mlflow ui", "trainables.train"):
        assert text in output
    assert "Traceback" not in output and "Warning" not in output
    for name in ("search.yaml", "plan.json", "journal.jsonl", "study.journal", "trials.csv", "history.parquet"):
        assert (folder / "results" / "s" / name).stat().st_size > 0
    trials = trials_of(folder)
    searched = trials[trials.kind == "search"]
    assert len(searched) == 9
    assert searched.origin.iloc[0] == "baseline"
    assert set(searched.status) <= {"completed", "stopped"}
    assert (trials[trials.kind == "confirm"].steps == 9).all() and (trials.kind == "confirm").sum() == 4


def test_early_stopping_followed_the_rungs(finished: tuple[Path, str]) -> None:
    searched = trials_of(finished[0]).query("kind == 'search'")  # the baseline like any other
    assert set(searched.steps) <= {1, 3, 9}
    assert (searched.steps == 1).sum() >= 4
    assert (searched.steps == 9).sum() >= 1


def test_the_journal_replays_to_the_same_decisions(finished: tuple[Path, str]) -> None:
    """Two workers: in which order results came is chance, what was decided about them is not."""
    events = read(finished[0] / "results/s/journal.jsonl")[0]
    searched = {each.trial: each.values for each in events if isinstance(each, Proposed) and each.kind == "search"}
    assert len({values["warmup_epochs"] for values in searched.values()}) > 1
    bracket = Bracket(
        Rule("promote", (1, 3, 9), 3, "min", OBJECTIVE.worst),
        settled=lambda number: searched[number]["warmup_epochs"],
    )
    decided, taken = [], []
    for event in events:
        if isinstance(event, Phase) or event.trial not in searched:
            continue
        match event:
            case Proposed():
                bracket.start(event.trial)
            case Reported():
                verdict = bracket.report(Report(event.trial, event.step, event.metrics["objective"], event.outcome))
                decided += [(event.trial, event.step)] * (verdict == "pause")
            case Paused():
                taken.append((event.trial, event.step))
            case Promoted():
                assert event.trial in {*bracket.promotions(), bracket.closing()}
                bracket.start(event.trial)
    assert decided == taken and len(taken) >= 8


def test_the_best_config_trains_to_the_same_number(finished: tuple[Path, str], environment: Environment) -> None:
    folder = finished[0]
    best = strict_yaml.load(folder / "results/s/best.yaml")
    recorded = best["provenance"]["objective"]["value"]
    code, output = run("trainables.train", ["results/s/best.yaml"], folder, environment)
    assert code == 0, output
    assert output.splitlines()[-1] == f"val_mae_prior_sd {recorded!r}"
    runs = trials_of(folder)
    confirmed = runs[(runs.kind == "confirm") & (runs.origin == f"trial {best['provenance']['trial']}")]
    assert recorded in set(confirmed.objective)


def test_the_native_file_is_the_users_own_with_only_the_searched_keys_changed(finished: tuple[Path, str]) -> None:
    folder = finished[0]
    best = strict_yaml.load(folder / "results/s/best.yaml")["config"]
    before, after = ((folder / path).read_text() for path in ("base.yaml", "results/s/native/base.yaml"))
    assert "# a network of a few hundred weights" in after and "tcn_channels: [4]  # small" in after
    searched = {"lr", "batch_size", "weight_decay", "warmup_epochs"}
    old, new = strict_yaml.loads(before, "before"), strict_yaml.loads(after, "after")
    open_ = {"early_stopping_patience"}  # which the file lacks, and no script is known to have a value for
    assert {key for key in new if old.get(key) != new[key]} <= searched | open_
    assert {key: new[key] for key in searched & set(new)} == {key: best[key] for key in searched & set(new)}
    if "verdict: switch" not in finished[1]:
        assert after == before and not (folder / "results/s/native/config.py").exists()
    else:
        assert (folder / "results/s/native/config.py").read_text().startswith("CONFIG = {")


def test_mlflow_holds_one_parent_and_a_child_per_trial_with_true_statuses(finished: tuple[Path, str]) -> None:
    folder = finished[0]
    client = MlflowClient(f"sqlite:///{folder}/results/mlflow.db")
    experiment = client.get_experiment_by_name("early_inference")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    trials = trials_of(folder).set_index("number")
    assert len(parents) == 1 and parents[0].info.status == "FINISHED"
    assert sorted(int(r.data.tags["trial"]) for r in children) == list(trials.index)
    status = {"completed": "FINISHED", "stopped": "KILLED", "diverged": "FAILED", "failed": "FAILED"}
    for child in children:
        row = trials.loc[int(child.data.tags["trial"])]
        assert child.info.status == status[row.status]
        assert float(child.data.params["lr"]) == row.lr
        curve = client.get_metric_history(child.info.run_id, "objective")
        assert [m.step for m in curve] == list(range(1, row.steps + 1))
        assert curve[-1].value == row.objective
    assert "**s**" in parents[0].data.tags["mlflow.note.content"]


def test_optuna_opens_the_study(finished: tuple[Path, str]) -> None:
    folder = finished[0]
    storage = JournalStorage(JournalFileBackend(str(folder / "results/s/study.journal")))
    study = optuna.load_study(study_name="s", storage=storage)
    states = [trial.state.name for trial in study.trials]
    searched = trials_of(folder).query("kind == 'search'")
    assert len(states) == 9
    assert states.count("COMPLETE") == (searched.status == "completed").sum()
    assert states.count("PRUNED") == (searched.status == "stopped").sum()
    assert all(trial.intermediate_values for trial in study.trials)


def test_the_command_of_a_finished_search_shows_it_again(finished: tuple[Path, str], environment: Environment) -> None:
    folder = finished[0]
    kept = [folder / "results/s" / name for name in ("trials.csv", "best.yaml", "journal.jsonl")]
    before = [path.read_text() for path in kept]
    kept[1].unlink()
    words = ["search.yaml", "--name", "s", "--address", "127.0.0.1:9"]  # no Ray is there: it isn't asked
    code, output = run("search.run", words, folder, environment)
    assert code == 0 and "results/s holds this search, finished" in output and "verdict: " in output
    assert [path.read_text() for path in kept] == before


def wait_for(
    journal: Path,
    process: subprocess.Popen[str],
    met: Callable[[Sequence[Event]], object],
    seconds: float = 120,
    what: str = "what was waited for",
) -> None:
    """Until the journal's events meet a condition."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and met(read(journal)[0]):
            return
        time.sleep(0.05)
    ended = process.communicate()[0] if process.poll() is not None else "still running"
    pytest.fail(f"no {what}: {ended}")


def wait_for_reports(journal: Path, count: int, process: subprocess.Popen[str], seconds: float = 120) -> None:
    def met(events: Sequence[Event]) -> bool:
        return sum(isinstance(event, Reported) for event in events) >= count

    wait_for(journal, process, met, seconds, f"{count} reports")


def kill_tree(process: subprocess.Popen[str]) -> None:
    """kill -9 of the driver; Ray's own processes then end by themselves, here at once."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in children:
        child.kill()
    process.wait()


@pytest.mark.slow
def test_nothing_of_a_search_lies_in_rays_object_store(project: Path, environment: Environment) -> None:
    """Else Ray's code ends the driver at once where the node's processes end before it."""
    program = "import sys, ray\nray.put = None\nfrom search.run import main\nsys.exit(main(sys.argv[1:]))\n"
    (project / "without_put.py").write_text(program)
    code, output = run("without_put", ["search.yaml", "--name", "s", "--set", "confirm.seeds=0"], project, environment)
    assert code == 0, output


@pytest.mark.slow
@pytest.mark.parametrize("reports", [4, 17])
def test_a_killed_search_goes_on_to_the_same_result(reports: int, tmp_path: Path, environment: Environment) -> None:
    """With one worker, so that the order of results is the same."""
    folder = make_project(tmp_path)
    words = ["search.yaml", "--set", "resources.cpu=2", "--set", "confirm.seeds=1"]
    code, output = run("search.run", [*words, "--name", "whole"], folder, environment)
    assert code == 0, output
    with start("search.run", [*words, "--name", "cut"], folder, environment) as process:
        wait_for_reports(folder / "results/cut/journal.jsonl", reports, process)
        kill_tree(process)
    code, output = run("search.run", [*words, "--name", "cut", "--resume"], folder, environment)
    assert code == 0 and "stays as this search began" not in output, output
    pd.testing.assert_frame_equal(trials_of(folder, "whole")[COMPARED], trials_of(folder, "cut")[COMPARED])
    steps = [(e.trial, e.step) for e in read(folder / "results/cut/journal.jsonl")[0] if isinstance(e, Reported)]
    assert len(steps) == len(set(steps))
    client = MlflowClient(f"sqlite:///{folder}/results/mlflow.db")
    experiment = client.get_experiment_by_name("early_inference")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], filter_string="tags.search = 'cut'", max_results=1000)
    everyone = client.search_runs([experiment.experiment_id], max_results=1000)
    assert len(runs) == 1
    mine = [r for r in everyone if r.data.tags.get("mlflow.parentRunId") == runs[0].info.run_id]
    assert len(mine) == len(trials_of(folder, "cut"))
    assert not [r for r in everyone if r.info.status == "RUNNING"]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_search_says_how_to_go_on(
    number: signal.Signals, project: Path, environment: Environment
) -> None:
    (project / "search.yaml").write_text(SEARCH.replace("seeds: 2", "seeds: 0"))
    with start("search.run", ["search.yaml", "--name", "s"], project, environment) as process:
        wait_for_reports(project / "results/s/journal.jsonl", 3, process)
        os.kill(process.pid, number)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 130, output
    assert "search.run search.yaml --name s --resume" in output and "Traceback" not in output
    assert (project / "results/s/trials.csv").exists()
    code, output = run("search.run", ["search.yaml", "--name", "s", "--resume"], project, environment)
    assert code == 0, output
    assert (trials_of(project).kind == "search").sum() == 9


@pytest.mark.slow
def test_an_unreachable_tracking_server_delays_tracking_only(project: Path, environment: Environment) -> None:
    words = ["search.yaml", "--name", "s", "--set", "budget.trials=2"]
    code, output = run("search.run", words, project, {**environment, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})
    assert code == 0, output
    assert "warning: " in output and "127.0.0.1:9" in output and "Traceback" not in output
    assert "--resume sends them" in output
    code, output = run("search.run", [*words, "--resume"], project, environment)
    assert code == 0 and "warning" not in output
    client = MlflowClient(f"sqlite:///{project}/results/mlflow.db")
    experiment = client.get_experiment_by_name("early_inference")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 1 + len(trials_of(project))


@pytest.mark.parametrize(
    "stopping",
    [
        pytest.param("{kind: none}", marks=pytest.mark.slow),
        pytest.param("{kind: asha, mode: stop, first_rung: 1}", marks=pytest.mark.slow),
        pytest.param("{kind: hyperband}", marks=pytest.mark.slow),
        pytest.param("{kind: median, grace: 3}", marks=pytest.mark.slow),
        pytest.param("{kind: pbt, perturb_every: 3}", marks=pytest.mark.slow),
    ],
)
def test_each_kind_of_early_stopping_runs_to_its_end(stopping: str, project: Path, environment: Environment) -> None:
    words = ["search.yaml", "--set", f"early_stopping={stopping}", "--set", "budget.trials=4"]
    code, output = run("search.run", [*words, "--set", "sampler.kind=random"], project, environment)
    assert code == 0, output
    trials = trials_of(project, "early_inference-search")
    assert (trials.kind == "search").sum() == 4
    assert set(trials.status) <= {"completed", "stopped"}


@pytest.mark.slow
def test_a_grid_ends_when_it_is_through(project: Path, environment: Environment) -> None:
    words = ["search.yaml", "--set", "sampler={kind: grid, points: 2}", "--set", "knobs=[batch_size, warmup_epochs]"]
    code, output = run("search.run", words, project, environment)
    assert code == 0, output
    searched = trials_of(project, "early_inference-search").query("kind == 'search'")
    found = list(zip(searched.batch_size, searched.warmup_epochs, strict=True))
    assert found[0] == (32, 1)  # the documented config, no point of the grid
    assert sorted(found[1:]) == [(16, 0), (16, 2), (32, 0), (32, 2)]


@pytest.mark.slow
def test_a_spent_budget_ends_the_search_with_its_export(project: Path, environment: Environment) -> None:
    words = ["search.yaml", "--name", "s", "--set", "budget.total_steps=10 epochs"]
    code, output = run("search.run", words, project, environment)
    assert code == 0, output
    searched = trials_of(project).query("kind == 'search'")
    assert 10 <= searched.steps.sum() <= 14
    assert searched.reason.str.contains("budget.total_steps 10 is spent").any()
    assert (project / "results/s/best.yaml").exists()


@pytest.mark.slow
def test_a_search_in_which_every_trial_fails_ends_with_3(project: Path, environment: Environment) -> None:
    (project / "base.yaml").write_text((project / "base.yaml").read_text() + "device: cuda\n")
    words = ["search.yaml", "--name", "s", "--set", "budget.trials=2", "--set", "max_failures=0"]
    code, output = run("search.run", words, project, environment)
    assert code == 3, output
    assert "no trial succeeded" in output and "cuda" in output.lower() and "Traceback" not in output
    assert "Traceback" in (project / "results/s/trials/t0000/log.txt").read_text()
    assert set(trials_of(project).status) == {"failed"}


@pytest.mark.slow
def test_a_search_that_has_ended_goes_on_with_a_larger_budget(tmp_path: Path, environment: Environment) -> None:
    """Trials that were not promoted are, among more of them; without a confirmation the baseline goes on, too."""
    folder = make_project(tmp_path)
    (folder / "base.yaml").write_text(BASE + "lr: 1e-5\n")  # too small to learn, and other rates learn enough to tell
    words = ["search.yaml", "--name", "s", "--set", "early_stopping={kind: asha, first_rung: 3}"]
    words += ["--set", "knobs=[lr]", "--set", "space={lr: {float: [1e-5, 0.03], log: true}}"]
    words += ["--set", "data.generate.samples=400", "--set", "sampler={kind: random, seed: 1}"]
    code, output = run(
        "search.run", [*words, "--set", "budget.trials=4", "--set", "confirm.seeds=1"], folder, environment
    )
    assert code == 0, output
    first = trials_of(folder).query("kind == 'search'")
    assert first.iloc[0].status == "stopped"
    more = ["--resume", "--set", "budget.trials=12", "--set", "confirm.seeds=0"]
    code, output = run("search.run", [*words, *more], folder, environment)
    assert code == 0, output
    second = trials_of(folder).query("kind == 'search'")
    assert len(second) == 12 and (second.iloc[0].status, second.iloc[0].steps) == ("completed", 9)
    assert (second.steps.iloc[1:4].to_numpy() > first.steps.iloc[1:4].to_numpy()).any()


@pytest.mark.slow
def test_workers_that_the_end_of_a_search_leaves_idle_train_the_baseline_on_fresh_seeds(
    tmp_path: Path, environment: Environment
) -> None:
    """Killed meanwhile and taken up, it comes to the numbers of a search with one worker, where none is idle."""
    folder = make_project(tmp_path)
    words = ["search.yaml", "--set", "budget.trials=4", "--set", "budget.steps=27 epochs"]
    words += ["--set", "data.generate.samples=1000", "--set", "sampler.kind=random"]
    code, output = run("search.run", [*words, "--name", "one", "--set", "resources.cpu=2"], folder, environment)
    assert code == 0, output
    words += ["--name", "four", "--set", "resources.cpu=0.5"]
    journal = folder / "results/four/journal.jsonl"
    with start("search.run", words, folder, environment) as process:
        wait_for(journal, process, confirming)
        kill_tree(process)
    assert Records(read(journal)[0]).phase == "search"
    code, output = run("search.run", [*words, "--resume"], folder, environment)
    assert code == 0, output
    reports = [(event.trial, event.step) for event in read(journal)[0] if isinstance(event, Reported)]
    assert len(reports) == len(set(reports))
    told = ["origin", "seed", "status", "steps", "objective"]
    one, four = (
        trials_of(folder, name).query("kind == 'confirm' and origin == 'trial 0'")[told].sort_values("seed")
        for name in ("one", "four")
    )
    pd.testing.assert_frame_equal(one.reset_index(drop=True), four.reset_index(drop=True))


@pytest.mark.slow
def test_the_last_runs_take_turns_and_come_to_the_values_of_undisturbed_ones(
    tmp_path: Path, environment: Environment
) -> None:
    """Six runs on four workers, against one after the other."""
    folder = make_project(tmp_path)
    words = ["search.yaml", "--set", "budget.trials=2", "--set", "budget.steps=16 epochs", "--set", "confirm.seeds=3"]
    words += ["--set", "early_stopping={kind: none}", "--set", "sampler.kind=random", "--set", "resources.cpu=2"]
    code, output = run("search.run", [*words, "--name", "one"], folder, environment)
    assert code == 0, output
    words += ["--name", "four"]
    code, output = run("search.run", [*words, "--set", "confirm.seeds=0"], folder, environment)
    assert code == 0, output
    code, output = run("search.run", [*words, "--resume", "--set", "resources.cpu=0.5"], folder, environment)
    assert code == 0, output
    events = read(folder / "results/four/journal.jsonl")[0]
    starts = Counter(event.trial for event in events if isinstance(event, Started))
    assert len(starts) == 2 + 6 and max(starts.values()) > 1, "no run made room for another one"
    told = ["kind", "origin", "seed", "status", "steps", "objective"]
    one, four = (trials_of(folder, name)[told].sort_values(told[:3]) for name in ("one", "four"))
    pd.testing.assert_frame_equal(one.reset_index(drop=True), four.reset_index(drop=True))


def confirming(events: Sequence[Event]) -> bool:
    """Whether a run on a fresh seed has reported."""
    return any(trial.reports for trial in Records(events).of_kind("confirm"))


@pytest.mark.slow
def test_a_confirmation_one_seed_at_a_time_goes_on_where_it_was_killed(
    tmp_path: Path, environment: Environment
) -> None:
    """Killed in its middle it trains the runs that the undisturbed one does, to the same verdict."""
    folder = make_project(tmp_path)
    words = ["search.yaml", "--set", "resources.cpu=2", "--set", "budget.trials=5"]
    words += ["--set", "confirm={top: 2, seeds: auto, max: 5}"]
    code, output = run("search.run", [*words, "--name", "whole"], folder, environment)
    assert code == 0, output
    confirmed = (trials_of(folder, "whole").kind == "confirm").sum()
    assert 3 + 4 <= confirmed <= 3 + 8  # three configs on the seed that chooses, then two to four pairs
    reports = sum(isinstance(event, Reported) for event in read(folder / "results/whole/journal.jsonl")[0])
    with start("search.run", [*words, "--name", "cut"], folder, environment) as process:
        wait_for_reports(folder / "results/cut/journal.jsonl", reports - 5, process)
        kill_tree(process)
    code, output = run("search.run", [*words, "--name", "cut", "--resume"], folder, environment)
    assert code == 0, output
    pd.testing.assert_frame_equal(trials_of(folder, "whole")[COMPARED], trials_of(folder, "cut")[COMPARED])
    results = folder / "results"
    first, second = (strict_yaml.load(results / name / "best.yaml")["provenance"] for name in ("whole", "cut"))
    assert [first[key] for key in ("verdict", "why", "gain")] == [second[key] for key in ("verdict", "why", "gain")]
