"""The only bridge to Ray: any model's run as a `tune.Trainable`, one evaluation per `step()`."""

import json
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import tune

from spaces.paths import with_values
from trainables import checkpoints, fingerprint, gpu, guard, start, storage
from trainables.alike import alike
from trainables.job import Job
from trainables.layout import CODE, DISK_FULL, HALT, OWNER, TRIALS, OutOfMemory, checkpoint_folder, trial_folder
from trainables.objects import Prefix
from trainables.own import keeper
from trainables.prefix import PREFIX, Order, TrialPrefix, sharing_of
from trainables.registry import model_of
from trainables.reports import check_advanced, report_of
from trainables.run import (
    DIVERGED,
    ENDED,
    MACHINE,
    METRICS,
    NODE,
    OBJECTIVE,
    PACE,
    SAVED,
    SECONDS,
    STEP,
    TRAINED,
    USAGE,
    WARNING,
    Diverged,
    Holding,
    Model,
    Run,
    UserCodeError,
)
from trainables.signed import Signature
from trainables.usage import Usage
from trainables.worker import limit_threads, log_of, open_log, work_in

_NOTE = "note.json"
_TRACKER = "multiprocessing.resource_tracker"  # in the command line of Python's own process
BUILDING = 60.0  # seconds that a trial may take at least to begin: a fresh process loads torch first
FIRST_SAVE = 0.01  # seconds that a checkpoint is taken to cost before one is written
_REPORT = "report"  # a checkpoint holds the report of its step, so that an evaluation is never repeated


class Bridge(tune.Trainable):  # type: ignore[misc]  # Ray's class is untyped for us
    """Trains one trial; reused for the next one by `reset_config`.

    Ray's config of a trial: `trial` (number), `values` (dotted knob path -> value), `seed`. Everything else comes as
    the `job` that all trials share.
    """

    def setup(self, config: dict[str, Any], job: Job) -> None:
        """Called once in a fresh worker."""
        storage.check_seen(Path(job.folder) / OWNER, job.owner)
        guard.lead_group()
        guard.sweep(Path(job.folder) / TRIALS)
        limit_threads(job.threads)
        self._job = job
        self._node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
        self._warning = gpu.limit(job.gpu, job.gpu_memory)
        self._run: Run | None = None
        self._keeper = keeper.Keeper(f"{job.folder} {job.sitting}", job.held) if job.held else None
        self._costs = [FIRST_SAVE]
        self._begin(config)
        self._usage = Usage(lambda: self._guard.also())

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another trial in the same worker."""
        self._end()
        self._begin(new_config)
        return True

    def _begin(self, config: Mapping[str, Any]) -> None:
        work_in(self._job.here)
        self._number, self._seed = int(config["trial"]), int(config["seed"])
        self._folder = trial_folder(self._job.folder, self._number)
        self._log = open_log(self._folder, self._job.model)
        self._store = None if self._job.storage is None else Prefix(self._job.storage, self._log.warning)
        self._place = checkpoint_folder(self._job.folder, self._number, self._store)
        self._pending: dict[str, Any] | None = None
        self._last: dict[str, Any] | None = None
        self._unsaved = 0.0  # seconds of training that no checkpoint holds
        self._odd: str | None = None  # what the user should know of this trial
        self._shared: TrialPrefix | None = None
        self._reached = 0  # the step that was told last
        self._introduced = False  # whether a report has said what it is trained on
        self._guard = guard.Guard(self._folder, self._job.sitting, self._job.timeout, self._job.memory).__enter__()
        copy = Path(self._job.code) if self._job.code else Path(self._job.folder) / CODE
        model = model_of(self._job.model, self._job.trainable, work=self._folder, copy=copy, keeper=self._keeper)
        self._objective = model.objective
        try:
            with self._guard.watch(BUILDING):
                native = with_values(self._job.base, config["values"])
                self._described = start.described(self._job.model, native, self._job.data, self._seed)
                self._config = model.parse(native, f"trial {self._number}")
                self._check_start(model)
                prepared = model.prepare(model.parse_data(self._job.data, self._config, ""), self._config)
                self._run = model.build(self._config, prepared, self._seed)
                if self._keeper is not None and isinstance(self._run, Holding):
                    self._guard.also = self._run.pids
                self._signature = self._signed_by(config["values"], type(model).__module__)
                self._log.info("seed %s, %s", config["seed"], config["values"])
                if config.get(PREFIX) is not None:
                    base = self._store or Path(self._job.folder)
                    self._shared = TrialPrefix(Order.of_config(config[PREFIX]), base, sharing_of(model))
                self._continue()
        except Exception as error:
            self._log.error("could not start:\n%s", traceback.format_exc())
            _advise(error)
            raise

    def _check_start(self, model: Model[Any, Any]) -> None:
        """Raise UserCodeError for a config that would have been trained otherwise before the step that it starts at."""
        begins = self._job.begins
        if begins and not alike(model, self._config, model.parse(self._job.base, "the base"), begins):
            what = f"its values act before {model.unit} {begins}, from where all trials start"
            raise UserCodeError(f"{what}: narrow the space, so that every config trains like the baseline up to there")

    def _signed_by(self, values: Mapping[str, Any], module: str) -> Signature:
        job = self._job
        config = {"base": job.base, "values": values, "data": job.data, "horizon": job.horizon, "model": job.model}
        config |= {} if job.start is None else {"start": job.start.digests[self._seed]}
        return Signature.of(
            self._number, self._seed, config, module if job.trainable is None else job.trainable["code"]
        )

    def _continue(self) -> None:
        """Go on from the newest intact checkpoint of this trial, whichever worker wrote it; else start where all do."""
        assert self._run is not None
        for step, state in checkpoints.intact(self._place, "cpu"):
            refusal = self._signature.refusal(step, state, self._job.exchange)
            if refusal is not None:
                self._tell(f"its checkpoint of step {step} is not used: {refusal}")
                continue
            if self._signature.other_code(state):
                self._tell(f"it goes on at step {step} from a checkpoint that other code of its model has written")
            self._run.restore(state["run"])
            self._last = state[_REPORT]
            self._pending = self._last  # the report may not have reached the driver; it drops one that it knows
            self._log.info("goes on from step %d", step)
            return
        if self._shared is not None and (at := self._shared.start(self._run)) is not None:
            self._log.info("starts from what another trial has trained up to step %d", at)
        elif self._job.start is not None:
            self._run.restore(start.read(self._job.folder, self._store, self._job.start, self._seed))
            self._log.info("starts at step %d, as every trial does", self._run.step)

    def _tell(self, text: str) -> None:
        """Say something odd about the trial in its log and to the user."""
        self._log.warning(text)
        self._odd = f"trial {self._number}: {text}"

    def step(self) -> dict[str, Any]:
        """Train to the next evaluation and report it."""
        assert self._run is not None
        if self._pending is not None:
            report, self._pending = self._pending, None
            return self._placed(report)
        if self._shared is not None and (copied := self._shared.replay(self._job.horizon)) is not None:
            return self._placed(copied)
        self._usage.begin()
        started, began = time.perf_counter(), self._run.step
        begins, every = self._job.begins, self._job.every
        until = min(begins + ((began - begins) // every + 1) * every, self._job.horizon)
        try:
            with self._guard.watch():
                trained = self._run.train(until)
                check_advanced(began, until, self._run)
                report = report_of(self._run, trained, self._objective.metric, self._job.further)
        except Diverged as error:
            self._log.warning("diverged: %s", error)
            end = {STEP: until, OBJECTIVE: self._run.worst, METRICS: {}, DIVERGED: str(error), "done": True}
            return self._placed({**end, SECONDS: time.perf_counter() - started})
        except Exception as error:
            self._log.error("failed after step %d:\n%s", self._run.step, traceback.format_exc())
            _advise(error)
            raise
        if PACE in self._job.further:  # before anything is drawn or saved
            report[METRICS][PACE] = self._pace(report[STEP] - began, time.perf_counter() - started)
        report["done"] = until >= self._job.horizon or ENDED in report
        shown = report["done"] and self._seed == self._job.shown
        if shown:
            self._show()
        self._last = report
        if self._shared is not None and ENDED not in report:
            report |= self._shared.remarks(self._run.step, self._run, self._place, self._job.horizon)
        report[SECONDS] = time.perf_counter() - started
        self._unsaved += report[SECONDS]
        if self._job.hands_on and until >= self._job.horizon and ENDED not in report:
            self._hand_on()
        due = self._unsaved * self._job.saving >= min(self._costs)
        if due or shown or (Path(self._job.folder) / HALT).exists():
            self._save()
            report[SECONDS] = time.perf_counter() - started
        self._log.info("step %d: %s %.6g", until, self._objective.metric, report[OBJECTIVE])
        return {**self._placed(report), SAVED: not self._unsaved, USAGE: tuple(self._usage.taken().items())}

    def _pace(self, trained: int, seconds: float) -> float:
        """Seconds per unit; of a training that has ended by itself where it was evaluated last, those until there."""
        if trained:
            return seconds / trained
        assert self._last is not None, "a training ended before its first evaluation"
        return float(self._last[METRICS][PACE])

    def _placed(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """The report with what is true of this worker alone: a checkpoint's report may be told by another one."""
        self._reached = int(report[STEP])
        said = self._odd if self._odd is not None else self._warning
        about: dict[str, Any] = {WARNING: said} if said is not None else {}
        if not self._introduced:  # once: Ray works on every value of a report
            self._introduced = True
            about[MACHINE] = fingerprint.fingerprint()
        trained = report[STEP] - self._job.begins
        return {**report, TRAINED: trained, NODE: self._node, **about}

    def _hand_on(self) -> None:
        """Leave the state for the trials that start from it."""
        assert self._run is not None
        run, home = self._run, Path(self._job.folder) if self._store is None else self._store
        state = run.state()
        self._when_there_is_room(lambda: start.write(home, self._seed, run.step, state, self._described))

    def _when_there_is_room(self, write: Callable[[], object]) -> None:
        storage.when_there_is_room(write, self._log.warning, mark=Path(self._job.folder) / DISK_FULL)

    def _show(self) -> None:
        """Write the artifacts; a picture that can't be drawn is no reason to fail."""
        assert self._run is not None
        place = self._folder / "artifacts"
        try:
            place.mkdir(exist_ok=True)
            self._run.artifacts(place)
            if self._store is not None:
                storage.upload(self._job.folder, place, self._store)
        except Exception:
            self._log.warning("no artifacts:\n%s", traceback.format_exc())

    def _save(self) -> None:
        """Write the last evaluation's checkpoint."""
        assert self._run is not None
        began = time.perf_counter()
        step = self._run.step
        state = self._signature.signed(step, {"run": self._run.state(), _REPORT: self._last})
        state[start.CONFIG] = self._described
        self._when_there_is_room(lambda: checkpoints.write(self._place, step, state))
        self._costs = [self._costs[-1], time.perf_counter() - began]  # two: the first may load torch, or one be unlucky
        self._unsaved = 0.0

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Ray pauses the trial. The checkpoint is ours; Ray keeps a note of which one."""
        assert self._run is not None
        if self._unsaved:
            self._save()
        note = {"trial": self._number, "step": self._reached}
        Path(checkpoint_dir, _NOTE).write_text(json.dumps(note), encoding="utf-8")
        if self._job.exchange:
            checkpoints.write(Path(checkpoint_dir), self._run.step, {"run": self._run.state(), _REPORT: self._last})
        elif self._job.trainable is not None:  # the trial may go on in another worker before this one has a new trial
            if self._keeper is not None and isinstance(self._run, Holding):
                ended = self._run.hold()
                if ended:
                    self._log.info("no room in memory any more for %s", ", ".join(ended))
            self._run.close()
            self._run = None

    def load_checkpoint(self, checkpoint: str) -> None:
        """Ray resumes the trial, which `_begin` has restored, or hands it another trial's state."""
        assert self._run is not None
        note = json.loads(Path(checkpoint, _NOTE).read_text(encoding="utf-8"))
        if note["trial"] == self._number:
            if note["step"] == self._run.step:
                self._pending = None  # the driver has this report: it is the one that the trial paused at
            if self._shared is not None:
                self._shared.told(note["step"])
            return
        found = checkpoints.newest(Path(checkpoint), "cpu")
        assert found is not None, f"trial {note['trial']} handed over no state"
        checkpoints.remove(self._place)
        step, state = found
        checkpoints.write(self._place, step, self._signature.signed(step, state))
        self._run.restore(state["run"])
        self._pending = None
        self._log.info("goes on from trial %d at step %d", note["trial"], note["step"])

    def cleanup(self) -> None:
        """End with everything this trial started, but for what removes shared memory that is left, and then ends."""
        self._end()
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if not any(_TRACKER in word for word in child.cmdline()):
                    child.kill()

    def _end(self) -> None:
        self._guard.__exit__(None, None, None)
        if self._run is not None:
            self._run.close()
            self._run = None
        for handler in list(self._log.handlers):
            handler.close()
            self._log.removeHandler(handler)
            log_of(self._job.model).removeHandler(handler)


def _advise(error: Exception) -> None:
    """Raise an error that says what to do, where `error` is about memory."""
    advice = guard.out_of_memory(error)
    if advice is not None:
        raise OutOfMemory(advice) from error
