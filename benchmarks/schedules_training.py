"""Trainings for `schedules.py`, in this process: trained as far as they are asked for, and what they reported is kept.

Policies ask for the same trainings again and again (the baseline, random draws, the config that is handed over), so
they are kept in a file by config, data and seed. Several processes may write it. One that was cut short is trained
again from its beginning when more of it is asked for: bit for bit the same on one machine, and cheap, for it was short.
"""

import copy
import hashlib
import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, overload

from search.spec.search import Search
from spaces.paths import with_values
from trainables.native import plain
from trainables.own.model import OwnModel
from trainables.run import Diverged, Model, Prepared, Run, score

Course = tuple[tuple[int, Mapping[str, Any]], ...]
"""The configs of one training, each with the evaluations done before it takes over; the first with 0."""

_TABLE = "CREATE TABLE IF NOT EXISTS curves (key TEXT PRIMARY KEY, evaluations INTEGER, found TEXT)"
_KEEP = (
    "INSERT INTO curves VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET evaluations = excluded.evaluations, "
    "found = excluded.found WHERE excluded.evaluations > curves.evaluations"
)


class Trainings:
    """The trainings of one search's configs, known ones from the file `known`."""

    def __init__(self, search: Search, prepared: Prepared, known: Path) -> None:
        self.search, self.prepared = search, prepared
        self.evaluations = search.horizon // search.every
        self._file = sqlite3.connect(known, timeout=60, isolation_level=None)
        self._file.execute(_TABLE)
        self._work = TemporaryDirectory(prefix="schedules-")
        self._begun: list[Curve] = []

    def curve(self, values: Mapping[str, Any], seed: int) -> "Curve":
        """The values of a training, trained when they are asked for."""
        return self.course(((0, values),), seed)

    def course(self, course: Course, seed: int) -> "Curve":
        """Those of a training whose config changes on the way."""
        self._begun.append(Curve(self, course, seed))
        return self._begun[-1]

    def close(self) -> None:
        """Release what the trainings so far hold; what they found stays."""
        for curve in self._begun:
            curve.close()
        self._begun.clear()

    def key(self, configs: Sequence[tuple[int, Any]], seed: int) -> str:
        """Names a training by content."""
        own = self.search.trainable or {}
        trained = [(at, plain(config)) for at, config in configs] if len(configs) > 1 else plain(configs[0][1])
        what = [self.search.model.name, own.get("code"), self.prepared.digest, self.search.every, trained, seed]
        return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()

    def known(self, key: str) -> list[float]:
        """What the training reported, as far as it got; lower is better."""
        found = self._file.execute("SELECT found FROM curves WHERE key = ?", (key,)).fetchone()
        return [] if found is None else [float(value) for value in json.loads(found[0])]

    def keep(self, key: str, found: Sequence[float]) -> None:
        """Keep it, unless as much is known."""
        self._file.execute(_KEEP, (key, len(found), json.dumps(found)))

    def build(self, config: Any, seed: int) -> Run:
        """The training at its beginning."""
        model: Model[Any, Any] = self.search.model
        if isinstance(model, OwnModel):  # the user's code has a folder of its own for each trial
            model = OwnModel(model.reference, work=Path(self._work.name) / str(len(self._begun)))
        return model.build(config, self.prepared, seed)


class Curve(Sequence[float]):
    """A training's values, lower is better; NaN from where it diverged."""

    def __init__(self, trainings: Trainings, course: Course, seed: int) -> None:
        search = trainings.search
        self._trainings, self.course, self._seed = trainings, course, seed
        self._configs = [(at, search.model.parse(with_values(search.base, v), "a trial")) for at, v in course]
        self._key = trainings.key(self._configs, seed)
        self._known = trainings.known(self._key)
        self._found: list[float] = []  # by this run
        self._run: Run | None = None
        self._state: Mapping[str, Any] | None = None  # to begin with, where there is no run yet

    def __len__(self) -> int:
        return self._trainings.evaluations

    @overload
    def __getitem__(self, at: int) -> float: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[float]: ...
    def __getitem__(self, at: int | slice) -> float | Sequence[float]:
        assert isinstance(at, int)
        at = range(len(self))[at]
        if at < len(self._known):
            return self._known[at]
        while len(self._found) <= at:
            self._found.append(self._next())
            if len(self._found) > len(self._known):
                self._trainings.keep(self._key, self._found)
        return self._found[at]

    def forked(self, values: Mapping[str, Any], at: int) -> "Curve":
        """One that goes on with `values` after the first `at` evaluations of this one, from its weights."""
        fork = self._trainings.course((*self.course, (at, values)), self._seed)
        if self._run is not None and len(self._found) == at:  # else it is trained from the beginning
            fork._found, fork._state = list(self._found), copy.deepcopy(self._run.state())
        return fork

    def close(self) -> None:
        """Release the run."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def _next(self) -> float:
        search = self._trainings.search
        config = dict(self._configs).get(len(self._found))
        if config is not None:
            self._begin(config)
        assert self._run is not None, "the training is closed"
        if self._found and (math.isnan(self._found[-1]) or self._run.ended is not None):
            return self._found[-1]  # its own patience has ended it: it stays as good as it was
        try:
            self._run.train((len(self._found) + 1) * search.every)
            value = self._run.evaluate()[search.model.objective.metric]
        except Diverged:
            return math.nan
        return score(value, search.model.objective.mode)

    def _begin(self, config: Any) -> None:
        """Train by this config from now on."""
        before, state = self._run, self._state if self._run is None else self._run.state()
        self._run, self._state = self._trainings.build(config, self._seed), None
        if state is not None:
            self._run.restore(state)
        if before is not None:
            before.close()
