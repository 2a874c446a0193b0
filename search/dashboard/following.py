"""Searches that are followed while they run: each journal is read once, and from there on only what is new."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from search.history.chain import End, parse
from search.history.events import Event
from search.persistence.standing import standing
from search.report.findings import find
from search.report.material import JOURNAL, Material, comparable, gather
from search.report.progress import ProgressEstimate, line
from search.report.story import Story
from search.results.parsimony import conclude
from spaces.problems import BadInput

REMEMBERED = 60  # lines of what happened


@dataclass(frozen=True)
class Happened:
    """One line of what happened in a search."""

    at: float
    text: str


class Following:
    """One search, read only and without its lock."""

    def __init__(self, folder: Path) -> None:
        """Read the search in `folder`. Raises BadInput where there is none, or where its files are damaged."""
        self._journal = folder / JOURNAL
        self._end = End()
        self.material: Material = gather(folder, ())
        material, planned = self.material, int(self.material.planned.get("steps") or 0)
        objective = material.model.objective
        self.progress = ProgressEstimate(material.records, objective, material.unit, planned, material.asked)
        self.happened: deque[Happened] = deque(maxlen=REMEMBERED)
        self.last_at: float | None = None
        self.version = 0
        """Counts what has changed."""
        self._told: tuple[int, Story] | None = None
        self.refresh()

    def refresh(self) -> bool:
        """Take in what is new; whether anything is. Raises BadInput for a damaged journal."""
        events = self._fresh()
        material = self.material
        for index, event in enumerate(events):
            material.records.apply(event)
            self.progress.note(event)
            self.last_at = max(event.at, self.last_at or 0.0)
            told = line(event, self.progress) if len(events) - index <= 2 * REMEMBERED else None
            if told is not None:
                self.happened.append(Happened(event.at, told))
        now = standing(material.folder, material.records)
        if not events and now == material.standing:
            return False
        objective, records = material.model.objective, material.records
        settled = records.confirming or not now.running  # before, there is no verdict to be shown
        judged = conclude(records, objective, material.confirm) if settled else None
        verdict, at = comparable(judged, records, objective.worst)
        self.material = replace(material, standing=now, verdict=verdict, compared_at=at)
        self.version += 1
        return True

    def story(self) -> Story:
        """The first screen of the report, made once for each version: it takes longer than all else."""
        if self._told is None or self._told[0] != self.version:
            self._told = self.version, find(gather(self.material.folder)).story
        return self._told[1]

    def _fresh(self) -> list[Event]:
        with self._journal.open("rb") as file:
            file.seek(self._end.size)
            content = file.read()
        events, self._end = parse(content, str(self._journal), self._end)
        return events


class Hub:
    """All searches under a folder of results."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._known: dict[str, Following] = {}
        self.damaged: dict[str, str] = {}
        """What can't be read, with the reason."""

    def refresh(self) -> None:
        """Look for new searches, and for what is new in those that are known."""
        here = {journal.parent.name: journal.parent for journal in sorted(self._results.glob(f"*/{JOURNAL}"))}
        for gone in (self._known.keys() | self.damaged.keys()) - here.keys():
            self._known.pop(gone, None)
            self.damaged.pop(gone, None)
        for name, folder in here.items():
            try:
                if name in self._known:
                    self._known[name].refresh()
                else:
                    self._known[name] = Following(folder)
                self.damaged.pop(name, None)
            except (BadInput, OSError) as error:  # also: deleted or replaced just now
                self._known.pop(name, None)
                self.damaged[name] = str(error)

    def get(self, name: str) -> Following | None:
        """The search called `name`."""
        return self._known.get(name)

    def __iter__(self) -> Iterator[Following]:
        """The searches, those at work first, then the newest first."""
        return iter(
            sorted(self._known.values(), key=lambda one: (not one.material.standing.running, -(one.last_at or 0.0)))
        )
