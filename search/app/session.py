"""One sitting at a search: open it, search, confirm, hand over."""

import json
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from search.app import relaunch
from search.app.context import RunContext
from search.app.endings import Loss, interruption
from search.app.finalize import hand_over
from search.app.invocation import Invocation
from search.app.progress import view
from search.app.run_metadata import introduce
from search.app.stages import end_needless, run_confirmation, run_search
from search.common.clock import SetBack, now
from search.common.exit_codes import Exit
from search.execution.admission import Halt
from search.execution.cluster import Cluster, connected
from search.execution.node_checks import check_nodes
from search.history.events import Phase, Stopped
from search.persistence import checkpoint_retention
from search.persistence.checkpoint_retention import CheckpointRetention
from search.persistence.disk_full import DiskFull
from search.persistence.folder import JOURNAL, Folder, check_same, finished, opened
from search.persistence.local_copy import remember_runs
from search.persistence.object_store_journal import upload
from search.report.progress import ProgressEstimate
from search.results import summary, tables, winner
from search.results.confirm import first_seed
from search.spec.search import Search
from search.tracking.sender import Sender
from search.tracking.types import SearchStatus
from spaces.problems import cause
from trainables import storage
from trainables.files import write_text
from trainables.layout import AGAIN
from trainables.own.model import OwnModel
from trainables.start import given_state
from trainables.storage import when_there_is_room


def run(asked: Invocation) -> int:
    """Run or go on with a search; returns the exit code. Raises BadInput before anything is written."""
    search, path, say, mirror = asked.search, asked.path, asked.say, asked.mirror
    halt, left = Halt(), relaunch.taken()
    with interruption(halt, say) as arrived, ExitStack() as stack:
        loss = Loss(halt, left, arrived, path, asked.again, say)
        cluster, done = None, False
        if left.signal:
            halt.call(left.signal, "signal")  # the process before was to end, and could not: what is left is to do so
        else:
            check_same(path, search, asked.prepared.digest)
            done = finished(path, search, asked.prepared.digest)
            if mirror is not None or not done:
                cluster = stack.enter_context(connected(asked.address, search.settings.resources, say, loss))
                check_nodes(path, None if mirror is None else mirror.store, say)
        folder = stack.enter_context(opened(path, search, asked.plan, asked.prepared, say, mirror))
        here = _started_in(path, search, say)
        write_text(path / AGAIN, json.dumps({"cwd": str(Path.cwd()), "command": asked.again, "here": here}))
        workers = cluster.workers if cluster is not None else left.workers or asked.plan.workers
        loss.follow(folder, workers, own=cluster is None or cluster.own)
        if folder.history:
            say(summary.state(path, folder.records, asked.plan.unit, search.settings.budget.trials, done))
        return _run(replace(asked, here=here), folder, cluster, workers, halt)


def _started_in(path: Path, search: Search, say: Callable[[str], None]) -> str:
    """The folder in which trials run: where the search was started first, if that is there. Code of the user's own may
    read what lies there by a relative path."""
    here, model = str(Path.cwd()), search.model
    if search.trainable is None or (isinstance(model, OwnModel) and model.declared.command is not None):
        return here  # a command runs in the folder of its code
    try:
        known = json.loads((path / AGAIN).read_text(encoding="utf-8"))["here"]
    except (OSError, ValueError, KeyError, TypeError):
        return here
    if known == here:
        return here
    if Path(known).is_dir():
        say(f"trials run in {known}, where the search was started")
        return str(known)
    say(
        f"warning: {known}, where the search was started, is not here: trials run in {here}, where relative paths start"
    )
    return here


def _run(asked: Invocation, folder: Folder, cluster: Cluster | None, workers: int, halt: Halt) -> int:
    search, plan, say = asked.search, asked.plan, asked.say
    path, store = folder.path, folder.store
    tracker = _tracker(asked, folder, workers, start=cluster is not None or halt.reason is None)
    outlook = ProgressEstimate(folder.records, search.model.objective, plan.unit, plan.steps, plan.trials)
    mode = search.model.objective.mode
    first = first_seed(search.settings) if search.settings.confirm.seeds else None  # of the runs that best.yaml names
    retention = CheckpointRetention(path, folder.records, mode, search.disk, say, first, store)
    folder.ledger.listen(retention)
    with view(outlook, asked.console, asked.detail) as shown:
        folder.ledger.listen(shown)
        try:
            _sit(asked, folder, cluster, halt)
        except BaseException as error:
            at_once = isinstance(error, KeyboardInterrupt)
            gone = folder.trouble()
            if gone is not None and isinstance(error, Exception):  # which is why
                return _without_folder(asked, folder, gone, tracker)
            with suppress(OSError):  # the journal itself may be what failed
                folder.ledger.emit(Stopped("signal" if at_once else "error", cause(error), now()))
            tracker.finish(SearchStatus("interrupted" if at_once else "failed"), timeout=0.5 if at_once else 5)
            raise
    if halt.kind == "folder":
        return _without_folder(asked, folder, halt.reason or "", tracker)
    when_there_is_room(lambda: tables.write_tables(path, folder.records, [k.path for k in search.space.knobs]), say)
    if store is not None and not halt.resumable:
        winner.bring(store, _handed_over(folder, search), path)
        if search.start is not None and not search.start.trained:
            storage.download(store, str(Path(given_state(search.begins)).parent), path)
    for line in () if halt.resumable else summary.remarks(search, folder.records):
        say(line)
    code = hand_over(asked, folder, tracker, halt)
    if not halt.resumable:
        retention.handed_over(_handed_over(folder, search))
    if retention.held:
        place = path / "trials" if store is None else store / "trials"
        size = checkpoint_retention.shown(retention.held)
        say(f"{'on disk':<14}{size} of checkpoints in {place}, of {retention.whose}; other trials have none any more")
    if store is not None:
        upload(store, path)
        say(f"{'kept in':<14}{store}")
    return code


def _handed_over(folder: Folder, search: Search) -> int | None:
    return winner.number_of(folder.records, search.model.objective, search.settings.confirm)


def _without_folder(asked: Invocation, folder: Folder, gone: str, tracker: Sender) -> int:
    """Nothing can be kept any more: say so, and how to go on; the exit code."""
    told = folder.mend()
    with suppress(OSError):  # it counts what is in the journal
        tracker.finish(SearchStatus("interrupted"), timeout=5)
    asked.say(f"{gone}: {told}; go on with: {asked.again}")
    return Exit.TRY_AGAIN


def _sit(asked: Invocation, folder: Folder, cluster: Cluster | None, halt: Halt) -> None:
    """Both stages; again from the journal with fresh processes where Ray's own have lost their sense of time. Without a
    cluster nothing is left to train."""
    if asked.warm is not None and not folder.history:
        folder.ledger.emit(asked.warm)
    if cluster is None:
        if halt.reason is not None:
            folder.ledger.emit(Stopped("signal", halt.reason, now()))
        return
    set_back = SetBack() if cluster.own else lambda: None
    full = DiskFull(folder.path, asked.say)
    context = RunContext(
        asked.search, asked.plan, folder, cluster, halt, set_back, full, asked.prepared.digest, asked.here
    )
    _stages(context)
    while context.halt.kind == "clock":
        asked.say(f"{context.halt.reason}: Ray's processes are started anew, trials go on from their checkpoints")
        context.cluster.restart()
        context.halt.clear()
        _stages(replace(context, set_back=SetBack(), name=uuid.uuid4().hex))


def _stages(context: RunContext) -> None:
    emit, halt = context.folder.ledger.emit, context.halt
    if not context.done():
        run_search(context)
    if not halt.resumable:
        end_needless(context)
        emit(Phase("confirm", now(), halt.reason or ""))
        halt.clear()  # a spent budget ends the search, not the confirmation
        run_confirmation(context)
    emit(Stopped(halt.kind, halt.reason or "", now()) if halt.kind != "budget" else Phase("done", now()))


def _tracker(asked: Invocation, folder: Folder, workers: int, start: bool) -> Sender:
    """`start`: not where all that is left is to end at once; a resumed search sends it."""
    info = introduce(asked.search, asked.prepared, folder, asked.plan, workers)
    if asked.mirror is not None:
        remember_runs(asked.mirror, folder.records.trials, info)

    def warn(text: str) -> None:
        asked.say(f"warning: {text}")

    tracker = Sender(info, folder.path / JOURNAL, len(folder.history), warn)
    trouble = tracker.start() if start else None
    if trouble:
        warn(trouble)
    return tracker
