"""A user's command as a run: held between evaluations, resumed from its own checkpoint, ended with what it starts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from test_function import carried

from trainables.own import held_files
from trainables.own.command import CommandError, CommandRun
from trainables.own.declaration import Declaration
from trainables.own.declare import from_declaration
from trainables.own.model import OwnModel
from trainables.own.process import KEPT_BYTES, Output, Process
from trainables.own.process import start as begin
from trainables.run import Run, UserCodeError
from trainables.train import train_one

CONFIG = "# my config\nlr: 0.5   # the rate\nepochs: 5\n"
SCRIPT = """\
import csv, json, pathlib, random, sys, time

config, seed, out = pathlib.Path(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
values = dict(line.split("#")[0].split(": ") for line in config.read_text().splitlines() if ": " in line)
rng, start, x = random.Random(seed), 0, 1.0
last = out / "last.json"
if len(sys.argv) > 4:
    start, x, state = json.loads(pathlib.Path(sys.argv[4]).read_text())
    rng.setstate((state[0], tuple(state[1]), state[2]))
log = out / "log.csv"
if not log.exists():
    log.write_text("epoch,val_loss\\n")


def save():
    with last.open("w") as file:
        for part in json.JSONEncoder().iterencode([epoch, x, rng.getstate()]):
            file.write(part)


for epoch in range(start + 1, int(values["epochs"]) + 1):
    time.sleep(0.05)
    x *= rng.random() ** float(values["lr"])
    BEFORE
    with log.open("a") as file:
        file.write(f"{epoch},{x!r}\\n")
    print(f"epoch {epoch} val_loss {x!r}")
    AFTER
"""
SAVES_FIRST = SCRIPT.replace("BEFORE", "save()").replace("AFTER", "")
SAVES_LAST = SCRIPT.replace("BEFORE", "").replace("AFTER", "save()")
COMMAND = "python train.py {config} {seed} {dir} {resume}"
DECLARED: dict[str, Any] = {
    "command": COMMAND,
    "length": "epochs",
    "objective": {"val_loss": "min", "worst": 2.0},
    "metrics": {"csv": "log.csv"},
    "checkpoint": "last.json",
    "resume": "{checkpoint}",
}


def model_of(folder: Path, script: str = SAVES_FIRST, **declared: Any) -> OwnModel:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(script)
    declaration = Declaration.model_validate({**DECLARED, **declared})
    made = from_declaration(declaration, folder / "mine.yaml", ("config.yaml", CONFIG))
    return OwnModel(made.reference, folder / "trial")


def build(model: OwnModel, seed: int = 3, **values: Any) -> Run:
    config = model.parse({"lr": 0.5, "epochs": 5, **values}, "c")
    return model.build(config, model.prepare(model.parse_data({}, config, ""), config), seed)


def whole(model: OwnModel, **values: Any) -> list[float]:
    run = build(model, **values)
    found = [run.train(until)["val_loss"] for until in range(1, 6)]
    run.close()
    return found


def paused_everywhere(model: OwnModel) -> list[float]:
    run, found = build(model), []
    for until in range(1, 6):
        found.append(run.train(until)["val_loss"])
        if until < 5:
            state = carried(run.state())
            run.close()
            run = build(model)
            run.restore(state)
            assert run.step == until
    run.close()
    return found


@pytest.mark.parametrize("script", [SAVES_FIRST, SAVES_LAST], ids=["checkpoint first", "metrics first"])
def test_paused_and_resumed_at_every_epoch_is_never_paused(tmp_path: Path, script: str) -> None:
    model = model_of(tmp_path, script)
    expected = whole(model)
    assert len(set(expected)) == 5
    assert paused_everywhere(model) == expected


def test_of_checkpoints_that_bear_their_step_only_the_one_of_its_step_is_kept(tmp_path: Path) -> None:
    stepped = SAVES_LAST.replace('last.open("w")', '(out / f"epoch_{epoch:03}.json").open("w")')
    model = model_of(tmp_path, stepped, checkpoint="{dir}/epoch_{step}.json")
    assert paused_everywhere(model) == whole(model_of(tmp_path / "b"))
    run = build(model)
    for until in (1, 2):
        run.train(until)
    assert [name for name in run.state()["files"] if name.startswith("epoch")] == ["epoch_002.json"]
    run.close()


def test_it_waits_for_the_checkpoint_of_its_step_or_takes_the_last_one_before(tmp_path: Path) -> None:
    sparse = SAVES_LAST.replace("    save()\n", "    if epoch % 2 == 0:\n        save()\n")
    sparse = sparse.replace('last.open("w")', '(out / f"{epoch}.json").open("w")')
    model = model_of(tmp_path, sparse, checkpoint="{step}.json")
    assert paused_everywhere(model)[2:] == whole(model_of(tmp_path / "b"))[2:]


def test_all_files_of_a_checkpoint_are_of_one_step(tmp_path: Path) -> None:
    """The second file of step 2 is not there yet."""
    for name in ("net_1", "net_2", "net_best", "optimizer_01"):
        (tmp_path / name).write_text("")
    patterns = ("{dir}/net_{step}", "optimizer_{step}")
    assert held_files.last_step(tmp_path, patterns, 2) == 1
    assert [path.name for path in held_files.matching(tmp_path, patterns, of=1)] == ["net_1", "optimizer_01"]
    assert held_files.last_step(tmp_path, patterns, 0) == -1


@pytest.mark.parametrize("pause", ["rerun", "stop"])
def test_without_a_checkpoint_it_starts_over_to_the_same_metrics(tmp_path: Path, pause: str) -> None:
    model = model_of(tmp_path, pause=pause, checkpoint=None, command="python train.py {config} {seed} {dir}")
    assert paused_everywhere(model) == whole(model)


@pytest.mark.parametrize(
    "metrics",
    [
        {"csv": "{dir}/log.csv"},
        {"stdout": r"epoch (?P<epoch>\d+) val_loss (?P<val_loss>\S+)"},
        {"stdout": r"epoch (?P<n>\d+) val_loss (?P<loss>\S+)", "step": "n", "names": {"val_loss": "loss"}},
    ],
)
def test_metrics_are_read_where_they_are_declared(tmp_path: Path, metrics: dict[str, Any]) -> None:
    assert whole(model_of(tmp_path / "a", metrics=metrics)) == whole(model_of(tmp_path / "b"))


def test_the_values_are_in_the_users_own_file(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    assert whole(model, lr=0.25) != whole(model)
    whole(model, lr=0.25)
    assert (tmp_path / "trial/config/config.yaml").read_text() == "# my config\nlr: 0.25   # the rate\nepochs: 5\n"
    assert "$ python train.py" in (tmp_path / "trial/output.txt").read_text()


def test_it_is_read_while_it_runs_and_held_until_it_may_go_on(tmp_path: Path) -> None:
    """The script goes on only when a file is there, which is made once its first metrics have been read."""
    wait = "while epoch == 2 and not (out / 'go').exists(): time.sleep(0.01)"
    run = build(model_of(tmp_path, SAVES_FIRST.replace("    time.sleep(0.05)", f"    {wait}")))
    run.train(1)
    assert isinstance(run, CommandRun)
    assert {psutil.Process(pid).status() for pid in run.pids()} == {"stopped"}
    (tmp_path / "trial/run/go").touch()
    assert run.train(2)["val_loss"] > 0
    run.close()


def test_a_command_that_ends_early_has_ended(tmp_path: Path) -> None:
    run = build(model_of(tmp_path, SAVES_FIRST.replace('int(values["epochs"])', "2")))
    run.train(1)
    run.train(2)
    run.train(3)
    assert (run.step, run.ended) == (2, "the command ended by itself after epoch 2 of 5")


@pytest.mark.parametrize("every", [1, 2, 3])
def test_by_hand_too_it_ends_there(tmp_path: Path, every: int) -> None:
    run, seen = build(model_of(tmp_path, SAVES_FIRST.replace('int(values["epochs"])', "2"))), []
    trained = train_one(run, 5, every, lambda step, _: seen.append(step))
    assert (trained.step, trained.ended) == (2, "the command ended by itself after epoch 2 of 5")
    assert seen == ([1, 2] if every == 1 else [2]) and trained.metrics["val_loss"] > 0


@pytest.mark.parametrize(
    ("script", "declared", "told"),
    [
        ("print('hello'); import sys; sys.exit('no data in /data')", {}, "exit code 1 after epoch 0: no data in /data"),
        ("import os; os.mkdir", {"metrics": {"csv": "lg.csv"}}, "lg.csv never appeared"),
        (
            SAVES_FIRST.replace(",val_loss", ",loss"),
            {},
            "log.csv has epoch, loss, and no val_loss; did you",
        ),
        (SAVES_FIRST, {"metrics": {"stdout": r"Epoch (?P<epoch>\d+): (?P<val_loss>\S+)"}}, "the nearest: 'epoch "),
        (
            SAVES_FIRST.replace("{epoch},", "{epoch * 2},"),
            {},
            "epoch 2 came where epoch 1 was expected: set",
        ),
        (SAVES_FIRST.replace("{epoch},", "{epoch - 1},"), {}, "counts from 0: declare metrics.first: 0"),
        (SAVES_FIRST, {"checkpoint": "model.pt"}, "no checkpoint model.pt was written: .* holds last.json, log.csv"),
        ("import this_is_not_there", {}, "ModuleNotFoundError"),
    ],
)
def test_mistakes_are_told_on_one_line(tmp_path: Path, script: str, declared: dict[str, Any], told: str) -> None:
    run = build(model_of(tmp_path, script, **declared))
    with pytest.raises(UserCodeError, match=told) as caught:
        for until in range(1, 6):
            run.train(until)
            run.state()
    assert "\n" not in str(caught.value)
    run.close()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    run = build(model_of(tmp_path, command="pyhton train.py {config}", code=["train.py"]))
    with pytest.raises(UserCodeError, match="pyhton: No such file or directory"):
        run.train(1)


def test_a_failure_after_training_is_tried_again(tmp_path: Path) -> None:
    run = build(model_of(tmp_path, SAVES_FIRST.replace("    time.sleep(0.05)", "    assert epoch < 3, 'odd'")))
    with pytest.raises(CommandError, match="exit code 1 after epoch 2: AssertionError: odd"):
        for until in range(1, 6):
            run.train(until)


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
            return True
        time.sleep(0.02)
    return False


FAMILY = """\
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = "import time; time.sleep(600)"  # SIGTERM stays ignored in it
child = subprocess.Popen([sys.executable, "-c", sleep])
away = subprocess.Popen([sys.executable, "-c", sleep], start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid} {away.pid}")
time.sleep(600)
"""


def family(folder: Path) -> list[int]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if (folder / "pids").exists() and len(found := (folder / "pids").read_text().split()) == 3:
            return list(map(int, found))
        time.sleep(0.02)
    raise AssertionError("the command has not started")


def test_all_of_its_processes_end_with_it_also_those_that_ignore_sigterm(tmp_path: Path) -> None:
    words = [sys.executable, "-c", FAMILY, str(tmp_path / "pids")]
    output = Output(tmp_path)
    process = Process(begin(words, tmp_path, os.environ, 0.1), output, print)
    pids = family(tmp_path)
    process.stop()
    process.end()
    output.close()
    assert gone(pids)


def test_its_processes_end_when_the_worker_is_killed(tmp_path: Path) -> None:
    worker = f"""\
import os, pathlib, sys, time
from trainables.own.process import Output, Process, start
folder = pathlib.Path({str(tmp_path)!r})
words = [sys.executable, "-c", {FAMILY!r}, str(folder / "pids")]
process = Process(start(words, folder, os.environ, 60), Output(folder), print)
time.sleep(600)
"""
    started = subprocess.Popen([sys.executable, "-c", worker])
    pids = family(tmp_path)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert gone(pids)


def test_what_it_prints_takes_a_bounded_room_on_disk(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "for i in range(60000): print(i, 'x' * 90)"]
    output = Output(tmp_path)
    process = Process(begin(words, tmp_path, os.environ, 1.0), output, print)
    while process.code is None:
        time.sleep(0.02)
    process.end()
    output.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= KEPT_BYTES + 200
    assert (tmp_path / "output.txt").read_text().splitlines()[-1].startswith("59999 ")
