"""The user's command line with a config's values in it."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from trainables.own.arguments import Filling, command_line
from trainables.own.declaration import Declaration

NATIVE = {
    "lr": 1e-05,
    "warmup_steps": 3,
    "amp": True,
    "ema": False,
    "net": {"width": 8, "act": "re lu"},
    "betas": [0.9, 1],
}


def line(command: str, checkpoint: Path | None = None, native: Any = NATIVE, **declared: Any) -> str:
    declaration = Declaration.model_validate(
        {
            "command": command,
            "length": "n",
            "objective": {"v": "min", "worst": 1},
            "metrics": {"csv": "a.csv"},
            **declared,
        }
    )
    return str(command_line(declaration, Filling(native, Path("/c.yaml"), 7, Path("/d"), 20, checkpoint)))


def test_placeholders_become_values() -> None:
    assert line("python t.py {config} --seed={seed} --n {length} -o {dir}/x") == (
        "python t.py /c.yaml --seed=7 --n 20 -o /d/x"
    )


def test_arguments_in_the_forms_that_parsers_read() -> None:
    assert line("t {args}") == "t --lr 1e-05 --warmup-steps 3 --amp --net.width 8 --net.act 're lu' --betas 0.9 1"
    assert "--warmup_steps 3 --amp --net.width" in line("t {args_underscore}")
    assert "--amp --no-ema" in line("t {args}", booleans="no")
    assert "--amp true --ema false" in line("t {args}", booleans="value")
    assert line("t {args_hydra}") == (
        "t lr=1e-05 warmup_steps=3 amp=true ema=false net.width=8 "
        + shlex.quote("net.act='re lu'")
        + " 'betas=[0.9,1]'"
    )
    assert line("t {args}", native={"x": -1, "y": None, "z": "-a"}) == "t --x=-1 --z=-a"


def test_hydra_keeps_text_that_looks_like_something_else_as_text() -> None:
    assert line("t {args_hydra}", native={"a": "1e5", "b": "null", "c": "it's", "d": "x/y"}) == shlex.join(
        ["t", "a='1e5'", "b='null'", "c='it\\'s'", "d=x/y"]
    )


def test_variables_stand_before_the_command() -> None:
    assert line("A=1 {env} t") == "A=1 LR=1e-05 WARMUP_STEPS=3 AMP=true EMA=false NET__WIDTH=8 NET__ACT='re lu' " + (
        "BETAS='[0.9, 1]' t"
    )


def test_resume_is_there_only_where_there_is_something_to_go_on_from() -> None:
    assert line("t {resume}") == "t"
    assert line("t {resume}", Path("/d/last.pt")) == "t --resume /d/last.pt"
    assert (
        line("t {resume}", Path("/d/a b.pt"), resume="--from={checkpoint} --in {dir}") == "t '--from=/d/a b.pt' --in /d"
    )


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("python t.py {confg}", "unknown placeholder {confg}; did you mean 'config'?"),
        ("python t.py | tee log", "| is a shell's"),
        ("python 't.py", "can't be split into words"),
        ("", "is empty"),
        ("t --x={args}", "{args} stands for several words"),
    ],
)
def test_commands_that_cannot_be_run_are_refused(command: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        line(command)
    assert told in str(caught.value)
