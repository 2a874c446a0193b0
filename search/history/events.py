"""What happens in a search, as facts in order: the journal keeps them, everything else is derived from them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from trainables.run import Outcome

Status = Literal["running", "paused", "completed", "stopped", "diverged", "failed"]
"""`paused`: waits at a rung for its promotion. `stopped`: early-stopped at a rung, or never promoted from it.
`completed`: trained to the full budget (or ended by its own patience)."""

TrialKind = Literal["search", "confirm", "explain"]
"""`confirm`: a config of the search on a fresh seed. `explain`: the winner with a part of its changes on one."""

_VARIABLE = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?(e[+-]?\d+)?|'[^']*'|\"[^\"]*\"", re.IGNORECASE)

FINAL: frozenset[str] = frozenset({"completed", "stopped", "diverged", "failed"})


@dataclass(frozen=True)
class Proposed:
    """A trial exists from here on; it has not started yet."""

    trial: int  # unique number within the search, from 0
    values: Mapping[str, Any]  # dotted knob path -> value; active knobs only
    seed: int
    kind: TrialKind
    origin: str  # "baseline", "forest", "tpe", "grid", …; "trial 7" (confirm); "trial 7, 1 of 3 changes" (explain)
    at: float  # unix seconds, here and below


@dataclass(frozen=True)
class Started:
    """The trial got a worker: at first, after each promotion, after each failure."""

    trial: int
    host: str
    pid: int
    gpu: str  # device name, empty on CPU
    at: float
    node: str = ""  # Ray's id of the node: several may share a host
    machine: Mapping[str, Any] = field(default_factory=dict)  # its type (`trainables.fingerprint`)


@dataclass(frozen=True)
class Reported:
    """One evaluation: `metrics` holds the objective under `objective` and the model's own metrics and knob values."""

    trial: int
    step: int  # in the model's unit
    metrics: Mapping[str, float]  # finite numbers only
    seconds: float  # training and evaluation since the previous report
    at: float
    outcome: Outcome = "running"
    """`ended`: its own patience ended it here. `diverged`: scored with the objective's worst value."""
    usage: Mapping[str, float] = field(default_factory=dict)
    """What the worker took of its machine since the previous report (`trainables.usage`)."""


@dataclass(frozen=True)
class Forked:
    """The trial trains as `source` did up to `step`: its reports up to there are copied, and nothing is trained.

    A later one takes the place of an earlier one: what was to be copied may be lost meanwhile.
    """

    trial: int
    source: int
    step: int
    at: float


@dataclass(frozen=True)
class Kept:
    """A worker of the trial has kept its state at `step` for trials that begin alike."""

    trial: int
    step: int
    key: str  # `search.prefixes.key`
    address: str  # where it lies; empty where only its reports count, those of a whole training
    size: int  # bytes
    seen: int | None  # by a controller that waits for results; None: it has acted
    at: float


@dataclass(frozen=True)
class Paused:
    """The trial gave its worker back at the rung `step` and waits for its promotion."""

    trial: int
    step: int
    at: float


@dataclass(frozen=True)
class Promoted:
    """The trial goes on from the rung `step`, as soon as its worker has taken it up."""

    trial: int
    step: int
    at: float


@dataclass(frozen=True)
class Changed:
    """The trial's knobs change in mid-run (population based training)."""

    trial: int
    values: Mapping[str, Any]  # all active knobs
    at: float


@dataclass(frozen=True)
class Retried:
    """The trial failed and starts again, from its newest checkpoint if it has one."""

    trial: int
    reason: str
    at: float
    detail: str = ""  # the traceback, cut to its end
    free: bool = False  # not the trial's doing, as when its node was lost: doesn't count against its tries
    step: int = 0  # of its newest checkpoint, from which it starts; 0: there is none, it starts anew


@dataclass(frozen=True)
class Ended:
    """The trial is over; only a grown budget may promote a stopped one again."""

    trial: int
    status: Status  # one of FINAL
    reason: str
    at: float
    detail: str = ""  # of a failure: the traceback, cut to its end


@dataclass(frozen=True)
class Phase:
    """The search enters a phase; `search` also whenever a process takes the search up again."""

    name: Literal["search", "confirm", "done"]
    at: float
    reason: str = ""  # which budget ended the phase before, where one did


@dataclass(frozen=True)
class Stopped:
    """The process at work on the search left it before its end; the same command goes on."""

    kind: Literal["signal", "failures", "clock", "ray", "folder", "error"]
    reason: str
    at: float


@dataclass(frozen=True)
class Observed:
    """A trial of an earlier search, as a point of this one's space."""

    name: str  # "tcn-2 trial 7"
    values: Mapping[str, Any]  # active knobs of this search
    status: Status  # one of FINAL, as it is to be understood here
    reports: Sequence[tuple[int, float]]  # (step, objective), by step
    reason: str


@dataclass(frozen=True)
class WarmStarted:
    """All that the search takes over from earlier ones, in one record: with it before the first phase, neither a crash
    nor a later change of the source makes a difference."""

    source: str  # where it comes from, for people
    observations: Sequence[Observed]  # the sampler learns from these
    first: Sequence[Observed]  # their configs run right after the baseline, best first
    left_out: int  # trials of the source that are no observations
    why: str  # what was wrong with the first of them
    at: float


@dataclass(frozen=True)
class StartReady:
    """The state is there that trials of a seed start from, the same bytes for each of them."""

    seed: int | None  # None: a user gave it, for every seed
    step: int  # in the model's unit
    digest: str  # of the state's file
    source: str  # for people
    trained: int  # units that were trained for it here
    seconds: float  # that this took
    objective: float | None  # at the step, where it is known
    at: float


OfSearch = WarmStarted | StartReady | Phase | Stopped
"""Events of the search as a whole: they name no trial."""
Event = OfSearch | Proposed | Started | Reported | Forked | Kept | Paused | Promoted | Changed | Retried | Ended
Listener = Callable[[Event], None]


def signature(reason: str) -> str:
    """`reason` without what differs between trials: equal for failures of the same kind."""
    return _VARIABLE.sub("#", reason)
