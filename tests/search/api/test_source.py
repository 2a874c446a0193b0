"""A function is found by its file, or pickled where it has none; an equal function keeps its bytes."""

import importlib
import sys
from pathlib import Path

import pytest

from search.api.source import source_of

CELL = """\
FACTOR = 3

def helper(x):
    return FACTOR * x

def train(run):
    return helper(run)
"""


def from_cell(text: str):
    scope = {"__name__": "__main__"}
    exec(compile(text, "<cell>", "exec"), scope)  # noqa: S102  # as a notebook does
    return scope["train"]


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").touch()
    (tmp_path / "mine" / "training.py").write_text("def train(run): ...\nclass A:\n    def train(self): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("mine.training")
    for name in ("mine", "mine.training"):
        sys.modules.pop(name)


def test_a_functions_file_below_its_packages_root(module, tmp_path):
    source = source_of(module.train, tmp_path / "code")
    assert (source.folder, source.entry, source.code) == (tmp_path, "mine/training.py:train", None)
    assert not (tmp_path / "code").exists()


def test_a_function_from_a_notebook_is_pickled_and_called_again(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", None, raising=False)
    source = source_of(from_cell(CELL), tmp_path)
    assert (source.entry, source.code) == ("pickled:train", ("pickled.py", "function.pkl"))
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert importlib.import_module("pickled").train(5) == 15
    finally:
        sys.modules.pop("pickled")


USES = """\
import helpers
from pkg.net import width

class Net:
    def size(self):
        return width() + helpers.scale(1)

def train(run):
    import within
    return Net().size() + within.ONE
"""


def test_the_modules_beside_a_notebook_go_with_its_function(tmp_path, monkeypatch):
    home, place = tmp_path / "home", tmp_path / "place"
    (home / "pkg").mkdir(parents=True)
    for name, text in {
        "helpers.py": "from other import TEN\ndef scale(x):\n    return x * TEN\n",
        "other.py": "import numpy\nTEN = 10\n",
        "pkg/__init__.py": "",
        "pkg/net.py": "from . import sizes\ndef width():\n    return sizes.WIDTH\n",
        "pkg/sizes.py": "WIDTH = 100\n",
        "within.py": "ONE = 1\n",
        "unused.py": "1 / 0\n",
    }.items():
        (home / name).write_text(text)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", None, raising=False)
    monkeypatch.setattr(sys, "path", [str(home), *sys.path])
    names = ("helpers", "other", "pkg", "pkg.net", "pkg.sizes", "within", "pickled")
    try:
        source = source_of(from_cell(USES), place)
    finally:
        for name in names:
            sys.modules.pop(name, None)
    beside = ("helpers.py", "other.py", "pkg/__init__.py", "pkg/net.py", "pkg/sizes.py", "within.py")
    assert source.code == ("pickled.py", "function.pkl", *beside)
    monkeypatch.setattr(sys, "path", [str(place), *sys.path[1:]])
    try:
        assert importlib.import_module("pickled").train(0) == 111
        assert sys.modules["helpers"].__file__ == str(place / "helpers.py")
    finally:
        for name in names:
            sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [("", "\n\n", True), ("FACTOR = 3", "FACTOR = 4", False), ("FACTOR * x", "FACTOR + x", False)],
    ids=["moved", "constant", "helper"],
)
def test_the_pickle_stays_until_what_it_computes_changes(tmp_path, monkeypatch, old, new, kept):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", None, raising=False)
    source_of(from_cell(CELL), tmp_path)
    before = (tmp_path / "function.pkl").read_bytes()
    source_of(from_cell(CELL.replace(old, new, 1)), tmp_path)
    assert ((tmp_path / "function.pkl").read_bytes() == before) == kept


@pytest.mark.parametrize("odd", [3, print, Path])
def test_what_is_no_function_is_refused(tmp_path, odd):
    with pytest.raises(TypeError, match="expected a function"):
        source_of(odd, tmp_path)
