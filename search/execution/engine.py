"""Trials on Ray: what to run next, what came of it. The only place where Ray's loop and our events meet.

Ray hears about a trial when it is to run (`TrialFeed.suggest`) and tells us every result (`ResultListener`, asked first
of all on each one, so that the journal has a report before anything is decided about it). Ray's own snapshots are not
used: a search is taken up again from its journal, and each trial finds its own checkpoint.
"""

import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig, Stopper, TuneConfig, Tuner
from ray.tune.schedulers import TrialScheduler

from search.common.clock import now
from search.execution.admission import Gate, Halt, Kind
from search.execution.cluster import Cluster
from search.execution.failures import LOSSES, failure_of, seen_before
from search.execution.node_checks import RAY, notes_place
from search.execution.ray_scheduler import Unpickled
from search.execution.trial_feed import TrialFeed
from search.history.events import Changed, Ended, Forked, Kept, Reported, Retried, Started
from search.history.ledger import Ledger
from search.history.records import Trial
from search.prefixes.lending import Lending
from trainables import checkpoints, fingerprint
from trainables.guard import end_all
from trainables.job import Job
from trainables.layout import HALT, checkpoint_folder
from trainables.objects import Prefix
from trainables.prefix import GONE, KEPT, REPLAYED
from trainables.run import (
    GPU,
    MACHINE,
    METRICS,
    NODE,
    OBJECTIVE,
    SECONDS,
    STEP,
    USAGE,
    WARNING,
    outcome_of,
)
from trainables.tune import Bridge

FAREWELL_SECONDS = 2.0
PENDING = 10**6
"""Trials that Ray may hold ready beside the running ones. Read once by Ray, while a cluster may grow at any time: so
it is never what decides, the gate is."""


class ResultListener(Unpickled, Stopper, Callback):  # type: ignore[misc]
    """Hears every result and failure; ends the experiment when it should end."""

    def __init__(self, stage: "Stage", numbers: Mapping[str, int]) -> None:
        self._stage, self._numbers = stage, numbers
        self._ledger, self._halt = stage.ledger, stage.halt
        self._took_up: set[str] = set()
        self._awaited: set[str] = set()  # trials whose next evaluation is still to be saved before the search ends
        self._until: float | None = None
        self._warned: set[str] = set()
        self._mixed = False

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Keep the report. Ray asks this first of all; the answer is always to let the scheduler decide."""
        trial = self._ledger.records.trials[self._numbers[trial_id]]
        at = now()
        self._awaited.discard(trial_id)
        if trial_id not in self._took_up:
            self._took_up.add(trial_id)
            self._warn(result.get(WARNING))
            host = str(result.get("hostname", socket.gethostname()))
            began = at - (float(result[SECONDS]) if result[STEP] > trial.step else 0.0)  # else it was trained before
            gpu, node = str(result.get(GPU, "")), str(result.get(NODE, ""))
            machine = result.get(MACHINE, {})
            self._compare(trial.number, machine)
            self._ledger.emit(Started(trial.number, host, int(result["pid"]), gpu, began, node, machine))
        self._shared(trial, result)
        if result[STEP] > trial.step:  # a retried trial repeats its last report, in case that it was lost
            metrics = {**result[METRICS], OBJECTIVE: float(result[OBJECTIVE])}
            step, seconds, usage = int(result[STEP]), float(result[SECONDS]), dict(result.get(USAGE, ()))
            self._ledger.emit(Reported(trial.number, step, metrics, seconds, at, outcome_of(result), usage))
        return False

    def _shared(self, trial: Trial, result: Mapping[str, Any]) -> None:
        """Keep what a worker says of shared prefixes: whose report this is, what is kept, what was not found."""
        copied = result.get(REPLAYED)
        if copied is not None and (trial.forked is None or trial.forked.step < copied["step"]):
            self._ledger.emit(Forked(trial.number, int(copied["trial"]), int(copied["step"]), now()))
        elif copied is None and trial.forked is not None and trial.step < trial.forked.step:
            self._ledger.emit(replace(trial.forked, step=trial.step, at=now()))  # it trains the rest itself
        lending = self._stage.lending if KEPT in result or GONE in result else None
        if lending is None:
            return
        for kept in result.get(KEPT, ()):
            if kept["key"] not in lending.kept:  # a report may come twice; what was deleted may be kept again
                self._ledger.emit(Kept(trial=trial.number, at=now(), **kept))
        if GONE in result:
            lending.gone(**result[GONE])

    def _compare(self, number: int, machine: Mapping[str, Any]) -> None:
        """Say once where a trial is trained on another machine type than the one before."""
        before = self._ledger.records.machine
        if before and machine and (other := fingerprint.differences(before, machine)) and not self._mixed:
            self._mixed = True
            what = f"trial {number} trains on another machine type than the one before it ({other}): its numbers may"
            seen = f"differ in the last digits ({fingerprint.SEEN} of the value was seen); those of one type are equal"
            self._stage.cluster.say(f"warning: {what} {seen}")

    def _warn(self, text: str | None) -> None:
        """Pass on what a worker has to say, once."""
        if text is not None and text not in self._warned:
            self._warned.add(text)
            self._stage.cluster.say(f"warning: {text}")

    def stop_all(self) -> bool:
        """Whether the experiment ends now, whatever still runs. Asked on every turn of Ray's loop."""
        self._stage.cluster.room.tend(self._stage.gate.has_pending_work)
        for kind, check in self._stage.checks.items():
            if self._halt.reason is None and (reason := check()):
                self._halt.call(reason, kind)
        if self._halt.reason is None:
            return False
        if self._halt.resumable:
            if self._halt.kind != "folder" and not self._saved():
                return False
            end_all(Path(self._stage.job.folder) / "trials")  # Ray would wait for each one's evaluation, up to 10 s
        return True

    def _saved(self) -> bool:
        """Whether every running trial has saved an evaluation since the halt was called. Not waited for long: only
        trials with quick evaluations leave some unsaved (`Job.saving`).
        """
        if self._until is None:
            self._until = now() + FAREWELL_SECONDS
            (Path(self._stage.job.folder) / HALT).touch()
            trials = self._ledger.records.trials
            self._awaited = {t for t in self._took_up if trials[self._numbers[t]].status == "running"}
        return not self._awaited or now() > self._until

    def on_trial_start(self, iteration: int, trials: Sequence[Any], trial: Any) -> None:  # noqa: ARG002
        """A worker takes the trial up: its next result says which one."""
        self._took_up.discard(trial.trial_id)
        known = self._ledger.records.trials[trial.config["trial"]]
        if trial.config["values"] != known.values:
            self._ledger.emit(Changed(known.number, trial.config["values"], now()))

    def on_trial_complete(self, iteration: int, trials: Sequence[Any], trial: Any) -> None:  # noqa: ARG002
        """The trial is over for Ray: if it is to train on, then as another one of Ray's."""
        self._took_up.discard(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: Sequence[Any], trial: Any) -> None:  # noqa: ARG002
        """The trial failed: Ray, which could only try it again blindly, gives it up; we may hand it in once more."""
        number = int(trial.config["trial"])
        known = self._ledger.records.trials[number]
        self._took_up.discard(trial.trial_id)
        if self._halt.reason is None and (gone := self._stage.checks["folder"]()):
            self._halt.call(gone, "folder")  # no trial's own failure
        if self._halt.reason is not None:
            return  # it was stopped in the middle of things; it goes on in the next sitting
        failure = failure_of(Path(self._stage.job.folder), number, _error_text(trial))
        if failure.astray:  # every trial that comes there would fail: none is given up for it
            self._halt.call(failure.reason, "failures")
            return
        free = failure.free and known.losses < LOSSES
        hopeless = failure.hopeless or (failure.raised and seen_before(known, failure, self._ledger.records))
        again = free or (not hopeless and known.failures < self._stage.max_failures)
        if again:
            self._ledger.emit(Retried(number, failure.reason, now(), failure.detail, free, self._kept(number)))
        else:
            self._ledger.emit(Ended(number, "failed", failure.reason, now(), failure.detail))
        self._stage.gate.lost(number, again)

    def _kept(self, number: int) -> int:
        """The step of the trial's newest checkpoint; 0 where there is none."""
        place = checkpoint_folder(self._stage.job.folder, number, self._stage.store)
        return next(iter(checkpoints.steps(place)), 0)


def _error_text(trial: Any) -> str:
    """What Ray kept of a trial's error."""
    path = trial.error_file
    return Path(path).read_text(encoding="utf-8", errors="replace") if path and Path(path).exists() else ""


@dataclass(frozen=True)
class Stage:
    """Trials to run on Ray in one go: the search's own, or the confirmation runs."""

    job: Job
    ledger: Ledger
    cluster: Cluster
    gate: Gate
    scheduler: TrialScheduler
    propose: Callable[[], int | None]
    """Makes a new trial known to the ledger and returns its number; None when there is none to make."""
    checks: Mapping[Kind, Callable[[], str | None]]
    """Each says why to end now, if there is cause to: a budget used up, failures that are all alike…"""
    halt: Halt
    max_failures: int
    lending: Lending | None = None
    """Where trials share the training of what they have in common."""
    fill: Callable[[Collection[int] | None], int | None] = lambda _: None
    """As `propose`, of what the next stage needs: for workers that the end of this one leaves idle."""

    @property
    def store(self) -> Prefix | None:
        """Where checkpoints are, if not in the search's folder."""
        return None if self.job.storage is None else Prefix(self.job.storage, self.cluster.say)


def run_stage(stage: Stage) -> None:
    """Run until the gate is finished, a budget is spent or a halt is called. Events tell what happened."""
    folder = Path(stage.job.folder)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(PENDING)
    feed = TrialFeed(stage)
    listener = ResultListener(stage, feed.numbers)
    (folder / HALT).unlink(missing_ok=True)
    files, place = notes_place(folder, stage.store, stage.cluster.own)
    trainable = tune.with_resources(_with_job(stage.job), stage.cluster.request())
    tuner = Tuner(
        trainable,
        tune_config=TuneConfig(
            search_alg=feed,
            scheduler=stage.scheduler,
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=RunConfig(
            name=RAY,
            storage_path=place,
            storage_filesystem=files,
            stop=listener,
            callbacks=[listener],
            failure_config=FailureConfig(max_failures=0),
            checkpoint_config=_kept(stage.job),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        stage.cluster.room.close()
    if not stage.halt.resumable:
        _end_the_rest(stage.ledger, stage.halt)


def _with_job(job: Job) -> type[Bridge]:
    """The trainable that knows its `job`. Not by `tune.with_parameters`, which keeps it in Ray's object store: when the
    node's processes end, Ray's code looks there for what was lost, finds no store, and ends this process at once.
    """

    class Trainable(Bridge):
        def setup(self, config: dict[str, Any]) -> None:  # type: ignore[override]  # Ray calls this one
            super().setup(config, job)

    return Trainable


def _end_the_rest(ledger: Ledger, halt: Halt) -> None:
    """Trials that a spent budget cut off, or that waited since an earlier sitting and were not promoted in this one."""
    for trial in list(ledger.records.trials.values()):
        if not trial.over and trial.searched:
            ledger.emit(
                Ended(trial.number, "stopped", halt.reason or f"not promoted from {trial.rung or trial.step}", now())
            )


def _kept(job: Job) -> CheckpointConfig:
    """Ray's checkpoints are notes of some bytes unless trials exchange their state. Keeping just the newest would make
    Ray write its whole state down at each one, and saving at a trial's end would hold its worker back: nobody resumes
    it from there.
    """
    return CheckpointConfig(num_to_keep=1 if job.exchange else None, checkpoint_at_end=False)


def _name(trial: Any) -> str:
    return f"t{trial.config['trial']:04d}_{trial.trial_id}"
