"""Commands that stay in memory while their trials are paused: `pause: hold`."""

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from test_command import SAVES_FIRST, build, gone, model_of, whole
from test_function import carried

from trainables.own.command import CommandRun
from trainables.own.keeper import Keeper
from trainables.own.model import OwnModel

SCRIPT = SAVES_FIRST.replace("import csv,", "import os, csv,").replace("epoch,val_loss\\n", "epoch,val_loss,pid\\n")
SCRIPT = SCRIPT.replace('f"{epoch},{x!r}\\n"', 'f"{epoch},{x!r},{os.getpid()}\\n"')
PRINTED = {"stdout": r"epoch (?P<epoch>\d+) val_loss (?P<val_loss>\S+)"}


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    made = Keeper(uuid.uuid4().hex, most=2)
    yield made
    made.close()


def held_model(
    folder: Path, keeper: Keeper | None, trial: str = "t0000", script: str = SCRIPT, **declared: object
) -> OwnModel:
    given = {"pause": "hold", "checkpoint": None, "command": "python train.py {config} {seed} {dir}", **declared}
    made = model_of(folder, script, **given)
    return OwnModel(made.reference, folder / trial, keeper=keeper)


def paused(model: OwnModel, state: dict[str, object] | None, until: int) -> tuple[dict[str, object], dict[str, float]]:
    """Train in a new run, and pause; what the trial keeps, and its metrics."""
    run = build(model)
    assert isinstance(run, CommandRun)
    if state is not None:
        run.restore(state)
    metrics = dict(run.train(until))
    kept = carried(run.state())
    run.hold()
    run.close()
    return kept, metrics


@pytest.mark.parametrize(
    ("told", "early"),
    [(0.0, False), (0.5, False), (0.5, True)],
    ids=["its end may not be known yet", "its end is known", "it ends after its state was taken"],
)
def test_a_command_that_has_run_ahead_to_its_end_is_not_started_again(
    tmp_path: Path, keeper: Keeper, told: float, early: bool
) -> None:
    quick = SCRIPT.replace("time.sleep(0.05)", "")
    model = held_model(tmp_path, keeper, script=quick)
    run = build(model)
    first = run.train(1)
    before = carried(run.state())
    deadline = time.monotonic() + 20
    while run.pids() and time.monotonic() < deadline:
        run._process.go_on()  # type: ignore[attr-defined]
        time.sleep(0.02)
    time.sleep(told)
    state = before if early else carried(run.state())
    run.hold()  # type: ignore[attr-defined]
    run.close()
    found = [first["val_loss"]]
    for until in range(2, 6):
        state, metrics = paused(model, state, until)
        found.append(metrics["val_loss"])
    assert found == whole(held_model(tmp_path / "whole", None, script=quick))
    assert (tmp_path / "t0000/output.txt").read_text().count("$ python") == 1


@pytest.mark.parametrize("declared", [{}, {"metrics": PRINTED}], ids=["csv", "stdout"])
def test_paused_at_every_epoch_it_is_one_process_and_never_paused(
    tmp_path: Path, keeper: Keeper, declared: dict[str, object]
) -> None:
    expected = whole(held_model(tmp_path / "whole", None, **declared))
    model, state, found = held_model(tmp_path, keeper, **declared), None, []
    for until in range(1, 6):
        state, metrics = paused(model, state, until)
        found.append(metrics)
    assert [metrics["val_loss"] for metrics in found] == expected
    if not declared:
        assert len({metrics["pid"] for metrics in found}) == 1
    assert (tmp_path / "t0000/output.txt").read_text().count("$ python") == 1


def test_the_worst_of_the_least_trained_gives_way_and_starts_over(tmp_path: Path, keeper: Keeper) -> None:
    models = [held_model(tmp_path, keeper, f"t{n:04}") for n in range(3)]
    states = [paused(models[0], None, 2), paused(models[1], None, 1), paused(models[2], None, 1)]
    pids = [int(metrics["pid"]) for _, metrics in states]
    assert gone(pids[1:2])  # of the two at epoch 1, which score the same, the one that has waited longer
    went_on = {number: paused(models[number], states[number][0], 3)[1] for number in (2, 0, 1)}
    assert [went_on[number]["pid"] == pids[number] for number in range(3)] == [True, False, True]
    assert len({metrics["val_loss"] for metrics in went_on.values()}) == 1


def test_what_is_held_ends_with_the_last_worker(tmp_path: Path) -> None:
    program = f"""\
import sys, uuid
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import test_hold
from trainables.own import keeper
keeper.LONELY = 0.5
model = test_hold.held_model(Path({str(tmp_path)!r}), keeper.Keeper(uuid.uuid4().hex, 2))
kept, metrics = test_hold.paused(model, None, 2)
print(int(metrics["pid"]), flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
        worker.kill()
    assert gone([pid])


def test_without_room_or_keeper_it_starts_over(tmp_path: Path) -> None:
    model = held_model(tmp_path, None)
    state, first = paused(model, None, 2)
    assert gone([int(first["pid"])])
    assert paused(model, state, 3)[1]["val_loss"] == whole(held_model(tmp_path / "whole", None))[2]
