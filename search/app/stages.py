"""The two stages of a search, put together from their parts: searching, and confirming on fresh seeds."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from ray.tune.schedulers import FIFOScheduler

from search.common.clock import now
from search.execution.admission import Halt, Slots
from search.execution.choose_stopping import choose
from search.execution.cluster import Cluster
from search.execution.engine import Stage, run_stage
from search.execution.failures import Strikes
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
    WarmStarted,
)
from search.history.records import Records, Trial
from search.persistence.folder import Folder
from search.results.confirm import confirmation
from search.sampling.proposer import Proposer
from search.sampling.trial_history import PastTrial, Sampling, Scoring
from search.spec.config import Pbt
from search.spec.plan import Plan
from search.spec.resolve import Search
from search.stopping.asha import Goal, further_scores
from search.warm_start import warm
from trainables.tune import Job


@dataclass(frozen=True)
class Sitting:
    """One process at work on a search, from taking it up to leaving it."""

    search: Search
    plan: Plan
    folder: Folder
    cluster: Cluster
    halt: Halt
    set_back: Callable[[], str | None]
    """Says by how much the system's clock was set back, if it was and Ray suffers from it."""
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells this sitting's workers from those of others."""

    def job(self, exchange: bool = False, shown: int | None = None) -> Job:
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
            shown=shown,
            storage=None if self.folder.store is None else self.folder.store.uri,
            owner=self.folder.owner if self.folder.store is None else "",
            sitting=self.name,
            timeout=search.trial_timeout,
            memory=search.memory,
            gpu=self.cluster.gpu,
            gpu_memory=search.gpu_memory,
            further=tuple(goal.metric for goal in search.further),
        )

    def done(self) -> bool:
        """Whether the search's own trials are all over and none is left to propose."""
        records, asked, total = self.folder.records, self.search.settings.budget.trials, self.search.total_steps
        trials = records.of_kind("search")
        enough = len(trials) >= asked if asked is not None else total is not None and records.search_steps >= total
        return enough and all(trial.over for trial in trials)


def run_search(sitting: Sitting) -> None:
    """Propose, train and stop trials until the budget is spent, or until a halt."""
    search, records, ledger = sitting.search, sitting.folder.records, sitting.folder.ledger
    proposer = _proposer(sitting)
    strikes = Strikes(search.settings.stop_after_failures)
    source = _Source(sitting, proposer)
    gate, scheduler = choose(search, sitting.plan.rungs, sitting.folder, sitting.cluster.room, source.exhausted)
    stage = Stage(
        job=sitting.job(exchange=isinstance(search.settings.early_stopping, Pbt)),
        ledger=ledger,
        cluster=sitting.cluster,
        gate=gate,
        scheduler=scheduler,
        propose=source.propose,
        checks={
            "budget": _spent(search, records, sitting.cluster),
            "failures": strikes.cause,
            "clock": sitting.set_back,
        },
        halt=sitting.halt,
        max_failures=search.settings.max_failures,
    )
    with ledger.listening(_Study(proposer, records, search.further), strikes):
        run_stage(stage)


def run_confirmation(sitting: Sitting) -> None:
    """Train the best configs and the baseline in full on fresh seeds."""
    search, records, ledger = sitting.search, sitting.folder.records, sitting.folder.ledger
    settings = search.settings
    seeds = [settings.sampler.seed + 1 + i for i in range(settings.confirm.seeds)]
    for run in confirmation(records, search.model.objective, settings.confirm.top, seeds, now(), search.further):
        ledger.emit(run)
    unfinished = [trial.number for trial in records.of_kind("confirm") if not trial.over]
    if not unfinished:
        return
    run_stage(
        Stage(
            job=sitting.job(shown=next(iter(seeds), None)),  # the seed of best.yaml
            ledger=ledger,
            cluster=sitting.cluster,
            gate=Slots(sitting.cluster.room, lambda: True, unfinished),
            scheduler=FIFOScheduler(),
            propose=lambda: None,
            checks={"clock": sitting.set_back},
            halt=sitting.halt,
            max_failures=settings.max_failures,
        )
    )


def _proposer(sitting: Sitting) -> Proposer:
    search, records = sitting.search, sitting.folder.records
    sampler, objective = search.settings.sampler, search.model.objective
    return Proposer(
        search.space,
        search.base,
        Sampling(sampler.kind, sampler.seed, sampler.points),
        Scoring(objective.mode, objective.worst, 1 + len(search.further)),
        sitting.folder.path / "study.journal",
        search.name,
        [*warm.past(records.warm), *(_past(trial, search.further) for trial in records.of_kind("search"))],
        warm.queue(records.warm),
        horizon=search.horizon,
        rungs=sitting.plan.rungs,
    )


def _past(trial: Trial, further: Sequence[Goal]) -> PastTrial:
    return PastTrial(
        number=trial.number,
        values=trial.values,
        status="running" if trial.status == "proposed" else trial.status,
        origin=trial.proposed.origin,
        reports=[(report.step, report.metrics["objective"]) for report in trial.reports],
        more=[further_scores(further, report.metrics, report.outcome) for report in trial.reports],
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
        return self._dry or (asked is not None and self._sitting.folder.records.proposed["search"] >= asked)

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
        self._sitting.folder.ledger.emit(Proposed(number, values, seed, "search", origin, now()))
        return number


class _Study:
    """Tells the proposer what becomes of its trials."""

    def __init__(self, proposer: Proposer, records: Records, further: Sequence[Goal]) -> None:
        self._proposer, self._records, self._further = proposer, records, further

    def __call__(self, event: Event) -> None:
        if isinstance(event, Phase | WarmStarted) or self._records.trials[event.trial].proposed.kind != "search":
            return
        match event:
            case Reported():
                more = further_scores(self._further, event.metrics, event.outcome)
                self._proposer.report(event.trial, event.step, event.metrics["objective"], more)
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


def _spent(search: Search, records: Records, cluster: Cluster) -> Callable[[], str | None]:
    """Says which budget of the search is used up."""
    gpu_hours = search.settings.budget.gpu_hours

    def spent() -> str | None:
        if search.total_steps is not None and records.search_steps >= search.total_steps:
            return f"budget.total_steps {search.total_steps} is spent"
        if search.wall is not None and records.searching_for(now()) >= search.wall:
            return f"budget.wall {search.wall:g} s is spent"
        if gpu_hours is not None:
            used = records.search_worked * cluster.gpu / 3600
            if used >= gpu_hours:
                return f"budget.gpu_hours {gpu_hours:g} is spent"
        return None

    return spent
