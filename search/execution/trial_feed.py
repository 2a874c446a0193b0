"""What Ray is given to run, and which of it has ended."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ray.tune.search import Searcher

from search.common.clock import now
from search.execution.admission import Slots
from search.execution.ray_scheduler import Unpickled
from search.history.events import Ended
from trainables.prefix import PREFIX
from trainables.run import DIVERGED, ENDED, OBJECTIVE, STEP, outcome_of

if TYPE_CHECKING:
    from search.execution.engine import Stage

UNTRAINED = "what it changes never acted: the same training as"


class TrialFeed(Unpickled, Searcher):  # type: ignore[misc]  # Ray is untyped: its classes are Any here
    """Gives Ray the trials that a gate lets through, and hears of their ends."""

    def __init__(self, stage: "Stage") -> None:
        super().__init__(metric=OBJECTIVE, mode="min")
        self._ledger, self._gate, self._propose, self._halt = stage.ledger, stage.gate, stage.propose, stage.halt
        self._fill = stage.fill
        self._horizon, self._lending = stage.job.horizon, stage.lending
        self.numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's Ray config; None for "not now"."""
        if self._halt.reason is not None:
            return str(Searcher.FINISHED)
        number = self._gate.next_resumable()
        if number is None and self._gate.room():
            number = self._propose()
        if number is None and self._gate.spare():
            number = self._fill(self._gate.undecided())
        if number is None:
            return str(Searcher.FINISHED) if self._gate.finished() else None
        self.numbers[trial_id] = number
        if isinstance(self._gate, Slots):
            self._gate.busy.add(number)
        trial = self._ledger.records.trials[number]
        config = {"trial": number, "values": trial.values, "seed": trial.proposed.seed}
        if self._lending is None or not trial.searched:
            return config
        return {**config, PREFIX: self._lending.order(number).as_config()}

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """The trial is over. Errors are heard by `ResultListener.on_trial_error`, which knows the reason."""
        number = self.numbers[trial_id]
        if isinstance(self._gate, Slots):
            self._gate.left_worker(number)
        trial = self._ledger.records.trials[number]
        if error or trial.over:
            return
        if not trial.searched and _is_cut(result, self._horizon):
            if isinstance(self._gate, Slots):
                self._gate.unfinished.append(number)  # it has made room for another one
            return  # the confirmation takes up what the end of the search has cut off
        if result is None:
            self._ledger.emit(Ended(number, "stopped", f"not promoted from {trial.rung or trial.step}", now()))
            return
        match outcome_of(result):
            case "diverged":
                self._ledger.emit(Ended(number, "diverged", str(result[DIVERGED]), now()))
            case "running" if result[STEP] < self._horizon:
                self._ledger.emit(Ended(number, "stopped", f"among the worst at {result[STEP]}", now()))
            case _:
                same = f"{UNTRAINED} trial {trial.forked.source}" if trial.forked and trial.copied else ""
                self._ledger.emit(Ended(number, "completed", str(result.get(ENDED, same)), now()))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal holds it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal holds it."""


def _is_cut(result: Mapping[str, Any] | None, horizon: int) -> bool:
    """Whether a trial that is over for Ray has more to train."""
    return result is None or (outcome_of(result) == "running" and result[STEP] < horizon)
