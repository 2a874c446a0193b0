"""Trains what the probe compares, in processes of its own, within a limit of time."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import trainables
from search.spec.search import Search
from spaces.domain import grid
from spaces.knob import Knob
from spaces.values import thaw
from trainables.own.model import OwnModel

FIRST, AGAIN, RESUMED, OTHER, KNOB = "baseline", "again", "resumed", "other-seed", "knob-"
SCORED, SCORED_SEED, SCORED_KNOB = "scored", "scored-other-seed", "scored-knob-"
_STDERR = 2000  # characters of what a process that died said last
_CODE = str(Path(trainables.__file__).parents[1])


@dataclass
class Measured:
    """What one training told."""

    reports: list[Mapping[str, Any]] = field(default_factory=list)
    error: str | None = None
    diverged: str | None = None
    ahead: bool = False
    """The checkpoint that it was to go on from is of a later step than was asked for: nothing was trained."""
    done: bool = False
    wrote: list[str] | None = None
    """What was written into the folder that it ran in meanwhile; None where it didn't come to its end."""

    @property
    def metrics(self) -> list[Mapping[str, float]]:
        """Of each evaluation."""
        return [report["metrics"] for report in self.reports]


@dataclass(frozen=True)
class Measurements:
    """All that was trained."""

    until: tuple[int, ...]
    """The units at which trainings were evaluated."""
    trainings: Mapping[str, Measured]
    moved: Mapping[str, Any]
    """Each knob that was moved, with the value."""
    seconds: float


def measure(search: Search, seconds: float) -> Measurements:
    """Train what is compared; whatever isn't done after `seconds` is ended."""
    began = time.monotonic()
    told = Told()
    with tempfile.TemporaryDirectory(prefix="search-check-") as folder:
        children = [_Child(request, told) for request in requests(search, folder)]
        _wait(children, told, began + seconds)
    return measurements(search, told, time.monotonic() - began)


def measurements(search: Search, told: "Told", seconds: float) -> Measurements:
    """All that was told of a search's requests."""
    moved = {path: value for path, (value, _) in _moved(search).items()}
    return Measurements(_until(search), told.trainings, moved, seconds)


def requests(search: Search, folder: str) -> list[dict[str, Any]]:
    """What is trained, by process: the baseline, the same again, with another seed, and with each knob moved; and, in
    a process of its own, the baseline on from the checkpoint of its first evaluation.
    """
    until, seed = _until(search), search.settings.sampler.seed
    saved = str(Path(folder) / "state.pt")
    alone: list[dict[str, Any]] = [
        {"name": FIRST, "seed": seed, "until": until, "save": saved},
        {"name": AGAIN, "seed": seed, "until": until},
        {"name": OTHER, "seed": seed + 1, "until": until[:1]},
        *(
            {"name": f"{KNOB}{path}", "seed": seed, "until": until[:1], "values": {**others, path: value}}
            for path, (value, others) in _moved(search).items()
        ),
    ]
    resumed = {"name": RESUMED, "seed": seed, "until": until[1:], "restore": saved}
    common = {
        "model": search.model.name,
        "trainable": search.trainable,
        "base": dict(search.base),
        "data": search.data_dump,
        "length": search.horizon,
        "folder": folder,
    }
    wanted = [alone]
    declared = search.model.declared if isinstance(search.model, OwnModel) else None
    if len(until) > 1 and (declared is None or declared.goes_on):
        wanted.append([resumed])
        if declared is not None and declared.evaluate is not None:
            scored = {"seed": seed, "until": until[:1], "restore": saved, "evaluate": True}
            moved = [
                {**scored, "name": f"{SCORED_KNOB}{path}", "values": {**others, path: value}}
                for path, (value, others) in _moved(search).items()
            ]
            reseeded = {**scored, "name": SCORED_SEED, "seed": seed + 1}
            wanted.append([{**scored, "name": SCORED}, reseeded, *moved])
    return [{**common, "trainings": trainings} for trainings in wanted]


def _until(search: Search) -> tuple[int, ...]:
    return tuple(step for step in (search.every, 2 * search.every) if step <= search.horizon)


class Told:
    """What the trainings tell, by name."""

    def __init__(self) -> None:
        self.trainings: defaultdict[str, Measured] = defaultdict(Measured)

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in one event of `trainables.probe`."""
        told = self.trainings[event["training"]]
        match event["event"]:
            case "report":
                told.reports.append(event)
            case "error":
                told.error = event["what"]
            case "diverged":
                told.diverged = event["what"]
            case "ahead":
                told.ahead = True
            case "wrote":
                told.wrote = event["files"]
            case _:
                told.done = True

    def hopeless(self) -> bool:
        """Whether what has failed is the baseline's own training."""
        unchanged = [told for name, told in self.trainings.items() if not name.startswith((KNOB, SCORED_KNOB))]
        return any(told.error for told in unchanged) or self.trainings[FIRST].diverged is not None


def _moved(search: Search) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Each knob with another value than the baseline's, and what else must be set so that it acts at all."""
    base = {path: thaw(value) for path, value in search.space.baseline(search.base).items()}
    found: dict[str, tuple[Any, dict[str, Any]]] = {}
    for knob in search.space.knobs:
        others: dict[str, Any] = {} if knob.path in base else _context(search, knob)
        present = base.get(knob.path)
        value = _far_from(knob, present)
        if value is not None and (knob.path in base or others):
            found[knob.path] = (value, others)
    return found


def _far_from(knob: Knob, present: Any) -> Any:
    """A value well away from the present one, but not at the end of the domain, where trainings may diverge."""
    inside, ends = (
        [value for value in map(thaw, values) if value != present]
        for values in (grid(knob.domain, 7)[1:-1], grid(knob.domain, 2))
    )
    others = inside or ends
    if not others:
        return None
    numeric = [v for v in others if isinstance(v, int | float) and not isinstance(v, bool)]
    if numeric and isinstance(present, int | float):
        return max(numeric, key=lambda v: abs(v - present))
    return others[0]


def _context(search: Search, knob: Knob) -> dict[str, Any]:
    """A point of the space at which the knob is active."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        drawn = search.space.sample(rng, search.base)
        if knob.path in drawn:
            needed = {condition.knob for condition in knob.when}
            return {path: thaw(value) for path, value in drawn.items() if path in needed}
    return {}


class _Child:
    """A process that trains, and tells of it."""

    def __init__(self, request: Mapping[str, Any], told: Told) -> None:
        self._told = told
        self._names = [training["name"] for training in request["trainings"]]
        for name in self._names:
            told.trainings[name]  # known from the start, should it tell nothing
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`
        path = os.pathsep.join(filter(None, (_CODE, os.environ.get("PYTHONPATH"))))
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trainables.probe"],  # -P: what lies in this folder is the user's
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": path},
            start_new_session=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request))
        self.process.stdin.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                self._told.take(json.loads(line))

    def end(self) -> None:
        """End the process with all that it started, and take in what it told last."""
        died = self.process.poll()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(5)
        if died not in (None, 0):
            self._say_death(died)
        self._errors.close()

    def _say_death(self, code: int) -> None:
        """Blame the training that was under way for the process's end."""
        self._errors.seek(0)
        last = [line for line in self._errors.read()[-_STDERR:].decode(errors="replace").splitlines() if line.strip()]
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        for name in self._names:
            told = self._told.trainings[name]
            if not (told.done or told.error or told.diverged or told.ahead):
                told.error = f"the training ended its process ({how}){f': {last[-1].strip()}' if last else ''}"
                return


def _wait(children: Sequence[_Child], told: Told, deadline: float) -> None:
    """Wait until all are over, one is of no use or the time is up; then end them."""
    try:
        while time.monotonic() < deadline:
            codes = [child.process.poll() for child in children]
            if None not in codes or any(codes) or told.hopeless():
                break
            time.sleep(0.05)
    finally:
        for child in children:
            child.end()
