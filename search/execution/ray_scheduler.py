"""The stopping rule on Ray: a thin `TrialScheduler` over `search.stopping.bracket`.

A trial is known by its number, `trial.config["trial"]`; Ray's own ids change when a search is taken up again, numbers
don't. What the caller sets up, and why, so that paused trials neither block nor outlive a search:

- no `max_concurrent_trials`: paused trials would count against it until the search hangs;
- `TUNE_MAX_PENDING_TRIALS_PG` at least `workers()`: with a searcher of ours Ray keeps a single trial pending otherwise.
  Ray reads it once, so that it is set to what no cluster will hold; the gate alone decides;
- `num_samples=-1`, and a searcher that answers `next_resumable()` first (that trial again, from its checkpoint), then
  proposes a new trial while `room()`, else None; FINISHED only when `finished()`: from then on Ray throws idle actors
  away.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain, islice
from typing import Any, assert_never

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from search.common.clock import now
from search.history.events import Paused, Promoted
from search.stopping.bracket import Bracket, Report, due
from search.stopping.rungs import further_scores
from trainables.run import METRICS, OBJECTIVE, STEP, outcome_of

TRIAL = "trial"  # key of a trial's number in its Ray config


class Unpickled:
    """Has no state to keep: Ray pickles its whole setup for Tuner.restore, which we don't use; ours is replayed."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class RungScheduler(Unpickled, TrialScheduler):  # type: ignore[misc]  # Ray is untyped: its classes are Any here
    """Pauses, promotes and stops trials by `bracket`, which the caller may have brought up to date.

    `workers`: how many trials may train at once, now; at least one. `exhausted`: whether the searcher will propose no
    more new trials. `emit` hears when a trial waits at a rung or goes on from it, on the driver's loop; it must not
    raise. How a trial ended is Ray's to say: see `TrialFeed`. `judged`: whether a trial is the search's own; others
    have workers that its end leaves idle, until one of its own needs one, or it has ended.
    """

    _supports_buffered_results = False

    def __init__(
        self,
        bracket: Bracket,
        workers: Callable[[], int],
        exhausted: Callable[[], bool],
        emit: Callable[[Paused | Promoted], None],
        judged: Callable[[int], bool] = lambda _: True,
    ) -> None:
        super().__init__()
        if workers() < 1:
            raise ValueError(f"workers is {workers()}; it must be at least 1")
        self.bracket = bracket
        self._metric = OBJECTIVE
        self._workers = workers
        self._exhausted = exhausted
        self._emit = emit
        self._judged = judged
        self._filling: dict[int, Any] = {}  # the trials that are not the search's own, by number
        self._held: dict[int, Any] = {}  # the trials that Ray holds and that are not over, by number
        self._active: dict[int, None] = {}  # of these, in order of start, those that have or await a worker
        self._due: set[int] = set()  # of these, promoted ones that Ray still has as paused
        self._abandoning = False

    # What the searcher asks.

    def free(self) -> int:
        """Workers that no trial has or awaits; a trial that is still saving at its rung has its worker. None while more
        trials await one than there are, as when a node was lost."""
        self._refresh()
        return max(0, self._workers() - len(self._active) - len(self._filling))

    def next_resumable(self) -> int | None:
        """The number of a trial that should run now and that Ray doesn't hold: one of an earlier process that was
        running, or that is promoted now. The searcher gives it to Ray again as a new Ray trial from its checkpoint."""
        free = self.free()
        return next((number for number in islice(self._runnable(), free) if number not in self._held), None)

    def room(self) -> bool:
        """Whether a worker is free that no known trial can use: the moment to propose a new one."""
        free = self.free()
        return sum(1 for _ in islice(self._runnable(), free)) < free

    def spare(self) -> bool:
        """Whether a worker is free that no trial can use, no new one will come, and some still train."""
        return self._exhausted() and bool(self._active) and self.room()

    def undecided(self) -> Collection[int] | None:
        """The search's own trials at work, by number, if no other one can change any more: none of them has a rung left
        at which it may free a place, and none is to be promoted."""
        self._refresh()
        last = self._exhausted() and next(self._runnable(), None) is None and self.bracket.at_their_end(self._active)
        return tuple(self._active) if last else None

    def finished(self) -> bool:
        """Whether nothing runs, nothing can be promoted, nothing will come, and Ray holds no paused trial."""
        self._refresh()
        return not self._held and not self._filling and self._idle()

    def has_pending_work(self) -> bool:
        """Whether one more worker would have something to do: a new trial, or one that is promoted."""
        self._refresh()
        return not self._exhausted() or next(self._runnable(), None) is not None

    def lost(self, trial: int, again: bool) -> None:
        """A trial that Ray held has failed; `again`: it is `next_resumable` as before.

        One that failed while it saved at its rung waits there; if it is promoted, it runs up to the rung once more.
        """
        if not again:
            self.bracket.leave(trial)

    # What Ray calls.

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:  # noqa: ARG002
        """Accepts only what the rule says already; `spec` is Ray's."""
        return metric in (None, OBJECTIVE) and mode in (None, self.bracket.rule.objective)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:  # noqa: ARG002
        """A new trial, one of an earlier process, or one that failed and is tried again."""
        number = int(trial.config[TRIAL])
        if not self._judged(number):
            self._filling[number] = trial
            return
        self._held[number] = trial
        self._active[number] = None
        if number in self.bracket.waiting:
            self._promote(number)
        else:
            self.bracket.start(number)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:  # noqa: ARG002
        """CONTINUE between rungs, PAUSE or STOP as the rule says, STOP at the horizon."""
        if int(trial.config[TRIAL]) in self._filling:
            return str(TrialScheduler.STOP if self._idle() or self._awaited() else TrialScheduler.CONTINUE)
        report = self._read(trial, result)
        verdict = self.bracket.report(report)
        match verdict:
            case "continue":
                return str(TrialScheduler.CONTINUE)
            case "pause":
                self._emit(Paused(report.trial, report.step, now()))
                return str(TrialScheduler.PAUSE)
            case "stop" | "complete":
                return str(TrialScheduler.STOP)
            case _:
                assert_never(verdict)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> None:  # noqa: ARG002
        """A running trial is over: by our STOP, by its own last report, or because someone stopped it."""
        number = self._forget(trial)
        if not self._judged(number):
            return
        if not self.bracket.final(number) and STEP in result and OBJECTIVE in result:
            report = self._read(trial, result)
            if report.outcome != "running" or report.step >= self.bracket.rule.horizon:
                self.bracket.report(report)
        self.bracket.leave(number)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:  # noqa: ARG002
        """A paused or pending trial is over: abandoned by us (it stays in its rung, for a grown budget), or stopped."""
        number = self._forget(trial)
        if not self._abandoning and self._judged(number):
            self.bracket.leave(number)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:  # noqa: ARG002
        """A trial has failed and frees its place. Whether it runs again is decided elsewhere, at once: see `lost`."""
        self._forget(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any | None:
        """Promoted trials from the top rung down, then new ones; at the end lets go of trials that nothing promotes."""
        self._refresh()
        if self._due:
            return self._held[min(self._due)]
        number = next(islice(self._runnable(), self.free()), None)
        if number is not None and number in self._held:
            self._active[number] = None
            self._due.add(number)
            self._promote(number)
            return self._held[number]
        if number is None and self._idle():
            self._abandon(tune_controller)
        # The newest: Ray gives an idle actor to the trial named here, and an older one has its own actor starting,
        # which Ray would kill; short trials then never see more than one worker.
        newest = chain((self._held[number] for number in reversed(self._active)), reversed(self._filling.values()))
        return next((each for each in newest if each.status == Trial.PENDING), None)

    def debug_string(self) -> str:
        """The rungs, for Ray's own tables."""
        rungs = ", ".join(f"{rung.step}: {len(rung.ranked)}" for rung in self.bracket.rungs)
        return f"ASHA ({self.bracket.rule.mode}), trials per rung {{{rungs}}}"

    # What both stand on.

    def _runnable(self) -> Iterator[int]:
        """Trials that wait for a worker, in order: those that an earlier process left running, then promotions."""
        yield from sorted(self.bracket.running.difference(self._held))
        yield from due(self.bracket, self._active, not self._active and self._exhausted())

    def _idle(self) -> bool:
        return not self._active and self._exhausted() and next(self._runnable(), None) is None

    def _awaited(self) -> bool:
        """Whether one of the search's own trials waits for a worker."""
        at_work, room = len(self._active) + len(self._filling), self._workers()
        return at_work > room or next(islice(self._runnable(), room - at_work, None), None) is not None

    def _refresh(self) -> None:
        """Take in what Ray did since: trials that have paused or resumed."""
        for number in [n for n in self._due if self._held[n].status != Trial.PAUSED]:
            self._due.discard(number)
        for number in [n for n in self._active if n not in self._due and self._held[n].status == Trial.PAUSED]:
            del self._active[number]

    def _promote(self, number: int) -> None:
        step = self.bracket.rule.rungs[self.bracket.waiting[number]]
        self.bracket.start(number)
        self._emit(Promoted(number, step, now()))

    def _abandon(self, tune_controller: Any) -> None:
        self._abandoning = True
        for trial in list(self._held.values()):
            tune_controller.stop_trial(trial)
        self._abandoning = False

    def _forget(self, trial: Any) -> int:
        number = int(trial.config[TRIAL])
        self._held.pop(number, None)
        self._filling.pop(number, None)
        self._active.pop(number, None)
        self._due.discard(number)
        return number

    def _read(self, trial: Any, result: Mapping[str, Any]) -> Report:
        number = int(trial.config[TRIAL])
        if STEP not in result or OBJECTIVE not in result:
            raise ValueError(f"trial {number} reported no {STEP!r} or no {OBJECTIVE!r}; it reported {sorted(result)}")
        score = self.bracket.rule.score(float(result[OBJECTIVE]))
        outcome = outcome_of(result)
        more = further_scores(self.bracket.rule.further, _metrics(result), outcome)
        return Report(number, int(result[STEP]), score, outcome, more)


def _metrics(result: Mapping[str, Any]) -> Mapping[str, float]:
    """The model's metrics of a result, which Ray hands to some of its listeners flattened, as `metrics/val_per`."""
    if METRICS in result:
        whole: Mapping[str, float] = result[METRICS]
        return whole
    start = f"{METRICS}/"
    return {key.removeprefix(start): value for key, value in result.items() if key.startswith(start)}
