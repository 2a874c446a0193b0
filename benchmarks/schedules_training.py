"""Trainings for `schedules.py`, in this process: trained as far as they are asked for, and what they reported is kept.

Policies ask for the same trainings again and again (the baseline, random draws, the config that is handed over), so
they are kept in a file by config, data and seed. Several processes may write it. One that was cut short is trained
again from its beginning when more of it is asked for: bit for bit the same on one machine, and cheap, for it was short.
"""

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
        self._begun.append(Curve(self, values, seed))
        return self._begun[-1]

    def close(self) -> None:
        """Release what the trainings so far hold; what they found stays."""
        for curve in self._begun:
            curve.close()
        self._begun.clear()

    def key(self, config: Any, seed: int) -> str:
        """Names a training by content."""
        own = self.search.trainable or {}
        what = [self.search.model.name, own.get("code"), self.prepared.digest, self.search.every, plain(config), seed]
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

    def __init__(self, trainings: Trainings, values: Mapping[str, Any], seed: int) -> None:
        search = trainings.search
        self._trainings, self._seed = trainings, seed
        self._config = search.model.parse(with_values(search.base, values), "a trial")
        self._key = trainings.key(self._config, seed)
        self._known = trainings.known(self._key)
        self._found: list[float] = []  # by this run
        self._run: Run | None = None

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

    def close(self) -> None:
        """Release the run."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def _next(self) -> float:
        search = self._trainings.search
        if self._run is None:
            assert not self._found, "the training is closed"
            self._run = self._trainings.build(self._config, self._seed)
        if self._found and (math.isnan(self._found[-1]) or self._run.ended is not None):
            return self._found[-1]  # its own patience has ended it: it stays as good as it was
        try:
            self._run.train((len(self._found) + 1) * search.every)
            value = self._run.evaluate()[search.model.objective.metric]
        except Diverged:
            return math.nan
        return score(value, search.model.objective.mode)
