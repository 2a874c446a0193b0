"""A search from Python: run, asked for its parts, called again, and opened from its folder."""

import sys
from pathlib import Path

import pytest

import search
from search.api.tune import SearchFailed
from spaces import strict_yaml

SCRIPT = """\
def train(run):
    x, begin = 1.0, 0
    if (state := run.resume()) is not None:
        x, begin = state["x"], state["epoch"]
    for epoch in range(begin, run.config.epochs):
        x -= run.config.lr * 2 * x
        run.report(epoch + 1, state={"x": x, "epoch": epoch + 1}, val_loss=x * x + 0.01 * run.seed)
"""


@pytest.fixture
def train(tmp_path, monkeypatch):
    (tmp_path / "quadratic_training.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCHEDULE_SEARCH_CACHE", str(tmp_path / "cache"))
    import quadratic_training

    yield quadratic_training.train
    sys.modules.pop("quadratic_training")


ARGUMENTS = (
    {"lr": 0.01, "epochs": 4},
    {"lr": {"float": [0.001, 0.3], "log": True}},
    {"trials": 4, "steps": "4 epochs", "evaluate_every": "1 epoch"},
    {"val_loss": "min", "worst": 1.5},
)
MORE = {"trainable": {"settles": 0}, "confirm": {"top": 1, "seeds": 2}, "resources": {"cpu": 1, "max_concurrent": 1}}


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_tune_gives_what_the_folder_holds(train, tmp_path):
    result = search.tune(train, *ARGUMENTS, folder="results/q", more=MORE)
    folder = tmp_path / "results" / "q"
    assert result.best == strict_yaml.load(folder / "best.yaml")["config"]
    assert len(result.trials) == len(result.trials["number"].unique())
    assert set(result.trials[result.trials["kind"] == "search"]["origin"])
    assert {"trial", "step", "val_loss"} <= set(result.history.columns)
    assert result.verdict is not None and result.verdict.decision in {"switch", "keep"}
    assert result.checked["resume"] == "exact" and result.checked["repeats"] == "same bits"
    assert result.checked == strict_yaml.load(folder / "best.yaml")["provenance"]["checked"]
    page = result.report()
    assert Path(str(page)).is_file() and page._repr_html_().startswith("<iframe")
    before = result.trials
    again = search.tune(train, *ARGUMENTS, folder="results/q", more=MORE)
    assert again.trials.equals(before)
    assert search.open("results/q").best == result.best


def test_bad_input_ends_before_anything_is_trained(train, tmp_path, capsys):
    with pytest.raises(SearchFailed, match="exit code 2"):
        search.tune(train, {"lr": 0.01, "epochs": 4}, {"rl": {"float": [0, 1]}}, *ARGUMENTS[2:], more=MORE)
    assert "space.rl" in capsys.readouterr().err
    assert not (tmp_path / "results" / "train").exists()


def test_what_is_no_mapping_is_refused(train):
    with pytest.raises(TypeError, match="objective: expected a mapping as in a search's YAML, got 'val_loss'"):
        search.tune(train, *ARGUMENTS[:3], "val_loss", more=MORE)


def test_importing_search_is_quick():
    import subprocess

    code = "import sys, search; sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'ray', 'pydantic', 'yaml')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_name_that_search_has_not(tmp_path):
    with pytest.raises(AttributeError, match="no attribute 'tuna'"):
        search.tuna  # noqa: B018
