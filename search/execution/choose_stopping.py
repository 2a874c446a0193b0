"""Which stopping rule a search runs by: ours from its replayed history, or one of Ray's own."""

from collections.abc import Callable, Mapping
from typing import Any, assert_never

from ray.tune.schedulers import TrialScheduler

from search.execution.admission import Gate, Slots
from search.execution.ray_scheduler import RungScheduler
from search.execution.ray_schedulers import make_scheduler
from search.history.events import (
    Changed,
    Ended,
    Forked,
    Kept,
    OfSearch,
    Paused,
    Promoted,
    Proposed,
    Reported,
    Retried,
    Started,
)
from search.persistence.folder import Folder
from search.spec.plan import Plan, empty_rungs
from search.spec.search import Search
from search.spec.settling import by_trial
from search.stopping.bracket import Bracket, Report
from search.stopping.kind import Lengths
from search.stopping.rungs import further_scores


def _unbounded() -> int:
    """Trials at once, for rules that group all of them before the first one runs."""
    return 10**9


def choose(
    search: Search, plan: Plan, folder: Folder, workers: Callable[[], int], exhausted: Callable[[], bool]
) -> tuple[Gate, TrialScheduler]:
    """The scheduler, brought up to date, and the gate that goes with it."""
    stopping = search.settings.early_stopping
    bracket = make_bracket(search, plan, lambda number: folder.records.trials[number].proposed.values)
    if bracket is not None:
        _replay(bracket, folder)
        trials = folder.records.trials
        scheduler = RungScheduler(
            bracket, workers, exhausted, folder.ledger.emit, lambda number: trials[number].searched
        )
        return scheduler, scheduler
    unfinished = [trial.number for trial in folder.records.of_kind("search") if not trial.over]
    return Slots(_unbounded if stopping.groups_trials else workers, exhausted, unfinished), _rays(search)


def make_bracket(search: Search, plan: Plan, values: Callable[[int], Mapping[str, Any]]) -> Bracket | None:
    """The empty rungs of a search; None where one of Ray's own schedulers decides. `values`: of a trial."""
    settled = by_trial(search, plan.shared, values) if plan.unsettled and plan.unsettled[0] else None
    return empty_rungs(search, plan.rungs, search.further, settled)


def _rays(search: Search) -> TrialScheduler:
    changeable = {k.path: k.domain for k in search.space.knobs if k.path in search.model.changeable}
    mode, seed = search.model.objective.mode, search.settings.sampler.seed
    lengths = Lengths(search.length, search.every, search.model.unit)
    return make_scheduler(search.settings.early_stopping, lengths, mode, changeable, seed)


def _replay(bracket: Bracket, folder: Folder) -> None:
    """Bring the rungs to where the journal left them. Reports alone are enough but for promotions still in flight (the
    trials are then paused, and promotable as before); with what started them the state is the same to the last entry.
    """
    rule = bracket.rule
    kinds = {trial.number: trial.proposed.kind for trial in folder.records.trials.values()}
    for event in folder.replay(0):
        if isinstance(event, OfSearch) or kinds[event.trial] != "search":
            continue
        match event:
            case Proposed() | Promoted():
                bracket.start(event.trial)
            case Reported():
                more = further_scores(rule.further, event.metrics, event.outcome)
                score = rule.score(event.metrics["objective"])
                bracket.report(Report(event.trial, event.step, score, event.outcome, more))
            case Ended():
                if event.status == "failed":
                    bracket.leave(event.trial)
            case Started() | Paused() | Changed() | Retried() | Forked() | Kept():
                pass
            case _:
                assert_never(event)
