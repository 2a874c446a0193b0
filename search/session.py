"""One sitting at a search: open it, search, confirm, hand over; and the summary at the end."""

import json
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from rich.console import Console

from search import disk, export, summary, tracking
from search.clock import SetBack, now
from search.cluster import Cluster, connected, restart
from search.confirm import judge
from search.disk import Shelf
from search.events import Phase, WarmStarted
from search.folder import JOURNAL, Folder, opened
from search.gate import Halt
from search.plan import Plan
from search.progress import Outlook, view
from search.resolve import Search, objective_name
from search.sender import Sender
from search.stages import Sitting, run_confirmation, run_search
from search.stopping import check_stopping
from trainables.run import Prepared
from trainables.storage import when_there_is_room

__all__ = ["check_stopping", "run"]

TRACKING_SECONDS = 30.0  # how long the end of a search waits for the tracker
DONE, NO_TRIAL, INTERRUPTED = 0, 3, 130


def run(
    search: Search,
    plan: Plan,
    prepared: Prepared,
    path: Path,
    address: str | None,
    again: str,
    console: Console,
    warm: WarmStarted | None = None,
) -> int:
    """Run or go on with the search in the folder `path`; returns the exit code.

    `again` is the command that goes on after an interruption; `warm` is what a new search takes over from earlier ones.
    Raises BadInput before anything is written.
    """

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    with connected(address, search.settings.resources) as cluster, opened(path, search, plan, prepared, say) as folder:
        halt = Halt()
        if folder.history:
            say(summary.state(path, folder.records, plan.unit, search.settings.budget.trials))
        tracker = _tracker(search, prepared, folder, cluster, plan, say)
        folder.ledger.listen(tracker.handle)
        outlook = Outlook(folder.records, search.model.objective, plan.unit, plan.steps)
        shelf = Shelf(path, folder.records, search.model.objective.mode, search.disk, say)
        folder.ledger.listen(shelf)
        with _signals(halt, console), view(outlook, console) as shown:
            folder.ledger.listen(shown)
            try:
                if warm is not None and not folder.history:
                    folder.ledger.emit(warm)
                _sit(Sitting(search, plan, folder, cluster, halt, SetBack() if cluster.own else _never), say)
            except BaseException as error:
                at_once = isinstance(error, KeyboardInterrupt)
                tracker.finish(tracking.Verdict("interrupted" if at_once else "failed"), timeout=0.5 if at_once else 5)
                raise
        when_there_is_room(lambda: export.write_tables(path, folder.records, [k.path for k in search.space.knobs]), say)
        code = _hand_over(search, prepared, folder, tracker, halt, again, console, say)
        if shelf.held:
            say(f"{'on disk':<14}{disk.shown(shelf.held)} of checkpoints in {path / 'trials'}, to go on from")
        return code


def _never() -> None: ...


def _sit(sitting: Sitting, say: Callable[[str], None]) -> None:
    """Both stages; again from the journal with fresh processes where Ray's own have lost their sense of time."""
    _stages(sitting)
    while sitting.halt.kind == "clock":
        say(f"{sitting.halt.reason}: Ray's processes are started anew, trials go on from their checkpoints")
        restart()
        sitting.halt.clear()
        _stages(replace(sitting, set_back=SetBack(), name=uuid.uuid4().hex))


def _stages(sitting: Sitting) -> None:
    emit = sitting.folder.ledger.emit
    if not sitting.done():
        emit(Phase("search", now()))
        run_search(sitting)
    if not sitting.halt.resumable:
        emit(Phase("confirm", now()))
        sitting.halt.clear()  # a spent budget ends the search, not the confirmation
        run_confirmation(sitting)
    if not sitting.halt.resumable:
        emit(Phase("done", now()))


@contextmanager
def _signals(halt: Halt, console: Console) -> Iterator[None]:
    """First Ctrl-C: end the sitting in order. Second: at once. The journal makes both resumable."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if halt.kind == "signal":
            raise KeyboardInterrupt
        halt.call(signal.Signals(number).name, "signal")
        console.print("stopping: trials keep their last evaluation; again to stop at once", highlight=False)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tracker(
    search: Search, prepared: Prepared, folder: Folder, cluster: Cluster, plan: Plan, say: Callable[[str], None]
) -> Sender:
    settings = search.settings
    uri = tracking.resolve_uri(settings.tracking.uri, folder.path.parent)
    model, commit = search.model.name, export.git_commit() or "unknown"
    of_all = {
        "model": model,
        "objective": objective_name(search.model.objective),
        "git_commit": commit,
        "data_hash": prepared.digest,
    }
    info = tracking.TrackingInfo(
        uri=uri,
        experiment=settings.tracking.experiment or model,
        search=search.name,
        folder=folder.path,
        tags={**of_all, "search_hash": search.digest, "base": json.dumps(search.base, separators=(",", ":"))},
        params={
            "sampler": settings.sampler.kind,
            "early_stopping": settings.early_stopping.kind,
            "trials": settings.budget.trials,
            "steps": search.horizon,
            "seed": settings.sampler.seed,
            "workers": cluster.workers,
        },
        trial_tags=of_all,
        rungs=plan.rungs,
    )

    def warn(text: str) -> None:
        say(f"warning: {text}")

    tracker = Sender(info, folder.path / JOURNAL, len(folder.history), warn)
    trouble = tracker.start()
    if trouble:
        warn(trouble)
    return tracker


def _hand_over(
    search: Search,
    prepared: Prepared,
    folder: Folder,
    tracker: Sender,
    halt: Halt,
    again: str,
    console: Console,
    say: Callable[[str], None],
) -> int:
    path, records = folder.path, folder.records
    verdict = judge(records, search.model.objective)
    final = None if halt.resumable else verdict  # MLflow keeps every value that it was ever given
    if verdict is not None:
        when_there_is_room(lambda: export.write_best(path, search, prepared, verdict), say)
    shown = when_there_is_room(lambda: export.write_artifacts(path, records, final), say) if final is not None else None
    kept = [path / name for name in ("search.yaml", "plan.json", "trials.csv", "best.yaml") if (path / name).exists()]
    tracked = tracker.finish(
        tracking.Verdict(
            "interrupted" if halt.kind == "signal" else "done" if verdict is not None else "failed",
            note=summary.note(search, verdict),
            metrics=summary.measures(final),
            at=max((trial.ended_at for trial in records.trials.values() if trial.ended_at is not None), default=None),
            tags={"verdict": final.decision, "winner": final.winner.trial} if final else {},
            artifacts=[*kept, shown] if shown is not None else kept,
        ),
        TRACKING_SECONDS,
    )
    if tracked.message:
        say(tracked.message)
    if halt.kind == "signal":
        say(f"interrupted ({halt.reason}); so far: {path / 'trials.csv'}\ngo on with: {again}")
        return INTERRUPTED
    if halt.kind == "failures":
        say(f"stopped: {halt.reason}\nlogs: {path / 'trials'}; so far: {path / 'trials.csv'}")
        say(f"when the cause is mended, go on with: {again}")
        return NO_TRIAL
    if verdict is None:
        reasons = sorted({trial.reason for trial in records.of_kind("search") if trial.reason})
        say(f"no trial succeeded. {'; '.join(reasons[:3])}\nlogs: {path / 'trials'}")
        return NO_TRIAL
    for table in summary.tables(search, verdict):
        console.print(table)
    say(f"verdict: {summary.said(verdict)}")
    uri = tracking.resolve_uri(search.settings.tracking.uri, path.parent)
    for what, where in summary.pointers(path, tracking.ui_command(uri), shown):
        say(f"{what:<14}{where}")
    return DONE
