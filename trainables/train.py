"""Train one config without a search: `python -m trainables.train results/demo/best.yaml`.

The file holds `model`, `data`, `seed`, `steps` and `config` (and, from a search, `provenance`). From the same file the
same objective comes out, to the last digit, on the same machine type (`trainables.fingerprint`).
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from spaces import strict_yaml
from spaces.paths import Missing, with_values
from spaces.problems import BadInput
from spaces.schema import Section, Text, Whole, parse
from trainables import checkpoints, fingerprint, start
from trainables.layout import CODE
from trainables.native import unknown_keys
from trainables.registry import may_be_of, model_of
from trainables.reports import check_advanced, objective_of, plain_metrics
from trainables.run import Diverged, Metrics, Model, Run, UserCodeError

DONE, DIFFERENT, BAD_INPUT, DIVERGED, INTERRUPTED = 0, 1, 2, 3, 130
EXITS = """exit codes:
  0    trained; the objective is the recorded one, or differs by no more than another machine type makes it
  1    trained, and the objective is not the recorded one; or the training's own code is at fault
  2    bad input
  3    diverged
  130  interrupted"""
EVALUATIONS = 20  # of a run whose file gives no `evaluate_every`


class Begin(Section):
    """Where a training goes on, in place of step 0."""

    checkpoint: Text
    """Relative to the file."""


class Training(Section):
    """One training, as its file says it."""

    model: Text
    trainable: dict[str, Any] | None = None
    """The reference to the user's own code, where `model` is none of ours."""
    data: dict[str, Any]
    seed: Annotated[Whole, Field(ge=0)]
    steps: Annotated[Whole, Field(ge=1)]
    """The run's length in the model's unit; it overrides the config's own."""
    evaluate_every: Annotated[Whole, Field(ge=1)] | None = None
    """How often metrics are shown; it changes no result."""
    start: Begin | None = None
    """null: step 0."""
    threads: Annotated[Whole, Field(ge=1)] = 1
    """Torch threads: another number adds up in another order, hence to another last digit."""
    config: dict[str, Any]
    provenance: dict[str, Any] = Field(default_factory=dict)
    """Where the config came from: shown, and its `objective` compared."""


@dataclass(frozen=True)
class Trained:
    """How a training ended."""

    step: int
    metrics: Metrics
    """Of the last evaluation, those of the last training interval included."""
    ended: str | None
    """Why the run stopped before its length, if it did."""


def train_one(run: Run, steps: int, every: int, show: Callable[[int, Metrics], None]) -> Trained:
    """Train `run` to step `steps`, evaluating every `every` steps and at the end. Raises Diverged."""
    metrics: Metrics = {}
    while not metrics or (run.step < steps and run.ended is None):
        began, until = run.step, min((run.step // every + 1) * every, steps)
        trained = run.train(until)
        check_advanced(began, until, run)
        metrics = plain_metrics({**trained, **run.evaluate()})
        if run.step > began:
            show(run.step, metrics)
    return Trained(run.step, metrics, run.ended)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says. Returns the exit code."""
    options = _options(arguments)
    try:
        return _train(options)
    except (BadInput, UserCodeError) as error:
        print(f"{error}", file=sys.stderr)  # noqa: T201
        return BAD_INPUT if isinstance(error, BadInput) else DIFFERENT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return INTERRUPTED


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m trainables.train",
        description="Train one config, without a search.",
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="best.yaml of a search, or a file like it")
    parser.add_argument("--seed", type=int, help="another seed than the file's")
    parser.add_argument("--steps", type=int, help="another length than the file's, in the model's unit")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="other data than the file's, as data_dir=/data/urease or dataset_dir=/data/t15; may be given again",
    )
    parser.add_argument("--until", type=int, metavar="N", help="stop there; schedules keep the whole length")
    parser.add_argument("--checkpoint", type=Path, metavar="FOLDER", help="write the state at the end, to go on from")
    parser.add_argument("--artifacts", type=Path, metavar="FOLDER", help="write what can be looked at or listened to")
    return parser.parse_args(arguments)


def _check_kind(file: Path) -> None:
    """Raises BadInput for a file that a search hands over for the user's own script."""
    beside = file.absolute().parent.parent / "best.yaml"
    if file.suffix not in {".yaml", ".yml"} or (file.absolute().parent.name == "native" and beside.is_file()):
        found = beside if beside.is_file() else "best.yaml in the search's folder"
        raise BadInput.of(f"{file}", f"is for your own script; this command trains a search's best.yaml: {found}")


def _train(options: argparse.Namespace) -> int:
    where = str(options.file)
    _check_kind(options.file)
    if options.until is not None and options.until < 1:
        raise BadInput.of("--until", f"expected a step from 1, got {options.until}")
    raw = strict_yaml.load(options.file)
    given = {"seed": options.seed, "steps": options.steps, "data": _data(options.data)}
    given = {key: value for key, value in given.items() if value is not None}
    training = parse(Training, {**raw, **given} if isinstance(raw, dict) else raw, where)
    beside = options.file.parent
    model = model_of(
        training.model, training.trainable, f"{where} trainable", beside / f"{options.file.stem}-run", beside / CODE
    )
    native = with_values(training.config, {model.length_key: training.steps})
    config = model.parse(native, f"{where} config")
    data = model.parse_data(training.data, config, where)
    if unknown := unknown_keys(config):
        _say(f"warning: keys that the trainer doesn't read, carried through: {', '.join(unknown)}")
    for key, value in training.provenance.items():
        _say(f"provenance {key}: {value}")
    prepared = model.prepare(data, config)
    config = model.parse(with_values(native, prepared.keys), f"{where} config")
    _say(f"{prepared.summary}; data {prepared.digest[:16]}")

    import torch  # lazy: a wrong file is reported before torch has loaded, which takes seconds

    torch.set_num_threads(training.threads)
    begin = None if training.start is None else _begin(options.file, training.start, model)
    every = training.evaluate_every or max(1, training.steps // EVALUATIONS)
    with _heard(model):
        run = model.build(config, prepared, training.seed)
        try:
            if begin is not None:
                run.restore(begin)
                _say(f"goes on at {model.unit} {run.step}")
            done = train_one(
                run, min(options.until or training.steps, training.steps), every, _progress(model, training.steps)
            )
            if options.checkpoint is not None:
                described = start.described(model.name, native, training.data, training.seed)
                state = {"run": run.state(), start.CONFIG: described}
                _say(f"state: {checkpoints.write(options.checkpoint, run.step, state)}")
            machine = fingerprint.fingerprint()
            if options.artifacts is not None:
                options.artifacts.mkdir(parents=True, exist_ok=True)
                run.artifacts(options.artifacts)
        except Diverged as error:
            _say(f"diverged: {error}; scored {model.objective.metric} {model.objective.worst!r}")
            return DIVERGED
        finally:
            run.close()
    recorded = Recorded.of(training.provenance)
    return _finish(model, done, recorded, machine, sorted([*given, *(["until"] if options.until is not None else [])]))


def _begin(file: Path, begin: Begin, model: Model[Any, Any]) -> Mapping[str, Any]:
    """The state that a training goes on from. Raises BadInput."""
    where = f"{file} start.checkpoint"
    places = [folder / begin.checkpoint for folder in (file.parent, file.parent.parent)]  # of a file in pareto/, too
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise BadInput.of(where, f"there is no {places[0]}: keep it beside this file, or name where it is now")
    data = path.read_bytes()
    if checkpoints.whole(data) is None:
        raise BadInput.of(where, f"{path} is damaged: its content is not what its hash says")
    content = checkpoints.loaded(data, "cpu")
    of = json.loads(content[start.CONFIG])["model"] if start.CONFIG in content else model.name
    if not may_be_of(of, model):
        raise BadInput.of(where, f"{path} is a training of {of}, not of {model.name}")
    state: Mapping[str, Any] = content["run"]
    return state


def _data(texts: Sequence[str]) -> dict[str, Any] | None:
    """The whole `data:` section that the command line gives, in the model's own keys; None without one."""
    section: dict[str, Any] = {}
    for text in texts:
        where = f"--data {text}"
        key, separator, value = text.partition("=")
        if not separator or "" in key.split("."):
            raise BadInput.of(where, "expected KEY=VALUE, as in dataset_dir=/data/t15 or generate.seed=1")
        try:
            section = with_values(section, {key: strict_yaml.loads(value, where)})
        except Missing as error:
            raise BadInput.of(where, "another --data gives a value where this key needs a section; drop one") from error
    return section or None


@contextmanager
def _heard(model: Model[Any, Any]) -> Iterator[None]:
    """Show what the model itself has to say while it trains, such as its schedule."""
    log, handler = logging.getLogger(f"trainables.{model.name}"), logging.StreamHandler(sys.stdout)
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


@dataclass(frozen=True)
class Recorded:
    """What the file says of its training."""

    objective: float | None
    machine: Mapping[str, Any]
    """The machine type; empty where the file doesn't say."""

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> "Recorded":
        """As a search or a person has written it."""
        value, machine = provenance.get("objective"), provenance.get("machine")
        value = value.get("value") if isinstance(value, Mapping) else value
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        return cls(number, machine if isinstance(machine, Mapping) else {})

    def compared(self, objective: float, machine: Mapping[str, Any]) -> tuple[str, int]:
        """What is to be said of `objective`, computed by `machine`, beside what is recorded; and the exit code."""
        if self.objective is None or self.objective == objective:
            return "equal to the last digit", DONE
        size = max(abs(self.objective), abs(objective))
        relative = abs(self.objective - objective) / size
        other = fingerprint.differences(self.machine, machine)
        said = f"DIFFERENT, by {relative:.1e} of its value"
        if other and relative <= fingerprint.WIDTH:
            return f"{said}: another machine type ({other})", DONE
        if other:
            return f"{said}, more than another machine type ({other}) made it, {fingerprint.WIDTH}", DIFFERENT
        known = "on this machine type" if self.machine else "on a machine type that the file doesn't name"
        return f"{said}, recorded {known}", DIFFERENT


def _finish(
    model: Model[Any, Any], done: Trained, recorded: Recorded, machine: Mapping[str, Any], given: Sequence[str]
) -> int:
    """Say how it ended. Returns the exit code."""
    if done.ended is not None:
        _say(f"ended at {model.unit} {done.step}: {done.ended}")
    for key, value in done.metrics.items():
        _say(f"  {key} {value:.6g}")
    objective = objective_of(done.metrics, model.objective.metric)
    code = DONE
    if recorded.objective is not None and given:
        _say(f"not compared with the recorded {recorded.objective!r}: {', '.join(given)} given on the command line")
    elif recorded.objective is not None:
        said, code = recorded.compared(objective, machine)
        _say(f"recorded {recorded.objective!r}: {said}")
    _say(f"{model.objective.metric} {objective!r}")
    return code


def _progress(model: Model[Any, Any], steps: int) -> Callable[[int, Metrics], None]:
    started = time.perf_counter()

    def show(step: int, metrics: Metrics) -> None:
        seconds = time.perf_counter() - started
        objective = objective_of(metrics, model.objective.metric)
        _say(f"{model.unit} {step}/{steps}  {model.objective.metric} {objective:.6f}  {seconds:.1f} s")

    return show


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
