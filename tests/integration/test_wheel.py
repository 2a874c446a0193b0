"""The wheel, in a fresh virtual environment and an empty folder: the demo, and a search of a function of one's own.

What the wheel depends on is not installed anew: the fresh environment sees this one's packages, and not the project.
"""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from spaces import strict_yaml

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1200)]

TRAIN = """\
import torch


def train(run):
    net = torch.nn.Linear(4, 1)
    opt = torch.optim.SGD(net.parameters(), lr=run.config.lr)
    for epoch in range(run.restore(net, opt), run.config.epochs):
        loss = (net(torch.randn(64, 4)) - 1).square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        run.report(epoch + 1, val_loss=(net(torch.eye(4)) - 1).square().mean(), lr=run.config.lr)
"""
SEARCH = """\
trainable: {function: "train:train", length: epochs, objective: {val_loss: min, worst: 2.0}, settles: 0}
arguments: {lr: 0.001, epochs: 6}
space: {lr: {float: [1.0e-3, 0.3], log: true}}
budget: {trials: 4, steps: 6 epochs, evaluate_every: 1 epoch}
confirm: {top: 1, seeds: 2}
resources: {cpu: 1}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of a virtual environment with the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = folder.glob("schedule_search-*.whl")
    venv.create(folder / "venv", symlinks=True, with_pip=False)
    programs = folder / "venv" / "bin"
    to = sysconfig.get_path("purelib", vars={"base": str(folder / "venv")})
    # A path in a .pth file is no site folder: the project that is installed there as editable is not seen.
    (Path(to) / "packages.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    install = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--force-reinstall", str(wheel)], check=True, timeout=300)
    yield programs


def command(programs: Path, folder: Path, *words: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RAY_", "TUNE_", "PYTHON", "VIRTUAL"))}
    environment = {**kept, "PATH": f"{programs}:{os.environ['PATH']}", "SCHEDULE_SEARCH_CACHE": str(folder / "cache")}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_function_of_ones_own_is_searched(installed: Path, tmp_path: Path) -> None:
    where = command(installed, tmp_path, "python", "-c", "import search; print(search.__file__)")
    assert Path(where.strip()).is_relative_to(installed.parent)
    (tmp_path / "train.py").write_text(TRAIN, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(SEARCH, encoding="utf-8")
    assert "4 trials" in command(installed, tmp_path, "schedule-search", "plan", "mine.yaml")
    assert "verdict: " in command(installed, tmp_path, "schedule-search", "run", "mine.yaml", "--name", "mine")
    assert (tmp_path / "results/mine/report.html").is_file()
    assert strict_yaml.load(tmp_path / "results/mine/best.yaml")["config"].keys() >= {"lr", "epochs"}


def test_the_demo_comes_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    assert "verdict: " in command(installed, tmp_path, "schedule-search", "demo")
    assert (tmp_path / "demo/demo.yaml").is_file() and (tmp_path / "results/demo/report.html").is_file()
