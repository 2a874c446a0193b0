"""What goes into tracking and what comes out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

KEY_TAG = "search.run_key"
"""Tag that names a run across processes: the search's uid and the trial's number."""

Warn = Callable[[str], None]
"""Takes one line for people."""


@dataclass(frozen=True)
class TrackingInfo:
    """What is known of a search before its first event."""

    uri: str  # see `store_uri.resolve_uri`
    experiment: str
    search: str  # name of the search and of its run
    folder: Path  # of the search; `tracking.jsonl` lies there
    tags: Mapping[str, Any] = field(default_factory=dict)  # of the search's run: model, hash, sampler, stopping…
    params: Mapping[str, Any] = field(default_factory=dict)  # of the search's run; those of trials are their knobs
    trial_tags: Mapping[str, Any] = field(default_factory=dict)  # of every trial: model, git commit, data hash…
    rungs: tuple[int, ...] = ()  # in the model's unit
    mode: Literal["min", "max"] = "min"  # of the objective
    left_out: tuple[str, ...] = ()  # metrics that are not sent
    run_table: str = ""  # how the table of runs opens, see `run_table`


@dataclass(frozen=True)
class Pace:
    """How long the tracker waits, in seconds."""

    gather: float = 1.0  # between two looks at the journal
    retry: float = 0.5  # after a first failure; doubles up to `retry_most`
    retry_most: float = 30.0
    farewell: float = 10.0  # at the end of the search, for a store that is away just then
    farewell_retry: float = 2.0  # at most between two attempts of that time


@dataclass(frozen=True)
class Registration:
    """A version of a registered model: what the search's run holds of its winner."""

    name: str  # of the registered model
    folder: str  # among the run's artifacts
    description: str  # Markdown
    tags: Mapping[str, Any] = field(default_factory=dict)  # a version of the same run, folder and tags is the same


@dataclass(frozen=True)
class SearchStatus:
    """How the search ended, for its own run."""

    status: Literal["done", "interrupted", "failed"]
    note: str = ""  # Markdown
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)  # the winner's knobs too: a run's params can't change
    artifacts: Sequence[Path] = ()
    folder: str = ""
    """Where among the run's artifacts `winner` goes."""
    winner: Sequence[Path] = ()
    """What one needs to use the winner: its config, its files, its weights."""
    version: Registration | None = None
    """To be registered."""
    at: float | None = None
    """Unix seconds of the metrics, from the journal: sent again with the same time they are not doubled. None: now."""


@dataclass(frozen=True)
class Summary:
    """What tracking has done by the end of the search."""

    sent: int  # events
    waiting: int  # events that are only in the journal
    closed: bool  # the search's run shows the verdict
    runs: int  # the search's own and one per trial
    parent: str | None  # id of the search's run
    message: str  # for people; empty when all is sent
    version: str = ""  # of the registered model, if one was asked for and made
