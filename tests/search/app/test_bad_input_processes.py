"""Bad input to the command in a process of its own: what it imports, says and writes."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from small_search import write_search

from tests.search.app.conftest import SCREEN, data_folder, on_data, tree


def command(
    *words: str, python: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, "-m", "search.run", *words],
        cwd=Path(__file__).parents[3],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_plan_and_a_bad_key_import_nothing_slow_and_write_nothing(tmp_path: Path) -> None:
    path = write_search(tmp_path)
    before = tree(tmp_path)
    for words, code in (([], 0), (["--set", "budgt=1"], 2)):
        done = command(str(path), "--plan", "--results", str(tmp_path / "r"), *words, python=["-X", "importtime"])
        assert done.returncode == code
        imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
        assert "search" in imported and "numpy" in imported
        assert not imported & {"torch", "ray", "mlflow", "optuna", "pandas"}
    assert tree(tmp_path) == before


def test_a_model_to_go_on_from_that_is_missing_is_one_error_before_anything_is_written(tmp_path: Path) -> None:
    given = Path(__file__).parents[2] / "trainables" / "cases" / "sequence_continued.json"
    args = json.loads(given.read_text(encoding="utf-8")) | {"loss": "combined"}
    (tmp_path / "args.json").write_text(json.dumps(args), encoding="utf-8")
    data = tmp_path / "cache"
    path = tmp_path / "s.yaml"
    path.write_text(
        "model: sequence_generator\nbase: args.json\nbudget: {trials: 2, steps: 2 epochs}\nspace: {start_lr: {}}\n"
        "data: {generate: {simulations: 10, grid: 16, frames: 26}}\n",
        encoding="utf-8",
    )
    before = tree(tmp_path)
    words, environment = [str(path), "--results", str(tmp_path / "r")], {"SCHEDULE_SEARCH_CACHE": str(data)}
    for more in (["--plan"], []):
        done = command(*words, *more, environment=environment)
        assert done.returncode == 2 and "trials of sequence_generator" in done.stdout
        (line,) = done.stderr.splitlines()
        said = "error: args.json existing_model: out/best_model_combined.pth: no such file (a relative path is from"
        assert line.startswith(said) and line.endswith("your own script, too; name a checkpoint of the network")
        assert tree(tmp_path) == before  # no data is generated either


@pytest.mark.integration
def test_more_gpus_than_there_are_is_said_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    path = write_search(tmp_path)
    folder = data_folder(tmp_path / "d")
    before = tree(tmp_path)
    words = [str(path), "--results", str(tmp_path / "results"), *on_data(folder), "--set", "resources.gpu=64"]
    done = command(*words)  # within a minute
    assert done.returncode == 2, done.stderr
    assert "error: resources: no node can run a trial: a trial asks for 1 CPU, 64 GPU: no node has" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= SCREEN
    assert tree(tmp_path) == before
