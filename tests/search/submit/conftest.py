"""A client's folder, files of given names, and heads with written answers."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_search import write_search
from written_heads import Answers, Dashboard, Script

from search.submit import look, submission
from search.submit.__main__ import main

Served = Callable[[Answers], Dashboard]
Run = Callable[..., tuple[int, str, str]]


def make(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def served() -> Iterator[Served]:
    dashboards: list[Dashboard] = []

    def start(answers: Answers) -> Dashboard:
        dashboards.append(Dashboard(answers))
        return dashboards[-1]

    yield start
    for each in dashboards:
        each.close()


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A client's folder, with a search in it and nothing of the user's settings."""
    for name in list(os.environ):
        if name.startswith(("RAY_", "MLFLOW_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "client"
    folder.mkdir()
    write_search(folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(client: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command at a written head, in the client's folder: the exit code, what is said, and the errors."""

    def run(head: Script, *words: str) -> tuple[int, str, str]:
        for module in (look, submission):
            monkeypatch.setattr(module, "head_at", lambda _: head)
        return main(words), *capsys.readouterr()

    return run
