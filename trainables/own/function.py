"""A user's training function as a run. It runs in a thread of its own, which waits inside `report` while the search
decides, and is unwound there when the trial ends or another one takes the worker.
"""

import io
import pickle
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.guard import out_of_memory
from trainables.own import random_states
from trainables.own.handle import Config, State, Stateful, as_numbers, check_names, check_stateful, check_step
from trainables.own.load import located, short
from trainables.run import BeforeReportError, Metrics, UserCodeError
from trainables.seeding import derive

_NO_STATE = (
    "report got no state=, without which a paused trial can't go on; call run.restore(net, optimizer, …) before the "
    "loop, or pass state=lambda: {…} and take it back with run.resume(), or declare pause: stop or rerun"
)
_PARTS = "parts"  # of a state that `restore` keeps
_UNWIND_SECONDS = 10.0  # for the user's own `finally`


class TrialOver(BaseException):
    """Raised inside `report` to unwind the function; no Exception, so that `except Exception` lets it pass."""


@dataclass(frozen=True)
class Task:
    """What a training function is to do, and how it is judged."""

    train: Callable[[Any], Any]
    config: Config
    seed: int
    folder: Path
    root: Path
    """The folder of the user's code: errors name its files."""
    unit: str
    length: int
    wanted: tuple[str, ...]
    """Metrics that every report must have."""
    worst: float
    checkpoints: bool
    """Whether a trial goes on from the state that it reports; else it starts over."""


class FunctionRun:
    """A training function between two of its reports."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._reporter = _Reporter(task)
        self._thread: threading.Thread | None = None
        self.step = 0
        self.worst = task.worst
        self.ended: str | None = None  # why the function has returned before the full length, if it has
        self._metrics: dict[str, float] = {}

    def train(self, until: int) -> Metrics:
        """Let the function train to its report of step `until`; what it reported there. Raises what it raises."""
        reporter, unit = self._reporter, self._task.unit
        reporter.until = until
        if self._thread is None:
            random_states.seed_all(self._task.seed)
            self._thread = threading.Thread(target=self._body, name="trial", daemon=True)
            self._thread.start()
        else:
            reporter.go.set()
        reporter.arrived.wait()
        reporter.arrived.clear()
        if reporter.error is not None:
            raise self._explained(reporter.error)
        if reporter.step == self.step and not reporter.returned:
            raise AssertionError("woken without a report")
        if reporter.step == 0:
            raise UserCodeError("the function returned without a report; call run.report after every unit trained")
        if reporter.step > until:
            every = until - self.step
            what = f"{unit} {reporter.step} was reported where {unit} {until} was expected"
            what += f": set budget.evaluate_every to a multiple of the {unit}s between reports, not {every}"
            raise UserCodeError(what)
        if reporter.returned and reporter.step < self._task.length:
            self.ended = f"the function returned after {unit} {reporter.step} of {self._task.length}"
        self.step, self._metrics = reporter.step, dict(reporter.metrics)
        return self._metrics

    def evaluate(self) -> Metrics:
        """What was reported last."""
        return self._metrics

    def state(self) -> dict[str, Any]:
        """The reported state and the random states of that moment."""
        if not self._task.checkpoints:
            return {"step": self.step}
        given = self._reporter.state
        if given is None:
            if self._reporter.last:
                return {"step": self.step}  # nothing goes on from here
            raise UserCodeError(_NO_STATE)
        now = given() if callable(given) else given
        kept = {"state": now, "random": self._reporter.random, "seed": self._task.seed}
        try:
            return {"step": self.step, "kept": _packed(kept)}
        except UserCodeError as error:
            raise UserCodeError(f"{self._reporter.at}: {error}") from error

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`: the function finds it in `resume`, or starts over where it keeps none."""
        self.close()
        self._thread, self._reporter = None, _Reporter(self._task)
        self.step = int(state["step"])
        kept = state.get("kept")
        self._reporter.known = self.step
        if kept is not None:
            self._reporter.step = self.step
            self._reporter.kept = _unpacked(kept)

    def artifacts(self, folder: Path) -> None:
        """Nothing: what the function writes lies in its folder."""

    def close(self) -> None:
        """Unwind the function where it waits. Raises RuntimeError for one that will not end."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        self._reporter.over = True
        self._reporter.go.set()
        thread.join(_UNWIND_SECONDS)
        if thread.is_alive():
            raise RuntimeError("the training function goes on although its trial is over; don't catch BaseException")

    def _body(self) -> None:
        reporter = self._reporter
        try:
            self._task.train(reporter)
        except TrialOver:
            return
        except BaseException as error:  # whatever it is, the trial's own thread must not swallow it
            reporter.error = error
        else:
            reporter.returned = True
        reporter.arrived.set()

    def _explained(self, error: BaseException) -> BaseException:
        """The user's error; where nothing else tells the line, with it."""
        ends = isinstance(error, SystemExit | KeyboardInterrupt)
        told = isinstance(error, UserCodeError) or out_of_memory(error) is not None
        if not ends and (told or self._reporter.step):
            return error
        located_error = (UserCodeError if ends else BeforeReportError)(located(error, self._task.root))
        located_error.__cause__ = error
        return located_error


def reported(state: Mapping[str, Any]) -> Any:
    """What the user's code reported as its state, of a run's `state`: a list, where `restore` keeps it."""
    kept = _unpacked(state["kept"])["state"]
    return kept[_PARTS] if isinstance(kept, Mapping) and set(kept) == {_PARTS} else kept


class _Reporter:
    """What the function is given (`handle.Trial`); it hands the reports over to the run's thread."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.arrived, self.go = threading.Event(), threading.Event()
        self.over = self.returned = self.last = False
        """`last`: the report was that of the full length, or said that the training ends with it."""
        self.error: BaseException | None = None
        self.step = 0
        self.at = ""
        """File and line of the last report."""
        self.until = 1
        self.known = 0
        """Reports up to this step are known: a trial that starts over passes them in silence."""
        self.metrics: dict[str, float] = {}
        self.state: State | None = None
        self.random: dict[str, Any] = {}
        self.kept: dict[str, Any] | None = None
        self.parts: tuple[Stateful, ...] = ()
        """What `restore` keeps."""

    @property
    def config(self) -> Config:
        """The trial's config."""
        return self._task.config

    @property
    def seed(self) -> int:
        """The trial's seed."""
        return self._task.seed

    @property
    def folder(self) -> Path:
        """The trial's own folder."""
        self._task.folder.mkdir(parents=True, exist_ok=True)
        return self._task.folder

    def resume(self) -> Any:
        """The state of the last report, or None; random states are set back, of a state reached with another seed they
        are seeded anew."""
        if self.kept is None:
            return None
        kept, self.kept = self.kept, None
        if kept.get("seed", self.seed) == self.seed:
            random_states.set_back(kept["random"])
        else:  # the state comes from a user, reached with another seed: what follows has a seed of its own
            random_states.seed_all(derive(self.seed, "start", self.known))
        return kept["state"]

    def restore(self, *parts: Stateful) -> int:
        """See `handle.Trial.restore`."""
        check_stateful(parts)
        self.parts = parts
        state = self.resume()
        if state is None:
            return 0
        if len(state[_PARTS]) != len(parts):
            raise UserCodeError(f"restore: got {len(parts)} things to set back, and {len(state[_PARTS])} were kept")
        for part, kept in zip(parts, state[_PARTS], strict=True):
            part.load_state_dict(kept)
        return self.step

    def report(self, step: int, *, state: State | None = None, ends: bool = False, **metrics: Any) -> None:
        """See `handle.Trial.report`."""
        if self.over:
            raise TrialOver
        if self.kept is not None:
            what = f"the trial goes on from {self._task.unit} {self.known}, but neither run.restore(…) nor run.resume()"
            raise UserCodeError(f"{what} was called; call one before the loop, or declare pause: stop or rerun")
        caller = sys._getframe(1)
        self.at = f"{short(caller.f_code.co_filename, self._task.root)} line {caller.f_lineno}"
        number = check_step(step, self.step, self._task.unit)
        if self.last:
            raise UserCodeError(f"{self._task.unit} {number} was reported after the last one, {self.step}")
        if number > self._task.length:
            what = f"{self._task.unit} {number} was reported, beyond the length of {self._task.length}"
            raise UserCodeError(f"{what}: does the code take its length from the config?")
        values = as_numbers(metrics)
        check_names(values, self._task.wanted)
        self.step, self.metrics = number, values
        self.last = ends or number == self._task.length
        if (number <= self.known or number < self.until) and not self.last:
            return
        if self.parts:
            state = self._with_parts(state)
        if state is None and self._task.checkpoints and not self.last:
            raise UserCodeError(_NO_STATE)
        self.state, self.random = state, random_states.taken()
        if self.last:
            return  # the function may finish what it does at its end
        self.go.clear()
        self.arrived.set()
        self.go.wait()
        if self.over:
            raise TrialOver
        random_states.set_back(self.random)

    def _with_parts(self, state: State | None) -> State:
        if state is not None:
            raise UserCodeError("report got state=, and run.restore keeps the state already; leave one of them out")
        return lambda: {_PARTS: [part.state_dict() for part in self.parts]}


def _packed(kept: Mapping[str, Any]) -> torch.Tensor:
    """The user's state as bytes in a tensor: our own checkpoints hold plain things only. Raises UserCodeError naming
    the entry that can't be kept."""
    buffer = io.BytesIO()
    try:
        torch.save(dict(kept), buffer)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        state = kept["state"]
        names = [repr(key) for key in state if not _pickles(state[key])] if isinstance(state, Mapping) else []
        raise UserCodeError(f"report: state {', '.join(names)} can't be kept: {error}") from error
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def _pickles(value: Any) -> bool:
    try:
        torch.save(value, io.BytesIO())
    except (pickle.PicklingError, TypeError, AttributeError):
        return False
    return True


def _unpacked(packed: torch.Tensor) -> dict[str, Any]:
    where = None if torch.cuda.is_available() else "cpu"
    # The user's own objects: written by this trial alone, and the checkpoint around them has a digest.
    kept: dict[str, Any] = torch.load(io.BytesIO(packed.numpy().tobytes()), map_location=where, weights_only=False)
    return kept
