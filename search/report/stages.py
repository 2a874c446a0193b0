"""Which trials trained what they have in common once: a tree of stages, each trained by one trial."""

from dataclasses import dataclass

from search.history.records import Records, Trial


@dataclass(frozen=True)
class Stage:
    """A stretch of training, and the trials that went on from its end."""

    trial: int
    """Who trained it."""
    first: int
    last: int
    """From its step `first` to its step `last`."""
    after: tuple["Stage", ...]
    """What followed: first the rest of this trial's own training, then the trials that began there."""
    copies: tuple[int, ...] = ()
    """Trials that are this one from beginning to end: what they change never acted."""


@dataclass(frozen=True)
class SharedStages:
    """What was shared in a search."""

    roots: tuple[Stage, ...]
    """The trials that others began as."""
    trained: int
    replayed: int

    @property
    def share(self) -> float:
        """Of all units that its trials have behind them, those that were not trained."""
        return self.replayed / max(1, self.trained + self.replayed)


def shared_stages(records: Records) -> SharedStages | None:
    """What a search's trials shared; None where they shared nothing."""
    trials = records.of_kind("search")
    forks: dict[int, list[Trial]] = {}
    for trial in trials:
        if trial.forked is not None and trial.replayed:
            forks.setdefault(trial.forked.source, []).append(trial)
    if not forks:
        return None
    begun = {trial.number for others in forks.values() for trial in others}
    roots = (
        _stage(trial, trial.begins, forks) for trial in trials if trial.number in forks and trial.number not in begun
    )
    return SharedStages(tuple(roots), records.search_steps, records.replayed_steps)


def _stage(trial: Trial, first: int, forks: dict[int, list[Trial]]) -> Stage:
    """What a trial trained from its step `first` on, cut where others began."""
    others = [other for other in forks.get(trial.number, []) if other.own_from > first]
    copies = tuple(other.number for other in others if other.copied and other.own_from >= trial.step)
    others = [other for other in others if other.number not in copies]
    cut = min((other.own_from for other in others), default=trial.step)
    here = [other for other in others if other.own_from == cut]
    if not here:
        return Stage(trial.number, first, trial.step, (), copies)
    rest = [_stage(trial, cut, forks)] if trial.step > cut or copies else []
    return Stage(trial.number, first, cut, (*rest, *(_stage(other, cut, forks) for other in here)))
