"""Searches that start at a step, from end to end: a trained prefix, killed and taken up; a trial gone on with; a
checkpoint. The user's own code, for its training is quick."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from search.history.events import Proposed, Reported, StartReady
from search.history.journal import read
from spaces import strict_yaml
from tests.integration.conftest import run, start
from tests.integration.test_search import kill_tree, wait_for, wait_for_reports
from tests.trainables.own.own_project import TRAIN, write_project

pytestmark = pytest.mark.integration

SLOW = "import random\nimport time\n"
SEARCH = """\
trainable:
  function: train:train
  length: epochs
  objective: {val_loss: min, worst: 100.0}
  schedules:
    lr: {torch: {base: lr, chain: [{MultiStepLR: {milestones: [drop_at], gamma: gamma}}]}}
base: config.yaml
start: {train_to: 3}
space:
  gamma: {float: [0.01, 1]}
  drop_at: {int: [5, 6]}  # a schedule may be on its way to the next epoch during the one before
check: null
budget: {trials: 5, evaluate_every: 1 epoch}
early_stopping: {kind: asha, first_rung: 1, reduction: 2}
sampler: {kind: tpe}
resources: {cpu: 2, gpu: 0}
confirm: {top: 1, seeds: 2}
"""
COLUMNS = ["number", "kind", "origin", "status", "objective", "steps", "seed", "gamma", "drop_at"]


def project(folder: Path) -> None:
    code = TRAIN.replace("import random\n", SLOW)
    code = code.replace("        epoch += 1\n", "        epoch += 1; time.sleep(0.1)\n")
    step = "        for group in optimizer.param_groups:\n            group['lr'] = run.config.lr * ("
    step += "run.config.gamma if epoch >= run.config.drop_at else 1)\n        for batch in"
    code = code.replace("        for batch in", step, 1).replace("lr=run.config.lr,\n", "lr=group['lr'],\n")
    write_project(folder, code, SEARCH)
    (folder / "config.yaml").write_text("lr: 0.01\ngamma: 0.5\ndrop_at: 5\nepochs: 7\nworkers: 0\n")


def events(folder: Path, name: str, kind: Any) -> list[Any]:
    journal = folder / "results" / name / "journal.jsonl"
    return [e for e in read(journal)[0] if isinstance(e, kind)] if journal.exists() else []


def baseline(folder: Path, name: str) -> list[Any]:
    return [(event.step, event.metrics) for event in events(folder, name, Reported) if event.trial == 0]


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "results" / name / "trials.csv")[COLUMNS]


def reproduced(folder: Path, name: str, environment: dict[str, str]) -> str:
    code, output = run("trainables.train", [f"results/{name}/best.yaml"], folder, environment)
    assert code == 0 and "equal to the last digit" in output, output
    return output


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_a_trained_step_from_a_trial_and_from_a_checkpoint(tmp_path: Path, environment: dict[str, str]) -> None:
    project(tmp_path)
    code, output = run("search.run", ["mine.yaml", "--name", "whole"], tmp_path, environment)
    assert code == 0, output
    starts = events(tmp_path, "whole", StartReady)
    assert [(each.seed, each.step, each.trained) for each in starts] == [(0, 3, 3), (1, 3, 3), (2, 3, 3)]
    assert all(event.step > 3 for event in events(tmp_path, "whole", Reported))
    best = (tmp_path / "results/whole/best.yaml").read_text()
    assert "That trains it from epoch 0" in best and "\nstart:" not in best
    reproduced(tmp_path, "whole", environment)

    with start("search.run", ["mine.yaml", "--name", "cut"], tmp_path, environment) as process:
        wait_for_reports(tmp_path / "results/cut/start/journal.jsonl", 2, process, 240)  # while the start is trained
        kill_tree(process)
    with start("search.run", ["mine.yaml", "--name", "cut"], tmp_path, environment) as process:
        wait_for_reports(tmp_path / "results/cut/journal.jsonl", 3, process, 240)
        kill_tree(process)
    file = tmp_path / "results/cut/start/seed-0/000000003.pt"
    file.write_bytes(file.read_bytes()[:-1])  # a damaged state is trained again, to the same bytes
    code, output = run("search.run", ["mine.yaml", "--name", "cut", "--resume"], tmp_path, environment)
    assert code == 0, output
    pd.testing.assert_frame_equal(table(tmp_path, "whole"), table(tmp_path, "cut"))
    assert [each.digest for each in events(tmp_path, "cut", StartReady)] == [each.digest for each in starts]

    given = tmp_path / "results/whole/start/seed-0/000000003.pt"
    words = ["mine.yaml", "--set", f"start={{checkpoint: {given}}}", "--name", "given"]
    code, output = run("search.run", words, tmp_path, environment)
    assert code == 0, output
    assert "only what follows it has fresh seeds" in " ".join(output.split())
    on, unbroken = (baseline(tmp_path, name) for name in ("given", "whole"))
    assert on == unbroken and [step for step, _ in on] == [4, 5, 6, 7]  # seed 0 goes on as if nothing had happened
    config = strict_yaml.load(tmp_path / "results/given/best.yaml")
    assert config["start"] == {"checkpoint": "start/given/000000003.pt"}
    assert "only what follows it has fresh seeds" in config["provenance"]["why"]
    reproduced(tmp_path, "given", environment)
    given.unlink()
    code, output = run("search.run", [*words, "--resume"], tmp_path, environment)
    assert code == 0 and "going on with the search's own copy" in output, output

    search = SEARCH.replace("start: {train_to: 3}", "start: {search: results/whole, trial: 1, step: 4}")
    (tmp_path / "mine.yaml").write_text(search.replace("trial: 1", "trial: 0"))
    words = ["mine.yaml", "--name", "on", "--set", "budget.trials=2", "--set", "confirm.seeds=0"]
    code, output = run("search.run", words, tmp_path, environment)
    assert code == 0, output
    assert baseline(tmp_path, "on") == unbroken[1:]
    (tmp_path / "config.yaml").write_text("lr: 0.02\ngamma: 0.5\ndrop_at: 5\nepochs: 7\nworkers: 0\n")
    code, output = run("search.run", ["mine.yaml", "--plan"], tmp_path, environment)
    assert code == 2 and "lr: 0.01 there, 0.02 in config.yaml" in output, output


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_seed_at_a_time_only_those_that_are_needed_are_trained_up_to_the_start(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    project(tmp_path)
    words = ["mine.yaml", "--set", "confirm={top: 1, seeds: auto, max: 7}", "--name"]
    code, output = run("search.run", [*words, "whole"], tmp_path, environment)
    assert code == 0, output
    proposed = events(tmp_path, "whole", Proposed)
    seeds = sorted({each.seed for each in proposed if each.kind == "confirm"})
    assert seeds == list(range(1, 1 + len(seeds))) and len(seeds) >= 2
    starts = events(tmp_path, "whole", StartReady)
    assert [each.seed for each in starts] == [0, *seeds]

    with start("search.run", [*words, "cut"], tmp_path, environment) as process:
        journal = tmp_path / "results/cut/journal.jsonl"
        wait_for(journal, process, lambda told: len([each for each in told if isinstance(each, StartReady)]) > 1, 240)
        kill_tree(process)
    code, output = run("search.run", [*words, "cut", "--resume"], tmp_path, environment)
    assert code == 0, output
    pd.testing.assert_frame_equal(table(tmp_path, "whole"), table(tmp_path, "cut"))
    assert [each.digest for each in events(tmp_path, "cut", StartReady)] == [each.digest for each in starts]
