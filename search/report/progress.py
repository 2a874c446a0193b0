"""How a search gets on: its numbers, and what happens in it, one line per event; for the terminal and the live page."""

from collections import Counter
from typing import assert_never

from search.common.quantities import decimals
from search.history.events import (
    Changed,
    Ended,
    Event,
    Forked,
    Kept,
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
from search.history.records import Records, Trial
from search.warm_start import warm
from spaces.values import short
from trainables.run import Objective

_UNSOUND = {"diverged", "failed"}


class ProgressEstimate:
    """The numbers behind both views."""

    def __init__(self, records: Records, objective: Objective, unit: str, planned: int, trials: int) -> None:
        """`planned`: units that the whole search, confirmation included, is expected to train, `trials`: its trials."""
        self.records, self.objective, self.unit, self.planned, self.trials = records, objective, unit, planned, trials
        self.began: float | None = None
        """When a process took the search up last."""
        self._phase = ""
        self._first: tuple[float, int] | None = None
        """When this sitting's first evaluation came, and what had been trained by then: Ray's start and the workers'
        imports are no pace."""
        self._last = 0.0
        self._summed = -1, 0
        """How many events there were when the units trained were added up, and what they came to."""
        self._best: tuple[int, Trial | None] = -1, None
        """How many events there were when the best was looked for, and what it was."""

    def note(self, event: Event) -> None:
        """Keep time with an event that the records have already taken in."""
        if isinstance(event, Phase):  # entered again where it was left: a new sitting
            if self.began is None or event.name == self._phase:
                self.began, self._first = event.at, None
            self._phase = event.name
        if isinstance(event, Reported):
            self._last = event.at
            self._first = self._first or (event.at, self.trained)
        self._follow(event)

    def _follow(self, event: Event) -> None:
        """Keep the best up to date, where one event more does not change it in a way that all trials must be asked."""
        seen, best = self._best
        if seen != self.records.applied - 1:
            return
        match event:
            case Ended() if event.status in _UNSOUND and best is self.records.trials[event.trial]:
                return
            case Reported() if self.records.trials[event.trial].searched:
                mine = self.records.trials[event.trial]
                best = mine if best is None else min(best, mine, key=self._rank)
        self._best = self.records.applied, best

    @property
    def trained(self) -> int:
        """Units trained so far by all trials."""
        records = self.records
        if self._summed[0] != records.applied:
            started = sum(start.trained for start in records.starts.values())
            self._summed = records.applied, started + sum(trial.trained for trial in records.trials.values())
        return self._summed[1]

    def elapsed(self, at: float) -> float:
        """Seconds of this sitting up to `at`."""
        return max(0.0, at - self.began) if self.began is not None else 0.0

    def left(self, at: float) -> float | None:
        """Seconds to go from `at` on at this sitting's pace; None before there is one. Between two evaluations it
        counts down."""
        if self._first is None or self.trained <= self._first[1]:
            return None
        pace = (self._last - self._first[0]) / (self.trained - self._first[1])
        return max(0.0, pace * max(0, self.planned - self.trained) - (at - self._last))

    @property
    def counts(self) -> str:
        """Trials over, of all, by stage; and those that went wrong, with how often one was started again."""
        searched = self.records.of_kind("search")
        confirming = self.records.on_fresh_seeds()
        over = [f"{sum(t.over for t in searched)} of {max(self.trials, len(searched))} trials"]
        over += [f"{sum(t.over for t in confirming)} of {len(confirming)} confirmations"] if confirming else []
        everyone = self.records.trials.values()
        status = Counter(trial.status for trial in everyone)
        again = sum(trial.failures + trial.losses for trial in everyone)
        wrong = {"failed": status["failed"], "diverged": status["diverged"], "started again": again}
        told = "".join(f", {n} {what}" for what, n in wrong.items() if n)
        return f"{' and '.join(over)} over{told}"

    @property
    def best(self) -> Trial | None:
        """The best last value among the search's trials that trained furthest."""
        if self._best[0] != self.records.applied:
            sound = (t for t in self.records.of_kind("search") if t.reports and t.status not in _UNSOUND)
            self._best = self.records.applied, min(sound, key=self._rank, default=None)
        return self._best[1]

    def _rank(self, trial: Trial) -> tuple[int, float, int]:
        return -trial.step, self.objective.score(trial.reports[-1].metrics["objective"]), trial.number

    def value(self, trial: Trial | None) -> str:
        """A trial's last objective with its step, for people."""
        if trial is None or trial.objective is None:
            return "–"
        return f"{decimals(trial.objective)} at {self.unit} {trial.step}"

    @property
    def documented(self) -> str:
        """The baseline's last objective; where the best trial has come further, with what that one had there."""
        base, best = self.records.baseline, self.best
        told = self.value(base)
        if base is None or best is None or best.step <= base.step:
            return told
        there = next((report.metrics["objective"] for report in best.reports if report.step == base.step), None)
        return told if there is None else f"{told} (the best there: {decimals(there)})"


def name_of(trial: Trial) -> str:
    """How a trial is called on screen."""
    if not trial.searched:
        return f"{trial.proposed.origin}, seed {trial.proposed.seed}"
    return trial.name + (" (baseline)" if trial.baseline else "")


def line(event: Event, outlook: ProgressEstimate) -> str | None:
    """The plain line for an event that the records have already taken in; None where there is nothing to say."""
    records, unit = outlook.records, outlook.unit
    match event:
        case Proposed() | Started() | Forked() | Kept():
            return None
        case Reported():
            trial = records.trials[event.trial]
            value = event.metrics["objective"]
            said = f"{name_of(trial)}: {unit} {event.step}, {outlook.objective.metric} {decimals(value)}"
            return f"{said} ({_spent(trial, event)})"
        case Paused():
            return f"{name_of(records.trials[event.trial])}: waits at {unit} {event.step}"
        case Promoted():
            return f"{name_of(records.trials[event.trial])}: goes on from {unit} {event.step}"
        case Changed():
            return f"{name_of(records.trials[event.trial])}: takes on {dict(event.values)}"
        case Retried():
            what = "interrupted" if event.free else "failed"
            start = f"from its checkpoint at {unit} {event.step}" if event.step else "from the beginning"
            return f"{name_of(records.trials[event.trial])}: {what}, starts again {start}: {event.reason}"
        case Ended():
            trial = records.trials[event.trial]
            end = trial.objective if event.status in {"completed", "stopped"} else None
            last = f", {outlook.objective.metric} {decimals(end)}" if end is not None else ""
            best = ", the best so far" if end is not None and trial is outlook.best else ""
            reason = f": {event.reason}" if event.reason else ""
            return f"{name_of(trial)}: {event.status} at {unit} {trial.step}{last}{best}{reason}"
        case Phase():
            what = {"search": "searching", "confirm": "confirming on fresh seeds", "done": "done"}[event.name]
            return f"-- {what}" + (f" ({event.reason})" if event.reason else "")
        case Stopped():
            return None  # said at the end, with what to do
        case WarmStarted():
            return warm.told(event)
        case StartReady():
            return _started(event, outlook)
        case _:
            assert_never(event)


def _spent(trial: Trial, event: Reported) -> str:
    """What an evaluation has cost."""
    if trial.forked is not None and event.step <= trial.forked.step:
        return f"replayed from trial {trial.forked.source}"
    return f"{event.seconds:.1f} s"


def knobs_of(trial: Trial) -> str:
    """A trial's knobs on one line."""
    return ", ".join(f"{path} {short(value)}" for path, value in trial.values.items())


def span(seconds: float) -> str:
    """A time to go, for people: no more exact than it is known."""
    minutes = round(seconds / 60)
    return f"{round(seconds)} s" if seconds < 90 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _started(event: StartReady, outlook: ProgressEstimate) -> str:
    """What trials start from, for people."""
    metric = outlook.objective.metric
    value = "" if event.objective is None else f", {metric} {decimals(event.objective)} there"
    whose = "" if event.seed is None else f" of seed {event.seed}"
    cost = f" ({event.trained} {outlook.unit}s trained, {event.seconds:.1f} s)" if event.trained else ""
    return f"start{whose}: {event.source}{value}, state {event.digest[:16]}{cost}"
