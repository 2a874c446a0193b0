"""Best so far: what the search could have handed over at any moment, against steps trained and against time."""

from dataclasses import dataclass
from statistics import fmean

from search.history.events import Phase, Reported, Started, StartReady
from search.report.material import Material
from search.results.verdict import confirmed
from trainables.run import OBJECTIVE


@dataclass(frozen=True)
class Point:
    """An evaluation, or the best of them so far, at a moment of the search."""

    steps: int  # trained by all the search's trials until then
    seconds: float  # spent searching until then; time that the search was down not counted
    value: float  # the objective
    trial: int
    length: int  # steps that this trial had been trained


@dataclass(frozen=True)
class Anytime:
    """The search's course. Confirmation runs are no part of it."""

    best: tuple[Point, ...]
    """Each improvement among trials that were trained in full: only those are compared."""
    ends: tuple[Point, ...]
    """The last evaluation of each trial, whatever its length."""
    steps: int
    seconds: float
    baseline: float | None
    """The documented baseline's value at full length: on the search's seed, or else its mean on fresh ones."""
    fresh: int
    """On how many fresh seeds; 0 where it is its value on the search's."""


def anytime(material: Material) -> Anytime:
    """Fold the journal into the search's course."""
    done, steps, seconds = dict[int, int](), 0, 0.0
    best: list[Point] = []
    last: dict[int, Point] = {}
    searching, before = False, 0.0
    own = {trial.number for trial in material.trials}
    for event in material.events:
        if isinstance(event, Phase):
            searching, before = event.name == "search", event.at
            continue
        if isinstance(event, StartReady):
            before = event.at
        elif searching and not isinstance(event, Started):  # that one looks back, to before other trials' reports
            seconds += max(0.0, event.at - before)  # a clock set back adds nothing
            before = event.at
        if isinstance(event, Reported) and event.trial in own:
            fork = material.records.trials[event.trial].forked
            before_it = max(done.get(event.trial, material.records.begins), 0 if fork is None else fork.step)
            steps += max(0, event.step - before_it)  # what is replayed is not trained
            done[event.trial] = event.step
            point = Point(steps, seconds, event.metrics[OBJECTIVE], event.trial, event.step)
            last[event.trial] = point
            complete = event.outcome == "ended" or (event.step >= material.horizon and event.outcome == "running")
            if complete and (not best or material.sign * (point.value - best[-1].value) < 0):
                best.append(point)
    baseline = material.records.baseline
    known = [p for p in last.values() if baseline is not None and p.trial == baseline.number]
    full = [p.value for p in known if p.length >= material.horizon or (baseline and baseline.status == "completed")]
    again = confirmed(material.records, material.model.objective)
    fresh = [c.by_seed.values() for c in again if c.baseline and not full]
    documented = full[0] if full else fmean(fresh[0]) if fresh else None
    return Anytime(tuple(best), tuple(last.values()), steps, seconds, documented, len(fresh[0]) if fresh else 0)
