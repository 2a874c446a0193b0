"""The examples of docs/own: the pages show them as they are, and each is searched from the command to best.yaml."""

import importlib
import json
import re
from pathlib import Path

import pytest

from search import run
from spaces import strict_yaml

ROOT = Path(__file__).parents[2]
OWN = ROOT / "configs" / "own"
EXAMPLES = sorted(OWN.glob("*/*.yaml"))
SEARCHES = [path for path in EXAMPLES if {"trainable", "model"} & set(strict_yaml.load(path))]
PAGES = sorted((ROOT / "docs" / "own").glob("*.md"))
NEEDED = {"huggingface": "transformers", "lightning": "lightning"}


def test_there_are_examples_and_pages():
    assert {path.parent.name for path in SEARCHES} >= {"function", "command", "huggingface", "lightning", "model"}
    assert {page.stem for page in PAGES} >= {"function", "command", "huggingface", "lightning", "model", "python"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_its_example(page):
    shown = re.findall(r"```yaml\n(# python -m search\.run (\S+)\n.*?)```", page.read_text(), re.DOTALL)
    assert shown or page.stem == "python"
    for text, path in shown:
        assert text == (ROOT / path).read_text()


def searched(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """best.yaml of a small search of an example."""
    if needed := NEEDED.get(path.parent.name):
        pytest.importorskip(needed)
    monkeypatch.setenv("SCHEDULE_SEARCH_CACHE", str(tmp_path / "cache"))
    small = ["budget.trials=3", "confirm.top=1", "confirm.seeds=2"]
    words = [word for override in small for word in ("--set", override)]
    assert run.main([str(path), *words, "--results", str(tmp_path / "results"), "--name", "x"]) == 0
    folder = tmp_path / "results" / "x"
    assert (folder / "report.html").is_file()
    return strict_yaml.load(folder / "best.yaml")


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.parent.name)
def test_an_example_is_searched(path, tmp_path, monkeypatch):
    best = searched(path, tmp_path, monkeypatch)
    checked = best["provenance"]["checked"]
    assert checked["repeats"] == "same bits"
    assert checked["seed"] == "acts"
    assert checked["resume"] == ("stop" if path.parent.name == "command" else "exact")
    assert checked.get("protocol") == ("kept" if path.parent.name == "model" else None)
    assert NEEDED.get(path.parent.name, "torch") in best["provenance"]["packages"]
    assert set(best["config"]) >= set(strict_yaml.load(path)["space"])


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.setenv("SCHEDULE_SEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    cells = json.loads((OWN / "notebook" / "spiral.ipynb").read_text())["cells"]
    scope = {"__name__": "__main__"}
    monkeypatch.delattr(importlib.import_module("__main__"), "__file__", raising=False)  # as in a kernel
    for number, cell in enumerate(cell for cell in cells if cell["cell_type"] == "code"):
        exec(compile("".join(cell["source"]), f"<cell {number}>", "exec"), scope)  # noqa: S102
    result = scope["result"]
    assert result.verdict is not None and len(result.trials) >= 6
    assert result.checked["resume"] == "exact"
    assert result.report()._repr_html_().startswith("<iframe")
