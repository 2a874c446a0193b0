"""What a command's own process does to be watched, done here: torch is there already, and found anew."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn.modules import module as hooks

from trainables.own.seen import Seen
from trainables.own.seen_elsewhere import Elsewhere

HOOKS = ("register_module_forward_pre_hook", "register_module_forward_hook")


class Again(MetaPathFinder, Loader):
    """Finds torch once more: the one that this process has."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname == "torch" else None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = torch


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Begins as a Python process does that the watched one starts, with these finders before the others. What it leaves
    in torch is taken away again."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own/sitecustomize.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "own"))
    kept = []
    for name in HOOKS:
        register = getattr(hooks, name)
        monkeypatch.setattr(hooks, name, lambda *a, _register=register, **k: kept.append(_register(*a, **k)))

    def started(*finders: MetaPathFinder) -> None:
        monkeypatch.setattr(sys, "path", os.environ["PYTHONPATH"].split(os.pathsep))
        monkeypatch.setattr(sys, "meta_path", [*finders, *sys.meta_path])
        monkeypatch.setitem(sys.modules, "sitecustomize", ModuleType("this process's"))
        del sys.modules["sitecustomize"]
        importlib.import_module("sitecustomize")
        monkeypatch.delitem(sys.modules, "torch")

    yield started
    for handle in kept:
        handle.remove()


def validated(*batches: torch.Tensor) -> None:
    with torch.no_grad():
        for batch in batches:
            torch.nn.Linear(3, 1)(batch)


def test_a_process_of_an_environment_without_a_hook_of_its_own_says_nothing(tmp_path: Path) -> None:
    with Elsewhere(tmp_path / "seen"):
        done = subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_what_is_validated_on_is_told_as_this_process_would_tell_it(tmp_path: Path, start: Callable[..., None]) -> None:
    items = torch.arange(12.0).reshape(4, 3)
    with Seen() as seen:
        validated(items)
        whole = seen.taken()
    with Elsewhere(tmp_path / "seen") as watched:
        start(Again())
        assert sys.path == [str(tmp_path / "own")]
        assert sys.modules["sitecustomize"].__file__ == str(tmp_path / "own/sitecustomize.py")
        assert watched.taken() is None and importlib.import_module("torch") is torch
        torch.nn.Linear(3, 1)(items + 1)  # training: no matter
        assert watched.taken() is None
        validated(items[2:])
        part = watched.taken()
        validated(items[:2], items)
        assert part is not None and part.startswith("2:") and watched.taken() == whole != part
        (tmp_path / "seen/seen-0.txt").write_text("9:another process")
        assert watched.taken() == f"{whole} 9:another process"
        shutil.rmtree(tmp_path / "seen")
        validated(items + 2)  # nobody looks any more: the command goes on
        assert watched.taken() is None


def test_what_a_loss_or_a_metric_is_given_is_no_data() -> None:
    model, items = torch.nn.Linear(3, 2), torch.arange(12.0).reshape(4, 3)
    with Seen() as seen, torch.no_grad():
        answers = model(items)
        alone = seen.taken()
        torch.nn.CrossEntropyLoss(weight=torch.ones(2))(model(items), torch.tensor([0, 1, 0, 1]))
        torch.nn.MSELoss()(answers, answers + 1)
        assert seen.taken() == alone is not None
        assert seen.taken() is None


def test_a_torch_without_such_hooks_is_imported_and_not_watched(
    tmp_path: Path, start: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(hooks, HOOKS[0])
    with Elsewhere(tmp_path / "seen") as watched:
        start(Again())
        assert importlib.import_module("torch") is torch
        validated(torch.ones(2, 3))
        assert watched.taken() is None


def test_a_torch_that_is_not_there_is_missed_as_ever(tmp_path: Path, start: Callable[..., None]) -> None:
    with Elsewhere(tmp_path / "seen") as watched:
        start()
        before = len(sys.meta_path)
        with pytest.raises(ModuleNotFoundError, match="No module named 'torch'"):
            importlib.import_module("torch")
        assert len(sys.meta_path) == before - 1 and watched.taken() is None


def test_variables_are_as_they_were_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    before = dict(os.environ)
    with Elsewhere(tmp_path / "seen"):
        assert os.environ["PYTHONPATH"] == str(tmp_path / "seen/hook")
    assert dict(os.environ) == before
