"""Where a stage gets its runs on fresh seeds from: those of the confirmation, and those that are begun before it."""

from collections.abc import Callable, Collection, Sequence

from search.app.context import RunContext
from search.common.clock import now
from search.history.events import Proposed, TrialKind
from search.history.records import Trial
from search.results.confirm import ahead, first_seed, fresh_seeds, missing


class Ahead:
    """The runs on fresh seeds that the confirmation needs in any case, for workers that the end of the search leaves
    idle."""

    def __init__(self, context: RunContext) -> None:
        self._search, self._ledger = context.search, context.folder.ledger
        begins_by_seed = self._search.start is not None and self._search.start.trained
        cut_off = self._search.goes_on and not begins_by_seed
        self.seeds: Sequence[int] = fresh_seeds(self._search.settings) if cut_off else ()
        """None where a run that the search's end cuts off would train anew, or needs a start of its own first."""
        self._handed: set[int] = set()
        self._seen: tuple[int, Collection[int] | None] | None = None

    def __call__(self, undecided: Collection[int] | None) -> int | None:
        """The next run's number, once it is in the journal; None where there is none. Each is handed out once.
        `undecided`: the search's own trials at work, if no other one can change any more.
        """
        records, seen = self._ledger.records, (self._ledger.records.search_steps, undecided)
        if not self.seeds or self._seen == seen:  # asked on every turn of Ray's loop
            return None
        settings, objective = self._search.settings, self._search.model.objective
        first, further = first_seed(settings), self._search.further
        wanted = ahead(records, objective, settings.confirm, first, further, undecided)
        for run in missing(records, "confirm", wanted, now()):
            self._ledger.emit(run)
        sure = [config[:2] for config in wanted]
        left = [run for run in records.of_kind("confirm") if not run.over and run.number not in self._handed]
        number = next((run.number for run in left if run.pair in sure), None)
        if number is None:
            self._seen = seen  # with its next evaluation the search may have more to compare
        else:
            self._handed.add(number)
        return number


class FreshSeeds:
    """The runs of a kind on fresh seeds, as they come due."""

    def __init__(self, context: RunContext, kind: TrialKind, due: Callable[[], list[Proposed]]) -> None:
        self._ledger, self.kind, self._which = context.folder.ledger, kind, due
        self._seen: tuple[int, int] | None = None
        self._due: list[Proposed] = []

    def due(self) -> list[Proposed]:
        """Runs to be proposed now."""
        records = self._ledger.records
        seen = records.proposed[self.kind], sum(run.over for run in records.of_kind(self.kind))
        if seen != self._seen:  # asked on every turn of Ray's loop
            self._seen = seen
            self._due = self._which()
        return self._due

    def unfinished(self) -> list[Trial]:
        """All that are to be trained now, those that were due among them: by seed, for the first may decide the rest;
        of a seed those first that have most left."""
        for run in self.due():
            self._ledger.emit(run)
        left = [trial for trial in self._ledger.records.of_kind(self.kind) if not trial.over]
        return sorted(left, key=lambda run: (run.proposed.seed, run.step))

    def exhausted(self) -> bool:
        """Whether no run is to be proposed now; while some are trained, further ones may follow from their results."""
        return not self.due()

    def propose(self) -> int | None:
        """The next run's number, once it is in the journal; None where results are awaited."""
        runs = self.due()
        if not runs:
            return None
        self._ledger.emit(runs[0])
        return runs[0].trial
