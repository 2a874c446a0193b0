"""A stopping rule, a sampler and a model (with its space) are each added with one module and one line in a table."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]

RULE = '''"""`kind: half`: whoever is among the worse half at half of the training is stopped there."""

from collections.abc import Sequence
from typing import Literal

from search.stopping.bracket import Bracket
from search.stopping.kind import Lengths, Objectives, StoppingKind
from search.stopping.rungs import Entry, Rule


def worse_half(ranked: Sequence[Entry], score: float, reduction: int) -> bool:
    """Whether more than half of the earlier trials are better."""
    return sum(entry.score < score for entry in ranked) * 2 > len(ranked)


class Half(StoppingKind):
    """Stops at half of the training."""

    kind: Literal["half"]

    def rungs(self, lengths: Lengths) -> tuple[int, ...]:
        """Half and whole."""
        return (lengths.horizon // 2, lengths.horizon)

    def in_full(self, trial: int, seed: int, confirmed: bool) -> bool:
        """The baseline is not stopped."""
        return trial == 0

    def bracket(self, rungs: tuple[int, ...], objectives: Objectives) -> Bracket | None:
        """One rung."""
        own, further = objectives
        return Bracket(Rule("stop", rungs, 2, own.mode, own.worst, further, worse_half))
'''

SAMPLER = '''"""`kind: uniform`: Optuna's random sampler."""

from optuna.samplers import BaseSampler, RandomSampler

from search.sampling.samplers import SamplerContext

WINDOW = 0, 0


def make(seed: int, finished: int, context: SamplerContext) -> BaseSampler:
    """Independent draws."""
    return RandomSampler(seed=seed)
'''

SPACE = """\
alpha: {float: [0, 1], documented: 0.5, why: "one half of the bowl"}
beta: {float: [0, 1], documented: 0.5, why: "the other"}
"""

SEARCH = """\
model: trivial
data: {}
budget: {trials: 8, steps: 8, evaluate_every: 1}
early_stopping: {kind: half}
sampler: {kind: uniform, seed: 0}
resources: {cpu: 1, gpu: 0}
confirm: {top: 1, seeds: 2}
"""


def add(folder: Path, module: str, code: str, table: str, before: str, line: str) -> None:
    """Write a module into the copy of the code, and its line into a table."""
    path = folder / module
    path.parent.mkdir(exist_ok=True)
    path.write_text(code, encoding="utf-8")
    text = (folder / table).read_text(encoding="utf-8")
    assert text.count(before) == 1
    (folder / table).write_text(text.replace(before, f"{line}\n{before}"), encoding="utf-8")


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with a toy of each."""
    folder = tmp_path_factory.mktemp("code")
    for package in ("search", "trainables", "spaces"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    model = (ROOT / "benchmarks" / "trivial.py").read_text(encoding="utf-8")
    add(
        folder,
        "search/stopping/half.py",
        RULE,
        "search/stopping/kinds.py",
        '    "none": ',
        '    "half": "search.stopping.half:Half",',
    )
    add(
        folder, "search/sampling/uniform.py", SAMPLER, "search/sampling/kinds.py", '    "tpe": ',
        '    "uniform": "search.sampling.uniform",',
    )  # fmt: skip
    add(
        folder, "trainables/trivial/spec.py", model, "trainables/registry.py", '    "tts": ',
        '    "trivial": "trainables.trivial.spec",',
    )  # fmt: skip
    (folder / "spaces" / "trivial.yaml").write_text(SPACE, encoding="utf-8")
    return folder


def search(code: Path, folder: Path, *words: str) -> str:
    """The output of `python -m search.run` with the copy of the code."""
    (folder / "search.yaml").write_text(SEARCH, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MLFLOW_"))}
    environment |= {"PYTHONPATH": str(code), "COLUMNS": "120"}
    command = [sys.executable, "-m", "search.run", "search.yaml", "--name", "toy", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_toy_of_each_is_planned(code: Path, tmp_path: Path) -> None:
    plan = search(code, tmp_path, "--plan")
    assert "8 trials of trivial over 2 knobs" in plan
    assert [line.split()[0] for line in plan.splitlines() if line.rstrip().endswith("%")] == ["4", "8"]


@pytest.mark.integration
@pytest.mark.slow
def test_a_toy_of_each_runs_to_the_verdict(code: Path, tmp_path: Path) -> None:
    assert "verdict:" in search(code, tmp_path)
    trials = pd.read_csv(tmp_path / "results" / "toy" / "trials.csv")
    own = trials[trials.kind == "search"]
    assert list(own.origin[1:].unique()) == ["uniform"] and len(own) == 8
    assert set(own.status) == {"completed", "stopped"}
    assert (own[own.status == "stopped"].steps == 4).all() and (own[own.status == "completed"].steps == 8).all()
