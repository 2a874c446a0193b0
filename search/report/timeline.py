"""What ran where and when, and how long workers had nothing to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from search.history.events import Ended, Event, Paused, Reported, Retried, Started, StartReady
from search.report.material import sittings


@dataclass(frozen=True)
class Span:
    """A trial's stay on a worker."""

    trial: int
    lane: int
    begin: float  # unix seconds
    end: float
    steps: tuple[int, int]
    """Trained when it came, and when it left."""


@dataclass(frozen=True)
class Timeline:
    """Lanes are places for a worker, by host; a fresh process takes over the lane of one that has gone."""

    spans: tuple[Span, ...]
    lanes: tuple[str, ...]
    """A name per lane: the host and a number."""
    working: float
    """Seconds, over all lanes."""
    available: float
    """Seconds that the lanes were there: time between two sittings is not counted."""
    gaps: tuple[tuple[float, float], ...]
    """When the search was down."""

    @property
    def idle(self) -> float | None:
        """Share of the time that workers were there with nothing to do; None before anything ran."""
        return 1 - self.working / self.available if self.available else None


def timeline(events: Sequence[Event]) -> Timeline:
    """Fold the journal into spans on lanes."""
    stays: list[_Stay] = []
    available = 0.0
    ends: list[tuple[float, float]] = []
    for number, stretch in enumerate(stretches(events)):
        found = _stays(stretch, number)
        stays += found
        if found:
            begin, end = min(stay.begin for stay in found), max(stay.end for stay in found)
            available += _most_at_once(found) * (end - begin)
            ends.append((begin, end))
    lanes, names = _lanes(stays)
    spans = tuple(
        Span(stay.trial, lane, stay.begin, stay.end, (stay.first, stay.last))
        for stay, lane in zip(stays, lanes, strict=True)
    )
    gaps = tuple((a[1], b[0]) for a, b in pairwise(ends) if b[0] > a[1])
    return Timeline(spans, names, sum(s.end - s.begin for s in spans), available, gaps)


@dataclass
class _Stay:
    trial: int
    worker: tuple[int, str, int]  # stretch, host, pid
    begin: float
    end: float
    first: int
    last: int


def stretches(events: Sequence[Event]) -> list[list[Event]]:
    """The events by stretches without an interruption: confirming follows on searching, all else is taken up anew."""
    found: list[list[Event]] = []
    before = ""
    for phase, of_phase in sittings(events):
        if (before, phase.name) in {("search", "confirm"), ("confirm", "done")}:
            found[-1] += of_phase
        else:
            found.append(list(of_phase))
        before = phase.name
    return found


def _stays(events: Iterable[Event], stretch: int) -> list[_Stay]:
    """Who was on which worker; what is still running at the end left with its last sign of life."""
    found: list[_Stay] = []
    running: dict[int, _Stay] = {}
    step: dict[int, int] = {}
    begins = 0
    for event in events:
        match event:
            case Started(trial=trial, host=host, pid=pid, at=at):
                here = step.get(trial, begins)
                running[trial] = _Stay(trial, (stretch, host, pid), at, at, here, here)
                found.append(running[trial])
            case Reported(trial=trial, at=at):
                step[trial] = event.step
                if trial in running:
                    running[trial].end, running[trial].last = max(running[trial].end, at), event.step
            case Paused() | Ended() | Retried():
                if stay := running.pop(event.trial, None):
                    stay.end = max(stay.end, event.at)
            case StartReady():
                begins = event.step
    return found


def _most_at_once(stays: Sequence[_Stay]) -> int:
    """How many workers were busy at the busiest moment."""
    moments = sorted([(s.begin, 1) for s in stays] + [(s.end, -1) for s in stays])
    return max(accumulate(change for _, change in moments), default=0)


def _lanes(stays: Sequence[_Stay]) -> tuple[list[int], tuple[str, ...]]:
    """A lane per stay: the worker's own while it lives, else one of its host whose worker has left."""
    last_of: dict[tuple[int, str, int], float] = {}
    for stay in stays:
        last_of[stay.worker] = max(last_of.get(stay.worker, stay.end), stay.end)
    lane_of: dict[tuple[int, str, int], int] = {}
    free_at: list[float] = []
    hosts: list[str] = []
    chosen: dict[int, int] = {}
    for index in sorted(range(len(stays)), key=lambda i: stays[i].begin):
        stay = stays[index]
        if stay.worker not in lane_of:
            host = stay.worker[1]
            fitting = [n for n, at in enumerate(free_at) if hosts[n] == host and at <= stay.begin]
            if not fitting:
                hosts.append(host)
                free_at.append(0.0)
                fitting = [len(hosts) - 1]
            lane_of[stay.worker] = fitting[0]
            free_at[fitting[0]] = last_of[stay.worker]
        chosen[index] = lane_of[stay.worker]
    names = tuple(f"{host} · {hosts[: n + 1].count(host)}" for n, host in enumerate(hosts))
    return [chosen[i] for i in range(len(stays))], names
