"""What is known of every trial: the fold of the event stream, and nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from search.history.events import (
    FINAL,
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
    Status,
    Stopped,
    TrialKind,
    WarmStarted,
)
from spaces.problems import BadInput


@dataclass
class Trial:
    """One trial up to now. Only `Records.apply` changes it."""

    proposed: Proposed
    begins: int = 0
    """The step that it starts from: the same for all trials of a search."""
    status: Status | Literal["proposed"] = "proposed"
    reports: list[Reported] = field(default_factory=list)
    starts: list[Started] = field(default_factory=list)
    rung: int = 0
    """Highest step at which it paused."""
    failures: int = 0
    losses: int = 0
    """Nodes lost under it since its last evaluation."""
    reason: str = ""
    ended_at: float | None = None
    changed: Mapping[str, Any] | None = None
    """Its knobs now, where they have changed in mid-run."""
    forked: Forked | None = None
    """Whose beginning it has, where it did not train its own."""

    @property
    def worker(self) -> tuple[str, int] | None:
        """Host and process id of the one that took it up last."""
        return (self.starts[-1].host, self.starts[-1].pid) if self.starts else None

    @property
    def own_from(self) -> int:
        """The step from which on its training is its own: up to there it was copied, or is where all trials start."""
        return self.begins if self.forked is None else max(self.begins, min(self.forked.step, self.step))

    @property
    def replayed(self) -> int:
        """Units of its reports that were copied from another trial's."""
        return self.own_from - self.begins

    @property
    def copied(self) -> bool:
        """Whether it has trained nothing itself: all of its reports are another trial's."""
        return self.begins < self.own_from == self.step

    @property
    def number(self) -> int:
        """Unique within the search."""
        return self.proposed.trial

    @property
    def name(self) -> str:
        """What people call it, and the origin of the runs that train its config on fresh seeds."""
        return f"trial {self.number}"

    @property
    def pair(self) -> tuple[str, int]:
        """Of a run on a fresh seed: its origin and its seed."""
        return self.proposed.origin, self.proposed.seed

    @property
    def searched(self) -> bool:
        """Whether it is one of the search's own, not trained after it or beside it on a fresh seed."""
        return self.proposed.kind == "search"

    @property
    def values(self) -> dict[str, Any]:
        """The active knobs by path."""
        return dict(self.proposed.values if self.changed is None else self.changed)

    @property
    def baseline(self) -> bool:
        """Whether it trains the documented baseline."""
        return self.proposed.origin == "baseline"

    @property
    def step(self) -> int:
        """The step of the last evaluation, counted from 0 of the whole training; where it starts, before the first."""
        return self.reports[-1].step if self.reports else self.begins

    @property
    def trained(self) -> int:
        """Units that it trained itself since it started."""
        return self.step - self.own_from

    @property
    def objective(self) -> float | None:
        """The last evaluation's objective."""
        return self.reports[-1].metrics["objective"] if self.reports else None

    @property
    def seconds(self) -> float:
        """Spent in training and evaluation."""
        return sum(report.seconds for report in self.reports)

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in FINAL


class Records:
    """All trials of a search by number, with the phase that it is in and what it has spent."""

    def __init__(self, history: Iterable[Event] = ()) -> None:
        """Of a journal's events in order. Raises BadInput where they contradict each other."""
        self.trials: dict[int, Trial] = {}
        self.proposed: dict[TrialKind, int] = {"search": 0, "confirm": 0, "explain": 0}
        """Trials of each kind."""
        self.phase: Literal["search", "confirm", "done"] = "search"
        self._searching = False  # since its first phase
        self._ahead: set[int] = set()  # runs of a confirmation that is still to come
        self.search_steps = 0
        """Units trained by the search's own trials (confirmation not counted)."""
        self.replayed_steps = 0
        """Units of theirs that were not trained, as another trial had trained the same."""
        self.kept: list[Kept] = []
        """What was kept for trials that begin alike, whether it is still there or not."""
        self.search_worked = 0.0
        """Seconds of training and evaluation that the search's own trials have taken, all workers together."""
        self.search_seconds = 0.0
        """Time spent searching: from each take-up of the search to the last event of that sitting."""
        self.warm: WarmStarted | None = None
        """What the search has taken over from earlier ones; none of it is a trial of its own."""
        self.starts: dict[int | None, StartReady] = {}
        """What trials start from, by seed; under None what a user gave for every seed. Empty: they start at step 0."""
        self.stopped: Stopped | None = None
        """Why nobody is at work on it, where its last process said so."""
        self.spent = ""
        """The budget that ended the search before all its trials were over."""
        self.machine: Mapping[str, Any] = {}
        """The type of the machine that took up a trial last, where it said so."""
        self.applied = 0
        """Events taken in; what is derived from them stays true until this changes."""
        self._by_kind: dict[TrialKind, list[Trial]] = {"search": [], "confirm": [], "explain": []}
        self._last_at: float | None = None
        for number, event in enumerate(history, 1):
            wrong = self._contradicts(event)
            if wrong is not None:
                what = f"{wrong}: records are missing before it, or not in their order; restore the file from a backup"
                raise BadInput.of(f"journal.jsonl line {number}", what)
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Take one event in, which goes with those before it."""
        self._clock(event)
        self.applied += 1
        match event:
            case Proposed():
                self._add(event)
            case Started():
                trial = self.trials[event.trial]
                trial.status = "running"
                trial.starts.append(event)
                self.machine = event.machine or self.machine
            case Reported():
                trial = self.trials[event.trial]
                before = trial.step, trial.replayed
                trial.reports.append(event)
                if trial.searched:
                    copied = trial.replayed - before[1]
                    self.replayed_steps += copied
                    self.search_steps += event.step - before[0] - copied
                    self.search_worked += event.seconds
                trial.losses = 0
            case Forked():
                self.trials[event.trial].forked = event
            case Kept():
                self.kept.append(event)
            case Paused():
                trial = self.trials[event.trial]
                trial.status, trial.rung = "paused", event.step
            case Promoted():
                self.trials[event.trial].status = "running"
            case Changed():
                self.trials[event.trial].changed = event.values
            case Retried():
                trial = self.trials[event.trial]
                trial.failures, trial.reason = trial.failures + (not event.free), event.reason
                trial.losses += event.free
            case Ended():
                trial = self.trials[event.trial]
                trial.status, trial.reason, trial.ended_at = event.status, event.reason, event.at
            case _:
                self._of_search(event)

    def _add(self, event: Proposed) -> None:
        self.trials[event.trial] = Trial(event, self.begins)
        self._by_kind[event.kind].append(self.trials[event.trial])
        self.proposed[event.kind] += 1
        if self._searching and event.kind == "confirm":
            self._ahead.add(event.trial)

    def _of_search(self, event: OfSearch) -> None:
        match event:
            case Phase():
                self.phase, self.stopped = event.name, None
                self._searching = event.name == "search"
                self._ahead = self._ahead if self._searching else set()
                self.spent = event.reason or ("" if event.name == "search" else self.spent)
            case Stopped():
                self.stopped = event
            case WarmStarted():
                self.warm = event
            case StartReady():
                self.starts[event.seed] = event
            case _:
                assert_never(event)

    def _contradicts(self, event: Event) -> str | None:
        """What can't be true of an event after all those before: how damage shows in journals of earlier versions,
        whose records have no number."""
        if isinstance(event, OfSearch):
            return None
        trial = self.trials.get(event.trial)
        match event:
            case Proposed():
                return None if trial is None else f"trial {event.trial} is proposed twice"
            case _ if trial is None:
                return f"nobody has proposed trial {event.trial}"
            case Reported() if event.step <= trial.step:
                return f"trial {event.trial} reports step {event.step} after step {trial.step}"
            case _:
                return None

    def _clock(self, event: Event) -> None:
        if isinstance(event, Started):
            return  # told with the first report, of a time at which others have reported since
        if self.phase == "search" and self._last_at is not None and not isinstance(event, Phase | StartReady):
            self.search_seconds += max(0.0, event.at - self._last_at)  # a clock set back adds nothing
        self._last_at = event.at

    @property
    def begins(self) -> int:
        """The step that trials start from."""
        return next((start.step for start in self.starts.values()), 0)

    @property
    def given(self) -> StartReady | None:
        """What every trial starts from, whatever its seed; None where each seed has its own training from step 0."""
        return self.starts.get(None)

    def searching_for(self, now: float) -> float:
        """Seconds spent searching, up to `now`."""
        return self.search_seconds + (max(0.0, now - self._last_at) if self._last_at is not None else 0.0)

    def of_kind(self, kind: TrialKind) -> list[Trial]:
        """The trials of the search itself, its confirmation runs, or those that explain its winner, by number."""
        return list(self._by_kind[kind])

    def at_work(self) -> list[Trial]:
        """The trials in training, by number: not those on fresh seeds that have left their worker to another one."""
        running = [trial for trial in list(self.trials.values()) if trial.status == "running"]
        ordered = sorted((trial.starts[-1].at, trial.number) for trial in running if trial.starts)
        last = {self.trials[number].worker: number for _, number in ordered}
        return [each for each in running if each.searched or last.get(each.worker, each.number) == each.number]

    def on_fresh_seeds(self) -> list[Trial]:
        """The confirmation runs, then those that explain the winner."""
        return [*self._by_kind["confirm"], *self._by_kind["explain"]]

    @property
    def confirming(self) -> bool:
        """Whether configs are compared on fresh seeds, or were."""
        return bool(self.compared())

    def compared(self) -> list[Trial]:
        """The confirmation runs by number, without those that were begun ahead of a confirmation that is to come, and
        without configs of which one was begun ahead, not needed, and never trained after all."""
        runs = [run for run in self._by_kind["confirm"] if run.number not in self._ahead]
        trained = {run.pair for run in runs if run.status != "stopped"}
        dropped = {run.proposed.origin for run in runs if run.pair not in trained}
        return [run for run in runs if run.status != "stopped" and run.proposed.origin not in dropped]

    def full(self, length: int) -> bool:
        """Whether no run that is compared has ended by itself before the full length."""
        return all(run.step >= length for run in self.compared() if run.status == "completed")

    def begun_ahead(self) -> list[Trial]:
        """The runs of a confirmation that is still to come."""
        return [self.trials[number] for number in sorted(self._ahead)]

    def longest(self, number: int, origin: str) -> Trial:
        """The training that shows best how the config of trial `number` goes: the longest, of equals the first one on a
        fresh seed."""
        runs = [run for run in self.on_fresh_seeds() if run.proposed.origin == origin and run.reports]
        return max([*runs, self.trials[number]], key=lambda run: run.step)

    @property
    def baseline(self) -> Trial | None:
        """The documented baseline's trial in the search."""
        return next((t for t in self.trials.values() if t.baseline and t.searched), None)
