"""Data and checkpoints that a search names and that are not there are found by --plan, before anything is written."""

from pathlib import Path

import pytest
from small_search import write_search

from search.run import main

SEQUENCE = """\
model: sequence_generator
base: mine.json
data: {generate: {simulations: 10}}
budget: {trials: 2, steps: 4, evaluate_every: 1}
"""


@pytest.mark.parametrize("words", [["--plan"], []])
def test_a_data_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    path = write_search(tmp_path)
    data = ["--set", "data={data_dir: nowhere/curves}"]
    assert main([str(path), *data, *words, "--results", str(tmp_path / "results")]) == 2
    told = capsys.readouterr().err
    assert f"{path} data.data_dir: nowhere/curves: no such file or folder" in told
    assert "your script ends there, too: name what it reads" in told
    assert not (tmp_path / "results" / "early_inference-search").exists()


def test_a_start_checkpoint_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.json").write_text('{"existing_model": "out/best.pth", "alpha": 0.5}')
    (tmp_path / "mine.yaml").write_text(SEQUENCE)
    assert main([str(tmp_path / "mine.yaml"), "--plan"]) == 2
    told = capsys.readouterr().err
    assert "mine.json existing_model: out/best.pth: no such file" in told and "your own script, too; name a" in told


def test_a_start_that_the_file_switches_off_is_not_looked_for(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("init_from_checkpoint: false\ninit_checkpoint_path: nowhere.pt\n")
    text = SEQUENCE.replace("sequence_generator", "diphone_rnn").replace("mine.json", "mine.yaml")
    (tmp_path / "search.yaml").write_text(text.replace("simulations: 10", "sentences: 40") + "knobs: [model.rnn_dropout, weight_decay]\n")
    assert main([str(tmp_path / "search.yaml"), "--plan"]) == 0
