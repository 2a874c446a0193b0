"""The two faces of an Optuna study: what a sampler looks at for one proposal, and the file that people look at.

Our own journal of events is the truth; both are derived from it and can be thrown away.
"""
# ruff: noqa: ARG002  (the arguments of Optuna's storage interface)

import contextlib
import json
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock
from optuna.storages.journal._file import get_lock_file
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from trainables.files import write_bytes

STUDY_ID = 0  # one study per storage


class View(InMemoryStorage):
    """A study as a sampler sees it while it makes one proposal: past trials by reference and one new trial. All else
    that a storage can do raises KeyError, for Optuna's own storage below knows no study and no trial.

    Nothing is copied and nothing is kept: a proposal that is drawn again leaves no trace, and neither do the notes that
    samplers write on a trial (Optuna's TPE notes values of inactive knobs, which a rebuilt study could not know).
    """

    def __init__(self, name: str, direction: StudyDirection, past: Sequence[FrozenTrial], number: int) -> None:
        super().__init__()
        self._name, self._direction, self._past, self._number = name, direction, past, number
        self._new: FrozenTrial | None = None

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """The one new trial; `study_id` is not looked at, here and below: there is one study."""
        assert self._new is None and template_trial is None, "a view is for one proposal"
        self._new = optuna.trial.create_trial(state=TrialState.RUNNING)
        self._new.number = self._number
        self._new._trial_id = self._number
        return self._number

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """A value of the new trial."""
        trial = self.get_trial(trial_id)
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """A sampler's note on the new trial."""
        self.get_trial(trial_id).system_attrs[key] = value

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """The new trial: no sampler asks for another by its id."""
        assert self._new is not None and trial_id == self._number, "only the new trial is known by its id"
        return self._new

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Past trials and the new one, by reference: samplers change none."""
        trials = [*self._past, self._new] if self._new else list(self._past)
        return trials if states is None else [t for t in trials if t.state in states]

    def get_study_id_from_name(self, study_name: str) -> int:
        """The only study's."""
        return STUDY_ID

    def get_study_name_from_id(self, study_id: int) -> str:
        """The only study's."""
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """One objective."""
        return [self._direction]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """None."""
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """None."""
        return {}


METRIC_NAMES = "study:metric_names"
"""Where `Study.set_metric_names` keeps them: Optuna has no public name for it."""


class Lines(BaseJournalBackend):
    """An Optuna journal in memory, so that a whole file can be composed by Optuna itself and written at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Records from that number on."""
        return map(json.loads, self.lines[log_number_from:])

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add records."""
        self.lines.extend(json.dumps(log, separators=(",", ":"), allow_nan=False) for log in logs)


class Appended(JournalFileBackend):
    """Optuna's journal file without a sync to the disk per record, which would hold the driver up at each report: a
    file that is derived from our own journal need not survive a power cut."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add records."""
        data = "".join(json.dumps(log, separators=(",", ":"), allow_nan=False) + "\n" for log in logs)
        with get_lock_file(self._lock), Path(self._file_path).open("ab") as file:
            file.write(data.encode())


class StudyFile:
    """`study.journal`: the study as `optuna.load_study` and `optuna-dashboard` open it, kept up to date.

    A mirror, written but never read by us: when it can't be written (disk full, a foreign hand in the file) the search
    goes on, `error` says why, and the next `end` writes it anew as a whole.
    """

    def __init__(self, path: Path, name: str, direction: StudyDirection, metric: str) -> None:
        """`metric`: what the objective is called in Optuna's pages."""
        self._path, self._name, self._direction, self._metric = path, name, direction, metric
        self._storage: JournalStorage | None = None
        self._remark = ""
        self.error: str | None = None

    def write(self, trials: Iterable[FrozenTrial]) -> None:
        """Replace the file by a fresh one that holds `trials`, whose ids must count from 0. Raises OSError."""
        lines = Lines()
        with quiet():
            storage = JournalStorage(lines)
            study = storage.create_new_study([self._direction], self._name)
            storage.set_study_system_attr(study, METRIC_NAMES, [self._metric])
            if self._remark:
                storage.set_study_user_attr(study, "note", self._remark)
            for index, trial in enumerate(trials):
                created = storage.create_new_trial(study, trial)
                assert created == trial._trial_id == index, "trials of the file are numbered without gaps"
        write_bytes(self._path, ("\n".join(lines.lines) + "\n").encode(), sync=True)
        # A process killed while it wrote has left its lock, on which the first write would wait for 30 s.
        lock = self._path.with_name(self._path.name + ".lock")
        lock.unlink(missing_ok=True)
        # The lock by O_EXCL instead of Optuna's default by symlink: as fast, and works where links don't (SMB, FAT).
        backend = Appended(str(self._path), JournalFileOpenLock(str(self._path)))
        self._storage, self.error = JournalStorage(backend), None

    def create(self, trial: FrozenTrial) -> None:
        """Append a new trial."""
        with self._guarded():
            if self._storage:
                created = self._storage.create_new_trial(STUDY_ID, trial)
                if created != trial._trial_id:
                    raise ValueError(f"another process has added trials to {self._path}")

    def remark(self, text: str) -> None:
        """Replace the note on the study as a whole."""
        self._remark = text
        with self._guarded():
            if self._storage:
                self._storage.set_study_user_attr(STUDY_ID, "note", text)

    def report(self, trial: FrozenTrial, step: int, value: float) -> None:
        """Append an intermediate value."""
        with self._guarded():
            if self._storage:
                self._storage.set_trial_intermediate_value(trial._trial_id, step, value)

    def note(self, trial: FrozenTrial, key: str) -> None:
        """Append the trial's user attribute `key`."""
        with self._guarded():
            if self._storage:
                self._storage.set_trial_user_attr(trial._trial_id, key, trial.user_attrs[key])

    def end(self, trial: FrozenTrial, trials: Iterable[FrozenTrial]) -> None:
        """Append the trial's end. A file that failed before is written anew with `trials`, which hold this one."""
        with self._guarded():
            if self._storage is None:
                self.write(trials)
                return
            for key in ("status", "reason"):
                self._storage.set_trial_user_attr(trial._trial_id, key, trial.user_attrs[key])
            for key, value in trial.system_attrs.items():
                self._storage.set_trial_system_attr(trial._trial_id, key, value)
            self._storage.set_trial_state_values(trial._trial_id, trial.state, trial.values)

    def rewrite(self, trials: Iterable[FrozenTrial]) -> None:
        """Replace the file, as a trial that had ended goes on."""
        with self._guarded():
            self.write(trials)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield  # not in quiet: setting a level empties the caches of all loggers, and appending logs nothing
        except Exception as error:  # whatever happens to a mirror must not end the search
            self._storage, self.error = None, f"{self._path}: {type(error).__name__}: {error}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's lines on stderr, which tell what our own progress tells better."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
