"""One sitting at a search: open it, search, confirm, hand over; and the summary at the end."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from search import export, summary, tracking
from search.cluster import Cluster, connected
from search.confirm import judge
from search.engine import Halt
from search.events import Phase
from search.folder import JOURNAL, Folder, opened
from search.plan import Plan
from search.progress import Outlook, view
from search.resolve import Search
from search.sender import Sender
from search.stages import Sitting, check_stopping, run_confirmation, run_search
from trainables.run import Prepared

__all__ = ["check_stopping", "run"]

TRACKING_SECONDS = 30.0  # how long the end of a search waits for the tracker
DONE, NO_TRIAL, INTERRUPTED = 0, 3, 130


def run(
    search: Search, plan: Plan, prepared: Prepared, path: Path, address: str | None, again: str, console: Console
) -> int:
    """Run or go on with the search in the folder `path`; returns the exit code.

    `again` is the command that goes on after an interruption. Raises BadInput before anything is written.
    """
    with connected(address, search.settings.resources) as cluster, opened(path, search, plan, prepared) as folder:
        halt = Halt()
        tracker = _tracker(search, prepared, folder, cluster, plan, console)
        folder.ledger.listen(tracker.handle)
        outlook = Outlook(folder.records, search.model.objective, plan.unit, plan.steps)
        with _signals(halt, console), view(outlook, console) as shown:
            folder.ledger.listen(shown)
            try:
                _stages(Sitting(search, plan, folder, cluster, halt))
            except BaseException as error:
                killed = isinstance(error, KeyboardInterrupt)
                tracker.finish(tracking.Verdict("interrupted" if killed else "failed"), timeout=5)
                raise
        return _hand_over(search, prepared, folder, tracker, halt, again, console)


def _stages(sitting: Sitting) -> None:
    emit = sitting.folder.ledger.emit
    if not sitting.done():
        emit(Phase("search", time.time()))
        run_search(sitting)
    if not sitting.halt.resumable:
        emit(Phase("confirm", time.time()))
        sitting.halt.reason = None  # a spent budget ends the search, not the confirmation
        run_confirmation(sitting)
    if not sitting.halt.resumable:
        emit(Phase("done", time.time()))


@contextmanager
def _signals(halt: Halt, console: Console) -> Iterator[None]:
    """First Ctrl-C: end the sitting in order. Second: at once. The journal makes both resumable."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if halt.resumable:
            raise KeyboardInterrupt
        halt.reason, halt.resumable = signal.Signals(number).name, True
        console.print("stopping: trials keep their last evaluation; again to stop at once", highlight=False)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tracker(
    search: Search, prepared: Prepared, folder: Folder, cluster: Cluster, plan: Plan, console: Console
) -> Sender:
    settings = search.settings
    uri = tracking.resolve_uri(settings.tracking.uri, folder.path.parent)
    model, commit = search.model.name, export.git_commit() or "unknown"
    info = tracking.TrackingInfo(
        uri=uri,
        experiment=settings.tracking.experiment or model,
        search=search.name,
        folder=folder.path,
        tags={"model": model, "search_hash": search.digest, "git_commit": commit, "data_hash": prepared.digest},
        params={
            "sampler": settings.sampler.kind,
            "early_stopping": settings.early_stopping.kind,
            "trials": settings.budget.trials,
            "steps": search.horizon,
            "seed": settings.sampler.seed,
            "workers": cluster.workers,
        },
        trial_tags={"model": model, "git_commit": commit, "data_hash": prepared.digest},
        rungs=plan.rungs,
    )

    def warn(text: str) -> None:
        console.print(f"warning: {text}", highlight=False, markup=False, soft_wrap=True)

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
) -> int:
    path, records = folder.path, folder.records
    export.write_tables(path, records, [knob.path for knob in search.space.knobs])
    verdict = judge(records, search.model.objective)
    if verdict is not None:
        export.write_best(path, search, prepared, verdict)
    kept = [path / name for name in ("search.yaml", "plan.json", "trials.csv", "best.yaml") if (path / name).exists()]
    tracked = tracker.finish(
        tracking.Verdict(
            "interrupted" if halt.resumable else "done" if verdict is not None else "failed",
            note=summary.note(search, verdict),
            metrics=summary.measures(verdict),
            tags={"verdict": verdict.decision, "winner": verdict.winner.trial} if verdict else {},
            artifacts=kept,
        ),
        TRACKING_SECONDS,
    )

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    if tracked.message:
        say(tracked.message)
    if halt.resumable:
        say(f"interrupted ({halt.reason}); so far: {path / 'trials.csv'}\ngo on with: {again}")
        return INTERRUPTED
    if verdict is None:
        reasons = sorted({trial.reason for trial in records.of_kind("search") if trial.reason})
        say(f"no trial succeeded. {'; '.join(reasons[:3])}\nlogs: {path / 'trials'}")
        return NO_TRIAL
    for table in summary.tables(search, verdict):
        console.print(table)
    say(f"verdict: {summary.said(verdict)}")
    uri = tracking.resolve_uri(search.settings.tracking.uri, path.parent)
    for what, where in summary.pointers(path, tracking.ui_command(uri)):
        say(f"{what:<14}{where}")
    return DONE
