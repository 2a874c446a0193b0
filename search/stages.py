"""The two stages of a search, put together from their parts: searching, and confirming on fresh seeds."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import assert_never

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search import peers
from search.cluster import Cluster
from search.config import Asha, Hyperband, Median, NoStopping, Pbt, units
from search.confirm import confirmation
from search.engine import Gate, Halt, Slots, Stage, run_stage
from search.events import (
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
)
from search.folder import Folder
from search.plan import Plan
from search.records import Records, Trial
from search.resolve import Search
from search.rungs import Bracket, Gone, Record, Report, Rule, Start, replay
from search.scheduler import Decision, RungScheduler
from search.searcher import PastTrial, Proposer, Sampling, Scoring
from spaces.problems import BadInput
from trainables.tune import Job

UNBOUNDED = 10**9


@dataclass(frozen=True)
class Sitting:
    """One process at work on a search, from taking it up to leaving it."""

    search: Search
    plan: Plan
    folder: Folder
    cluster: Cluster
    halt: Halt

    def job(self, exchange: bool = False) -> Job:
        """What every trial needs to know."""
        search = self.search
        return Job(
            model=search.model.name,
            base=search.base,
            data=search.data_dump,
            every=search.every,
            horizon=search.horizon,
            folder=str(self.folder.path.resolve()),
            exchange=exchange,
        )

    def done(self) -> bool:
        """Whether the search's own trials are all over and none is left to propose."""
        trials = self.folder.records.of_kind("search")
        return len(trials) >= self.search.settings.budget.trials and all(trial.over for trial in trials)


def run_search(sitting: Sitting) -> None:
    """Propose, train and stop trials until the budget is spent, or until a halt."""
    search, records, ledger = sitting.search, sitting.folder.records, sitting.folder.ledger
    proposer = _proposer(sitting)
    ledger.listen(_Study(proposer, records))
    source = _Source(sitting, proposer)
    gate, scheduler, eager = _stopping(sitting, source.exhausted)
    run_stage(
        Stage(
            job=sitting.job(exchange=isinstance(search.settings.early_stopping, Pbt)),
            ledger=ledger,
            cluster=sitting.cluster,
            gate=gate,
            scheduler=scheduler,
            propose=source.propose,
            spent=_spent(search, records, sitting.cluster),
            halt=sitting.halt,
            max_failures=search.settings.max_failures,
            pending=max(sitting.cluster.workers, search.settings.budget.trials if eager else 0),
        )
    )


def run_confirmation(sitting: Sitting) -> None:
    """Train the best configs and the baseline in full on fresh seeds."""
    search, records, ledger = sitting.search, sitting.folder.records, sitting.folder.ledger
    settings = search.settings
    seeds = [settings.sampler.seed + 1 + i for i in range(settings.confirm.seeds)]
    for run in confirmation(records, search.model.objective, settings.confirm.top, seeds, time.time()):
        ledger.emit(run)
    unfinished = [trial.number for trial in records.of_kind("confirm") if not trial.over]
    if not unfinished:
        return
    run_stage(
        Stage(
            job=sitting.job(),
            ledger=ledger,
            cluster=sitting.cluster,
            gate=Slots(sitting.cluster.workers, lambda: True, unfinished),
            scheduler=FIFOScheduler(),
            propose=lambda: None,
            spent=lambda: None,
            halt=sitting.halt,
            max_failures=settings.max_failures,
            pending=sitting.cluster.workers,
        )
    )


def _proposer(sitting: Sitting) -> Proposer:
    search = sitting.search
    sampler, objective = search.settings.sampler, search.model.objective
    return Proposer(
        search.space,
        search.base,
        Sampling(sampler.kind, sampler.seed, sampler.points),
        Scoring(objective.mode, objective.worst),
        sitting.folder.path / "study.journal",
        search.name,
        [_past(trial) for trial in sitting.folder.records.of_kind("search")],
    )


def _past(trial: Trial) -> PastTrial:
    return PastTrial(
        number=trial.number,
        values=trial.values,
        status="running" if trial.status == "proposed" else trial.status,
        origin=trial.proposed.origin,
        reports=[(report.step, report.metrics["objective"]) for report in trial.reports],
        value=trial.objective,
        reason=trial.reason,
        began=trial.proposed.at,
        ended=trial.ended_at,
    )


class _Source:
    """New trials, as many as the budget has."""

    def __init__(self, sitting: Sitting, proposer: Proposer) -> None:
        self._sitting, self._proposer = sitting, proposer
        self._dry = False

    def exhausted(self) -> bool:
        """Whether no new trial will come."""
        asked = self._sitting.search.settings.budget.trials
        return self._dry or self._sitting.folder.records.proposed["search"] >= asked

    def propose(self) -> int | None:
        """A new trial's number, once its proposal is in the journal."""
        if self.exhausted():
            return None
        number = next(reversed(self._sitting.folder.records.trials), -1) + 1  # they are proposed in order
        values = self._proposer.propose(number)
        if values is None:
            self._dry = True
            return None
        seed = self._sitting.search.settings.sampler.seed
        origin = self._proposer.origin(number)
        self._sitting.folder.ledger.emit(Proposed(number, values, seed, "search", origin, time.time()))
        return number


class _Study:
    """Tells the proposer what becomes of its trials."""

    def __init__(self, proposer: Proposer, records: Records) -> None:
        self._proposer, self._records = proposer, records

    def __call__(self, event: Event) -> None:
        if isinstance(event, Phase) or self._records.trials[event.trial].proposed.kind != "search":
            return
        match event:
            case Reported():
                self._proposer.report(event.trial, event.step, event.metrics["objective"])
            case Paused():
                self._proposer.pause(event.trial)
            case Promoted():
                self._proposer.resume(event.trial)
            case Ended():
                value = self._records.trials[event.trial].objective
                self._proposer.tell(event.trial, event.status, value, event.reason)
            case Proposed() | Started() | Changed() | Retried():
                pass
            case _:
                assert_never(event)


def _stopping(sitting: Sitting, exhausted: Callable[[], bool]) -> tuple[Gate, TrialScheduler, bool]:
    """The scheduler, the gate that goes with it, and whether it needs all trials at once."""
    search, stopping = sitting.search, sitting.search.settings.early_stopping
    workers, objective = sitting.cluster.workers, search.model.objective
    if isinstance(stopping, Asha) and len(sitting.plan.rungs) > 1:
        rule = Rule(stopping.mode, sitting.plan.rungs, stopping.reduction, objective.mode, objective.worst)
        bracket = Bracket(rule, exempt=lambda number: number == 0)
        replay(bracket, _history(sitting.folder, rule))
        scheduler = RungScheduler(bracket, workers, exhausted, _Decisions(sitting))
        return scheduler, scheduler, False
    peer = _peer(search)
    unfinished = [trial.number for trial in sitting.folder.records.of_kind("search") if not trial.over]
    return Slots(UNBOUNDED if peer.eager else workers, exhausted, unfinished), peer.scheduler, peer.eager


def check_stopping(search: Search) -> None:
    """Raise BadInput for options that Ray's own scheduler can't work with."""
    _peer(search)


def _peer(search: Search) -> peers.Peer:
    changeable = {k.path: k.domain for k in search.space.knobs if k.path in search.model.changeable}
    mode, seed = search.model.objective.mode, search.settings.sampler.seed
    try:
        return peers.make_peer(_peer_options(search), mode, search.horizon, changeable, seed)
    except ValueError as error:
        raise BadInput.of("early_stopping", str(error)) from error


def _peer_options(search: Search) -> peers.PeerOptions:
    """The options of Ray's own scheduler that the search asks for, lengths resolved. Raises BadInput."""
    stopping, unit, where = search.settings.early_stopping, search.model.unit, "early_stopping"
    match stopping:
        case NoStopping() | Asha():  # ASHA comes here when no rung fits below the horizon
            return peers.NoStopping()
        case Hyperband():
            return peers.HyperBand(stopping.reduction)
        case Median():
            auto = stopping.grace == "auto"
            grace = max(1, search.horizon // 5) if auto else units(stopping.grace, unit, f"{where}.grace")
            return peers.Median(grace, stopping.min_trials)
        case Pbt():
            given = stopping.perturb_every
            tenth = max(search.every, search.horizon // 10 // search.every * search.every)
            interval = units(given, unit, f"{where}.perturb_every") if given is not None else tenth
            if interval % search.every:
                raise BadInput.of(
                    f"{where}.perturb_every", f"{interval} is no multiple of evaluate_every {search.every}"
                )
            return peers.Population(interval, stopping.quantile)
        case _:
            assert_never(stopping)


class _Decisions:
    """The scheduler's decisions as events."""

    def __init__(self, sitting: Sitting) -> None:
        self._ledger = sitting.folder.ledger

    def __call__(self, decision: Decision) -> None:
        match decision.kind:
            case "pause":
                self._ledger.emit(Paused(decision.trial, decision.step, time.time()))
            case "promote":
                self._ledger.emit(Promoted(decision.trial, decision.step, time.time()))
            case "stop" | "diverge" | "complete" | "abandon":
                pass  # the feed hears of every end, with its reason
            case _:
                assert_never(decision.kind)


def _history(folder: Folder, rule: Rule) -> Iterator[Record]:
    """What happened so far, as the stopping rule sees it."""
    kinds = {trial.number: trial.proposed.kind for trial in folder.records.trials.values()}
    for event in folder.history:
        if isinstance(event, Phase) or kinds[event.trial] != "search":
            continue
        match event:
            case Proposed() | Promoted():
                yield Start(event.trial)
            case Reported():
                yield Report(event.trial, event.step, rule.score(event.metrics["objective"]), event.outcome)
            case Ended():
                if event.status == "failed":
                    yield Gone(event.trial)
            case Started() | Paused() | Changed() | Retried():
                pass
            case _:
                assert_never(event)


def _spent(search: Search, records: Records, cluster: Cluster) -> Callable[[], str | None]:
    """Says which budget of the search is used up."""
    gpu_hours = search.settings.budget.gpu_hours

    def spent() -> str | None:
        if search.total_steps is not None and records.search_steps >= search.total_steps:
            return f"budget.total_steps {search.total_steps} is spent"
        if search.wall is not None and records.searching_for(time.time()) >= search.wall:
            return f"budget.wall {search.wall:g} s is spent"
        if gpu_hours is not None:
            used = sum(t.seconds for t in records.of_kind("search")) * cluster.gpu / 3600
            if used >= gpu_hours:
                return f"budget.gpu_hours {gpu_hours:g} is spent"
        return None

    return spent
