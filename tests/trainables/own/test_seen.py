"""What a command validates on is seen in its own processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainables.own.seen_elsewhere import Elsewhere

SCRIPT = """\
import sys
import torch

net, split = torch.nn.Linear(3, 1), torch.Generator().manual_seed(int(sys.argv[1]))
items = torch.randn(8, 3, generator=split)
for _ in range(int(sys.argv[2])):
    net(torch.randn(4, 3))  # training: no matter
    with torch.no_grad():
        net(items[torch.randperm(8)])
"""


@pytest.mark.integration
def test_the_items_that_a_command_validates_on_are_told_by_its_own_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/sitecustomize.py").write_text("print('the environment is set up')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "own"))

    def seen(split: int, epochs: int) -> str | None:
        with Elsewhere(tmp_path / f"seen-{split}-{epochs}") as watched:
            words = [sys.executable, str(tmp_path / "script.py"), str(split), str(epochs)]
            assert "set up" in subprocess.run(words, check=True, capture_output=True, text=True).stdout
            return watched.taken()

    first = seen(1, 1)
    assert first is not None and first == seen(1, 3) != seen(2, 1)
    assert os.environ["PYTHONPATH"] == str(tmp_path / "own")
