"""Searches of a user's own code from end to end: killed anywhere and taken up again, they come to the same result."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from spaces import strict_yaml
from tests.integration.conftest import run, start
from tests.integration.test_search import kill_tree, trials_of, wait_for_reports
from tests.trainables.own.own_project import SEARCH, TRAIN, write_project
from tests.trainables.own.test_command import SAVES_FIRST
from trainables.own.keeper import LONELY

pytestmark = pytest.mark.integration

Environment = dict[str, str]
COMPARED = ["number", "kind", "origin", "status", "objective", "steps", "seed"]
LAST = ["--set", "budget={trials: 5, steps: 4 epochs, evaluate_every: 1 epoch}", "--set", "check=null"]
ONE_WORKER = [*LAST, "--set", "resources.cpu=2", "--set", "confirm={top: 1, seeds: 1}", "--set", "sampler.kind=tpe"]
COMMAND = """\
trainable:
  command: python train.py {config} {seed} {dir} {resume}
  metrics: {csv: log.csv}
  checkpoint: last.json
  resume: "{checkpoint}"
  length: epochs
  objective: {val_loss: min, worst: 2.0}
  settles: 0
base: config.yaml
space: {lr: {float: [0.1, 1]}}
budget: {trials: 5, steps: 4 epochs, evaluate_every: 1 epoch}
"""


HOLD = (
    COMMAND.replace(" {resume}", "")
    .replace("  checkpoint: last.json\n", "  pause: hold\n")
    .replace('  resume: "{checkpoint}"\n', "")
)


OWN = Path(__file__).parents[2] / "configs" / "own"
SLOWED = {"huggingface": '    return {"accuracy"', "lightning": '        self.log("val_loss"'}


def project(folder: Path, way: str) -> Path:
    if way in SLOWED:
        pytest.importorskip({"huggingface": "transformers"}.get(way, way))
        for file in (OWN / way).glob("*.*"):
            text, line = file.read_text(), SLOWED[way]
            sleep = line[: len(line) - len(line.lstrip())] + "__import__('time').sleep(0.2)\n"
            name = "mine.yaml" if "trainable:" in text else file.name
            (folder / name).write_text(text.replace(line, sleep + line))
    elif way == "function":
        slow = TRAIN.replace("import random\n", "import random\nimport time\n")
        write_project(folder, slow.replace("epoch += 1", "epoch += 1; time.sleep(0.2)"), SEARCH)
    else:
        write_project(
            folder, SAVES_FIRST.replace("time.sleep(0.05)", "time.sleep(0.2)"), HOLD if way == "hold" else COMMAND
        )
        (folder / "config.yaml").write_text("# my config\nlr: 0.5   # the rate\nepochs: 4\n")
    return folder


def kill_worker(folder: Path) -> None:
    """kill -9 of a worker that has a trial."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for note in sorted((folder / "trials").glob("*/worker.json")):
            try:
                pid = int(json.loads(note.read_text())["pid"])
                os.kill(pid, signal.SIGKILL)
            except (OSError, ValueError, KeyError):
                continue
            return
        time.sleep(0.05)
    raise AssertionError("no worker has a trial")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", ["function", "command", "hold", "huggingface", "lightning"])
def test_killed_anywhere_it_goes_on_to_the_same_result(way: str, tmp_path: Path, environment: Environment) -> None:
    folder = project(tmp_path, way)
    words = ["mine.yaml", *ONE_WORKER]
    code, output = run("search.run", [*words, "--name", "whole"], folder, environment)
    assert code == 0, output
    journal = folder / "results/cut/journal.jsonl"
    with start("search.run", [*words, "--name", "cut"], folder, environment) as process:
        wait_for_reports(journal, 3, process, 240)
        kill_worker(folder / "results/cut")
        wait_for_reports(journal, 6, process, 240)
        kill_tree(process)
    code, output = run("search.run", [*words, "--name", "cut", "--resume"], folder, environment)
    assert code == 0, output
    compared = [*COMPARED, *strict_yaml.load(folder / "mine.yaml")["space"]]
    pd.testing.assert_frame_equal(trials_of(folder, "whole")[compared], trials_of(folder, "cut")[compared])
    assert (trials_of(folder, "whole").steps < 4).any()  # trials were paused
    if way == "hold":
        logs = [log.read_text() for log in (folder / "results/whole/trials").glob("*/output.txt")]
        assert {log.count("$ python") for log in logs} == {1}
    time.sleep(LONELY + 2 if way == "hold" else 0)
    assert not [p for p in psutil.process_iter() if _runs(p, folder)]


def _runs(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and any(str(folder) in word for word in process.cmdline())
    except psutil.Error:
        return False


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> tuple[Path, str]:
    folder = project(tmp_path_factory.mktemp("own"), "command")
    code, output = run("search.run", ["mine.yaml", *ONE_WORKER, "--name", "s"], folder, environment)
    assert code == 0, output
    return folder, output


def test_the_winner_is_handed_over_in_the_users_own_file_and_command(
    finished: tuple[Path, str], environment: Environment
) -> None:
    folder, output = finished
    native = folder / "results/s/native"
    command = (native / "command.txt").read_text().strip()
    assert f"train it      {command}" in output
    assert "# the rate" in (native / "config.yaml").read_text()
    subprocess.run(["bash", "-c", command], check=True, env=environment)
    rows = pd.read_csv(folder / "results/s/trained/log.csv")
    best = strict_yaml.load(folder / "results/s/best.yaml")
    assert rows.val_loss.iloc[-1] == best["provenance"]["objective"]["value"]


def test_best_yaml_and_the_folder_are_enough_without_the_code(
    finished: tuple[Path, str], environment: Environment
) -> None:
    folder, _ = finished
    (folder / "train.py").rename(folder / "gone.py")
    try:
        code, output = run("trainables.train", ["results/s/best.yaml"], folder, environment)
        assert code == 0 and "equal to the last digit" in output
        code, output = run("search.report", ["results/s"], folder, environment)
        assert code == 0, output
    finally:
        (folder / "gone.py").rename(folder / "train.py")


def test_changed_code_is_refused_by_name(finished: tuple[Path, str], environment: Environment) -> None:
    folder, _ = finished
    text = (folder / "train.py").read_text()
    (folder / "train.py").write_text(text + "# changed\n")
    words = ["mine.yaml", *ONE_WORKER, "--name", "s", "--address", "127.0.0.1:9"]  # no Ray is there: it isn't asked
    code, output = run("search.run", words, folder, environment)
    (folder / "train.py").write_text(text)
    assert code == 2
    assert "--fork NAME" in output and output.rstrip().endswith("undo what changed: the code in train.py")
