"""Checkpoints on the disk: those that nothing will need are deleted at once, the others kept within a limit.

Each unfinished trial holds its newest two (`trainables.checkpoints.KEPT`). A search that promotes has many trials that
wait at a rung; few of them ever go on, so when room runs out the least promising ones lose theirs. One that is promoted
after all trains up to its rung again, to the same numbers.
"""

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from search.history.events import Ended, Event, Paused
from search.history.records import Records, Trial
from trainables import checkpoints
from trainables.layout import checkpoint_folder
from trainables.objects import Prefix
from trainables.run import score

SHARE = 0.5  # of the free disk, where no limit is set


def shown(size: float) -> str:
    """A number of bytes for people: `1.5 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


class CheckpointRetention:
    """Listens to the search and keeps its checkpoints within `limit` bytes (None: half of the disk's free space)."""

    def __init__(
        self,
        path: Path,
        records: Records,
        mode: Literal["min", "max"],
        limit: int | None,
        say: Callable[[str], None],
        kept: int | None = None,
        store: Prefix | None = None,
    ) -> None:
        """`kept`: confirmation runs of this seed keep their last checkpoint, as one of them will be handed over.
        `store`: where checkpoints are, if not in the folder `path`; without a limit it is taken for endless.
        """
        self._store = store
        self._path, self._records, self._say, self._kept = path, records, say, kept
        self._mode = mode
        survey = checkpoints.survey(path if store is None else store)
        self._sizes = {number: held.bytes for number, held in survey.items() if number in records.trials and held.bytes}
        self.held = sum(self._sizes.values())
        """Bytes of all checkpoints, those of running trials as of their last pause."""
        if limit is None:
            limit = self.held + int(SHARE * shutil.disk_usage(path).free) if store is None else sys.maxsize
        self.limit = limit
        self._told = False

    @property
    def whose(self) -> str:
        """Which trials have checkpoints, for people: `3 trials stopped at a rung, 1 confirmation run`."""
        held = [self._records.trials[number] for number, size in sorted(self._sizes.items()) if size]
        kinds = sorted(Counter(map(self._kind, held)).items())
        return ", ".join(f"{count} {what}{'s' if count > 1 else ''}{which}" for (what, which), count in kinds)

    def _kind(self, trial: Trial) -> tuple[str, str]:
        if self._keeps(trial):
            return "confirmation run", ""
        if trial.status == "failed":
            return "trial", " failed"
        return "trial", " stopped at a rung" if trial.over else " unfinished"

    def _note(self, number: int, size: int) -> None:
        self.held += size - self._sizes.get(number, 0)
        self._sizes[number] = size

    def __call__(self, event: Event) -> None:
        """A trial has paused or ended."""
        if not isinstance(event, Paused | Ended):
            return
        trial = self._records.trials[event.trial]
        place = self._place(trial.number)
        if trial.over and self._keeps(trial):
            checkpoints.trim(place)
        elif trial.over and not _may_go_on(trial):
            checkpoints.remove(place)
        self._note(trial.number, checkpoints.size(place))
        if self.held > self.limit:
            self._evict()

    def handed_over(self, winner: int | None) -> None:
        """Of the confirmation runs only `winner` keeps its checkpoint from here on."""
        for trial in self._records.on_fresh_seeds():
            if trial.over and self._keeps(trial) and trial.number != winner:
                checkpoints.remove(self._place(trial.number))
                self._note(trial.number, 0)

    def _keeps(self, trial: Trial) -> bool:
        run = trial.proposed
        if run.kind == "search" or trial.status != "completed":
            return False
        return run.seed == (self._kept if run.kind == "confirm" else self._first_explaining())

    def _first_explaining(self) -> int:
        """The first seed of the runs that explain, one of which may be handed over."""
        return min(run.proposed.seed for run in self._records.of_kind("explain"))

    def _evict(self) -> None:
        for trial in sorted(self._idle(), key=self._promise):
            if self.held <= self.limit:
                return
            checkpoints.evict(self._place(trial.number))
            self._note(trial.number, 0)
            if not self._told:
                self._told = True
                self._say(
                    f"checkpoints hold {shown(self.limit)}, their limit (resources.disk): the least promising trials "
                    f"lose theirs; one that is promoted after all trains up to its rung again"
                )

    def _idle(self) -> Iterable[Trial]:
        return (t for n, t in self._records.trials.items() if self._sizes.get(n) and (t.over or t.status == "paused"))

    def _promise(self, trial: Trial) -> tuple[bool, bool, int, float]:
        """Least first: trials that are over, then by the rung they wait at, then by their value; last what is to be
        handed over."""
        value = float("inf") if trial.objective is None else score(trial.objective, self._mode)
        return self._keeps(trial), not trial.over, trial.rung, -value

    def _place(self, number: int) -> checkpoints.Place:
        return checkpoint_folder(self._path, number, self._store)


def _may_go_on(trial: Trial) -> bool:
    """Whether a trial that is over may run again: one that waited at a rung, when the budget has grown; a failed one,
    for whoever looks for the cause."""
    return trial.status == "failed" or (trial.status == "stopped" and trial.rung > 0)
