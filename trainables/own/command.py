"""A user's command as a run: started once at its full length, held while the search decides, ended with its trial.

It never learns of rungs: a shorter length would stretch every schedule. Between two reports all of its processes are
stopped. When a trial waits at a rung the command is ended; it goes on from its own checkpoint, or starts over.
"""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.own import held_files, readings
from trainables.own.order import Order, source_of
from trainables.own.process import Ends, Output, Process, environment, start
from trainables.run import AHEAD, Metrics, UserCodeError, score

LOOK_SECONDS = 0.05
"""Between two looks for new metrics."""
_CHECKPOINT_SECONDS = 30.0  # how long a checkpoint of the last step is waited for
_END_SECONDS = 60.0  # how long a command may take to end after its last metrics


class CommandError(RuntimeError):
    """The command has failed after it had trained: another try may go on from its checkpoint."""


class Printed(Exception):
    """The last lines of a command's standard error, as the cause of the error that follows."""


class CommandRun:
    """A command between two of its reports."""

    def __init__(self, order: Order) -> None:
        self._order, self._unit = order, order.declared.unit
        self._process: Process | None = None
        self._output: Output | None = None
        self.step = 0
        self.worst = order.declared.goal.worst
        self.ended: str | None = None  # why the command has ended before its full length, if it has
        self._rows: readings.Rows = {}
        self._zero = False  # whether there were metrics of a step 0
        self._went, self._arrived = 0.0, 0.0  # unix seconds: when it was last let go on, and its last metrics came
        self._restored = False  # `{dir}` holds what belongs to the step
        self._anew = False  # only what the command tells from now on counts
        self.retold: int | None = None
        """In that case: a step up to its own that the command has told again, before anything beyond."""
        self._source = source_of(order.declared, order.folder)

    def train(self, until: int) -> Metrics:
        """Let the command train to step `until`; its metrics there. Raises UserCodeError and CommandError."""
        if self._process is None and not self._complete(until) and not self._taken():
            self._start()
        if self._process is not None:
            self._went = time.time()
            self._process.go_on()
        while not self._complete(until):
            code = None if self._process is None else self._process.code
            self._read()
            if self._complete(until):
                break
            if code is not None:
                return self._over(code, until)
            self._check_passed(until)
            time.sleep(LOOK_SECONDS)
        self._arrived = time.time()
        self.step = until
        if until == self._order.length:
            self._finish()
        elif self._process is not None:
            self._process.stop()
        return dict(self._rows[until])

    def evaluate(self) -> Metrics:
        """What was read last."""
        return dict(self._rows.get(self.step, {}))

    def state(self) -> dict[str, Any]:
        """The metrics so far, and the command's own checkpoint where it keeps one."""
        state: dict[str, Any] = {"step": self.step}
        if not self._order.declared.goes_on or self.step == self._order.length or self.ended is not None:
            if done := self._is_done():
                self._read()
            return {**state, "rows": self._kept_rows(None if done else self.step)}
        files = self._checkpoint()
        self._read()
        kept = held_files.taken(self._order.folder, [*files, *self._source.files()])
        ahead = bool(self._ahead()) or not self._order.declared.stepped
        return {**state, "files": kept, "rows": self._kept_rows(), AHEAD: ahead}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`: with its checkpoint, or from the start, where known metrics are passed over."""
        self.close()
        self._source = source_of(self._order.declared, self._order.folder)
        self.step = int(state["step"])
        self._rows = {int(step): dict(row) for step, row in state["rows"].items()}
        self._restored = "files" in state
        if self._restored:
            shutil.rmtree(self._order.folder, ignore_errors=True)
            self._order.folder.mkdir(parents=True)
            held_files.put_back(self._order.folder, state["files"])

    def only_anew(self) -> bool:
        """After `restore`: let only what the command tells from now on count. False where it can't tell of the next
        step any more: it had trained on, and its checkpoint with it."""
        if self._ahead() and not self._order.declared.stepped:
            return False
        self._source.read()  # what its files held before
        self._rows = self._kept_rows(self.step)
        self._anew = True
        return True

    def hold(self) -> list[str]:
        """Leave the command to the keeper, stopped, until the trial goes on; without a keeper end it. The trials whose
        commands are ended for it, this one's among them if there is no room."""
        order, process = self._order, self._process
        if order.keeper is None or process is None or process.over:  # what has ended since `state` is held
            self.close()
            return []
        ends = process.given()
        self._read()
        note = {"rows": {str(step): row for step, row in self._rows.items()}, "errors": list(process.errors)}
        judged = order.declared.goal
        badness = score(self._rows[self.step][judged.metric], judged.mode)
        self._process = None
        ended = order.keeper.hold(order.work.name, ends, self.step, note, badness)
        self.close()
        return ended

    def _is_done(self) -> bool:
        """Whether a command that would be held has ended well: it has run ahead to its end, and all of it is known."""
        order, process = self._order, self._process
        ended = self._complete(order.length) if process is None else process.code == 0
        return order.keeper is not None and ended

    def pids(self) -> list[int]:
        """Its processes."""
        return [] if self._process is None else self._process.pids()

    def _taken(self) -> bool:
        """Go on with the command that was held when the trial paused; whether there was one."""
        order = self._order
        held = order.keeper.take(order.work.name, self.step) if order.keeper is not None and self.step else None
        if held is None:
            return False
        ends, note = held
        self._attach(ends, stopped=True)
        assert self._process is not None
        if self._process.code not in (None, 0):  # killed while it was held
            self.close()
            return False
        self._rows |= {int(step): dict(row) for step, row in note["rows"].items()}
        self._process.errors.extend(note["errors"])
        return True

    def artifacts(self, folder: Path) -> None:
        """Nothing: what the command writes lies in its `{dir}`."""

    def close(self) -> None:
        """End the command and all that it started; what its folder held for going on is in the trial's checkpoint."""
        if self._process is not None:
            self._process.end()
            self._process = None
        if self._output is not None:
            self._output.close()
            self._output = None
        if self.step < self._order.length and self.ended is None:
            for path in held_files.matching(self._order.folder, self._order.declared.checkpoints):
                path.unlink(missing_ok=True)

    def _start(self) -> None:
        order = self._order
        if not self._restored:
            shutil.rmtree(order.folder, ignore_errors=True)
        self._restored = False
        order.folder.mkdir(parents=True, exist_ok=True)
        order.write_config()
        patterns = order.declared.checkpoints
        line = order.line(held_files.newest(order.folder, patterns) if patterns else None)
        own = environment()
        if order.declared.metrics is not None and order.declared.metrics.mlflow:
            own |= {"MLFLOW_TRACKING_URI": (order.folder / "mlruns").as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"}
        variables = {**os.environ, **own, **line.variables}
        begin = start if order.keeper is None else order.keeper.start
        self._attach(begin(line.words, order.root, variables, order.declared.grace))
        assert self._output is not None
        self._output.write(f"$ {line}\n")

    def _attach(self, ends: Ends, stopped: bool = False) -> None:
        """Read what a command prints."""
        self._output = Output(self._order.work)
        self._process = Process(ends, self._output, self._source.heard, stopped)

    def _complete(self, step: int) -> bool:
        return self._order.declared.judged[0] in self._rows.get(step, {})

    def _read(self) -> None:
        told = self._source.read()
        if self._anew and told and max(told) <= self.step:
            self.retold = min(told)
        for step, row in told.items():
            self._zero = self._zero or (step == 0 and self._order.declared.judged[0] in row)
            if step > self.step:
                self._rows.setdefault(step, {}).update(row)

    def _kept_rows(self, upto: int | None = None) -> readings.Rows:
        return {step: dict(row) for step, row in self._rows.items() if upto is None or step <= upto}

    def _check_passed(self, until: int) -> None:
        """Raise UserCodeError where what is waited for can't come any more."""
        later = [step for step in self._rows if step > until]
        if any(self._complete(step) for step in later):
            what = f"{self._unit} {min(later)} came where {self._unit} {until} was expected"
            steps = f"{self._unit}s between the script's evaluations"
            raise UserCodeError(f"{what}: set budget.evaluate_every to a multiple of the {steps}")
        trouble = self._source.trouble() or (self._source.seen() if len(later) > 1 else None)
        if trouble is not None:
            raise UserCodeError(f"no {self._order.declared.judged[0]} for {self._unit} {until}: {trouble}")

    def _over(self, code: int, until: int) -> Metrics:
        """The command has ended without metrics of step `until`."""
        assert self._process is not None
        last = max((step for step in self._rows if self._complete(step)), default=0)
        lines = [line for line in self._process.errors if line.strip()]
        self.close()
        name = self._order.declared.judged[0]
        if code == 0 and last > 0:
            what = f"the command ended by itself after {self._unit} {last} of {self._order.length}"
            if last == self._order.length - 1 and self._zero:
                raise UserCodeError(f"{what}, and it counts from 0: declare metrics.first: 0")
            self.ended = what
            self.step = last
            return dict(self._rows[last])
        if code == 0:
            raise UserCodeError(f"the command ended without {name} for {self._unit} {until}: {self._source.seen()}")
        told = f": {lines[-1].strip()}" if lines else ""
        what = f"the command ended with exit code {code} after {self._unit} {last}{told}"
        cause = Printed("\n" + "\n".join(lines))
        if last == 0 and code < 128:
            raise UserCodeError(what) from cause
        raise CommandError(what) from cause

    def _finish(self) -> None:
        """Let the command do what it does at its end."""
        deadline = time.monotonic() + _END_SECONDS
        while self._process is not None and self._process.code is None and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        self.close()

    def _checkpoint(self) -> list[Path]:
        """The files of a whole checkpoint, the command stopped. One of this step is waited for: some scripts write it
        before their metrics, some after."""
        order, process = self._order, self._process
        if process is None:  # its metrics were known: nothing has been trained since it was restored
            return self._files()
        deadline = time.monotonic() + _CHECKPOINT_SECONDS
        newer_than = self._went + 0.5 * (self._arrived - self._went)
        while True:
            files = self._files()
            if order.declared.stepped:
                fresh = self._last_kept() == order.declared.counted(self.step)
            else:
                fresh = held_files.written(files) >= newer_than
            late = time.monotonic() > deadline or process.code is not None or len(self._ahead()) > 0
            if files and (fresh or late):
                process.stop()
                files = self._files()
                if not held_files.being_written(files, process.pids()):
                    return files
            elif late:
                what = f"no checkpoint {' or '.join(order.declared.checkpoints)}"
                raise UserCodeError(f"{what} was written: {readings.holds(order.folder)}")
            process.go_on()
            time.sleep(LOOK_SECONDS / 5)
            self._read()

    def _files(self) -> list[Path]:
        """Those of the checkpoint, whole or not; where names say so those of this step, or else of the last one before
        it, or else all there are."""
        folder, patterns = self._order.folder, self._order.declared.checkpoints
        found = held_files.matching(folder, patterns, self._last_kept()) if self._order.declared.stepped else []
        return found or held_files.matching(folder, patterns)

    def _last_kept(self) -> int:
        """The last step up to this one, as the script counts, of which all checkpoint files are there."""
        declared = self._order.declared
        return held_files.last_step(self._order.folder, declared.checkpoints, declared.counted(self.step))

    def _ahead(self) -> list[int]:
        return [step for step in self._rows if step > self.step and self._complete(step)]
