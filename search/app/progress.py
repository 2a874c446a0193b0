"""What a person sees while the search runs: a live panel on a terminal, one plain line per event elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, assert_never

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.history.events import (
    Changed,
    Ended,
    Event,
    Paused,
    Phase,
    Promoted,
    Proposed,
    Reported,
    Retried,
    Started,
    Stopped,
    WarmStarted,
)
from search.history.records import Records, Trial
from search.warm_start import warm
from spaces.values import show
from trainables.run import Objective


class View(Protocol):
    """A way of showing progress: listens to events between entering and leaving."""

    def __call__(self, event: Event) -> None:
        """Show what the records have just taken in."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ProgressEstimate:
    """The numbers behind both views."""

    def __init__(self, records: Records, objective: Objective, unit: str, planned: int, trials: int) -> None:
        """`planned`: units that the whole search, confirmation included, is expected to train, `trials`: its trials."""
        self.records, self.objective, self.unit, self.planned, self.trials = records, objective, unit, planned, trials
        self._began = time.monotonic()
        self._first: tuple[float, int] | None = None
        """When this sitting's first evaluation came, and what had been trained by then: Ray's start and the workers'
        imports are no pace."""
        self._last = 0.0

    def note(self, event: Event) -> None:
        """Keep time with an event that the records have already taken in."""
        if isinstance(event, Reported):
            self._last = time.monotonic()
            self._first = self._first or (self._last, self.trained)

    @property
    def trained(self) -> int:
        """Units trained so far by all trials."""
        return sum(trial.step for trial in self.records.trials.values())

    @property
    def elapsed(self) -> float:
        """Seconds of this sitting."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float | None:
        """Seconds to go at this sitting's pace; None before there is one. Between two evaluations it counts down."""
        if self._first is None or self.trained <= self._first[1]:
            return None
        pace = (self._last - self._first[0]) / (self.trained - self._first[1])
        return max(0.0, pace * max(0, self.planned - self.trained) - (time.monotonic() - self._last))

    @property
    def counts(self) -> str:
        """Trials over, of all, by stage; and those that went wrong, with how often one was started again."""
        confirming = self.records.of_kind("confirm")
        trials, kind = (confirming, "confirmations") if confirming else (self.records.of_kind("search"), "trials")
        total = len(trials) if confirming else max(self.trials, len(trials))
        everyone = self.records.trials.values()
        wrong = {
            **{status: sum(trial.status == status for trial in everyone) for status in ("failed", "diverged")},
            "started again": sum(trial.failures + trial.losses for trial in everyone),
        }
        told = "".join(f", {n} {what}" for what, n in wrong.items() if n)
        return f"{sum(trial.over for trial in trials)} of {total} {kind} over{told}"

    @property
    def best(self) -> Trial | None:
        """The best last value among the search's trials that trained furthest."""
        scored = [
            (-trial.step, self.objective.score(trial.objective), trial.number, trial)
            for trial in self.records.of_kind("search")
            if trial.objective is not None and trial.status not in {"diverged", "failed"}
        ]
        return min(scored)[3] if scored else None

    def value(self, trial: Trial | None) -> str:
        """A trial's last objective with its step, for people."""
        if trial is None or trial.objective is None:
            return "–"
        return f"{trial.objective:.4f} at {self.unit} {trial.step}"


def name_of(trial: Trial) -> str:
    """How a trial is called on screen."""
    if trial.proposed.kind == "confirm":
        return f"{trial.proposed.origin}, seed {trial.proposed.seed}"
    return f"trial {trial.number}" + (" (baseline)" if trial.baseline else "")


def line(event: Event, outlook: ProgressEstimate) -> str | None:
    """The plain line for an event that the records have already taken in; None where there is nothing to say."""
    records, unit = outlook.records, outlook.unit
    match event:
        case Proposed() | Started():
            return None
        case Reported():
            trial = records.trials[event.trial]
            value = event.metrics["objective"]
            return (
                f"{name_of(trial)}: {unit} {event.step}, {outlook.objective.metric} {value:.4f} ({event.seconds:.1f} s)"
            )
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
            reached = trial.objective is not None and event.status in {"completed", "stopped"}
            value = f", {outlook.objective.metric} {trial.objective:.4f}" if reached else ""
            best = ", the best so far" if reached and trial is outlook.best else ""
            reason = f": {event.reason}" if event.reason else ""
            return f"{name_of(trial)}: {event.status} at {unit} {trial.step}{value}{best}{reason}"
        case Phase():
            what = {"search": "searching", "confirm": "confirming on fresh seeds", "done": "done"}[event.name]
            return f"-- {what}"
        case Stopped():
            return None  # said at the end, with what to do
        case WarmStarted():
            return warm.told(event)
        case _:
            assert_never(event)


class Plain:
    """One line per event."""

    def __init__(self, outlook: ProgressEstimate, write: Callable[[str], None]) -> None:
        self._outlook, self._write = outlook, write

    def __call__(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        self._outlook.note(event)
        text = line(event, self._outlook)
        if text is not None:
            self._write(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Panel:
    """A live panel: running trials, best against the baseline, trials over and units trained of those planned, time."""

    def __init__(self, outlook: ProgressEstimate, console: Console) -> None:
        self._outlook = outlook
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2, transient=True)

    def __call__(self, event: Event) -> None:
        """Leave a line above the panel for what should stay on screen."""
        self._outlook.note(event)
        text = line(event, self._outlook)
        if text is not None and isinstance(event, Ended | Retried | Phase | WarmStarted):
            self._live.console.print(text, highlight=False, markup=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def _render(self) -> RenderableType:
        outlook = self._outlook
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("running", outlook.unit, outlook.objective.metric):
            table.add_column(Text(column))  # Text: nothing in a name is markup
        for trial in list(outlook.records.trials.values()):
            if trial.status == "running":
                value = "–" if trial.objective is None else f"{trial.objective:.4f}"
                table.add_row(Text(name_of(trial)), str(trial.step), value)
        if not table.rows:
            table.add_row("starting workers …")
        trained, left, best = outlook.trained, outlook.left, outlook.best
        share = Table.grid(padding=(0, 1))
        share.add_row(
            ProgressBar(total=max(outlook.planned, 1), completed=min(trained, outlook.planned), width=20),
            Text(
                f"{trained} of about {outlook.planned} {outlook.unit}s, {_span(outlook.elapsed)}"
                + (f", about {_span(left)} left" if left is not None else "")
            ),
        )
        values = f"best {outlook.value(best)}   baseline {outlook.value(outlook.records.baseline)}"
        knobs = [_line(f"{name_of(best)}: {_knobs(best)}")] if best is not None and best.values else []
        return Group(table, _line(values), *knobs, _line(outlook.counts), share)


def _knobs(trial: Trial) -> str:
    return ", ".join(
        f"{path} {f'{value:.4g}' if isinstance(value, float) else show(value)}" for path, value in trial.values.items()
    )


def _line(text: str) -> Text:
    """One line, cut at the terminal's width."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def view(outlook: ProgressEstimate, console: Console) -> View:
    """The panel on a terminal, plain lines otherwise."""
    if console.is_terminal:
        return Panel(outlook, console)
    return Plain(outlook, lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True))


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{round(seconds)} s" if seconds < 90 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
