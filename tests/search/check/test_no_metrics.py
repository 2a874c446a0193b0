"""A command whose metrics come to nothing is exit 2 and one line: the file, what is wrong and what to do."""

from pathlib import Path

import pytest

from search.check.__main__ import main

SEARCH = """\
trainable:
  command: python fit.py {args} --seed {seed} --out {dir}
  metrics: {csv: log.csv}
  length: epochs
  objective: {val_loss: min, worst: 3.0}
  settles: 0
arguments: {lr: 0.05, epochs: 4}
space: {lr: {float: [0.01, 0.1]}}
budget: {trials: 2, steps: 4 epochs, evaluate_every: 1 epoch}
"""
SCRIPT = """\
import argparse, pathlib
p = argparse.ArgumentParser()
for name, kind in (("lr", float), ("epochs", int), ("seed", int), ("out", str)):
    p.add_argument("--" + name, type=kind)
a = p.parse_args()
with open(pathlib.Path(a.out) / "log.csv", "w") as file:
    print("epoch,val_loss", file=file)
    for epoch in range(1, a.epochs + 1):
        print(f"{epoch},{a.lr / epoch + a.seed}", file=file)
"""


def refused(folder: Path, old: str, new: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says of the project with one change in it."""
    assert (old in SEARCH) != (old in SCRIPT)
    (folder / "mine.yaml").write_text(SEARCH.replace(old, new, 1))
    (folder / "fit.py").write_text(SCRIPT.replace(old, new, 1))
    assert main([str(folder / "mine.yaml")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {folder / 'mine.yaml'} trainable") and error.count("\n") == 1
    return error


@pytest.mark.integration
@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("csv: log.csv", "csv: logs.csv", ["logs.csv never appeared", "holds log.csv;", "set trainable.metrics to a"]),
        ("a.lr / epoch", "float('nan')", ["val_loss is nan at step 1", "give base or arguments values that train"]),
    ],
    ids=["file", "nan"],
)
def test_a_command_whose_metrics_come_to_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, told: list[str]
) -> None:
    error = refused(tmp_path, old, new, capsys)
    assert all(part in error for part in told)
