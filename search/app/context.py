"""One process at work on a search: what its stages share."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from search.execution.admission import Halt
from search.execution.cluster import Cluster
from search.persistence.folder import Folder
from search.spec.plan import Plan
from search.spec.search import Search
from trainables.job import Job
from trainables.start import StartAt


@dataclass(frozen=True)
class RunContext:
    """One process at work on a search, from taking it up to leaving it."""

    search: Search
    plan: Plan
    folder: Folder
    cluster: Cluster
    halt: Halt
    set_back: Callable[[], str | None]
    """Says by how much the system's clock was set back, if it was and Ray suffers from it."""
    disk_full: Callable[[], None]
    """Tells people when workers wait for room on the disk."""
    data: str
    """Digest of the data."""
    here: str = field(default_factory=lambda: str(Path.cwd()))
    """The folder in which trials run."""
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells this sitting's workers from those of others."""

    def trouble(self) -> str | None:
        """What has happened to the folder. Asked on every turn of Ray's loop."""
        self.disk_full()
        return self.folder.trouble()

    def job(
        self, exchange: bool = False, shown: int | None = None, start: StartAt | None = None, pausing: bool = False
    ) -> Job:
        """What every trial needs to know. `pausing`: trials are paused at rungs, and go on."""
        search = self.search
        return Job(
            model=search.model.name,
            trainable=search.trainable,
            base=search.base,
            data=search.data_dump,
            every=search.every,
            horizon=search.horizon,
            folder=str(self.folder.path.resolve()),
            exchange=exchange,
            shown=shown,
            storage=None if self.folder.store is None else self.folder.store.uri,
            owner=self.folder.owner if self.folder.store is None else "",
            sitting=self.name,
            timeout=search.trial_timeout,
            memory=search.memory,
            gpu=self.cluster.gpu,
            gpu_memory=search.gpu_memory,
            here=self.here,
            further=tuple(goal.metric for goal in search.further),
            start=start,
            held=search.held if pausing else 0,
        )

    def done(self) -> bool:
        """Whether the search's own trials are all over and none is left to propose."""
        records, asked, total = self.folder.records, self.search.settings.budget.trials, self.search.total_steps
        trials = records.of_kind("search")
        enough = len(trials) >= asked if asked is not None else total is not None and records.search_steps >= total
        return enough and all(trial.over for trial in trials)
