"""Which stopping rule a search runs by: ours from its replayed history, or one of Ray's own."""

from collections.abc import Callable, Iterator
from typing import assert_never

from ray.tune.schedulers import TrialScheduler

from search.common.clock import now
from search.execution import ray_schedulers
from search.execution.admission import Gate, Slots
from search.execution.ray_scheduler import Decision, RungScheduler
from search.history.events import (
    Changed,
    Ended,
    OfSearch,
    Paused,
    Promoted,
    Proposed,
    Reported,
    Retried,
    Started,
)
from search.history.ledger import Ledger
from search.persistence.folder import Folder
from search.spec.config import Asha, Hyperband, Median, NoStopping, Pbt, units
from search.spec.resolve import Search
from search.stopping.asha import Bracket, Gone, Record, Report, Rule, Start, controlled, further_scores, replay
from spaces.problems import BadInput


def _unbounded() -> int:
    """Trials at once, for rules that group all of them before the first one runs."""
    return 10**9


def choose(
    search: Search, rungs: tuple[int, ...], folder: Folder, workers: Callable[[], int], exhausted: Callable[[], bool]
) -> tuple[Gate, TrialScheduler]:
    """The scheduler, brought up to date, and the gate that goes with it."""
    stopping, objective = search.settings.early_stopping, search.model.objective
    if isinstance(stopping, Asha) and len(rungs) > 1:
        rule = Rule(stopping.mode, rungs, stopping.reduction, objective.mode, objective.worst, search.further)
        seed, share = search.settings.sampler.seed, stopping.control
        bracket = Bracket(rule, exempt=lambda number: number == 0 or controlled(number, seed, share))
        replay(bracket, _history(folder, rule))
        scheduler = RungScheduler(bracket, workers, exhausted, _Decisions(folder.ledger))
        return scheduler, scheduler
    peer = _peer(search)
    unfinished = [trial.number for trial in folder.records.of_kind("search") if not trial.over]
    return Slots(_unbounded if peer.eager else workers, exhausted, unfinished), peer.scheduler


def check_stopping(search: Search) -> None:
    """Raise BadInput for options that Ray's own scheduler can't work with."""
    _peer(search)


def _peer(search: Search) -> ray_schedulers.Peer:
    changeable = {k.path: k.domain for k in search.space.knobs if k.path in search.model.changeable}
    mode, seed = search.model.objective.mode, search.settings.sampler.seed
    try:
        return ray_schedulers.make_peer(_peer_options(search), mode, search.horizon, changeable, seed)
    except ValueError as error:
        raise BadInput.of("early_stopping", str(error)) from error


def _peer_options(search: Search) -> ray_schedulers.PeerOptions:
    """The options of Ray's own scheduler that the search asks for, lengths resolved. Raises BadInput."""
    stopping, unit, where = search.settings.early_stopping, search.model.unit, "early_stopping"
    match stopping:
        case NoStopping() | Asha():  # ASHA comes here when no rung fits below the horizon
            return ray_schedulers.NoStopping()
        case Hyperband():
            return ray_schedulers.HyperBand(stopping.reduction)
        case Median():
            auto = stopping.grace == "auto"
            grace = max(1, search.horizon // 5) if auto else units(stopping.grace, unit, f"{where}.grace")
            return ray_schedulers.Median(grace, stopping.min_trials)
        case Pbt():
            given = stopping.perturb_every
            tenth = max(search.every, search.horizon // 10 // search.every * search.every)
            interval = units(given, unit, f"{where}.perturb_every") if given is not None else tenth
            if interval % search.every:
                raise BadInput.of(
                    f"{where}.perturb_every", f"{interval} is no multiple of evaluate_every {search.every}"
                )
            return ray_schedulers.Population(interval, stopping.quantile)
        case _:
            assert_never(stopping)


class _Decisions:
    """The scheduler's decisions as events."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __call__(self, decision: Decision) -> None:
        match decision.kind:
            case "pause":
                self._ledger.emit(Paused(decision.trial, decision.step, now()))
            case "promote":
                self._ledger.emit(Promoted(decision.trial, decision.step, now()))
            case "stop" | "diverge" | "complete" | "abandon":
                pass  # the feed hears of every end, with its reason
            case _:
                assert_never(decision.kind)


def _history(folder: Folder, rule: Rule) -> Iterator[Record]:
    """What happened so far, as the stopping rule sees it."""
    kinds = {trial.number: trial.proposed.kind for trial in folder.records.trials.values()}
    for event in folder.replay(0):
        if isinstance(event, OfSearch) or kinds[event.trial] != "search":
            continue
        match event:
            case Proposed() | Promoted():
                yield Start(event.trial)
            case Reported():
                more = further_scores(rule.further, event.metrics, event.outcome)
                yield Report(event.trial, event.step, rule.score(event.metrics["objective"]), event.outcome, more)
            case Ended():
                if event.status == "failed":
                    yield Gone(event.trial)
            case Started() | Paused() | Changed() | Retried():
                pass
            case _:
                assert_never(event)
