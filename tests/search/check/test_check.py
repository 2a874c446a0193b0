"""The probe names what is wrong with a user's training function, by file and line, and measures what it promises."""

import json
import os
from pathlib import Path

import psutil
import pytest

from search.check import probe
from search.check.__main__ import main
from search.check.findings import Finding, failure, findings
from search.check.measure import Measurements, Told, measure, measurements, requests
from search.spec.resolve import resolve
from search.spec.search import Search
from spaces.problems import BadInput
from trainables import probe as training

SCRIPT = """\
import torch

def data(n, seed):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    return x, x.sum(1, keepdim=True)

def train(run):
    x, y = data(64, 1)
    x_val, y_val = data(32, 2)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(run.config.dropout), torch.nn.Linear(4, 1))
    opt = torch.optim.SGD(net.parameters(), lr=run.config.lr, momentum=0.9)
    begin = 0
    if (state := run.resume()) is not None:
        net.load_state_dict(state["net"])
        opt.load_state_dict(state["opt"])
        begin = state["epoch"]
    for epoch in range(begin, run.config.epochs):
        net.train()
        for rows in torch.randperm(64).split(16):
            opt.zero_grad()
            (net(x[rows]) - y[rows]).square().mean().backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            loss = (net(x_val) - y_val).square().mean()
        state = {"net": net.state_dict(), "opt": opt.state_dict(), "epoch": epoch + 1}
        run.report(epoch + 1, state=state, val_loss=loss)
"""
YAML = """\
trainable:
  function: train:train
  length: epochs
  objective: {val_loss: min, worst: 3.0}
  settles: 0
arguments: {lr: 0.01, dropout: 0.1, unused: 1.0, epochs: 6}
space:
  lr: {float: [1e-3, 1e-1], log: true}
  dropout: {float: [0, 0.4]}
budget: {trials: 4, steps: 6 epochs, evaluate_every: 1 epoch}
confirm: {top: 1, seeds: 2}
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SCHEDULE_SEARCH_CACHE", str(tmp_path / "cache"))


def written(folder: Path, *changes: tuple[str, str], yaml: tuple[tuple[str, str], ...] = ()) -> Path:
    script, config = SCRIPT, YAML
    for old, new in changes:
        assert old in script
        script = script.replace(old, new)
    for old, new in yaml:
        assert old in config
        config = config.replace(old, new)
    (folder / "train.py").write_text(script)
    (folder / "mine.yaml").write_text(config)
    return folder / "mine.yaml"


def told_of(search: Search, folder: Path) -> Measurements:
    """What `measure` gives, trained in this process."""
    told = Told()
    for request in requests(search, str(folder)):
        if not told.hopeless():
            training.run(training.Request.model_validate_json(json.dumps(request)), told.take)
    return measurements(search, told, 1.0)


def found(path: Path) -> dict[str, Finding]:
    search = resolve(path)
    measured = told_of(search, path.parent)
    assert failure(measured) is None
    return {finding.about: finding for finding in findings(search, measured)}


def line_of(path: Path, text: str) -> int:
    lines = path.with_name("train.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


REPORT = "run.report(epoch + 1, state=state, val_loss=loss)"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((REPORT, REPORT.replace("=loss", "=loss.expand(3)")), "val_loss has shape (3,), no single number"),
        ((REPORT, REPORT.replace("val_loss=", "loss=")), "val_loss is missing; reported: loss"),
        ((REPORT, REPORT.replace("epoch + 1,", "epoch,")), "epoch 0: units trained are counted"),
        ((REPORT, REPORT.replace("epoch + 1,", "1,")), "epoch 1 after epoch 1: it must grow"),
        ((REPORT, REPORT.replace("=loss", "=loss / 0 * 0")), "val_loss is nan at step 1"),
        ((REPORT, REPORT.replace("state=state", "state={'f': lambda: 0}")), "state 'f' can't be kept"),
        ((REPORT, REPORT.replace(" state=state,", "")), "report got no state="),
        (("import torch\n", "import torch\nimport no_such_module\n"), "No module named 'no_such_module'"),
        (("    begin = 0", "    begin = {}['no']"), "KeyError: 'no'"),
    ],
    ids=["tensor", "name", "zero", "standing", "nan", "unpicklable", "no-state", "import", "exception"],
)
def test_a_mistake_is_one_line_that_names_it(tmp_path, change, says):
    path = written(tmp_path, change)
    said = failure(told_of(resolve(path), tmp_path))
    assert said is not None and says in said and "\n" not in said
    if "is nan" not in said:
        assert f"train.py line {line_of(path, change[1].strip().splitlines()[-1])}" in said


@pytest.mark.integration
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("x_val, y_val = data(32, 2)", "import os; os._exit(7)"), "ended its process (exit code 7)"),
        (("    x, y = data(64, 1)", "    x, y = dta(64, 1)"), "train.py line 8: NameError"),
        ((REPORT, REPORT.replace("=loss", "=loss / 0 * 0")), "val_loss is nan"),
    ],
    ids=["exit", "exception", "nan"],
)
def test_the_command_refuses_it_in_one_line(tmp_path, capsys, monkeypatch, change, says):
    path = written(tmp_path, change)
    trained = []  # once, for the command and the search

    def measured(*asked):
        if not trained:
            trained.append(measure(*asked))
        return trained[0]

    monkeypatch.setattr(probe, "measure", measured)
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1 and "Traceback" not in error
    with pytest.raises(BadInput):
        probe.before_search(resolve(path), print)


def test_a_sound_function_repeats_resumes_and_uses_its_seed(tmp_path):
    known = found(written(tmp_path))
    assert {name: finding.found for name, finding in known.items()} == {
        "repeats": "same bits",
        "resume": "exact",
        "seed": "acts",
        "validation": "fixed",
        "knobs": "all act",
        "objective": "not checked",
    }


def test_a_resume_without_the_optimizers_state_is_measured(tmp_path):
    known = found(written(tmp_path, ('        opt.load_state_dict(state["opt"])\n', "")))
    assert known["resume"].level == "warning"
    assert known["resume"].found.startswith("differs by")
    assert "optimizer" in known["resume"].text and "epoch 2" in known["resume"].text
    assert known["repeats"].found == "same bits"


def test_chance_that_no_seed_reaches_is_measured(tmp_path):
    known = found(
        written(
            tmp_path,
            ("val_loss=loss", "val_loss=loss + 0.01 * int.from_bytes(os.urandom(1)) / 256"),
            ("import torch\n", "import os\nimport torch\n"),
        )
    )
    assert known["repeats"].found.startswith("within ±")


@pytest.mark.integration
def test_an_ignored_seed_refuses_confirmation(tmp_path, capsys):
    seeded = ("    x, y = data(64, 1)", "    torch.manual_seed(0)\n    x, y = data(64, 1)")
    path = written(tmp_path, seeded, yaml=(("unused: 1.0", "data_seed: 1"),))
    assert main([str(path)]) == 2
    shown = capsys.readouterr()
    assert "run.seed" in shown.err and "confirm.seeds" in shown.err
    assert "declare trainable.seed: data_seed" in shown.err
    assert main([str(path), "--set", "confirm.seeds=0"]) == 0


def test_a_validation_split_that_moves_with_the_seed_is_named(tmp_path):
    known = found(written(tmp_path, ("data(32, 2)", "data(32, run.seed)")))
    assert known["validation"].found == "moves with the seed"
    assert known["validation"].level == "warning"


def test_the_order_of_validation_items_is_no_change(tmp_path):
    shuffled = "x_val, y_val = data(32, 2)\n    order = torch.randperm(32); x_val, y_val = x_val[order], y_val[order]"
    assert found(written(tmp_path, ("x_val, y_val = data(32, 2)", shuffled)))["validation"].found == "fixed"


def test_a_dead_knob_is_named(tmp_path):
    known = found(written(tmp_path, yaml=(("space:\n", "space:\n  unused: {float: [0, 2]}\n"),)))
    assert known["knobs"].found == "without effect by epoch 1: unused"


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ("{drop: {int: [2, 5]}}", "all act, drop after epoch 1"),
        ("{lr: {float: [0.01, 0.02]}}", "without effect by epoch 1: lr"),
    ],
    ids=["later", "dead"],
)
def test_a_knob_that_only_its_schedule_holds_back_is_not_called_dead(tmp_path, space, told):
    declared = "  schedules: {rate: {torch: {base: lr, chain: [{StepLR: {step_size: drop, gamma: 0.5}}]}}}"
    path = written(tmp_path, ("lr=run.config.lr", "lr=0.01"), yaml=(("unused: 1.0", "drop: 3"),))
    text = path.read_text().replace("  settles: 0\n", f"  settles: 0\n{declared}\n")
    path.write_text(f"{text[: text.index('space:')]}space: {space}\n{text[text.index('budget:') :]}")
    assert found(path)["knobs"].found == told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "f'{os.getcwd()}/best.pt'",
            (
                "best.pt",
                "each training writes there, and several trials train at once: write below run.folder",
                "warning",
            ),
        ),
        (
            "f'logs/{os.urandom(8).hex()}.pt'",
            ("in logs/", "each training leaves files there: to tell whose they are, write below run.folder", "note"),
        ),
        ("run.folder / 'best.pt'", None),
    ],
)
def test_what_each_training_writes_into_the_folder_that_it_runs_in_is_named(tmp_path, monkeypatch, name, told):
    (tmp_path / "here" / "logs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    path = written(tmp_path, (REPORT, f"torch.save(net.state_dict(), {name}); {REPORT}"))
    path.with_name("train.py").write_text(f"import os\n{path.with_name('train.py').read_text()}")
    assert found(path).get("files") == (told and Finding("files", *told))


def test_a_value_that_cant_be_trained_is_named(tmp_path):
    broken = ("    begin = 0", "    begin = 0\n    assert run.config.dropout < 0.2, 'too much'")
    known = found(written(tmp_path, broken))
    assert "too much" in known["knob dropout"].text and known["knob dropout"].level == "warning"


def test_without_checkpoints_the_cost_of_a_crash_is_said(tmp_path):
    known = found(written(tmp_path, yaml=(("  settles: 0", "  settles: 0\n  pause: stop"),)))
    assert known["resume"].found == "stop"
    assert "a crash costs up to 6 epochs" in known["resume"].text


@pytest.mark.integration
def test_what_is_found_is_kept_until_the_code_changes(tmp_path, monkeypatch):
    path = written(tmp_path)
    search = resolve(path)
    first = probe.check(search)
    monkeypatch.setattr(probe, "measure", lambda *_: pytest.fail("measured again"))
    assert probe.check(resolve(path)) == first
    with (tmp_path / "train.py").open("a") as file:
        file.write("# changed\n")
    assert probe.kept(resolve(path)) is None


@pytest.mark.integration
def test_a_slow_function_is_left_unchecked_when_the_time_is_up(tmp_path):
    slow = ("    x, y = data(64, 1)", "    import time; time.sleep(600)\n    x, y = data(64, 1)")
    known = probe.check(resolve(written(tmp_path, slow)), within=3)
    assert [finding.found for finding in known] == ["not checked"]
    commands = [
        " ".join(process.info["cmdline"] or ())
        for process in psutil.process_iter(["cmdline", "ppid"])
        if process.info["ppid"] == os.getpid()
    ]
    assert not [command for command in commands if "trainables.probe" in command]


EVALUATE = """

def evaluate(config, state):
    x, y = data(32, 2)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(config.dropout), torch.nn.Linear(4, 1)).eval()
    net.load_state_dict(state["net"])
    return {"val_loss": (net(x) - y).square().mean()}
"""
EVALUATED = ("  settles: 0", "  settles: 0\n  evaluate: train:evaluate")


@pytest.mark.parametrize(
    ("change", "objective"),
    [
        ((".square().mean()}", ".square().mean()}"), "free of the knobs"),
        ((".square().mean()}", ".square().mean() + 0.1 * config.lr}"), "depends on lr"),
        ((".eval()", ""), "depends on dropout"),
        ((".square()", ".abs()"), "not checked"),
        (("    x, y = data", "    assert config.lr == 0.01\n    x, y = data"), "free of the knobs but lr"),
    ],
    ids=["honest", "loss-weight", "dropout", "other-measure", "unreadable"],
)
def test_a_knob_that_enters_the_objective_is_found_by_the_users_own_evaluation(tmp_path, change, objective):
    assert change[0] in EVALUATE
    path = written(tmp_path, yaml=(EVALUATED,))
    path.with_name("train.py").write_text(SCRIPT + EVALUATE.replace(*change))
    assert found(path)["objective"].found == objective


def test_an_evaluation_that_fails_is_told_by_its_line(tmp_path):
    path = written(tmp_path, yaml=(EVALUATED,))
    path.with_name("train.py").write_text(SCRIPT + EVALUATE.replace('state["net"]', 'state["nett"]'))
    told = failure(told_of(resolve(path), tmp_path))
    assert told == f"evaluate: train.py line {line_of(path, 'nett')}: KeyError: 'nett'"


COMMAND = """\
import argparse, json, pathlib
p = argparse.ArgumentParser()
for name, kind in (("lr", float), ("weight", float), ("epochs", int), ("seed", int), ("out", str), ("score", str)):
    p.add_argument("--" + name, type=kind)
a = p.parse_args()
if a.score:
    print("scored:")
    print(a.weight * json.loads(pathlib.Path(a.score).read_text()))
    raise SystemExit
out = pathlib.Path(a.out)
with open(out / "log.csv", "w") as file:
    print("epoch,val_loss", file=file)
    for epoch in range(1, a.epochs + 1):
        x = a.lr / epoch + SEED
        (out / "last.json").write_text(json.dumps(x))
        print(f"{epoch},{a.weight * x}", file=file, flush=True)
"""
COMMAND_YAML = """\
trainable:
  command: python train.py {args} --seed {seed} --out {dir} {resume}
  metrics: {csv: log.csv}
  checkpoint: last.json
  resume: ""
  evaluate: python train.py {args} --score {checkpoint}
  length: epochs
  objective: {val_loss: min, worst: 3.0}
  settles: 0
arguments: {lr: 0.05, weight: 2.0, epochs: 4}
space: {lr: {float: [0.01, 0.1]}, weight: {float: [1, 3]}}
budget: {trials: 2, steps: 4 epochs, evaluate_every: 1 epoch}
"""


def test_a_commands_ignored_seed_and_a_knob_in_its_objective_are_found(tmp_path):
    (tmp_path / "mine.yaml").write_text(COMMAND_YAML)
    (tmp_path / "train.py").write_text(COMMAND.replace("SEED", "0"))
    known = found(tmp_path / "mine.yaml")
    assert known["objective"].found == "depends on weight"
    assert known["seed"].level == "void" and "--seed {seed} is ignored" in known["seed"].text
    (tmp_path / "train.py").write_text(COMMAND.replace("SEED", "a.seed"))
    assert found(tmp_path / "mine.yaml")["seed"].found == "acts"


@pytest.mark.parametrize(
    ("split", "given", "told"),
    [("a.seed", " --seed {seed}", "moves with the seed"), ("0", " --seed {seed}", "fixed"), ("0", "", "not checked")],
)
def test_a_commands_split_that_moves_with_the_seed_is_found_by_its_own_evaluation(tmp_path, split, given, told):
    """Of a command without torch nothing else can be seen."""
    script = COMMAND.replace("SEED", "a.seed").replace("print(a.weight", f"print((1 + ({split} or 0)) * a.weight")
    (tmp_path / "train.py").write_text(script)
    (tmp_path / "mine.yaml").write_text(COMMAND_YAML.replace("--score {checkpoint}", "--score {checkpoint}" + given))
    assert found(tmp_path / "mine.yaml")["validation"].found == told
