"""The service's own policies: the rule of `search.stopping.bracket` with one of its samplers, and full trainings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.history.events import Status
from search.simulate.table import Table
from search.stopping.bracket import Bracket, Report, due
from search.stopping.ladder import auto_first_rung, ladder
from search.stopping.rungs import Mode, Rule


class Source:
    """Proposes trials and hears what becomes of them, as `search.sampling.proposer.Proposer` does on Ray. One that
    learns nothing of it, as random search, only proposes.
    """

    def propose(self, trial: int) -> Sequence[float] | None:
        """The curve of a new trial; None where there is none to make."""
        raise NotImplementedError

    def report(self, trial: int, step: int, value: float) -> None:
        """An evaluation."""

    def pause(self, trial: int) -> None:
        """The trial waits at a rung."""

    def resume(self, trial: int) -> None:
        """The trial goes on from its rung."""

    def end(self, trial: int, status: Status, value: float) -> None:
        """The trial is over; `value`: its last one."""


class RungPolicy:
    """Successive halving as the service runs it: `search.stopping.bracket` decides and orders, and the source hears of
    everything in the order in which it would on Ray.
    """

    def __init__(self, bracket: Bracket, source: Source, trials: int | None = None, first: int = 0) -> None:
        """`trials`: at most so many, else as many as there is budget for. `first`: the number of the first one."""
        self.bracket, self._source = bracket, source
        self._next, self._end = first, math.inf if trials is None else first + trials
        self._rungs = frozenset(bracket.rule.rungs)
        self._curves: dict[int, Sequence[float]] = {}

    def take(self) -> int | None:
        """A promoted trial, else a new one, else the closing promotion."""
        alone = not self.bracket.running and self._next >= self._end
        for trial in due(self.bracket, (), alone):
            self.bracket.start(trial)
            self._source.resume(trial)
            return trial
        return self._new()

    def curve(self, trial: int) -> Sequence[float]:
        """What the source said of the trial when it proposed it."""
        return self._curves[trial]

    def report(self, trial: int, step: int, value: float) -> bool:
        """Enter the evaluation, as `search.execution.ray_scheduler` does."""
        self._source.report(trial, step, value)
        if step not in self._rungs and math.isfinite(value):
            return True  # what the bracket would say: between rungs nothing is decided
        verdict = self.bracket.report(Report(trial, step, value))
        if verdict == "continue":
            return True
        if verdict == "pause":
            self._source.pause(trial)
        elif verdict == "complete":
            self._source.end(trial, "completed", value)
        else:
            self._source.end(trial, "diverged" if trial in self.bracket.diverged else "stopped", value)
        return False

    def _new(self) -> int | None:
        if self._next >= self._end:
            return None
        curve = self._source.propose(self._next)
        if curve is None:
            self._end = self._next
            return self.take() if not self.bracket.running else None  # the closing promotion may be due now
        trial, self._next = self._next, self._next + 1
        self._curves[trial] = curve
        self.bracket.start(trial)
        return trial


@dataclass(frozen=True)
class Halving:
    """The options of successive halving that a simulation may change."""

    mode: Mode = "promote"
    first_rung: int | None = None  # steps; None: as `auto` where configs settle at once
    reduction: int = 3

    def rungs(self, horizon: int, every: int) -> tuple[int, ...]:
        """The rungs. Raises ValueError where they don't fit the table."""
        first = auto_first_rung((), horizon, every) if self.first_rung is None else self.first_rung
        return ladder(first, self.reduction, horizon, every)

    def bracket(self, table: Table) -> Bracket:
        """The empty rungs of a search of the table. A baseline is compared like any other, as by default."""
        return Bracket(Rule(self.mode, self.rungs(table.horizon, table.every), self.reduction, "min", table.worst))


def whole(table: Table) -> Bracket:
    """No early stopping: the horizon is the only rung."""
    return Bracket(Rule("stop", (table.horizon,), 2, "min", table.worst))
