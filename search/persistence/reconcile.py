"""Whether a search's journal and the checkpoints beside it tell the same story, before it is taken up again.

A checkpoint is written before its report is sent, and a trial trains on only when its report is in the journal: so a
checkpoint is one evaluation ahead of the journal at most. When the machine itself goes down the journal may lack its
last second, and be some quick evaluations behind: checkpoints beyond it are then dropped. It may be ahead of them,
where saving is dear or the newest checkpoint is damaged. In both cases the trial repeats what is missing, to the same
numbers.
"""

from collections.abc import Iterator
from pathlib import Path

from search.history.records import Records, Trial
from spaces.problems import Problem, raise_any
from trainables import checkpoints
from trainables.layout import checkpoint_folder, trial_folder
from trainables.objects import Prefix

UNSYNCED = 5.0  # seconds of reports that a journal may lack: it is brought to the disk every second
DEAR = 60.0  # seconds of training that are not simply done again when every checkpoint of a trial is gone


def reconcile(path: Path, records: Records, every: int, store: Prefix | None = None) -> Iterator[str]:
    """Make good what can be; what people should know of it. `every`: units per evaluation. `store`: where checkpoints
    are, if not in the folder `path`.

    Raises BadInput, naming each trial, where going on would silently begin trials anew or mix two stories.
    """
    problems: list[Problem] = []
    notes: list[str] = []
    drops: list[tuple[int, int]] = []  # trial, and the step beyond which its checkpoints go
    held = checkpoints.survey(path if store is None else store)
    for number in sorted(held.keys() | set(records.trials)):
        trial = records.trials.get(number)
        steps = list(held[number].steps) if number in held else []
        # A trial that the journal doesn't know may be proposed with other values: it has no use for any checkpoint.
        most = -1 if trial is None else trial.step + every
        if steps and steps[0] > most and (trial is None or trial.changed is None):
            reached = 0 if trial is None else trial.step
            if ((steps[0] - reached) / every - 1) * _pace(records, trial) > UNSYNCED:
                problems.append(_ahead(_place(path, number, store), steps[0], trial))
            drops.append((number, most))
            steps = [step for step in steps if step <= most]
        if trial is not None and not trial.over:
            kept = number in held and not held[number].evicted
            _behind(_place(path, number, store), trial, steps[0] if steps else 0, kept, problems, notes)
    raise_any(problems)
    for number, most in drops:
        checkpoints.remove(checkpoint_folder(path, number, store), beyond=most)
        notes.append(f"t{number:04d}: its last evaluations never reached the journal; they are done again")
    yield from notes


def _place(path: Path, number: int, store: Prefix | None) -> str:
    """Where a trial's files are, for people."""
    return str(trial_folder(path, number) if store is None else store / f"trials/t{number:04d}")


def _pace(records: Records, trial: Trial | None) -> float:
    """Seconds that an evaluation with its training takes: of the trial, else of all; infinite if there is none yet."""
    reports = trial.reports if trial is not None and trial.reports else []
    reports = reports or [report for each in records.trials.values() for report in each.reports]
    return sum(report.seconds for report in reports) / len(reports) if reports else float("inf")


def _ahead(place: str, step: int, trial: Trial | None) -> Problem:
    knows = "no such trial" if trial is None else f"its step {trial.step}"
    what = f"has a checkpoint at step {step}, but the journal knows {knows}: the journal is older than its trials. "
    return Problem(place, what + "Put the newest journal.jsonl back, or begin anew with another --name")


def _behind(place: str, trial: Trial, step: int, kept: bool, problems: list[Problem], notes: list[str]) -> None:
    """`kept`: there is a place for its checkpoints, and they were not deleted to make room."""
    missing = [report for report in trial.reports if report.step > max(step, trial.own_from)]
    lost = sum(report.seconds for report in missing)
    if step == 0 and lost > DEAR and kept:
        what = f"{lost:.0f} s of training are recorded up to step {trial.step}, but no checkpoint is there. Put its "
        what += "checkpoints back; or delete the folder, and the trial is trained again from the start"
        problems.append(Problem(place, what))
    elif missing and trial.status != "paused":  # a paused one may never run again
        notes.append(
            f"{trial.name}: its newest checkpoint is at step {step} of {trial.step}; the {lost:.1f} s of "
            f"training since then are done again, to the same numbers"
        )
