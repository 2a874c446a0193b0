"""Whether a search's journal and the checkpoints beside it tell the same story, before it is taken up again.

A checkpoint is written before its report is sent, and a trial trains on only when its report is in the journal: so a
checkpoint is one evaluation ahead of the journal at most. It may lie behind it, where saving is dear or the newest one
is damaged: then the trial repeats what is missing, to the same numbers.
"""

from collections.abc import Iterator
from pathlib import Path

from search.records import Records, Trial
from spaces.problems import BadInput, Problem
from trainables import checkpoints
from trainables.tune import trial_folder

DEAR = 60.0  # seconds of training that are not simply done again when every checkpoint of a trial is gone


def reconcile(path: Path, records: Records, every: int) -> Iterator[str]:
    """What people should know of differences that the search makes good by itself. `every`: units per evaluation.

    Raises BadInput, naming each trial, where going on would silently begin trials anew or mix two stories.
    """
    problems: list[Problem] = []
    notes: list[str] = []
    known = set(records.trials)
    for folder in sorted((path / "trials").glob("t[0-9]*")):
        steps = checkpoints.steps(folder / "checkpoints")
        number = int(folder.name[1:])
        if steps and number not in known:
            problems.append(_ahead(folder, steps[0], "no such trial"))
    for trial in records.trials.values():
        steps = checkpoints.steps(trial_folder(path, trial.number) / "checkpoints")
        if steps and trial.changed is None and steps[0] > trial.step + every:
            problems.append(_ahead(trial_folder(path, trial.number), steps[0], f"its step {trial.step}"))
        elif not trial.over:
            _behind(path, trial, steps[0] if steps else 0, problems, notes)
    if problems:
        raise BadInput(problems)
    yield from notes


def _ahead(folder: Path, step: int, knows: str) -> Problem:
    what = f"has a checkpoint at step {step}, but the journal knows {knows}: the journal is older than its trials. "
    return Problem(str(folder), what + "Put the newest journal.jsonl back, or begin anew with another --name")


def _behind(path: Path, trial: Trial, step: int, problems: list[Problem], notes: list[str]) -> None:
    folder = trial_folder(path, trial.number)
    missing = [report for report in trial.reports if report.step > step]
    lost = sum(report.seconds for report in missing)
    if step == 0 and lost > DEAR and folder.exists() and not checkpoints.evicted(folder / "checkpoints"):
        what = f"{lost:.0f} s of training are recorded up to step {trial.step}, but no checkpoint is there. Put its "
        what += "checkpoints back; or delete the folder, and the trial is trained again from the start"
        problems.append(Problem(str(folder), what))
    elif missing and trial.status != "paused":  # a paused one may never run again
        notes.append(
            f"trial {trial.number}: its newest checkpoint is at step {step} of {trial.step}; the {lost:.1f} s of "
            f"training since then are done again, to the same numbers"
        )
