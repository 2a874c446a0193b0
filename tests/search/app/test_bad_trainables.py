"""What a user gets wrong in `trainable:`: exit code 2, one line per problem with its key, and nothing written."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from own_project import SEARCH, TRAIN, write_project

from search.app.finalize import observed
from search.check import probe
from search.history.events import Ended, Phase, Proposed, Reported, Status
from search.history.journal import Journal
from search.history.records import Records
from search.run import main
from search.spec import sharing
from search.spec.plan import make_plan
from search.spec.resolve import resolve

Refused = Callable[..., str]

COMMAND = """\
trainable:
  command: python train.py --config {config} --seed {seed} --out {dir}
  metrics: {csv: log.csv}
  length: epochs
  objective: {val_loss: min, worst: 100.0}
  settles: 0
base: config.yaml
space: {lr: {float: [1e-4, 1e-1], log: true}}
budget: {trials: 4, steps: 4 epochs, evaluate_every: 1 epoch}
"""


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    def run(*changes: str, search: str = SEARCH, train: str = TRAIN) -> str:
        path = write_project(tmp_path, train, search)
        words = [word for change in changes for word in ("--set", change)]
        code = main([str(path), "--results", str(tmp_path / "results"), *words])
        output = capsys.readouterr()
        assert code == 2, output
        assert "Traceback" not in output.out + output.err
        assert not (tmp_path / "results").exists()
        return output.err.replace(f"{tmp_path}/", "")

    return run


def test_a_wrong_trainable_alone_is_told(refused: Refused) -> None:
    assert "model" not in refused("trainable.lenght=epochs", "trainable.length=epochs").replace("mine.yaml", "")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "early_stopping={kind: pbt}",
            "early_stopping: pbt needs a searched knob that may change in mid-run, and there",
        ),
        ("check=abc", "mine.yaml check: expected a time above zero such as 90s, 20m, 1.5h, got 'abc'"),
        ("check=-5s", "mine.yaml check: expected a time above zero"),
        ("early_stopping={kind: median, grace: 20}", "grace is 20; it must lie below steps 4"),
        ("trainable.objective={'': min, worst: 1}", "trainable.objective: a metric needs its name, got ''"),
    ],
)
def test_the_plan_refuses_what_the_search_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, told: str
) -> None:
    path = write_project(tmp_path, TRAIN, SEARCH)
    assert main([str(path), "--results", str(tmp_path / "results"), "--set", change, "--plan"]) == 2
    assert told in capsys.readouterr().err.replace(f"{tmp_path}/", "")


def test_a_name_that_the_file_gives_is_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_project(tmp_path, TRAIN, SEARCH).rename(tmp_path / "süche 1.yaml")
    words = [str(path), "--results", str(tmp_path / "results"), "--plan"]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "name: 'süche 1', from the name of the YAML, can't name a folder" in told and "by --name" in told
    assert main([*words, "--name", "s 1"]) == 2
    told = capsys.readouterr().err
    assert "name: 's 1' can't name a folder; use letters" in told and "--name" not in told


def test_changed_code_is_refused_before_anything_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, results = write_project(tmp_path, TRAIN, SEARCH), tmp_path / "results"
    search = resolve(path)
    folder = results / search.name
    folder.mkdir(parents=True)
    digest = search.model.prepare(search.data, search.model.parse(search.base, "")).digest
    settled = sharing.settled(search, make_plan(search).shared)
    (folder / "search.yaml").write_text(settled.to_yaml(digest))
    with Journal(folder / "journal.jsonl") as journal:
        journal.append(Phase("search", 0.0))

    def probed(*_: object) -> None:
        raise AssertionError("it trains")

    monkeypatch.setattr(probe, "before_search", probed)
    with pytest.raises(AssertionError, match="it trains"):
        main([str(path), "--results", str(results), "--resume"])
    (tmp_path / "train.py").write_text(TRAIN + "# other\n")
    assert main([str(path), "--results", str(results), "--resume"]) == 2
    assert "this is not the search that the folder holds" in (told := capsys.readouterr().err)
    assert "the code in train.py" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("trainable.length=epocs", "mine.yaml trainable.length: the config has no key 'epocs'; did you mean 'epochs'?"),
        (
            "trainable.length=lr",
            "trainable.length: the config's lr is 0.01; a length is a whole number of epochs from 1",
        ),
        ("trainable.seed=sed", "trainable.seed: the config has no key 'sed'"),
        ("trainable.lenght=epochs", "trainable.lenght: unknown key; did you mean 'length'?"),
        ("trainable.settles=warmup ** 2", "trainable.settles: 'warmup ** 2': 'warmup ** 2' is not in the grammar"),
        ("trainable.settles=__import__('os')", "is not in the grammar; use numbers, config keys, length"),
        ("trainable.settles=-3", "trainable.settles: expected a unit from 0 on, got -3; 0 where there is no warmup"),
        ("trainable.settles=warmpu + 1", "trainable.settles: the config has no key 'warmpu'"),
        ("trainable.settles=unknown", "early_stopping.first_rung: auto needs to know when schedules settle"),
        ("trainable.command=python x.py", "trainable: give one of function, command"),
        ("trainable.function=train", "trainable.function: expected FILE:FUNCTION"),
        ("trainable.function=trian:train", "trainable.function: trian.py can't be read: No such file"),
        (
            "trainable.function=train:trian",
            "trainable.function: train.py has no function 'trian'; its functions: train",
        ),
        (
            "trainable.objective={val_loss: mim, worst: 1}",
            "trainable.objective: val_loss: expected min or max, got 'mim'",
        ),
        ("trainable.objective={val_loss: min}", "trainable.objective: worst is missing: what a trivial predictor"),
        ("trainable.objective={worst: 1}", "trainable.objective: names no metric"),
        ("trainable.code=[trian.py]", "trainable.code: 'trian.py': there is no such file"),
        ("trainable.code=[../x.py]", "trainable.code: '../x.py' lies outside"),
        ("trainable.metrics={csv: a}", "metrics: is a command's; a function reports to run.report"),
        (
            "trainable.schedules={lr: {warmup_cosine: {peak: lr2}}}",
            "trainable.schedules.lr: warmup_cosine.peak: the config",
        ),
        ("trainable.pause=sleep", "trainable.pause: input should be 'checkpoint', 'rerun', 'stop' or 'hold'"),
        ("trainable.pause=hold", "pause: hold keeps a command's process in memory; this is none: use checkpoint"),
        ("trainable.evaluate=python e.py", "trainable: evaluate: expected FILE:FUNCTION"),
        ("trainable.evaluate=train:score", "trainable.evaluate: train.py has no function 'score'"),
        ("model=tts", "model: expected one of model and trainable, got both"),
        ("base=null", "expected one of base and arguments for a trainable, got neither"),
        ("arguments={lr: 1}", "expected one of base and arguments for a trainable, got both"),
        ("space={lrr: {float: [0, 1]}}", "space.lrr: unknown key; did you mean 'lr'?"),
        ("space={epochs: {int: [1, 4]}}", "space.epochs: can't be searched: it is the run's length"),
        ("space={lr: {choice: [low, high]}}", "space.lr: the config holds 0.01, a number; the space would put 'low'"),
        ("space={workers: {float: [0, 2]}}", "space.workers: the config holds 0, a whole number"),
    ],
)
def test_what_is_declared_wrongly_of_a_function(refused: Refused, change: str, told: str) -> None:
    assert told in refused(change)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("trainable.command=python train.py {confg} {seed}", "trainable.command: unknown placeholder {confg}"),
        ("trainable.command=python train.py {config}", "trainable.command: the command takes no {seed}"),
        ("trainable.metrics=null", "metrics is missing: say where the command writes them"),
        (
            "trainable.metrics={csv: a, jsonl: b}",
            "give one of csv, jsonl, stdout, tensorboard and mlflow, got csv and jsonl",
        ),
        ("trainable.metrics={stdout: '('}", "stdout: '(' is no regular expression"),
        (
            "trainable.metrics={stdout: 'loss (?P<loss>.*)'}",
            "metrics.stdout: has no group named epoch, write (?P<epoch>…); it has loss",
        ),
        ("trainable.trainer=a:b", "give one of function, command, trainer, lightning, got command and trainer"),
        ("trainable.pause=checkpoint", "checkpoint is missing: name the files in {dir}"),
        ("trainable.evaluate=python e.py {checkpoint}", "evaluate: scores checkpoints, and none is kept"),
        ("trainable.held=3", "held: goes with pause: hold"),
        (
            "early_stopping={kind: asha, mode: promote}",
            "early_stopping.mode: promote pauses trials, and this one can't",
        ),
        ("early_stopping={kind: hyperband}", "early_stopping.kind: hyperband pauses trials, and this one can't"),
    ],
)
def test_what_is_declared_wrongly_of_a_command(refused: Refused, change: str, told: str) -> None:
    assert told in refused(change, search=COMMAND)


def test_a_process_in_memory_has_no_state_to_hand_over(refused: Refused) -> None:
    told = refused("trainable.pause=hold", "early_stopping={kind: pbt}", search=COMMAND)
    assert "early_stopping.kind: pbt hands one trial's state to another" in told


def test_code_that_is_no_python_is_told_with_its_line(refused: Refused) -> None:
    assert "train.py line 9: not valid Python" in refused(train=TRAIN.replace("def __len__(self)", "def __len__(self"))


def test_without_a_checkpoint_trials_are_stopped_not_paused_and_a_rerun_says_what_it_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_project(tmp_path, TRAIN, COMMAND.replace("trials: 4", "trials: 9").replace("steps: 4", "steps: 9"))
    assert main([str(path), "--plan", "--set", "trainable.pause=rerun", "--set", "confirm.seeds=0"]) == 0
    output = capsys.readouterr().out
    # Rungs 1, 3 and 9; most probably with 9, 4 and 2 trials, of which 4·1 + 2·3 epochs are trained again.
    assert re.search(r"to train: \d+ to \d+ epochs searching", output)
    again = re.search(r"about (\d+) of them again: pause: rerun starts a trial over when it is promoted", output)
    assert again is not None and 3 + 2 * 3 <= int(again[1]) <= 6 + 5 * 3
    assert main([str(path), "--plan", "--set", "confirm.seeds=0"]) == 0
    assert "again: pause: rerun" not in capsys.readouterr().out
    assert main([str(path), "--plan", "--set", "trainable.pause=hold", "--set", "confirm.seeds=0"]) == 0
    assert "stay in memory, on each node at most 8 with half of its memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "ends", "told"),
    [
        ("completed", 1.5, True),
        ("completed", 0.5, False),
        ("stopped", 1.5, False),  # it may yet learn
    ],
)
def test_a_worst_value_that_is_better_than_the_documented_config_s(
    status: Status, ends: float, told: bool, tmp_path: Path
) -> None:
    search = resolve(write_project(tmp_path, TRAIN, SEARCH), ["trainable.objective.worst=1.0"])
    events = [
        Proposed(0, search.space.baseline(search.base), 0, "search", "baseline", 0.0),
        Reported(0, search.horizon, {"objective": ends, "val_loss": ends}, 1.0, 1.0),
        Ended(0, status, "", 2.0),
    ]
    said = [line for line in observed(search, Records(events)) if "worst" in line]
    what = "trainable.objective.worst is 1; the documented config ends at 1.5, which is worse"
    why = "give what guessing scores, for at first rungs take all such trials for equally bad"
    assert said == ([f"warning: {what}: {why}"] if told else [])
