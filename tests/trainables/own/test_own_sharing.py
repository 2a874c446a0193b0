"""Which trainings of the user's own begin alike, and that one goes on from another's state to the same bits."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from own_project import FITS, TRAIN, build, own_model

from search.prefixes.key import Chain, identity_of
from trainables.own.model import OwnModel
from trainables.run import Run

STEP_LR = {"StepLR": {"step_size": 2, "gamma": "gamma"}}
STEPS: dict[str, Any] = {"schedules": {"lr": {"torch": {"base": "lr", "chain": [STEP_LR]}}}}
RATE = 'optimizer.param_groups[0]["lr"] = run.config.lr * run.config.gamma ** (epoch // 2)'
DECAYS = TRAIN.replace("        for batch in", f"        {RATE}\n        for batch in")


def keys(model: OwnModel, native: dict[str, Any], step: int) -> str:
    config = model.parse({"lr": 0.01, "epochs": 4, "workers": 0, **native}, "c")
    sharing = model.sharing
    assert sharing is not None
    return Chain(model, sharing, identity_of(model, model.reference.code, "d", 5, 1), config).keys(step)[0]


def trained(run: Run, upto: int) -> list[dict[str, float]]:
    return [dict(run.train(step)) for step in range(run.step + 1, upto + 1)]


def test_a_key_that_only_a_declared_schedule_names_acts_through_it(tmp_path: Path) -> None:
    model = own_model(tmp_path, DECAYS, **STEPS)
    one, other = {"gamma": 0.5}, {"gamma": 0.1}
    assert keys(model, one, 1) == keys(model, other, 1)
    assert keys(model, one, 2) != keys(model, other, 2)  # within an epoch, the rate may be on its way to the next one's
    assert keys(model, one, 1) != keys(model, {**one, "workers": 1}, 1)
    assert keys(model, one, 1) != keys(model, {**one, "lr": 0.02}, 1)


def test_a_training_goes_on_from_the_state_of_another(tmp_path: Path) -> None:
    model = own_model(tmp_path, DECAYS, **STEPS)
    first, whole = build(model, {"gamma": 0.5}), build(model, {"gamma": 0.1})
    expected = trained(whole, 4)
    assert trained(first, 1) == expected[:1]
    kept = io.BytesIO()
    torch.save(first.state(), kept)
    fork = build(model, {"gamma": 0.1})
    fork.restore(torch.load(io.BytesIO(kept.getvalue()), weights_only=True))
    assert trained(fork, 4) == expected[1:]
    assert trained(first, 4) != expected[1:]
    for run in (first, whole, fork):
        run.close()


FITTED: dict[str, Any] = {
    **STEPS,
    "function": None,
    "command": "python fit.py {config} {seed} {dir} {resume}",
    "metrics": {"jsonl": "log"},
    "checkpoint": "epoch_{step}.json",
    "resume": "{checkpoint}",
}


def test_a_command_whose_checkpoints_bear_their_step_goes_on_from_anothers_state(tmp_path: Path) -> None:
    model = own_model(tmp_path, **FITTED)
    (tmp_path / "fit.py").write_text(FITS.replace("PACE", "0.1").replace("RATE", "(epoch // 2)"))
    one, other = {"gamma": 0.5}, {"gamma": 0.1}
    assert keys(model, one, 1) == keys(model, other, 1)
    whole = build(model, other)
    expected = trained(whole, 4)
    whole.close()
    first = build(model, one)
    assert trained(first, 1) == expected[:1]
    state = first.state()
    assert not state["ahead"] and set(state["files"]) == {"epoch_01.json", "log"}
    rest = trained(first, 4)
    first.close()
    fork = build(model, other)
    fork.restore(state)
    assert trained(fork, 4) == expected[1:] != rest
    fork.close()


def test_a_command_that_ran_ahead_of_its_evaluation_says_so(tmp_path: Path) -> None:
    model = own_model(tmp_path, **FITTED)
    (tmp_path / "fit.py").write_text(FITS.replace("PACE", "0").replace("RATE", "0"))  # over before it is stopped
    run = build(model, {"gamma": 0.5, "epochs": 60})
    run.train(1)
    state = run.state()
    assert state["ahead"] and "epoch_01.json" in state["files"] and len(state["files"]) == 2
    run.close()


def test_a_command_whose_checkpoints_do_not_say_their_step_promises_nothing(tmp_path: Path) -> None:
    assert own_model(tmp_path, **FITTED).sharing is not None
    assert own_model(tmp_path / "x", **{**FITTED, "checkpoint": "last.json"}).sharing is None
    assert own_model(tmp_path / "y", **{**FITTED, "checkpoint": ["epoch_{step}.json", "x"]}).sharing is None


@pytest.mark.parametrize("declared", [{}, {**STEPS, "pause": "rerun"}])
def test_without_schedules_or_without_a_state_nothing_is_promised(declared: dict[str, Any], tmp_path: Path) -> None:
    assert own_model(tmp_path, DECAYS, **declared).sharing is None
