"""Train one config without a search: `python -m trainables.train results/demo/best.yaml`.

The file holds `model`, `data`, `seed`, `steps` and `config` (and, from a search, `provenance`). From the same file the
same objective comes out, to the last digit, on the same machine type and package versions.
"""

import argparse
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
from trainables.layout import CODE
from trainables.native import unknown_keys
from trainables.registry import model_of
from trainables.run import Diverged, Metrics, Model, Run

DONE, BAD_INPUT, DIVERGED, INTERRUPTED = 0, 2, 3, 130  # exit codes
EVALUATIONS = 20  # of a run whose file gives no `evaluate_every`


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
        trained = run.train(min((run.step // every + 1) * every, steps))
        metrics = {**trained, **run.evaluate()}
        show(run.step, metrics)
    return Trained(run.step, metrics, run.ended)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says. Returns the exit code."""
    options = _options(arguments)
    try:
        return _train(options)
    except BadInput as error:
        print(f"{error}", file=sys.stderr)  # noqa: T201
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return INTERRUPTED


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m trainables.train", description="Train one config, without a search."
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
    parser.add_argument("--artifacts", type=Path, metavar="FOLDER", help="write what can be looked at or listened to")
    return parser.parse_args(arguments)


def _train(options: argparse.Namespace) -> int:
    where = str(options.file)
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
    every = training.evaluate_every or max(1, training.steps // EVALUATIONS)
    with _heard(model):
        run = model.build(config, prepared, training.seed)
        try:
            done = train_one(run, training.steps, every, _progress(model, training.steps))
            if options.artifacts is not None:
                options.artifacts.mkdir(parents=True, exist_ok=True)
                run.artifacts(options.artifacts)
        except Diverged as error:
            _say(f"diverged: {error}; scored {model.objective.metric} {model.objective.worst!r}")
            return DIVERGED
        finally:
            run.close()
    _finish(model, done, training.provenance.get("objective"), sorted(given))
    return DONE


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


def _finish(model: Model[Any, Any], done: Trained, recorded: Any, given: Sequence[str]) -> None:
    if done.ended is not None:
        _say(f"ended at {model.unit} {done.step}: {done.ended}")
    for key, value in done.metrics.items():
        _say(f"  {key} {value:.6g}")
    objective = done.metrics[model.objective.metric]
    if isinstance(recorded, Mapping):
        recorded = recorded.get("value")
    if isinstance(recorded, float) and given:
        _say(f"not compared with the recorded {recorded!r}: {', '.join(given)} given on the command line")
    elif isinstance(recorded, float):
        same = "equal to the last digit" if recorded == objective else "DIFFERENT"
        _say(f"recorded {recorded!r}: {same}")
    _say(f"{model.objective.metric} {objective!r}")


def _progress(model: Model[Any, Any], steps: int) -> Callable[[int, Metrics], None]:
    started = time.perf_counter()

    def show(step: int, metrics: Metrics) -> None:
        seconds = time.perf_counter() - started
        objective = metrics[model.objective.metric]
        _say(f"{model.unit} {step}/{steps}  {model.objective.metric} {objective:.6f}  {seconds:.1f} s")

    return show


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
