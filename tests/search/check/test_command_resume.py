"""Whether a command goes on from its checkpoint, as the check sees it: by what it tells from then on."""

import json
from pathlib import Path

import pytest

from search.check.findings import Finding, failure, findings
from search.check.measure import Told, measurements, requests
from search.spec.resolve import resolve
from trainables import probe as training

SCRIPT = """\
import argparse, json, pathlib, time
p = argparse.ArgumentParser()
for name, kind in (("lr", float), ("epochs", int), ("seed", int), ("out", str), ("resume", str)):
    p.add_argument("--" + name, type=kind)
a = p.parse_args()
out = pathlib.Path(a.out)
x, speed, begin = 1.0 + a.seed % 7, 0.0, 0
if FROM:
    saved = json.loads(pathlib.Path(FROM).read_text())
    x, begin = saved["x"], saved["epoch"]
    SPEED
for epoch in range(begin + 1, a.epochs + 1):
    time.sleep(PAUSE)
    speed = 0.5 * speed - a.lr * x
    x += speed
    (out / NAME).write_text(json.dumps({"x": x, "speed": speed, "epoch": epoch}))
    TELL
"""
SLOW, FAST = "0.2", "0.001"
FROM, NAME, SPEED = "a.resume", '"last.json"', 'speed = saved["speed"]'
STDOUT = 'print(f"epoch {epoch} loss {x * x}", flush=True)'
CSV = """log = out / "log.csv"
    with log.open("a") as file:
        print(*(["epoch,loss"] * (log.stat().st_size == 0) + [f"{epoch},{x * x}"]), sep="\\n", file=file)"""
YAML = """\
trainable:
  command: python train.py {args} --seed {seed} --out {dir}RESUME
  metrics: METRICS
  checkpoint: CHECKPOINT
  length: epochs
  objective: {loss: min, worst: 50}
  settles: 0
arguments: {lr: 0.05, epochs: 300}
space: {lr: {float: [0.01, 0.1]}}
budget: {trials: 2, steps: 300 epochs, evaluate_every: 1 epoch}
"""
READ = {STDOUT: r"{stdout: 'epoch (?P<epoch>\d+) loss (?P<loss>\S+)'}", CSV: "{csv: log.csv}"}


def resume_of(
    folder: Path,
    pause: str = SLOW,
    tell: str = STDOUT,
    begins: str = FROM,
    speed: str = SPEED,
    name: str = NAME,
    command: str = " {resume}",
) -> Finding:
    """What is found of a script that is written so."""
    script = SCRIPT
    for slot, text in (("FROM", begins), ("SPEED", speed), ("PAUSE", pause), ("NAME", name), ("TELL", tell)):
        script = script.replace(slot, text)
    (folder / "train.py").write_text(script)
    checkpoint = "epoch_{step}.json" if "{" in name else "last.json"
    text = YAML.replace("RESUME", command).replace("METRICS", READ[tell]).replace("CHECKPOINT", checkpoint)
    (folder / "mine.yaml").write_text(text)
    search, told = resolve(folder / "mine.yaml"), Told()
    for request in requests(search, str(folder)):
        training.run(training.Request.model_validate_json(json.dumps(request)), told.take)
    measured = measurements(search, told, 1.0)
    assert failure(measured) is None
    return next(each for each in findings(search, measured) if each.about == "resume")


@pytest.mark.parametrize("tell", [STDOUT, CSV], ids=["stdout", "csv"])
def test_one_that_goes_on_is_exact(tmp_path: Path, tell: str) -> None:
    assert resume_of(tmp_path, tell=tell).found == "exact"


def test_one_that_finds_its_checkpoint_by_itself_needs_no_placeholder(tmp_path: Path) -> None:
    begins = '(out / "last.json").exists() and out / "last.json"'
    assert resume_of(tmp_path, begins=begins, command="").found == "exact"


@pytest.mark.parametrize(("tell", "command"), [(STDOUT, " {resume}"), (CSV, "")], ids=["ignored", "not asked for"])
def test_one_that_starts_over_is_named(tmp_path: Path, tell: str, command: str) -> None:
    known = resume_of(tmp_path, tell=tell, begins="False", command=command)
    assert (known.found, known.level) == ("tells epoch 1 again", "warning")
    assert "{resume}" in known.text and "pause: rerun" in known.text


def test_what_a_fast_one_told_before_is_not_compared_with_itself(tmp_path: Path) -> None:
    known = resume_of(tmp_path, FAST, speed="pass")
    assert (known.found, known.level) == ("not checked", "note") and "epoch_{step}" in known.text
    known = resume_of(tmp_path, FAST, speed="pass", name='f"epoch_{epoch}.json"')
    assert known.found.startswith("differs by") and known.level == "warning"
    assert resume_of(tmp_path, FAST, name='f"epoch_{epoch}.json"').found == "exact"
