"""A user's training function as a run: pausing changes nothing, and its mistakes are told."""

import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from own_project import TRAIN, build, own_model

import search
from trainables.own.load import forget
from trainables.run import Run, UserCodeError


def carried(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state as a checkpoint gives it back."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


def curve(run: Run, upto: int = 4) -> list[dict[str, float]]:
    found = []
    for until in range(run.step + 1, upto + 1):
        run.train(until)
        found.append(dict(run.evaluate()))
    run.close()
    return found


RESTORES = (
    TRAIN.replace("    if (state := run.resume()) is not None:\n", "    epoch = run.restore(net, optimizer)\n")
    .replace('        epoch = state["epoch"]\n', "")
    .replace('        net.load_state_dict(state["net"])\n', "")
    .replace('        optimizer.load_state_dict(state["optimizer"])\n', "")
    .replace(
        '            state=lambda: {"epoch": epoch, "net": net.state_dict(), "optimizer": optimizer.state_dict()},\n',
        "",
    )
)


@pytest.mark.parametrize(("workers", "script"), [(0, TRAIN), (2, TRAIN), (0, RESTORES)])
def test_paused_and_resumed_at_every_epoch_is_never_paused(tmp_path: Path, workers: int, script: str) -> None:
    native = {"workers": workers}
    model = own_model(tmp_path, script)
    assert ("load_state_dict" in script) == (script is TRAIN)
    whole = curve(build(model, native))
    assert len({row["draws"] for row in whole}) == 4
    run, paused = build(model, native), []
    for until in range(1, 5):
        run.train(until)
        paused.append(dict(run.evaluate()))
        if until < 4:
            state = carried(run.state())
            run.close()
            torch.rand(7)  # whatever another trial draws meanwhile
            run = build(model, native)
            run.restore(state)
            assert run.step == until
    run.close()
    assert paused == whole


def test_what_is_drawn_between_two_reports_changes_nothing(tmp_path: Path) -> None:
    model = own_model(tmp_path)
    whole = curve(build(model))
    run, other = build(model), []
    for until in range(1, 5):
        run.train(until)
        other.append(dict(run.evaluate()))
        torch.rand(3)
    run.close()
    assert other == whole


@pytest.mark.parametrize("script", [TRAIN, RESTORES])
def test_by_hand_the_function_prints_what_a_search_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], script: str
) -> None:
    measured = curve(build(own_model(tmp_path, script)))
    made: dict[str, Any] = {}
    exec(script, made)  # noqa: S102 - the test's own
    run = search.local_run(tmp_path / "config.yaml", seed=5, folder=tmp_path / "of its own")
    made["train"](run)
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert printed == [
        [str(step), *(word for name in ("val_loss", "draws", "lr") for word in (name, f"{row[name]:.6g}"))]
        for step, row in enumerate(measured, 1)
    ]
    assert run.folder.is_dir() and not list(run.folder.iterdir())


def test_a_run_by_hand_is_checked_as_a_trial_is() -> None:
    run = search.local_run({"lr": 0.1, "net": {"width": 3}})
    assert run.config.net.width == 3 and run.folder.is_dir()
    run.report(2, loss=1)
    with pytest.raises(UserCodeError, match="step"):
        run.report(2, loss=1)
    with pytest.raises(UserCodeError):
        run.restore(object())  # type: ignore[arg-type]


def test_seeds_differ_and_repeat(tmp_path: Path) -> None:
    model = own_model(tmp_path)
    first, again, other = (curve(build(model, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_without_a_state_it_starts_over(tmp_path: Path) -> None:
    without = TRAIN.replace("state=lambda:", "state=None and")
    model = own_model(tmp_path, without, pause="rerun")
    whole = curve(build(model))
    run = build(model)
    run.train(1)
    run.train(2)
    state = carried(run.state())
    run.close()
    run = build(model)
    run.restore(state)
    assert curve(run) == whole[2:]


def test_what_it_leaves_in_a_module_does_not_reach_the_next_trial(tmp_path: Path) -> None:
    train = "import other\n\ndef train(run):\n    other.seen.append(1)\n"
    train += "    for epoch in range(1, run.config.epochs + 1):\n"
    train += "        run.report(epoch, val_loss=len(other.seen), state={})\n"
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "other.py").write_text("seen = []\n")
    model = own_model(tmp_path, train)
    assert sorted(model.reference.code) == ["other.py", "train.py"]
    assert [curve(build(model))[0]["val_loss"] for _ in range(2)] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("file", "helper", "imports"),
    [
        ("scripts/fit.py", "scripts/helper_of_mine.py", "from helper_of_mine import TWO\nfrom lib.net import ONE"),
        ("space/fit.py", "space/helper_of_mine.py", "from .helper_of_mine import TWO\nfrom lib.net import ONE"),
        ("space/fit.py", "space/helper_of_mine.py", "from space.helper_of_mine import TWO\nfrom lib.net import ONE"),
        (
            "src/pack/fit.py",
            "src/pack/helper_of_mine.py",
            "from pack.helper_of_mine import TWO\nfrom lib.net import ONE",
        ),
        ("pack/sub/fit.py", "pack/helper_of_mine.py", "from ..helper_of_mine import TWO\nfrom lib.net import ONE"),
    ],
    ids=["script", "namespace", "namespace by name", "src", "package"],
)
def test_what_by_hand_can_be_imported_can_be_in_a_search(tmp_path: Path, file: str, helper: str, imports: str) -> None:
    for path, text in {
        "lib/net.py": "ONE = 1\n",
        helper: "TWO = 2\n",
        file: f"{imports}\n\ndef train(run):\n    for epoch in range(1, 5):\n"
        "        run.report(epoch, val_loss=ONE + TWO, state={})\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        for part in ("pack", "sub"):
            if part in Path(path).parts:
                package = tmp_path / Path(*Path(path).parts[: Path(path).parts.index(part) + 1])
                (package / "__init__.py").touch()
    model = own_model(tmp_path, function=f"{file.removesuffix('.py')}:train")
    assert {"lib/net.py", file, helper} <= set(model.reference.code)
    assert curve(build(model))[0]["val_loss"] == 3
    for place in (tmp_path, *(tmp_path / parent for parent in Path(file).parents)):
        forget(place)
    assert not [entry for entry in sys.path if Path(entry).is_relative_to(tmp_path)]


def test_a_function_that_returns_early_has_ended(tmp_path: Path) -> None:
    run = build(own_model(tmp_path, TRAIN.replace('run.config["epochs"]', "2")))
    run.train(1)
    run.train(2)
    assert run.ended is None
    run.train(3)
    assert run.ended == "the function returned after epoch 2 of 4"
    assert run.step == 2


STOPS = """\
import torch

def train(run):
    net = torch.nn.Linear(1, 1)
    for epoch in range(run.restore(net), run.config.epochs):
        stops = epoch + 1 == 3
        run.report(epoch + 1, val_loss=1 / (epoch + 1), ends=stops)
        if stops:
            break
"""


@pytest.mark.parametrize("every", [1, 2, 3, 4])
def test_a_report_that_ends_the_training_is_no_pause(tmp_path: Path, every: int) -> None:
    model = own_model(tmp_path, STOPS)
    run = build(model)
    until = 0
    while run.ended is None:
        state = carried(run.state()) if until else None
        run.close()
        run = build(model)
        if state is not None:
            run.restore(state)
        until = min(until + every, 4)
        assert run.train(until)["val_loss"] == pytest.approx(1 / min(until, 3))
    assert (run.ended, run.step) == ("the function returned after epoch 3 of 4", 3)
    assert carried(run.state())["step"] == 3
    run.close()


def test_a_report_after_the_last_one_is_an_error(tmp_path: Path) -> None:
    run = build(own_model(tmp_path, STOPS.replace("break", "pass")))
    run.train(2)
    with pytest.raises(UserCodeError, match="epoch 4 was reported after the last one, 3"):
        run.train(3)
    run.close()


def test_what_follows_the_last_report_is_still_done(tmp_path: Path) -> None:
    run = build(own_model(tmp_path, TRAIN + "    (run.folder / 'done').touch()\n"))
    curve(run)
    assert (tmp_path / "trial" / "run" / "done").exists()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("val_loss=loss", "val_los=loss", "val_loss is missing; reported: val_los, draws, lr; did you mean 'val_los'?"),
        ("val_loss=loss", "val_loss=batch", r"val_loss has shape \(4, 3\), no single number"),
        ("val_loss=loss", "val_loss='low'", "val_loss is 'low', no number"),
        ("            epoch,\n", "            epoch - 1,\n", "epoch 0: units trained are counted, 1 after the first"),
        ("            epoch,\n", "            1,\n", "epoch 1 after epoch 1: it must grow"),
        (
            "            epoch,\n",
            "            epoch * 2,\n",
            "epoch 2 was reported where epoch 1 was expected: set budget",
        ),
        ("state=lambda: {", "state=None and {", "got no state=, without which a paused trial can't go on"),
        ("    while", "    raise KeyError('lr2')\n    while", "train.py line 24: KeyError: 'lr2'"),
        ("    while", "    run.restore(net)\n    while", "run.restore keeps the state already; leave one of them out"),
        (
            "    while",
            "    run.restore(net, 3)\n    while",
            "argument 2 is of type int, without state_dict and load_state_dict",
        ),
        ("    while", "    return\n    while", "returned without a report"),
        ("import random\n", "import randon\n", "importing train.py: train.py line 1: ModuleNotFoundError"),
        ("import random\n", "raise SystemExit(3)\n", "ends the process"),
        ("run.config.lr)", "run.config.lrr)", "the config has no key 'lrr'; did you mean 'lr'"),
    ],
)
def test_mistakes_are_told_on_one_line(tmp_path: Path, before: str, after: str, told: str) -> None:
    assert before in TRAIN
    with pytest.raises(UserCodeError, match=told) as caught:
        curve(build(own_model(tmp_path, TRAIN.replace(before, after, 1))))
    assert "\n" not in str(caught.value)


def test_a_state_that_no_file_can_hold_is_named(tmp_path: Path) -> None:
    run = build(own_model(tmp_path, TRAIN.replace('{"epoch": epoch,', '{"epoch": epoch, "open": (i for i in ()),')))
    run.train(1)
    with pytest.raises(UserCodeError, match="state 'open' can't be kept"):
        run.state()
    run.close()


def test_resume_must_be_asked_for(tmp_path: Path) -> None:
    model = own_model(tmp_path)
    run = build(model)
    run.train(1)
    state = carried(run.state())
    run.close()
    run = build(own_model(tmp_path, TRAIN.replace("run.resume()", "None")))
    run.restore(state)
    with pytest.raises(UserCodeError, match=r"goes on from epoch 1, but neither run.restore\(…\) nor"):
        run.train(2)


def test_a_later_error_stays_what_it_is_so_that_the_trial_is_tried_again(tmp_path: Path) -> None:
    run = build(own_model(tmp_path, TRAIN.replace("        epoch += 1", "        epoch += 1 + 0 // (2 - epoch)")))
    run.train(1)
    run.train(2)
    with pytest.raises(ZeroDivisionError):
        run.train(3)
