"""What a failure was, in words for people; whether another try may help; and when so many are alike that it is time to
stop.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from search.history.events import Ended, Event, signature
from search.history.records import Records, Trial
from spaces.problems import BadInput
from trainables.files import write_text
from trainables.guard import ADVICE, last_words
from trainables.layout import OutOfMemory, trial_folder
from trainables.run import BeforeReportError, UserCodeError
from trainables.storage import Unseen

DETAIL = 5000  # characters of a traceback that are kept: MLflow takes no longer tag
REASON = 500
LOSSES = 3  # nodes that a trial may lose without an evaluation between: one that breaks them must end some day
ALIKE = 3  # trials that must fail the same way before a search is stopped for it


@dataclass(frozen=True)
class Failure:
    """One failure of a trial."""

    reason: str  # one line
    detail: str  # the traceback, or what is there of one
    hopeless: bool = False
    """Another try would end the same way."""
    free: bool = False
    """Not the trial's doing: it doesn't count against its tries, while it is not the same again and again."""
    astray: bool = False
    """Its node does not see the search's folder: nothing that is done there can be found again."""
    raised: bool = False
    """The trial's own code has raised it."""


def failure_of(folder: Path, number: int, text: str) -> Failure:
    """What happened to trial `number`, given what Ray kept of its error; writes `error.txt` into the trial's folder."""
    place = trial_folder(folder, number)
    failure = _explained(place, text)
    try:
        place.mkdir(parents=True, exist_ok=True)
        write_text(place / "error.txt", f"{failure.reason}\n\n{failure.detail}\n")
    except OSError:
        pass  # a full disk: the journal, which waits for room, has it all
    return failure


def _explained(place: Path, text: str) -> Failure:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1][:REASON] if lines else ""
    detail = text.strip()[-DETAIL:]
    words = last_words(place)
    if words is not None:
        reason, stacks = words
        return Failure(reason, (stacks or text).strip()[-DETAIL:], hopeless=reason.startswith("out of memory"))
    if unseen := re.search(rf"{Unseen.__name__}: (.*)", text):
        return Failure(unseen[1], detail, astray=True)
    if re.match(r"[\w.]*CommandError: ", last):
        return Failure(last.partition(": ")[2], detail)
    if UserCodeError.__name__ in last:
        return Failure(last.partition(f"{UserCodeError.__name__}: ")[2] or last, detail, hopeless=True)
    if BeforeReportError.__name__ in last:
        return Failure(last.partition(f"{BeforeReportError.__name__}: ")[2] or last, detail, raised=True)
    if OutOfMemory.__name__ in last:
        return Failure(last.partition(": ")[2] or last, detail, hopeless=True)
    if "OutOfMemoryError" in text:  # Ray's monitor: it picks a worker by its age, so it may have hit the wrong one
        return Failure(f"the machine ran out of memory and the worker was killed: {ADVICE}", detail)
    if "node" in text and re.search(r"node (has died|was terminated|is dead|failure)", text):
        return Failure("the node was lost", detail, free=True)
    if "The actor is temporarily unavailable" in text:
        # A lost node at first: the cluster itself finds out only some ten seconds later that it is dead.
        return Failure("the node was lost, or can't be reached", detail, free=True)
    raised = "error raised in its creation task" in text  # the training's own: Ray says of it, too, that the actor died
    if not last or (not raised and re.search("ActorDiedError|RayActorError|[Tt]he actor (died|is dead)", text)):
        return Failure(f"the worker was killed; if nobody did so, memory has run out: {ADVICE}", detail)
    if told := re.findall(rf"{BadInput.__name__}: (.*)", text):
        return Failure(told[-1].strip()[:REASON], detail, hopeless=True)
    hopeless = (
        re.match(r"([\w.]+\.)?(ImportError|ModuleNotFoundError|SyntaxError|IndentationError)\b", last) is not None
    )
    return Failure(last, detail, hopeless=hopeless, raised=True)


def seen_before(trial: Trial, failure: Failure, records: Records) -> bool:
    """Whether `trial`, which has reported nothing yet, fails as it has failed before, or as another did that never
    reported anything: once more would end the same way."""
    if trial.reports:
        return False
    kind = signature(failure.reason)
    others = (each for each in records.trials.values() if each.status == "failed" and not each.reports)
    return any(each.reason and signature(each.reason) == kind for each in (trial, *others))


class FailurePolicy:
    """Listens for trials that fail the same way. Failures of earlier sittings don't count: much was mended since."""

    def __init__(self, share: float | None, records: Records) -> None:
        """`share` of the search's trials that have ended: more than this must fail the same way. None: never stop for
        it."""
        self._share, self._records = share, records
        self._ended = 0
        self._kinds: Counter[str] = Counter()
        self._example: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        """Count an end."""
        if isinstance(event, Ended) and self._records.trials[event.trial].searched:
            self._ended += 1
            if event.status == "failed":
                kind = signature(event.reason)
                self._kinds[kind] += 1
                self._example[kind] = event.reason

    def cause(self) -> str | None:
        """Why the search should stop, if it should."""
        if self._share is None or not self._kinds:
            return None
        kind, count = self._kinds.most_common(1)[0]
        if count < ALIKE or count <= self._share * self._ended:
            return None
        return f"{count} of {self._ended} trials failed the same way: {self._example[kind]}"
