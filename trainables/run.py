"""The protocol that a model fulfils: what the search, the trainer and the bridge to Ray need from it.

A model's clock counts in its own unit (epochs for early_inference, batches for diphone_rnn); `step` means that
unit everywhere: in schedules, rungs, budgets and logged metrics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from spaces.schema import NativeSection, Section

Native = Mapping[str, Any]
"""A native config as its file holds it: nested mappings and JSON-like values."""

Metrics = Mapping[str, float]

# The keys of a report from a trial. Defined here once.
STEP = "step"
TRAINED = "steps_trained"  # steps since the one that all trials of the search start from
OBJECTIVE = "objective"  # the model's objective, in its own sign; the worst value for a diverged trial
METRICS = "metrics"  # the model's own metrics and knob values, by name
DIVERGED = "diverged"  # only present, with the reason as text, in the last report of a diverged trial
ENDED = "ended"  # only present, with the reason as text, when the run's own early stopping has fired
NODE = "node"  # Ray's id of the node that trains the trial
GPU = "gpu"  # the name of the GPU that trains the trial; absent on CPU
PACE = "seconds_per_step"  # among the metrics: training and evaluation since the previous report, per unit
MACHINE = "machine"  # in a worker's first report: the machine type that trains the trial (`trainables.fingerprint`)
SAVED = "saved"  # whether a checkpoint holds what was reported; absent where nothing was trained for the report
WARNING = "warning"  # only present, as text, where the worker found something that the user should know
USAGE = "usage"  # pairs: what the worker took of its machine since the last report (`trainables.usage`); Ray keeps
# statistics of every number in a mapping
SECONDS = "train_seconds"  # wall seconds of training and evaluation since the previous report
AHEAD = "ahead"  # key of a run's state, not of a report: true where it may hold more than was trained up to its step


Outcome = Literal["running", "ended", "diverged"]
"""Of an evaluation. `ended`: the run's own early stopping has fired. `diverged`: a quantity was not finite."""


def outcome_of(report: Mapping[str, Any]) -> Outcome:
    """What a report says of its trial."""
    return "diverged" if DIVERGED in report else "ended" if ENDED in report else "running"


@dataclass(frozen=True)
class Objective:
    """The number that trials are compared by; no searched knob may enter its computation."""

    metric: str
    mode: Literal["min", "max"]
    worst: float
    """The finite score of a diverged trial: what a trivial predictor reaches, on any data."""
    unit: str
    """What the number means, for people: `prior sd`, `PER`."""
    further: Mapping[str, Literal["min", "max"]] = field(default_factory=dict, compare=False)
    """Other validation metrics that no searched knob enters: they may be objectives beside it."""

    @property
    def measured(self) -> str:
        """The metric with its unit, where that is another word: `val_per in PER`."""
        return self.metric if self.unit == self.metric else f"{self.metric} in {self.unit}"

    def score(self, value: float) -> float:
        """`value` so that lower is better."""
        return score(value, self.mode)


def score(value: float, mode: Literal["min", "max"]) -> float:
    """A value of an objective so that lower is better, whatever its mode; the same function leads back."""
    return value if mode == "min" else -value


class Diverged(Exception):
    """Training met a non-finite quantity; the trial ends with the objective's worst value."""

    def __init__(self, quantity: str, step: int, value: float) -> None:
        self.quantity, self.step, self.value = quantity, step, value
        super().__init__(f"{quantity} is {value} at step {step}")

    def __reduce__(self) -> tuple[type["Diverged"], tuple[str, int, float]]:
        return Diverged, (self.quantity, self.step, self.value)


class UserCodeError(Exception):
    """The user's own code or what is declared of it is at fault: another try would end the same way."""


class BeforeReportError(UserCodeError):
    """The user's own code raised before its first report: it mostly does so again."""


@dataclass(frozen=True)
class Prepared:
    """Data on this machine, checked and ready: where it lies and the digest of what it holds."""

    path: Path
    digest: str
    """Content hash: equal digests train identically."""
    summary: str
    """One line for people: `3200 training and 800 validation curves of 30 s`."""
    keys: Native = field(default_factory=dict)
    """Config keys that the data decides, by dotted path: how many items there are, where a schedule counts batches."""


class Run(Protocol):
    """One training in progress, bit-reproducible on CPU from (config, data, seed) through any pause and restore."""

    @property
    def step(self) -> int:
        """Units trained so far."""

    @property
    def ended(self) -> str | None:
        """Why the run has ended itself before its budget (its own early stopping), else None."""

    @property
    def worst(self) -> float:
        """What this training scores if it diverges: what a trivial predictor reaches on its data, at most the
        objective's worst value."""

    def train(self, until: int) -> Metrics:
        """Train to step `until`; return means over the interval (losses, gradient norm) and the knob values at its
        last step. Raises Diverged."""

    def evaluate(self) -> Metrics:
        """Validation metrics of the current weights, the objective among them. Changes nothing but state that the
        training itself derives from validation (plateau controller, patience), and that once per step."""

    def state(self) -> dict[str, Any]:
        """Everything needed to go on bit-exactly: tensors, numbers, strings and containers of them."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state` of a run built from the same config, data and seed."""

    def artifacts(self, folder: Path) -> None:
        """Write into `folder`, which exists, what people look at or listen to of the current weights, if there is such
        a thing. Changes nothing."""

    def close(self) -> None:
        """Release workers and memory."""


@runtime_checkable
class Holding(Protocol):
    """A run whose training can stay in memory while its trial is paused, without the worker."""

    def hold(self) -> Sequence[str]:
        """Leave it there, stopped. The folders of the trials that lose theirs for it, for want of room."""

    def pids(self) -> Sequence[int]:
        """Its processes while it trains."""


C = TypeVar("C", bound=NativeSection)
D = TypeVar("D", bound=Section)


class Model(Protocol[C, D]):
    """One of the models. Importing and calling everything but `build` must not import torch."""

    name: str
    unit: Literal["epoch", "step"]
    objective: Objective
    length_key: str
    """The native key of a run's length in `unit`; the search sets it to its budget."""
    unsearchable: Mapping[str, str]
    """Native keys that no space may hold, each with the reason: evaluation depends on it, the trainer ignores it…"""
    changeable: frozenset[str]
    """Knobs whose change in mid-run makes sense (population based training): no shapes, no schedule lengths."""

    def documented(self) -> Native:
        """The recipe of the model's training document, every key spelt out: the base of a search without a file."""

    def parse(self, native: Native, where: str) -> C:
        """The typed config; a key that `native` omits means what the user's own training script does without it.
        Raises BadInput."""

    def parse_data(self, data: Native, config: C, where: str) -> D:
        """The typed `data:` section of the file `where`. Raises BadInput."""

    def prepare(self, data: D, config: C) -> Prepared:
        """Check the user's files, or generate (once: cached by content hash). Raises BadInput."""

    def knobs(self, config: C, step: int) -> Metrics:
        """Values in force while training unit `step` (0-based): a pure function."""

    def static(self, config: C) -> Native:
        """What training depends on beside `knobs`: configs that agree in both at every step train alike. A value that
        another one keeps from acting is left out. The whole config is right, too, where nothing is known of that."""

    def settles(self, config: C) -> int | None:
        """The first step by which every scheduled knob has left its warmup, freeze or ramp; None: not known."""

    def build(self, config: C, prepared: Prepared, seed: int) -> Run:
        """A run at step 0, on the config's device."""

    def write_native(self, source: str | None, name: str, config: C) -> Mapping[str, str]:
        """The files for `native/` (name → text): the user's own file `source` (called `name`) made to say `config`,
        comments, order and what did not change kept, and the model's other native forms."""
