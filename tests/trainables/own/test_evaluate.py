"""`trainable.evaluate`: what it is given of the weights, and what is said where it gives no number."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.own.declaration import Declaration
from trainables.own.declare import from_declaration
from trainables.own.evaluate import objective_of
from trainables.own.model import OwnModel
from trainables.run import UserCodeError

CONFIG = {"lr": 0.5, "epochs": 5}
COMMON = {"length": "epochs", "objective": {"val_loss": "min", "worst": 2.0}}
COMMAND = {
    "command": "sh fit.sh {config} {dir} {resume}",
    "metrics": {"csv": "log.csv"},
    "checkpoint": "epoch_{step}.txt",
    "resume": "{checkpoint}",
}
EVALUATE = "def train(run): ...\n\n\ndef evaluate(config, state):\n    "


def model_of(folder: Path, **declared: Any) -> OwnModel:
    (folder / "fit.sh").touch()
    declaration = Declaration.model_validate({**COMMON, **declared})
    made = from_declaration(declaration, folder / "mine.yaml", ("config.yaml", "lr: 0.1  # mine\nepochs: 5\n"))
    (folder / "trial").mkdir()
    return OwnModel(made.reference, folder / "trial")


def kept(state: Any) -> dict[str, Any]:
    """The state of a run whose code has reported `state`."""
    buffer = io.BytesIO()
    torch.save({"state": state}, buffer)
    return {"step": 1, "kept": torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)}


def of_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, state: Any, way: str = "function", seed: int = 3
) -> float:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (folder / "train.py").write_text(f"import pathlib\n\nimport torch\n\n\n{EVALUATE}{code}\n")
    model = model_of(folder, **{way: "train:train"}, evaluate="train:evaluate")
    return objective_of(model, CONFIG, kept(state), seed, folder)


@pytest.mark.parametrize(
    ("way", "state", "code"),
    [
        ("function", {"net": 2.0}, "return config.lr * state['net']"),
        ("function", {"parts": [{"w": 2.0}]}, "return {'val_loss': config.lr * state[0]['w'], 'acc': 0}"),
        (
            "trainer",
            {"name": b"checkpoint-3", "model.safetensors": b"2.0", "inner/a": b""},
            "assert state.name == 'checkpoint-3' and (state / 'inner/a').is_file()\n"
            "    return config.lr * float((state / 'model.safetensors').read_text())",
        ),
        ("lightning", {"checkpoint": b"2.0"}, "return config.lr * float(pathlib.Path(state).read_text())"),
    ],
    ids=["reported", "restored", "trainer", "lightning"],
)
def test_the_weights_come_as_the_code_knows_them(
    way: str, state: Any, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert of_code(tmp_path, monkeypatch, code, state, way) == 1.0


def test_what_it_draws_follows_from_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for place, seed in enumerate((3, 3, 4)):
        (tmp_path / str(place)).mkdir()
        drawn.append(of_code(tmp_path / str(place), monkeypatch, "return torch.rand(())", {}, seed=seed))
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("return {'loss': 1.0}", "val_loss is missing; it gave loss"),
        ("return {}", "val_loss is missing; it gave nothing"),
    ],
)
def test_an_answer_without_the_objective_is_told(
    code: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserCodeError, match=f"^{told}$"):
        of_code(tmp_path, monkeypatch, code, {})


def of_command(folder: Path, script: str, program: str = "sh") -> float:
    """The objective by a script that is given the config and the checkpoint of a run of three epochs."""
    (folder / "score.sh").write_text(script)
    model = model_of(folder, **COMMAND, evaluate=f"{program} score.sh {{config}} {{checkpoint}} {{seed}}")
    files = {name: name.encode() for name in ("epoch_2.txt", "epoch_3.txt", "log.csv")}
    return objective_of(model, CONFIG, {"step": 3, "files": files}, 7, folder)


@pytest.mark.parametrize(
    ("answer", "value"),
    [("echo loading; echo 0.25; echo", 0.25), ("""echo '{"val_loss": 0.25, "n": 3}'""", 0.25), ("echo 1; echo -3", -3)],
)
def test_a_commands_last_line_is_its_answer(answer: str, value: float, tmp_path: Path) -> None:
    given = 'grep -q "lr: 0.5  # mine" "$1" && test "$(cat "$2")" = epoch_3.txt && test "$3" = 7 || exit 9\n'
    assert of_command(tmp_path, given + answer) == value


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 3", "the command ended with exit code 3"),
        (
            "echo 1; echo first >&2; echo '  no GPU  ' >&2; echo >&2; exit 1",
            "the command ended with exit code 1: no GPU",
        ),
        ("kill -9 $$", "the command ended with exit code -9"),
        ("", "it printed nothing; print the objective on a line of its own, at the end, or a JSON object that has it"),
        ("echo 0.5; echo done in 3 s", "the last line is 'done in 3 s'; print the objective on a line of its own"),
        ("echo '{\"loss\": 1}'", "val_loss is missing; it gave loss"),
        ("echo NaN", "val_loss is nan; an evaluation gives a finite number"),
        ("echo 1e999", "val_loss is inf; an evaluation gives a finite number"),
    ],
)
def test_a_command_that_gives_no_number_is_told(script: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserCodeError) as caught:
        of_command(tmp_path, script)
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserCodeError, match=r"^no-such-program: No such file or directory$"):
        of_command(tmp_path, "", "no-such-program")
