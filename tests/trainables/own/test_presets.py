"""Declared schedules against torch's and transformers' own, and against what a run reports."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from own_project import own_model
from torch.optim import SGD
from torch.optim import lr_scheduler as schedulers
from transformers import get_scheduler

from trainables.own.observed import compare
from trainables.own.presets import PresetError, schedule_of

LENGTH = 24
BASE = 0.3
NATIVE = {"lr": BASE, "warmup": 4, "kind": "cosine"}
CHAINS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("ConstantLR", {"factor": 0.5, "total_iters": 3}, {}),
    ("LinearLR", {"start_factor": 0.1, "total_iters": "warmup"}, {"total_iters": 4}),
    ("LinearLR", {}, {}),
    ("StepLR", {"step_size": 5}, {}),
    ("MultiStepLR", {"milestones": [3, "length / 2"], "gamma": 0.5}, {"milestones": [3, 12]}),
    ("ExponentialLR", {"gamma": 0.9}, {}),
    ("CosineAnnealingLR", {"T_max": "length - warmup", "eta_min": 0.01}, {"T_max": 20}),
    ("PolynomialLR", {"total_iters": 9, "power": 2}, {}),
    ("OneCycleLR", {"max_lr": "lr", "total_steps": "length"}, {"max_lr": BASE, "total_steps": LENGTH}),
]


def rates(scheduler: Any, optimizer: Any) -> list[float]:
    found = []
    for _ in range(LENGTH):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return found


def optimizer() -> SGD:
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)


def declared(preset: Any) -> list[float]:
    schedule = schedule_of(preset, NATIVE, LENGTH)
    return [schedule.at(step) for step in range(LENGTH)]


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step:UserWarning")
@pytest.mark.parametrize(("name", "arguments", "values"), CHAINS)
def test_torch_schedulers(name: str, arguments: dict[str, Any], values: dict[str, Any]) -> None:
    made = optimizer()
    own = rates(getattr(schedulers, name)(made, **{**arguments, **values}), made)
    assert declared({"torch": {"base": "lr", "chain": [{name: arguments}]}}) == pytest.approx(own, rel=1e-9)


def test_torch_schedulers_one_after_the_other() -> None:
    made = optimizer()
    parts = [
        schedulers.LinearLR(made, start_factor=0.01, total_iters=4),
        schedulers.CosineAnnealingLR(made, T_max=10),
        schedulers.StepLR(made, step_size=3, gamma=0.5),
    ]
    own = rates(schedulers.SequentialLR(made, parts, milestones=[4, 14]), made)
    chain = [
        {"LinearLR": {"start_factor": 0.01, "total_iters": "warmup"}},
        {"CosineAnnealingLR": {"T_max": 10}},
        {"StepLR": {"step_size": 3, "gamma": 0.5}},
    ]
    preset = {"torch": {"base": "lr", "chain": chain, "milestones": ["warmup", "warmup + 10"]}}
    assert declared(preset) == pytest.approx(own, rel=1e-9)
    assert schedule_of(preset, NATIVE, LENGTH).settles == 4


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("linear", {}),
        ("cosine", {}),
        ("cosine", {"num_cycles": 1.5}),
        ("cosine_with_restarts", {"num_cycles": 3}),
        ("polynomial", {"power": 2.0, "lr_end": 0.01}),
        ("constant", {}),
        ("constant_with_warmup", {}),
        ("inverse_sqrt", {}),
        ("cosine_with_min_lr", {"min_lr_rate": 0.1}),
    ],
)
def test_hugging_face_schedulers(kind: str, more: dict[str, Any]) -> None:
    made = optimizer()
    own = rates(get_scheduler(kind, made, 4, LENGTH, scheduler_specific_kwargs=more), made)
    preset = {"huggingface": {"type": kind, "peak": "lr", "warmup": "warmup", **more}}
    assert declared(preset) == pytest.approx(own, rel=1e-9)
    assert schedule_of(preset, NATIVE, LENGTH).settles == (0 if kind == "constant" else 4)


def test_the_kind_may_stand_in_the_config() -> None:
    named, kept = ({"huggingface": {"type": kind, "peak": 1}} for kind in ("cosine", "kind"))
    assert declared(named) == declared(kept)


def test_several_scheduler_steps_per_unit() -> None:
    preset = {"huggingface": {"peak": 1, "warmup": 40, "end": "10 * length", "per_unit": 10}}
    schedule = schedule_of(preset, NATIVE, LENGTH)
    assert schedule.settles == 4
    assert [schedule.at(0), schedule.at(2), schedule.at(4)] == [0, 0.5, 1]


def test_nanogpt() -> None:
    found = declared({"nanogpt": {"peak": 1.0, "warmup": 4, "end": 20, "floor": 0.1}})
    assert found[:5] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert found[12] == pytest.approx(0.1 + 0.45 * (1 + math.cos(math.pi / 2)))
    assert found[20:] == pytest.approx([0.1] * 4)


@pytest.mark.parametrize(
    ("preset", "told"),
    [
        ({"warmup_cosin": {}}, "no preset is called 'warmup_cosin'; did you mean 'warmup_cosine'?"),
        ({"warmup_cosine": {"peak": 1, "floor": 2}}, "floor must be <= peak"),
        ({"warmup_cosine": {"peek": 1}}, "warmup_cosine.peak is missing"),
        ({"warmup_cosine": {"peak": 1, "flor": 0}}, "warmup_cosine.flor: unknown argument; did you mean 'floor'?"),
        ({"warmup_cosine": {"peak": 1, "warmup": 0.5}}, "warmup is 0.5, no whole number; use ceil or floor"),
        ({"warmup_cosine": {"peak": "lr2"}}, "no key 'lr2'; did you mean 'lr'?"),
        ({"torch": {"base": 1, "chain": [{"ReduceLROnPlateau": {}}]}}, "no schedule of the step is called"),
        ({"torch": {"base": 1, "chain": [{"StepLR": {"step_size": 0}}]}}, "step_size is 0; it must be at least 1"),
        ({"torch": {"base": 1, "chain": [{"StepLR": {"step_size": 1}}] * 2}}, "2 schedulers need 1 milestones, got 0"),
        ({"huggingface": {"peak": 1, "type": "reduce_lr_on_plateau"}}, "is no schedule of the step"),
        ({"nanogpt": {"peak": 1, "warmup": 24}}, "nanogpt.end is 24; it must be above the warmup"),
        ({"nanogpt": {"peak": 1, "warmup": 2}, "torch": {}}, "expected one preset"),
        ("lr +", "is no formula"),
    ],
)
def test_what_is_declared_wrongly_is_told(preset: Any, told: str) -> None:
    with pytest.raises(PresetError) as caught:
        schedule_of(preset, NATIVE, LENGTH)
    assert told in str(caught.value)


RAMP = {"schedules": {"lr": {"warmup_constant": {"peak": "lr", "warmup": 3}}}}


@pytest.mark.parametrize(
    ("reported", "told"),
    [
        ([0, 0.1, 0.2, 0.3], "lr: declared and observed agree (4 evaluations)"),
        ([0, 0.1, 0.25, 0.3], "lr: declared and observed part at epoch 3: declared 0.2, reported 0.25"),
        (
            [0.1, 0.2, 0.3, 0.3],
            "part at epoch 1: declared 0, reported 0.1; they agree one epoch later: is it reported after",
        ),
        ([0, 0.1, 0.2, 0.31], "part at epoch 4: declared 0.3, reported 0.31"),
    ],
)
def test_declared_and_observed_are_compared_step_by_step(tmp_path: Path, reported: list[float], told: str) -> None:
    model = own_model(tmp_path, **RAMP)
    native = {"lr": 0.3, "epochs": 4}
    reports = [(step, {"lr": value, "val_loss": 1.0}) for step, value in enumerate(reported, start=1)]
    [found] = compare(model, native, reports)
    assert told in found.told("epoch")
    assert model.settles(model.parse(native, "c")) == 3
