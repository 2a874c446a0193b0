import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.s3_server import Server, s3_server
from trainables import objects

Command = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]

BASE = """\
# a network of a few hundred weights, for tests
prefix_length: 30
epochs: 9
tcn_channels: [4]  # small
tcn_kernel_size: 3
mlp_hidden_dims: [4]
batch_size: 32
warmup_epochs: 1
"""

SEARCH = """\
model: early_inference
base: base.yaml
data: {generate: {samples: 100, seed: 0, n_points: 20}}
knobs: [lr, batch_size, weight_decay, warmup_epochs]
space:
  warmup_epochs: {int: [0, 2]}
  batch_size: {choice: [16, 32]}
budget: {trials: 9, steps: 9 epochs, evaluate_every: 1 epoch}
early_stopping: {kind: asha, first_rung: 1}
sampler: {kind: tpe, seed: 0}
resources: {cpu: 1, gpu: 0}
confirm: {top: 1, seeds: 2}
"""


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A user's environment without their settings, with a cache of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RAY_", "TUNE_"))}
    return {**kept, "SCHEDULE_SEARCH_CACHE": str(tmp_path_factory.mktemp("cache")), "COLUMNS": "120"}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 server whose credentials are in the environment."""
    with s3_server(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        objects.filesystem.cache_clear()
        yield server
    objects.filesystem.cache_clear()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a small search and its base config."""
    return make_project(tmp_path)


def make_project(folder: Path) -> Path:
    (folder / "base.yaml").write_text(BASE)
    (folder / "search.yaml").write_text(SEARCH)
    return folder


def start(module: str, words: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """A command of ours in a process of its own, run in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests may run in the background
    )


def run(module: str, words: Sequence[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and output of a command that ends by itself."""
    with start(module, words, folder, environment) as process:
        output = process.communicate(timeout=240)[0]
    return process.returncode, output
