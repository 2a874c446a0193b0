"""What a search's proposals follow from: how it samples, what it optimises, and its past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from search.history.events import Status
from spaces.space import Space

Reports: TypeAlias = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class PastTrial:
    """What a search knows of one of its trials when it is taken up again."""

    number: int
    values: Mapping[str, Any]
    status: Status
    origin: str
    reports: Reports = ()  # (step, objective), by step
    more: Sequence[Sequence[float]] = ()  # per report: the scores in further objectives, lower is better
    value: float | None = None  # as it was told: the objective of a completed trial
    reason: str = ""
    began: float | None = None  # unix seconds, for the study's readers only; here and below
    ended: float | None = None


@dataclass(frozen=True)
class Problem:
    """What is searched: a space over a base config, by trials of a certain length."""

    name: str
    space: Space
    base: Mapping[str, Any]
    horizon: int | None = None
    """A trial's full length in steps."""
    rungs: Sequence[int] = ()
    """Steps at which trials are compared, ascending."""
    metric: str = "objective"
    """What the objective is called."""


@dataclass(frozen=True)
class Queued:
    """A config that a search begins with, right after the baseline."""

    values: Mapping[str, Any]
    origin: str


@dataclass(frozen=True)
class Sampling:
    """How a search samples."""

    kind: str
    seed: int
    points: int = 5
    """Values of each numeric knob in a grid."""


@dataclass(frozen=True)
class Scoring:
    """What a search optimises: a number that is better small (`min`) or large (`max`)."""

    mode: Literal["min", "max"]
    worst: float
    """The finite value that stands for a diverged or non-finite one."""
    objectives: int = 1
    """With several, samplers see them as one, weighed anew for each proposal (`search.sampling.parego`)."""
