"""Which values a trial gets: Optuna's samplers, a grid and the documented baseline behind one small object.

A proposal is a pure function of (seed, number, history): each is drawn by a fresh sampler whose seed is a hash of
(seed, number), and the sampler looks at past trials in the order of their numbers. So a search that is taken up again
goes on as if nothing had happened, without a pickled random state: `Proposer(…, past=…)` is all there is to it.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.history.events import FINAL, Status
from search.sampling.codec import text_of
from search.sampling.draw import Draws
from search.sampling.grid import combinations, every_config
from search.sampling.parego import Several
from search.sampling.samplers import Standing, draw_seed
from search.sampling.study import StudyFile
from search.sampling.trial_history import PastTrial, Problem, Queued, Sampling, Scoring
from spaces.values import thaw
from trainables.run import score

REDRAWS = 5
"""How often a proposal equal to an earlier one is drawn again by its sampler,"""
RANDOM_REDRAWS = 100
"""and how often at random after that, in a space that can't be run through."""


class Proposer:
    """Proposes the values of trials and learns from what becomes of them.

    Trial 0 is the documented baseline. A trial whose values lie outside the space (a baseline beyond narrowed domains,
    an old trial after a change of the space) runs and ends like any other, but Optuna refuses such values, so the study
    does not know it: `outside` holds their numbers.

    Trials of earlier searches are known by numbers below 0: samplers learn from them as from any other, and what was
    trained to its end there is not proposed again, but no report or end is expected of them.

    How an end is told, so that TPE ranks as a person would:
    completed   COMPLETE with its value.
    stopped     PRUNED: behind every completed one, ordered by step reached, then by value.
    diverged    COMPLETE with the worst value *and* a violated constraint `diverged`: ranked behind everything else. The
                value alone would not do: TPE's good tenth is filled from completed trials first, and with early
                stopping there are few of them, so a diverged trial would rank before every stopped one. FAIL would
                teach nothing, and the region that diverges would be visited again.
    failed      FAIL, ignored by samplers: an exception or a lost node says nothing about the values.
    paused      To samplers as if stopped, for most paused trials are never promoted; in the file still RUNNING.
    """

    def __init__(
        self,
        problem: Problem,
        sampling: Sampling,
        scoring: Scoring,
        path: Path | None,
        past: Sequence[PastTrial] = (),
        first: Sequence[Queued] = (),
        snap: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        """Writes a fresh study file at `path` with the `past` trials in it; trials 1, 2, … are the `first` ones.

        path     None: no file is kept.
        snap     turns each drawn proposal into the values that are proposed (a row of a table, in simulations).

        Raises OSError where the file can't be written.
        """
        space, base = problem.space, problem.base
        self._space, self._base, self._sampling, self._scoring = space, base, sampling, scoring
        self._direction = StudyDirection.MINIMIZE if scoring.mode == "min" else StudyDirection.MAXIMIZE
        self._several = Several(scoring.objectives) if scoring.objectives > 1 else None
        seen = StudyDirection.MINIMIZE if self._several else self._direction
        self._draws = Draws(problem, sampling.seed, seen, snap)
        self._codes, self._snap = self._draws.codes, snap
        self._origins: dict[int, str] = {}
        self._newest = -1  # the highest number of them
        self._standing = Standing(self._direction)
        self._told: dict[int, FrozenTrial] = {}  # by our number; their own numbers count from 0 without gaps
        self.outside: dict[int, tuple[str, ...]] = {}  # trial -> the reasons why it is no point of the space
        self._seen: set[str] = set()
        self._seen_before: set[str] = set()  # by earlier searches, to the end
        self._first = first
        # Each config of a finite space, and each of the grid: those that are passed by have been proposed.
        self._every: Iterator[dict[str, Any]] | None = every_config(space, base) if snap is None else None
        self._grid: Iterator[dict[str, Any]] = combinations(space, base, sampling.points)
        for trial in sorted(past, key=lambda trial: trial.number):
            self._take(trial)
        self._file = None if path is None else StudyFile(path, problem.name, self._direction, problem.metric)
        if self._file:
            self._file.remark(self._note())
            self._file.write(self._told.values())

    @property
    def file_error(self) -> str | None:
        """Why `study.journal` is behind the search, if it is. It is written anew when the next trial ends."""
        return self._file.error if self._file else None

    def origin(self, number: int) -> str:
        """Where a trial's values come from: `baseline` or the kind of sampler."""
        return self._origins[number]

    def propose(self, number: int) -> dict[str, Any] | None:
        """The values of a new trial's active knobs by path; None where the grid, or a finite space, has no
        config left that was not proposed before.

        Numbers grow from 0 and may skip. Raises ValueError for a number at or below one that is known.
        """
        if number <= self._newest:
            raise ValueError(f"trial {number} can't be proposed: trial {self._newest} is known already")
        values, origin = self._values_of(number)
        if values is None:
            return None
        trial = self._add(PastTrial(number, values, "running", origin))
        if self._file and trial is None:
            self._file.remark(self._note())
        elif self._file and trial is not None:
            self._file.create(trial)
        return values

    def report(self, number: int, step: int, value: float, more: Sequence[float] = ()) -> None:
        """An evaluation of a running trial; a non-finite value counts as the worst. `more`: its scores in further
        objectives, lower is better; none of a diverged trial."""
        self._reopen(number)
        trial = self._running(number)
        if trial is not None:
            self._put(trial, step, value, more)
            if self._file:
                self._file.report(trial, step, trial.intermediate_values[step])

    def pause(self, number: int) -> None:
        """The trial waits at a rung: samplers take its reports so far for its result."""
        self._mark(number, "paused")

    def resume(self, number: int) -> None:
        """A paused trial goes on: samplers expect a result from it again."""
        self._reopen(number)
        self._mark(number, "running")

    def tell(self, number: int, status: Status, value: float | None = None, reason: str = "") -> None:
        """A trial's end; `value` is the objective of a completed one, else ignored. Raises ValueError for no end."""
        if status not in FINAL:
            raise ValueError(f"trial {number} can't end as {status}: expected one of {sorted(FINAL)}")
        trial = self._running(number)
        if trial is not None:
            self._end(trial, status, value, reason, datetime.now())
            if self._file:
                self._file.end(trial, self._told.values())

    # What follows is the way from our trials to Optuna's.

    def _values_of(self, number: int) -> tuple[dict[str, Any] | None, str]:
        if number == 0:
            baseline = self._space.baseline(self._base)
            return {path: thaw(value) for path, value in baseline.items()}, "baseline"
        if number <= len(self._first):
            return dict(self._first[number - 1].values), self._first[number - 1].origin
        if self._sampling.kind == "grid":
            return self._unseen(self._grid), "grid"
        return self._drawn(number, self._sampling.kind), self._sampling.kind

    def _unseen(self, configs: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
        return next((values for values in configs if self._is_new(values)), None)

    def _drawn(self, number: int, kind: str) -> dict[str, Any] | None:
        values: dict[str, Any] = {}
        for attempt in range(1 + REDRAWS):
            standing = self._standing
            if self._several and kind != "random":
                seed = draw_seed(self._sampling.seed, number, attempt)
                standing = self._several.standing(standing.all(), seed)
            values = self._draws.draw(kind, number, attempt, standing, len(self._told))
            if self._snap:
                values = self._snap(values)
            if self._is_new(values):
                return values
        if self._snap:  # a table of finished trials, which a simulation may run through more than once
            return values
        if self._every is not None:
            return self._unseen(self._every)
        for attempt in range(1 + REDRAWS, 1 + REDRAWS + RANDOM_REDRAWS):
            values = self._draws.draw("random", number, attempt, self._standing, len(self._told))
            if self._is_new(values):
                break
        return values

    def _is_new(self, values: Mapping[str, Any]) -> bool:
        key = text_of(values)
        return key not in self._seen and key not in self._seen_before

    def _take(self, past: PastTrial) -> None:
        trial = self._add(past)
        if trial is None:
            return
        none: Sequence[Sequence[float]] = [()] * len(past.reports)
        for (step, value), more in zip(past.reports, past.more or none, strict=True):
            self._put(trial, step, value, more)
        if past.status in FINAL:
            ended = datetime.now() if past.ended is None else datetime.fromtimestamp(past.ended)
            self._end(trial, past.status, past.value, past.reason, ended)
        else:
            trial.user_attrs["status"] = past.status
            self._standing.put(_as_seen(trial))

    def _put(self, trial: FrozenTrial, step: int, value: float, more: Sequence[float]) -> None:
        trial.intermediate_values[step] = float(value) if math.isfinite(value) else self._scoring.worst
        if self._several and more:
            self._several.put(trial.number, step, (score(value, self._scoring.mode), *more))

    def _add(self, past: PastTrial) -> FrozenTrial | None:
        """Enter a running trial; None where its values lie outside the space."""
        if past.number in self._origins:
            raise ValueError(f"trial {past.number} stands twice in the past")
        self._origins[past.number] = past.origin
        self._newest = max(self._newest, past.number)
        key = text_of(past.values)
        if past.number >= 0:
            self._seen.add(key)
        elif past.status in {"completed", "diverged"}:
            self._seen_before.add(key)
        reasons = self._space.outside(past.values, self._base)
        if reasons:
            self.outside[past.number] = tuple(reasons)
            return None
        index = len(self._told)
        trial = FrozenTrial(
            number=index,
            trial_id=index,
            state=TrialState.RUNNING,
            value=None,
            datetime_start=datetime.now() if past.began is None else datetime.fromtimestamp(past.began),
            datetime_complete=None,
            params={path: self._codes[path].encode(value) for path, value in past.values.items()},
            distributions={path: self._codes[path].distribution for path in past.values},
            user_attrs={
                "trial": past.number,
                "origin": past.origin,
                "status": "running",
                "reason": "",
                "seed": self._sampling.seed,
            },
            system_attrs={},
            intermediate_values={},
        )
        self._told[past.number] = trial
        self._standing.put(trial)
        return trial

    def _end(self, trial: FrozenTrial, status: Status, value: float | None, reason: str, ended: datetime) -> None:
        if status == "completed" and (value is None or not math.isfinite(value)):
            status, reason = "diverged", reason or f"its objective is {value}"
        trial.user_attrs |= {"status": status, "reason": reason}
        trial.datetime_complete = ended
        match status:
            case "completed":
                trial.state, trial.value = TrialState.COMPLETE, value
            case "stopped":
                # Its last report as its value: what `Study.tell` does for a pruned trial.
                trial.state = TrialState.PRUNED
                trial.value = None if trial.last_step is None else trial.intermediate_values[trial.last_step]
            case "diverged":
                trial.state, trial.value = TrialState.COMPLETE, self._scoring.worst
                trial.set_constraint("diverged", 1.0)
            case _:
                trial.state = TrialState.FAIL
        self._standing.put(trial)

    def _reopen(self, number: int) -> None:
        """A trial that was stopped when its search ended runs again, as that search has a larger budget now."""
        trial = self._told.get(number)
        if trial is None or trial.state != TrialState.PRUNED:
            return
        trial.state, trial.value, trial.datetime_complete = TrialState.RUNNING, None, None
        trial.user_attrs |= {"status": "running", "reason": ""}
        self._standing.put(trial)
        if self._file:
            self._file.rewrite(self._told.values())  # Optuna's own has no way back for a trial that has ended

    def _mark(self, number: int, status: Status) -> None:
        trial = self._running(number)
        if trial is not None:
            trial.user_attrs["status"] = status
            self._standing.put(_as_seen(trial))
            if self._file:
                self._file.note(trial, "status")

    def _running(self, number: int) -> FrozenTrial | None:
        """The trial, or None where the study does not know it. Raises ValueError where it is over or was never here."""
        if number not in self._origins:
            raise ValueError(f"trial {number} was never proposed")
        trial = self._told.get(number)
        if trial is not None and trial.state != TrialState.RUNNING:
            raise ValueError(f"trial {number} is over: {trial.user_attrs['status']}")
        return trial

    def _note(self) -> str:
        """What a reader of the study file should know."""
        lines = [f"trial {n} ({self._origins[n]}): {'; '.join(why)}" for n, why in self.outside.items()]
        return "\n".join(["Not in this study, for they lie outside its space:", *lines]) if lines else ""


def _as_seen(trial: FrozenTrial) -> FrozenTrial:
    """The trial as samplers see it: a paused one has its result."""
    if trial.user_attrs["status"] != "paused":
        return trial
    seen = copy.copy(trial)
    seen.state = TrialState.PRUNED
    return seen
