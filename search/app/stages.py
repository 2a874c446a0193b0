"""The two stages of a search, put together from their parts: searching, and confirming on fresh seeds."""

from collections.abc import Callable, Sequence
from typing import assert_never

from search.app import start
from search.app.context import RunContext
from search.app.fresh_seeds import Ahead, FreshSeeds
from search.common.clock import now
from search.execution.admission import Slots
from search.execution.choose_stopping import choose
from search.execution.cluster import Cluster
from search.execution.engine import Stage, run_stage
from search.execution.failures import FailurePolicy
from search.execution.ray_schedulers import KeepsWorkers, MakesRoom
from search.execution.sharing import lending_of
from search.history.events import (
    Changed,
    Ended,
    Event,
    Forked,
    Kept,
    Listener,
    OfSearch,
    Paused,
    Phase,
    Promoted,
    Proposed,
    Reported,
    Retried,
    Started,
    Status,
)
from search.history.records import Records, Trial
from search.results.ablation import Setting
from search.results.confirm import due, first_seed, fresh_seeds, needless
from search.results.explain import explaining
from search.sampling.proposer import Proposer
from search.sampling.trial_history import PastTrial, Problem, Sampling, Scoring
from search.spec.search import Search
from search.stopping.rungs import further_scores
from search.warm_start import warm

TURNS = 8
"""Into how many parts the last trainings may be cut at most, for all workers to be busy until the end."""


def run_search(context: RunContext) -> None:
    """Propose, train and stop trials until the budget is spent, or until a halt."""
    search, records, ledger = context.search, context.folder.records, context.folder.ledger
    fill = Ahead(context)
    begin = start.ready(context, [search.settings.sampler.seed, *fill.seeds])
    if context.halt.reason is not None:
        return
    ledger.emit(Phase("search", now()))
    proposer = _proposer(context)
    failure_policy = FailurePolicy(search.settings.stop_after_failures, records)
    lending = lending_of(search, context.plan.shared, context.folder, context.data, begin)
    source = _Source(context, proposer)
    gate, scheduler = choose(search, context.plan, context.folder, context.cluster.room, source.exhausted)
    stage = Stage(
        job=context.job(
            exchange=search.settings.early_stopping.moves_knobs,
            shown=first_seed(search.settings),
            start=begin,
            pausing=True,
        ),
        ledger=ledger,
        cluster=context.cluster,
        gate=gate,
        scheduler=scheduler,
        propose=source.propose,
        checks={
            "folder": context.trouble,
            "budget": _spent(search, records, context.cluster),
            "failures": failure_policy.cause,
            "clock": context.set_back,
        },
        halt=context.halt,
        max_failures=search.settings.max_failures,
        lending=lending,
        fill=fill,
    )
    listeners: list[Listener] = [_Study(proposer, records, search), failure_policy]
    listeners += [lending] if lending is not None else []
    with ledger.listening(*listeners):
        run_stage(stage)


def end_needless(context: RunContext) -> None:
    """End what was begun ahead for a confirmation that does not need it any more."""
    search, ledger = context.search, context.folder.ledger
    for run in needless(ledger.records, search.model.objective, search.settings.confirm, search.further):
        ledger.emit(Ended(run.number, "stopped", "other configs came before its own", now()))


def run_confirmation(context: RunContext) -> None:
    """Train the best configs and the baseline in full on fresh seeds; then the winner with a part of its changes."""
    search, records, cluster = context.search, context.folder.records, context.cluster
    model, confirm, seed = search.model, search.settings.confirm, first_seed(search.settings)

    def confirming() -> list[Proposed]:
        return due(records, model.objective, confirm, seed, now(), search.further, cluster.workers)

    _train(context, FreshSeeds(context, "confirm", confirming))
    if confirm.explain and context.halt.reason is None:
        setting = Setting(search.space, search.base, model, search.horizon, context.plan.rungs)
        _train(context, FreshSeeds(context, "explain", lambda: explaining(records, setting, confirm.most, now())))


def _train(context: RunContext, source: FreshSeeds) -> None:
    """Train what comes due until nothing does, or until a halt."""
    settings, point = context.search.settings, context.search.start
    while unfinished := source.unfinished():
        seeds = {trial.proposed.seed for trial in unfinished}
        by_seed = point is not None and point.trained
        if not by_seed:  # else what leads to the start is trained for the seeds that are needed
            seeds |= {*fresh_seeds(settings)}
        begin = start.ready(context, sorted(seeds))
        if context.halt.reason is not None:
            return
        of_kind = context.folder.records.of_kind(source.kind)
        follow = settings.confirm.seeds == "auto"  # trials from the results of others
        gate = _slots(context, (lambda: True) if by_seed else source.exhausted, unfinished)
        run_stage(
            Stage(
                job=context.job(shown=min(trial.proposed.seed for trial in of_kind), start=begin),
                ledger=context.folder.ledger,
                cluster=context.cluster,
                gate=gate,
                scheduler=KeepsWorkers(gate.workers) if follow else MakesRoom(gate.makes_room),
                propose=(lambda: None) if by_seed else source.propose,
                checks={"folder": context.trouble, "clock": context.set_back},
                halt=context.halt,
                max_failures=settings.max_failures,
            )
        )
        if context.halt.reason is not None:
            return


def _slots(context: RunContext, exhausted: Callable[[], bool], unfinished: Sequence[Trial]) -> Slots:
    """The gate of runs on fresh seeds. Those that follow from others' results come in their order, each in one go; of
    others the one with most left comes first, and the last ones take turns."""
    search, trials = context.search, context.folder.records.trials
    gate = Slots(context.cluster.room, exhausted, [trial.number for trial in unfinished])
    if search.goes_on and search.settings.confirm.seeds != "auto":
        gate.left = lambda number: search.horizon - max(trials[number].step, search.begins)
        gate.turn = max(search.every, search.length // TURNS)
    return gate


def _proposer(context: RunContext) -> Proposer:
    search, records = context.search, context.folder.records
    sampler, objective = search.settings.sampler, search.model.objective
    return Proposer(
        Problem(search.name, search.space, search.base, search.horizon, context.plan.rungs, objective.metric),
        Sampling(sampler.kind, sampler.seed, sampler.points),
        Scoring(objective.mode, objective.worst, 1 + len(search.further)),
        context.folder.path / "study.journal",
        [*warm.past(records.warm), *(_past(trial, search) for trial in records.of_kind("search"))],
        warm.queue(records.warm),
    )


def _is_copy(trial: Trial, search: Search) -> bool:
    """Whether it is another trial's training from beginning to end, from which there is nothing to learn."""
    return trial.forked is not None and trial.forked.step >= search.horizon


def _past(trial: Trial, search: Search) -> PastTrial:
    status: Status = "running" if trial.status == "proposed" else trial.status
    copy = _is_copy(trial, search)
    reports = [] if copy else trial.reports
    return PastTrial(
        number=trial.number,
        values=trial.values,
        status="failed" if copy and trial.over else status,
        origin=trial.proposed.origin,
        reports=[(report.step, report.metrics["objective"]) for report in reports],
        more=[further_scores(search.further, report.metrics, report.outcome) for report in reports],
        value=trial.objective,
        reason=trial.reason,
        began=trial.proposed.at,
        ended=trial.ended_at,
    )


class _Source:
    """New trials, as many as the budget has."""

    def __init__(self, context: RunContext, proposer: Proposer) -> None:
        self._context, self._proposer = context, proposer
        self._dry = False

    def exhausted(self) -> bool:
        """Whether no new trial will come."""
        asked = self._context.search.settings.budget.trials
        return self._dry or (asked is not None and self._context.folder.records.proposed["search"] >= asked)

    def propose(self) -> int | None:
        """A new trial's number, once its proposal is in the journal."""
        if self.exhausted():
            return None
        number = next(reversed(self._context.folder.records.trials), -1) + 1  # they are proposed in order
        values = self._proposer.propose(number)
        if values is None:
            self._dry = True
            return None
        seed = self._context.search.settings.sampler.seed
        origin = self._proposer.origin(number)
        self._context.folder.ledger.emit(Proposed(number, values, seed, "search", origin, now()))
        return number


class _Study:
    """Tells the proposer what becomes of its trials."""

    def __init__(self, proposer: Proposer, records: Records, search: Search) -> None:
        self._proposer, self._records, self._search = proposer, records, search

    def __call__(self, event: Event) -> None:
        if isinstance(event, OfSearch) or not self._records.trials[event.trial].searched:
            return
        trial = self._records.trials[event.trial]
        copy = _is_copy(trial, self._search)
        match event:
            case Reported() if not copy:
                more = further_scores(self._search.further, event.metrics, event.outcome)
                self._proposer.report(event.trial, event.step, event.metrics["objective"], more)
            case Paused():
                self._proposer.pause(event.trial)
            case Promoted():
                self._proposer.resume(event.trial)
            case Ended():
                # A sampler passes over what has failed.
                self._proposer.tell(event.trial, "failed" if copy else event.status, trial.objective, event.reason)
            case Reported() | Proposed() | Started() | Changed() | Retried() | Forked() | Kept():
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
