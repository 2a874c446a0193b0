"""Events turned into what a tracked run shows: its name, params, metrics, tags and status. Nothing is sent here."""

import json
import math
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, assert_never

from search.common.store_uri import mask
from search.history.events import (
    Changed,
    Ended,
    Event,
    Forked,
    Kept,
    OfSearch,
    Paused,
    Phase,
    Promoted,
    Proposed,
    Reported,
    Retried,
    Started,
    StartReady,
    Stopped,
    WarmStarted,
)
from trainables.run import OBJECTIVE, SECONDS, score

PARENT = -1
"""Stands for the search's own run where a trial's number is asked for."""

KEY_LENGTH, PARAM_LENGTH, TAG_LENGTH, NOTE_LENGTH = 250, 6000, 5000, 8000
"""In characters. MLflow promises 5000 for a tag in every store; 3.17 takes 8000, which a description may need."""

# Below MLflow's bounds (100 params, 100 tags, 1000 items, 1 MB a request) even with every value at its longest.
BATCH_PARAMS, BATCH_TAGS, BATCH_ITEMS = 50, 100, 1000

RunStatus = Literal["RUNNING", "FINISHED", "KILLED", "FAILED"]
_STATUS: Mapping[str, RunStatus] = {
    "completed": "FINISHED",
    "stopped": "KILLED",
    "diverged": "FAILED",
    "failed": "FAILED",
}
BEST = "best_so_far"
CONFIRMED = "confirmed_at"
"""Tag of a search's run: when its last confirmation began, in seconds since 1970."""
"""Metric of the search's run: the best value of a fully trained trial, by the units that all trials have trained."""
_ODD = re.compile(r"[^\w.\-/ ]", re.ASCII)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    step: int  # in the model's unit
    at: int  # unix milliseconds


@dataclass
class Update:
    """All that is to be sent for one run, merged over many events; emptied as it is sent."""

    trial: int
    name: str
    start: int | None = None  # unix milliseconds
    metrics: list[Point] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    reopen: bool = False
    """The run was closed by an interruption and goes on."""
    ended: tuple[RunStatus, int] | None = None

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; empty values are left out."""
        self.tags |= as_tags(tags)

    def chunk(self) -> tuple[list[Point], dict[str, str], dict[str, str]]:
        """The part that fits one request: metrics, params, tags."""
        params = dict(list(self.params.items())[:BATCH_PARAMS])
        tags = dict(list(self.tags.items())[:BATCH_TAGS])
        return self.metrics[: BATCH_ITEMS - len(params) - len(tags)], params, tags

    def sent(self, points: int, params: Iterable[str], tags: Iterable[str]) -> None:
        """Take out what has been sent."""
        del self.metrics[:points]
        for key in params:
            del self.params[key]
        for key in tags:
            del self.tags[key]


@dataclass
class _Trial:
    """What the next events of a trial depend on."""

    name: str
    baseline: bool
    kind: str = "search"
    rung: int = 0
    retries: int = 0
    copied: int = 0  # up to here its reports are another trial's
    steps: set[int] = field(default_factory=set)  # reported already
    ended: bool = False


class Trials:
    """Folds the event stream into updates. Deterministic: a replayed journal gives the same updates again."""

    def __init__(
        self, rungs: Iterable[int] = (), mode: Literal["min", "max"] = "min", left_out: Iterable[str] = ()
    ) -> None:
        """`rungs` in the model's unit: where trials are compared, the last a full length. `mode`: the objective's.
        `left_out`: metrics that are of no use beside the others. Those with a dot in their name are parts of another.
        """
        self._left_out = frozenset(left_out)
        self._rungs = sorted(rungs)
        self._mode = mode
        self._best: float | None = None
        self._trained = 0  # units, by all trials of the search itself
        self._begins = 0  # the step that they start from
        self._trials: dict[int, _Trial] = {}
        self._stopped = False  # the search's run says that it was
        self._closed: set[int] = set()  # their runs are to be taken up when they start again

    def interrupted(self) -> list[int]:
        """The trials that have not ended. From here on each counts as closed until it is started again."""
        open_trials = [number for number, trial in self._trials.items() if not trial.ended]
        self._closed.update(open_trials)
        return open_trials

    def fold(self, event: Event, updates: dict[int, Update]) -> None:
        """Add what `event` changes to the update of its run."""
        at = round(event.at * 1000)
        if isinstance(event, OfSearch):
            _update(updates, PARENT, "").set_tags(self._of_search(event))
            return
        if isinstance(event, Proposed):
            self._proposed(event, at, updates)
            return
        trial = self._trials.setdefault(event.trial, _Trial(f"trial {event.trial}", baseline=False))
        update = _update(updates, event.trial, trial.name)
        match event:
            case Started():
                self._started(event, update)
            case Reported():
                self._reported(trial, event, at, updates)
            case Forked() | Kept():
                _shared(event, trial, update)
            case Paused():
                trial.rung = max(trial.rung, event.step)
                update.set_tags({"status": "paused", "rung": trial.rung})
            case Promoted():
                if trial.ended:  # stopped, and the budget has grown since
                    trial.ended = False
                    self._closed.add(event.trial)
            case Changed():
                update.set_tags({"knobs_now": event.values})  # params can't change
            case Retried():
                trial.retries += 1
                update.set_tags({"status": "running", "reason": mask(event.reason), "retries": trial.retries})
                update.set_tags({"traceback": mask(event.detail)})
            case Ended():
                trial.ended = True
                update.set_tags({"status": event.status, "reason": mask(event.reason)})
                update.set_tags({"traceback": mask(event.detail)})
                update.ended = (_STATUS[event.status], at)
            case _:
                assert_never(event)

    def _of_search(self, event: OfSearch) -> dict[str, str]:
        """What an event of the search as a whole says on its run."""
        stopped, self._stopped = self._stopped, isinstance(event, Stopped)
        match event:
            case Phase():
                went_on = {"stopped": "went on"} if stopped else {}  # a tag can't be taken back
                confirmed = {CONFIRMED: f"{event.at:.3f}"} if event.name == "confirm" else {}
                return {"phase": event.name, "spent": event.reason, **confirmed, **went_on}
            case Stopped():
                return {"stopped": f"{event.kind}: {event.reason}"}
            case WarmStarted():
                return {"warm_start": event.source}
            case StartReady():
                self._begins = event.step
                return {"start": event.source, "start_step": str(event.step)}
            case _:
                assert_never(event)

    def _started(self, event: Started, update: Update) -> None:
        update.set_tags({"status": "running", "host": event.host, "gpu": event.gpu})
        if event.trial in self._closed:
            self._closed.discard(event.trial)
            update.reopen, update.ended = True, None

    def _proposed(self, event: Proposed, at: int, updates: dict[int, Update]) -> None:
        origin = self._trials.get(_origin_trial(event.origin))
        baseline = event.origin == "baseline" or (origin is not None and origin.baseline)
        name = "baseline" if event.origin == "baseline" else f"trial {event.trial}"
        if event.kind != "search":
            name = f"{event.kind} {'baseline' if baseline else event.origin}, seed {event.seed}"
        self._trials[event.trial] = _Trial(name, baseline, event.kind)
        update = _update(updates, event.trial, name)
        update.start = at
        update.params = {clean(key): cut(text(value), PARAM_LENGTH) for key, value in event.values.items()}
        update.set_tags(
            {
                "trial": event.trial,
                "kind": event.kind,
                "origin": event.origin,
                "baseline": baseline,
                "seed": event.seed,
                "status": "running",
                "rung": 0,
            }
        )

    def _reported(self, trial: _Trial, event: Reported, at: int, updates: dict[int, Update]) -> None:
        if event.step in trial.steps:  # trained again from an older checkpoint, to the same numbers
            return
        told = {key: value for key, value in event.metrics.items() if "." not in key and key not in self._left_out}
        used = {f"system/{key}": value for key, value in event.usage.items()}  # a page of their own in MLflow
        values = {OBJECTIVE: event.metrics[OBJECTIVE], **told, SECONDS: event.seconds, **used}  # charts take the first
        update = updates[event.trial]
        update.metrics += points(values, event.step, at)
        reached = max((rung for rung in self._rungs if rung <= event.step), default=0)
        if reached > trial.rung:
            trial.rung = reached
            update.set_tags({"rung": reached})
        if trial.kind == "search":
            self._improved(trial, event, at, updates)
        trial.steps.add(event.step)

    def _improved(self, trial: _Trial, event: Reported, at: int, updates: dict[int, Update]) -> None:
        """Note what was trained, and a new best of the fully trained: only those are compared."""
        self._trained += max(0, event.step - max(trial.copied, *trial.steps, self._begins))
        horizon = self._rungs[-1] if self._rungs else math.inf
        whole = event.outcome == "ended" or (event.outcome == "running" and event.step >= horizon)
        value = event.metrics[OBJECTIVE]
        if whole and (self._best is None or score(value - self._best, self._mode) < 0):
            self._best = value
            _update(updates, PARENT, "").metrics += points({BEST: value}, self._trained, at)


def _shared(event: Forked | Kept, trial: _Trial, update: Update) -> None:
    """What is kept is of no use to a reader of runs, who wants to know what was copied."""
    if isinstance(event, Forked):
        trial.copied = event.step
        update.set_tags({"forked_from": f"trial {event.source} at {event.step}"})


def run_key(uid: str, trial: int) -> str:
    """Names the run of a trial of the search `uid`, or its own run, in any store."""
    return f"{uid}/{'search' if trial == PARENT else trial}"


def points(metrics: Mapping[str, float], step: int, at: int) -> list[Point]:
    """Finite metrics as points at one step."""
    finite = ((key, value) for key, value in metrics.items() if isinstance(value, int | float) and math.isfinite(value))
    return [Point(clean(key), float(value), step, at) for key, value in finite]


def as_tags(values: Mapping[str, Any]) -> dict[str, str]:
    """`values` as a run's tags; empty ones are left out."""
    return {key: cut(text(value), TAG_LENGTH) for key, value in values.items() if value not in ("", None)}


def text(value: Any) -> str:
    """A value as params and tags show it, in the spelling of YAML and JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def cut(value: str, length: int) -> str:
    """`value`, with its end replaced by `…` where it is longer than `length`, and with `?` for what PostgreSQL does not
    take in a text: NUL, and bytes of a log that were not UTF-8.
    """
    value = _UNSTORABLE.sub("?", value)
    return value if len(value) <= length else value[: length - 1] + "…"


def clean(key: str) -> str:
    """`key` as a name that MLflow takes for params and metrics."""
    key = _ODD.sub("_", key)[:KEY_LENGTH] or "_"
    if posixpath.normpath(key) != key or key.startswith((".", "/")):
        key = "_" + key.replace("/", "_")[: KEY_LENGTH - 1]
    return key


def _update(updates: dict[int, Update], trial: int, name: str) -> Update:
    return updates.setdefault(trial, Update(trial, name))


def _origin_trial(origin: str) -> int:
    head, _, number = origin.partition(" ")
    return int(number) if head == "trial" and number.isdigit() else PARENT
