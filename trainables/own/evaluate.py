"""`trainable.evaluate`: what given weights score under a config.

By it the probe tells whether a searched knob enters the objective itself: a search would tune that, not the training.
"""

import json
import math
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.own import function, held_files, huggingface, lightning, random_states
from trainables.own.declaration import Declaration
from trainables.own.handle import Config, as_numbers
from trainables.own.load import load
from trainables.own.model import OwnModel
from trainables.own.process import environment
from trainables.run import UserCodeError

_ANSWER = "print the objective on a line of its own, at the end, or a JSON object that has it"


def objective_of(model: OwnModel, config: Mapping[str, Any], state: Mapping[str, Any], seed: int, root: Path) -> float:
    """What the weights of `state` score under `config`.

    Args:
        model: The user's code, with a folder to work in.
        config: The values.
        state: Of a run of the model.
        seed: For whatever the evaluation draws.
        root: The folder of the code.

    Raises:
        UserCodeError: where the declared evaluation gives no such number.

    """
    declared = model.declared
    if declared.command is not None:
        return _by_command(model, config, state, seed, root)
    assert declared.evaluate is not None
    random_states.seed_all(seed)
    file, name = declared.entry_of(declared.evaluate)
    evaluate = load(root, file, name)
    return _objective(declared, evaluate(Config(config), _given(declared, state, model.work)))


def _given(declared: Declaration, state: Mapping[str, Any], work: Path) -> Any:
    """The state as the user's code knows it: what it reported, the list of what `restore` keeps, or a trainer's own
    checkpoint."""
    kept = function.reported(state)
    match declared.way:
        case "trainer":
            return huggingface.unpacked(kept, work / "checkpoint")
        case "lightning":
            return lightning.written(kept, work)
        case _:
            return kept


def _objective(declared: Declaration, answer: Any) -> float:
    metric = declared.judged[0]
    numbers = as_numbers(answer if isinstance(answer, Mapping) else {metric: answer})
    if metric not in numbers:
        raise UserCodeError(f"{metric} is missing; it gave {', '.join(numbers) or 'nothing'}")
    if not math.isfinite(numbers[metric]):
        raise UserCodeError(f"{metric} is {numbers[metric]}; an evaluation gives a finite number")
    return numbers[metric]


def _by_command(model: OwnModel, config: Mapping[str, Any], state: Mapping[str, Any], seed: int, root: Path) -> float:
    declared, order = model.declared, model.order(config, root, seed)
    held_files.put_back(order.folder, state["files"])
    order.write_config()
    checkpoint = held_files.newest(order.folder, declared.checkpoints)
    line = order.line(checkpoint, declared.evaluate)
    try:
        done = subprocess.run(  # noqa: S603
            line.words,
            cwd=root,
            env={**os.environ, **environment(), **line.variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise UserCodeError(f"{line.words[0]}: {error.strerror}") from error
    lines = [text for text in done.stdout.splitlines() if text.strip()]
    if done.returncode:
        told = [text.strip() for text in done.stderr.splitlines() if text.strip()][-1:]
        raise UserCodeError(": ".join([f"the command ended with exit code {done.returncode}", *told]))
    try:
        return _objective(declared, json.loads(lines[-1]))
    except (IndexError, ValueError) as error:
        last = f"the last line is {lines[-1][:100]!r}" if lines else "it printed nothing"
        raise UserCodeError(f"{last}; {_ANSWER}") from error
