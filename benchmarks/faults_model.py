"""early_inference that misbehaves on request, and writes down what it trains: the model of `benchmarks/faults.py`.

A folder named by the environment variable `FAULTS` holds `orders.json` (`Orders`), `trained.txt` with one line per
evaluation that was begun, and a marker for a trouble that has happened. Without a trouble a trial trains as ever.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from trainables.early_inference.config import Config
from trainables.early_inference.data import Data
from trainables.early_inference.spec import MODEL as INNER
from trainables.run import Metrics, Native, Objective, Prepared, Run

VARIABLE = "FAULTS"
KNOBS = ("lr", "batch_size", "weight_decay", "warmup_epochs")
LEAK_MB, LEAK_MOST_MB = 32, 2048  # a step of the leak, and where it gives up: nobody has stopped it
WORTH, LONGEST = 12, 3.0  # an evaluation is saved if it takes ten times as long as saving; seconds of a pause at most

Kind = Literal["hang", "raise", "nan", "leak"]


@dataclass(frozen=True)
class Trouble:
    """What goes wrong, and where."""

    kind: Kind
    step: int
    """The evaluation that is not reached, in epochs."""
    trials: tuple[str, ...] | None = None
    """The `mark`s of the trials that it befalls; None: all but the documented baseline."""
    once: bool = False


@dataclass(frozen=True)
class Orders:
    """How the trials of one search are to behave."""

    pause: float
    """Seconds that each evaluation takes longer, so that there is something to kill; more on a machine that is so busy
    that saving would not be worth it."""
    journal: str
    """The search's journal: its length is noted with each evaluation that is begun."""
    trouble: Trouble | None = None

    def write(self, folder: Path) -> None:
        """For the workers to read."""
        (folder / "orders.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Orders":
        """What `write` wrote."""
        fields = json.loads((folder / "orders.json").read_text(encoding="utf-8"))
        trouble = fields.pop("trouble")
        if trouble is None:
            return cls(**fields)
        marks = None if trouble["trials"] is None else tuple(trouble["trials"])
        return cls(**fields, trouble=Trouble(**{**trouble, "trials": marks}))


@dataclass(frozen=True)
class Trained:
    """An evaluation that was begun."""

    mark: str
    step: int
    known: int
    """Bytes that the journal had then."""


def mark(values: Mapping[str, Any], seed: int) -> str:
    """Names a trial by what it trains: the model is not told its number."""
    return "/".join([*(repr(values[knob]) for knob in KNOBS), str(seed)])


def trained(folder: Path) -> list[Trained]:
    """Every evaluation begun so far, in order."""
    path = folder / "trained.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Trained(name, int(step), int(known)) for name, step, known in (line.split() for line in lines)]


class FaultyRun:
    """A run of early_inference with orders; it fulfils `trainables.run.Run`."""

    _saved_at: ClassVar[float | None] = None
    """When this process began to save a checkpoint, until the next evaluation begins."""

    def __init__(self, inner: Run, config: Config, seed: int) -> None:
        self._inner, self._folder = inner, Path(os.environ[VARIABLE])
        self._orders = Orders.read(self._folder)
        self._mark = mark({knob: getattr(config, knob) for knob in KNOBS}, seed)
        self._baseline = config.lr == Config().lr
        self._leaked: list[bytearray] = []

    @property
    def step(self) -> int:
        """Epochs trained."""
        return self._inner.step

    @property
    def ended(self) -> str | None:
        """As the inner run says."""
        return self._inner.ended

    def train(self, until: int) -> Metrics:
        """Note it, take time, meet the trouble if it is due here; then train."""
        journal = Path(self._orders.journal)
        known = journal.stat().st_size if journal.exists() else 0
        with (self._folder / "trained.txt").open("a", encoding="utf-8") as file:
            file.write(f"{self._mark} {until} {known}\n")
        saving = time.monotonic() - self._saved_at if self._saved_at is not None else 0.0
        type(self)._saved_at = None
        time.sleep(max(self._orders.pause, min(LONGEST, WORTH * saving)))
        trouble = self._orders.trouble
        if trouble is not None and self._due(trouble, until):
            self._meet(trouble)
        return self._inner.train(until)

    def _due(self, trouble: Trouble, until: int) -> bool:
        befallen = not self._baseline if trouble.trials is None else self._mark in trouble.trials
        if until != trouble.step or not befallen:
            return False
        happened = self._folder / "happened"
        if trouble.once and happened.exists():
            return False
        happened.touch()
        return True

    def _meet(self, trouble: Trouble) -> None:
        match trouble.kind:
            case "raise":
                raise RuntimeError(f"the trouble of step {trouble.step}, asked for with lr in {self._mark}")
            case "hang":
                while True:
                    time.sleep(1)
            case "nan":
                for weight in self._inner.network.parameters():  # type: ignore[attr-defined]
                    weight.data.fill_(math.nan)
            case "leak":
                while len(self._leaked) * LEAK_MB < LEAK_MOST_MB:
                    self._leaked.append(bytearray(os.urandom(1024)) * (LEAK_MB * 1024))
                    time.sleep(0.02)
                raise RuntimeError(f"nothing stopped a leak of {LEAK_MOST_MB} MB")

    def evaluate(self) -> Metrics:
        """The inner run's validation metrics."""
        return self._inner.evaluate()

    def state(self) -> dict[str, Any]:
        """The inner run's snapshot."""
        type(self)._saved_at = time.monotonic()
        return self._inner.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self._inner.restore(state)

    @property
    def worst(self) -> float:
        """As the inner run says."""
        return self._inner.worst

    def artifacts(self, folder: Path) -> None:
        """As the inner run does."""
        self._inner.artifacts(folder)

    def close(self) -> None:
        """As the inner run does."""
        self._inner.close()


class FaultyModel:
    """early_inference in all but its runs; it fulfils `trainables.run.Model`."""

    name: str = "faulty"
    unit: Literal["epoch", "step"] = INNER.unit
    objective: Objective = INNER.objective
    length_key: str = INNER.length_key
    unsearchable: Mapping[str, str] = MappingProxyType(dict(INNER.unsearchable))
    changeable: frozenset[str] = INNER.changeable

    def documented(self) -> Native:
        """The documented recipe."""
        return INNER.documented()

    def parse(self, native: Native, where: str) -> Config:
        """The typed config."""
        return INNER.parse(native, where)

    def parse_data(self, data: Native, config: Config, where: str) -> Data:
        """The typed data section."""
        return INNER.parse_data(data, config, where)

    def prepare(self, data: Data, config: Config) -> Prepared:
        """Generated curves, from the cache."""
        return INNER.prepare(data, config)

    def knobs(self, config: Config, step: int) -> Metrics:
        """Values in force at a step."""
        return INNER.knobs(config, step)

    def static(self, config: Config) -> Native:
        """The whole config."""
        return INNER.static(config)

    def settles(self, config: Config) -> int | None:
        """The end of the warmup."""
        return INNER.settles(config)

    def build(self, config: Config, prepared: Prepared, seed: int) -> FaultyRun:
        """A run at step 0."""
        return FaultyRun(INNER.build(config, prepared, seed), config, seed)

    def write_native(self, source: str | None, name: str, config: Config) -> Mapping[str, str]:
        """The user's own file made to say `config`."""
        return INNER.write_native(source, name, config)


MODEL = FaultyModel()
