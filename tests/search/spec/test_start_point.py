"""`start:` resolved: what is searched after it, where lengths count from, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search.history.events import Changed, Ended, Proposed
from search.history.journal import Journal
from search.spec.config import Start
from search.spec.plan import make_plan
from search.spec.plan_text import describe
from search.spec.resolve import resolve
from search.spec.search import Search
from search.spec.start import StartPoint, check_data, with_weights
from search.spec.start import found as start_of
from spaces import strict_yaml
from spaces.problems import BadInput
from trainables import checkpoints, start
from trainables.registry import model_named

BASE = """\
hidden_size: 8
num_layers: 1
phases:
  - {epochs: 1-4, start_lr: 1.0e-3, min_lr: 5.0e-4, lr_schedule: linear, alpha: 0.8}
  - {epochs: 5-8, start_lr: 5.0e-4, min_lr: 1.0e-4, lr_schedule: linear, alpha: 0.7}
  - {epochs: 9-12, start_lr: 1.0e-4, min_lr: 1.0e-5, lr_schedule: linear, alpha: 0.6}
"""
SEARCH = """\
model: sequence_generator
base: phases.yaml
data: {generate: {simulations: 10, grid: 16, seed: 0}}
start: {train_to: 4 epochs}
knobs: [plan.phase_2.alpha, plan.phase_2.length, plan.phase_3.clip_grad_norm]
budget: {trials: 9, evaluate_every: 1 epoch}
confirm: {top: 1, seeds: 2}
"""

Resolved = Callable[..., Search]


@pytest.fixture
def resolved(tmp_path: Path) -> Resolved:
    (tmp_path / "phases.yaml").write_text(BASE)
    (tmp_path / "search.yaml").write_text(SEARCH)
    return lambda *sets, **more: resolve(tmp_path / "search.yaml", sets, **more)


def refusal(resolved: Resolved, *sets: str) -> str:
    with pytest.raises(BadInput) as error:
        resolved(*sets)
    return str(error.value)


def test_lengths_count_from_the_start_and_steps_from_0(resolved: Resolved) -> None:
    search = resolved("early_stopping={kind: asha, first_rung: 2, reduction: 2}")
    plan = make_plan(search)
    assert (search.begins, search.length, search.horizon) == (4, 8, 12)
    assert plan.rungs == (6, 8, 12)
    assert (plan.full_steps, plan.confirm_steps, plan.start_steps) == (9 * 8, 4 * 8, 3 * 4)
    told = describe(search, plan)
    assert "starts at epoch 4: the baseline, trained to epoch 4; the baseline is going on unchanged" in told
    assert "each trial: up to 8 epochs from there, to epoch 12 of the whole training" in told
    assert "the 4 epochs before the start are trained on the fresh seeds, too" in told
    assert "+ 12 up to the start" in told
    longer = resolved("budget.steps=10 epochs")
    assert (longer.horizon, longer.every) == (14, 1)
    assert search.digest != resolved("start={train_to: 3}").digest


def test_only_what_acts_after_the_start_is_searched(resolved: Resolved) -> None:
    search = resolved("knobs=null")
    assert search.later is not None
    paths = set(search.space.by_path)
    assert {"plan.phase_2.alpha", "plan.phase_3.lr_end", "plan.phase_2.length"} <= paths
    assert {"start_lr", "hidden_size", "batch_size", "plan.phase_1.alpha"} <= set(search.later.early)
    assert not paths & set(search.later.early)
    told = describe(search, make_plan(search))
    assert "not searched, for it acts before the start: " in told


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (
            ["knobs=[start_lr, plan.phase_2.alpha]"],
            "search.yaml start_lr: acts before epoch 4, where every trial starts",
        ),
        (["knobs=null", "space.start_lr={float: [1e-4, 1e-2]}"], "start_lr: acts before epoch 4"),
        (["start={train_to: 12}"], "is not before the end of the training, epoch 12: start earlier, or say in"),
        (["start={train_to: 0}"], "start.train_to: expected a whole number of epochs from 1"),
        (["start={}"], "give one of checkpoint, search and train_to, got none"),
        (["start={train_to: 4, search: x}"], "got search and train_to"),
        (["start={search: x}"], "step is missing"),
        (["start={train_to: 4, trial: 3}"], "trial belongs to search"),
        (["start={search: nowhere/x, step: 4}"], "start.search: there is no search in nowhere/x"),
        (["start={checkpoint: gone.pt}"], "start.checkpoint: there is no gone.pt"),
    ],
)
def test_bad_input(sets: list[str], told: str, resolved: Resolved) -> None:
    assert told in refusal(resolved, *sets)


def test_a_space_in_which_nothing_acts_late_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "epochs: 60\nlr: 1e-3\ntcn_channels: [4]\nwarmup_epochs: 2\nscheduler_patience: 10\n"
    )
    search = "model: early_inference\nbase: base.yaml\ndata: {generate: {samples: 20, n_points: 10}}\n"
    (tmp_path / "search.yaml").write_text(search + "start: {train_to: 50}\nbudget: {trials: 3}\n")
    with pytest.raises(BadInput, match="no knob is left to search; none acts after epoch 50 alone") as error:
        resolve(tmp_path / "search.yaml")
    assert "lr" in str(error.value)
    early = resolve(tmp_path / "search.yaml", ["start.train_to=9"])  # before the plateau controller may act
    assert (
        {"scheduler_factor", "scheduler_min_lr"}
        <= set(early.space.by_path)
        <= {
            "scheduler_factor",
            "scheduler_min_lr",
            "scheduler_patience",
        }
    )


def kept(folder: Path, native: Any, step: int = 4, model: str = "sequence_generator") -> Path:
    described = start.described(model, native, {}, 0)
    return checkpoints.write(
        folder, step, {"run": {"step": step}, "report": {"objective": 0.5}, start.CONFIG: described}
    )


def test_a_checkpoint_must_be_of_the_same_training(resolved: Resolved, tmp_path: Path) -> None:
    native = dict(resolved().base)
    kept(tmp_path / "ours", native)
    search = resolved("start={checkpoint: ours}")
    assert search.start is not None and search.start.step == 4 and not search.start.trained
    assert search.start.objective == 0.5
    assert "only what follows the start has fresh seeds" in describe(search, make_plan(search))
    later = {**native, "plan": {**native["plan"], "phase_3": {**native["plan"]["phase_3"], "alpha": 0.1}}}
    kept(tmp_path / "later", later)  # differs only after the start
    assert resolved("start={checkpoint: later}").begins == 4
    kept(tmp_path / "wide", {**native, "hidden_size": 16, "start_lr": 0.002})
    told = refusal(resolved, "start={checkpoint: wide}")
    assert "hidden_size: 16 there, 8 in phases.yaml" in told and "start_lr: 0.002 there, 0.001 in phases.yaml" in told
    kept(tmp_path / "other", {}, model="tts")
    assert "is a training of tts, not of sequence_generator" in refusal(resolved, "start={checkpoint: other}")
    file = tmp_path / "ours" / "000000004.pt"
    told = refusal(resolved, "start={checkpoint: ours/000000004.pt, step: 5}")
    assert "is 5, but" in told and "was trained to epoch 4" in told
    copy = tmp_path / "results" / "sequence_generator-search" / "start" / "given"
    copy.mkdir(parents=True)
    (copy / file.name).write_bytes(file.read_bytes())
    file.write_bytes(file.read_bytes()[:-1])
    assert "is damaged" in refusal(resolved, "start={checkpoint: ours/000000004.pt}")
    file.unlink()
    again = resolved("start={checkpoint: ours/000000004.pt}", results=tmp_path / "results")
    assert again.digest == search.digest
    assert any("is not there any more; going on with the search's own copy" in said for said in again.warnings)


def test_a_trial_of_a_search_is_gone_on_with(resolved: Resolved, tmp_path: Path) -> None:
    first = resolved("start=null", "knobs=[plan.phase_1.alpha]")
    folder = tmp_path / "results" / "first"
    (folder / "base").mkdir(parents=True)
    (folder / "search.yaml").write_text(first.to_yaml("d"))
    (folder / "base" / "phases.yaml").write_text(BASE)
    with Journal(folder / "journal.jsonl") as journal:
        for number, alpha in ((0, 0.8), (1, 0.3)):
            journal.append(Proposed(number, {"plan.phase_1.alpha": alpha}, 0, "search", "baseline", 0.0))
            journal.append(Ended(number, "completed", "", 1.0))
    where = f"search: {folder}, step: 4"
    told = refusal(resolved, f"start={{{where}}}", "base=null")
    assert "has no best.yaml yet" in told
    (folder / "best.yaml").write_text(json.dumps({"provenance": {"trial": 1}}))
    yaml = strict_yaml.load(tmp_path / "search.yaml")
    del yaml["base"]
    (tmp_path / "search.yaml").write_text(json.dumps({**yaml, "start": {"search": str(folder), "step": 4}}))
    search = resolved()
    assert search.base["plan"]["phase_1"]["alpha"] == 0.3 and search.base_name == "phases.yaml"
    assert search.fixed["plan.phase_1.alpha"] == 0.3
    assert search.start is not None and search.start.trained and search.start.data_digest == "d"
    assert "has no trial 2; it has 0 to 1" in refusal(resolved, "start.trial=2")


def point(folder: Path, model: str = "sequence_generator", **given: Any) -> StartPoint:
    """What a YAML in `folder` starts from, before it is held against anything."""
    start = Start.model_validate(given)
    return start_of(start, model_named(model), folder / "search.yaml", None).point


def no_point(folder: Path, model: str = "sequence_generator", **given: Any) -> str:
    with pytest.raises(BadInput) as error:
        point(folder, model, **given)
    return str(error.value)


def test_a_trial_that_changed_its_knobs_is_no_start(resolved: Resolved, tmp_path: Path) -> None:
    """Population based training: no config trains to what it was at the step."""
    folder = tmp_path / "results" / "first"
    folder.mkdir(parents=True)
    (folder / "search.yaml").write_text(resolved("start=null", "knobs=[plan.phase_1.alpha]").to_yaml("d"))
    with Journal(folder / "journal.jsonl") as journal:
        for number in (0, 1):
            journal.append(Proposed(number, {"plan.phase_1.alpha": 0.8}, 0, "search", "pbt", 0.0))
        journal.append(Changed(1, {"plan.phase_1.alpha": 0.3}, 1.0))
    told = no_point(tmp_path, search=str(folder), step=4, trial=1)
    assert "start.trial: trial 1 changed its knobs while it trained: no config trains to its step 4" in told
    assert point(tmp_path, search="first", step=4, trial=0).source == f"epoch 4 of {folder} trial 0"


def test_a_checkpoint_by_another_name_says_its_step(tmp_path: Path) -> None:
    file = kept(tmp_path / "ours", {}).rename(tmp_path / "mine.pt")
    told = no_point(tmp_path, checkpoint="mine.pt")
    assert f"start.step: is missing: say how many epochs {file} was trained for" in told
    assert point(tmp_path, checkpoint="mine.pt", step=7).source == f"epoch 7 of {file}"


def test_a_folder_is_its_newest_intact_checkpoint_that_says_how_it_was_trained(tmp_path: Path) -> None:
    (tmp_path / "t0").mkdir()
    assert "t0 holds no intact checkpoint; name a file" in no_point(tmp_path, checkpoint="t0")
    first, newest = (kept(tmp_path / "t0/checkpoints", {}, step) for step in (4, 6))
    assert point(tmp_path, checkpoint="t0").given == newest
    newest.write_bytes(b"half of it")
    assert point(tmp_path, checkpoint="t0").given == first
    checkpoints.write(tmp_path / "t1", 4, {"run": {"step": 4}})
    told = no_point(tmp_path, checkpoint="t1")
    assert "as an earlier version wrote it: name its search and trial instead (start.search)" in told


def test_weights_of_another_trainer_start_a_model_that_takes_them(resolved: Resolved, tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    file.write_bytes(b"of another trainer")
    told = no_point(tmp_path, checkpoint="net.pt")
    assert f"start.step: is missing: {file} holds weights only; say how many epochs they were trained for" in told
    told = no_point(tmp_path, "early_inference", checkpoint="net.pt", step=4)
    assert "net.pt is no checkpoint of ours, and early_inference starts from none of another trainer's" in told
    search = resolved("start={checkpoint: net.pt, step: 4}")
    assert search.start is not None and search.start.weights and not search.start.trained and search.begins == 4
    assert any("the optimizer starts anew at epoch 4, with empty moments" in said for said in search.warnings)

    def prepare(data: Any, config: Any) -> None:
        raise BadInput.of("existing_model", f"{config.existing_model} is of {config.hidden_size} no network")

    model: Any = SimpleNamespace(name=search.model.name, parse=search.model.parse, prepare=prepare)
    with pytest.raises(BadInput, match=f"existing_model: {file} is of 8 no network"):  # the model itself looks
        check_data(search.start, model, search.base, search.data, "any")


def test_the_data_of_the_search_that_is_gone_on_with_is_given_again(resolved: Resolved) -> None:
    search = resolved()
    check_data(None, search.model, search.base, search.data, "here")
    for known in (None, "here"):
        ours = StartPoint(4, "epoch 4 of results/x trial 7", data_digest=known)
        check_data(ours, search.model, search.base, search.data, "here")
    there = StartPoint(4, "epoch 4 of results/x trial 7", data_digest="there" * 8)
    with pytest.raises(BadInput, match=r"results/x trial 7 was trained on other data .digest theretheretheret, here"):
        check_data(there, search.model, search.base, search.data, "here")


@pytest.mark.parametrize(
    ("model", "native", "then"),
    [
        ("sequence_generator", {}, {"existing_model": "net.pt"}),
        ("tts", {"training": {"lr": 0.1}}, {"training": {"lr": 0.1, "resume_checkpoint": "net.pt"}}),
        (
            "diphone_rnn",
            {"init_from_checkpoint": False},
            {"init_from_checkpoint": True, "init_checkpoint_path": "net.pt"},
        ),
    ],
)
def test_each_model_is_told_of_the_weights_by_its_own_keys(
    model: str, native: dict[str, Any], then: dict[str, Any]
) -> None:
    before = json.dumps(native)
    assert with_weights(model, native, Path("net.pt")) == then and json.dumps(native) == before


COMMAND = """\
trainable:
  command: python fit.py {config} {dir} {resume}
  metrics: {csv: log.csv}
  checkpoint: CHECKPOINT
  length: epochs
  objective: {val_loss: min, worst: 1.0}
  schedules:
    lr: {torch: {base: lr, chain: [{MultiStepLR: {milestones: [drop_at], gamma: gamma}}]}}
base: config.yaml
start: {checkpoint: mine/epoch_03.pt, step: 3}
space: {gamma: {float: [0.1, 1.0]}}
budget: {trials: 4, evaluate_every: 1 epoch}
confirm: {seeds: 0}
"""


@pytest.mark.parametrize(
    ("pattern", "start_at", "what"),
    [
        ("epoch_{step}.pt", "{checkpoint: mine/epoch_03.pt, step: 3}", None),
        ("'{dir}/last.pt'", "{checkpoint: mine/epoch_03.pt, step: 3}", None),
        ("epoch_*.pt", "{checkpoint: mine/epoch_03.pt, step: 3}", None),
        ("epoch_{step}.pt", "{checkpoint: mine/epoch_03.pt}", "start.step: is missing: say how many epochs"),
        ("model_*.pt", "{checkpoint: mine/epoch_03.pt, step: 3}", "can't be a whole checkpoint of the command"),
        ("[net.pt, optimizer.pt]", "{checkpoint: mine/epoch_03.pt, step: 3}", "which is net.pt and optimizer.pt"),
        ("epoch_{step}.pt", "{checkpoint: mine/epoch_03.pt, step: 8}", "not before the end"),
        ("epoch_{step}.pt", "{checkpoint: mine/epoch_04.pt, step: 4}", "there is no mine/epoch_04.pt"),
    ],
)
def test_a_command_starts_from_its_own_checkpoint(
    pattern: str, start_at: str, what: str | None, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/epoch_03.pt").write_bytes(b"of no format that we know")
    (tmp_path / "fit.py").write_text("")
    (tmp_path / "config.yaml").write_text("lr: 0.5\ngamma: 0.5\ndrop_at: 6\nepochs: 8\n")
    (tmp_path / "search.yaml").write_text(COMMAND.replace("CHECKPOINT", pattern))
    if what is not None:
        with pytest.raises(BadInput, match=what):
            resolve(tmp_path / "search.yaml", [f"start={start_at}"])
        return
    search = resolve(tmp_path / "search.yaml", [f"start={start_at}"])
    assert (search.begins, search.length) == (3, 5)
    assert "the command's own" in describe(search, make_plan(search))


def test_training_code_of_ones_own_goes_on_from_what_another_yaml_has_trained(tmp_path: Path) -> None:
    (tmp_path / "fit.py").write_text("")
    (tmp_path / "config.yaml").write_text("lr: 0.5\ngamma: 0.5\ndrop_at: 6\nepochs: 8\n")
    (tmp_path / "search.yaml").write_text(COMMAND.replace("CHECKPOINT", "epoch_{step}.pt"))
    native = {"lr": 0.5, "gamma": 0.5, "drop_at": 6, "epochs": 8}
    kept(tmp_path / "mine", native, model="another")
    at = "start={checkpoint: mine}"
    assert resolve(tmp_path / "search.yaml", [at]).begins == 4
    kept(tmp_path / "mine", {**native, "lr": 0.1}, model="another")
    with pytest.raises(BadInput, match=r"lr: 0.1 there, 0.5 in config.yaml; set them alike$"):
        resolve(tmp_path / "search.yaml", [at])
    kept(tmp_path / "mine", native, model="tts")
    with pytest.raises(BadInput, match="is a training of tts, not of search"):
        resolve(tmp_path / "search.yaml", [at])
