"""What each trial of a search does with shared prefixes: from what it starts, and which of its states are kept.

Decided when the trial is handed out, from what is known then. One trial at a time is to keep a state; another one that
needs the same unfinished prefix trains it too, and keeps nothing: waiting would leave a worker idle. States that save
much for their size and were asked for lately stay, within a cap.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from search.history.events import Ended, Event, Kept, Paused, Reported, Retried
from search.history.records import Records, Trial
from search.prefixes.key import Chain, Identity
from search.prefixes.predict import Outline, Prediction, forks
from trainables.prefix import Fork, Order, Sharing
from trainables.run import METRICS, OBJECTIVE, STEP, Model

WANTED = 2
"""Other configs, drawn or tried, that must part from a trial at a step for its state to be kept there."""
SLACK = 1.05
"""By how much a state may be larger than the largest so far: counters in it take more or less room."""
MOST = 3
"""States that a trial keeps at most, the deepest ones that are wanted most first."""
FADING = 0.98
"""What a hit is worth when one more trial has been handed out."""


@dataclass
class Entry:
    """A kept state. Only `hits` changes."""

    key: str
    address: str
    """Empty where nothing is stored: the reports of a whole training, which are in the journal."""
    step: int
    size: int
    seen: int | None
    """The longest stretch without a gain that its controller had seen; None once it had acted."""
    source: int
    """The trial that kept it."""
    hits: list[int] = field(default_factory=list)
    """When it was asked for, in trials handed out by then."""

    def worth(self, now: int) -> float:
        """Steps saved × recent hits / bytes, a hit fading by `FADING` with each trial; being kept counts as one."""
        recent = sum(FADING ** (now - at) for at in self.hits)
        return self.step * recent / max(1, self.size)


def evicted(entries: Iterable[Entry], needed: int, in_use: Collection[str], now: int) -> list[Entry]:
    """The entries to delete so that `needed` bytes come free: the least worth first, never one that is in use.

    Fewer where that is all there are; none where `needed` is not above 0.
    """
    chosen: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: (entry.worth(now), entry.address)):
        if needed <= 0:
            break
        if entry.size and entry.key not in in_use:
            chosen.append(entry)
            needed -= entry.size
    return chosen


@dataclass(frozen=True)
class Common:
    """What all trials of a search have in common, for sharing."""

    model: Model[Any, Any]
    sharing: Sharing[Any]
    identity: Identity
    prediction: Prediction
    config_of: Callable[[Mapping[str, Any]], Any]
    """The typed config of a trial's values."""
    cap: int
    """Bytes that the store may take."""


class Lending:
    """Who starts from what and who keeps what, in memory; the store itself is touched by workers and by `drop`."""

    def __init__(
        self, common: Common, records: Records, present: Mapping[str, int], drop: Callable[[str], None]
    ) -> None:
        """`present`: address -> bytes of what the store holds. `drop` deletes the state of an address, at once of those
        that nobody knows of."""
        self._common, self._records, self._drop = common, records, drop
        self.kept: dict[str, Entry] = {}  # by key
        self._handed = 0  # trials handed out: the clock of hits
        self._known: dict[int, tuple[Chain, Outline]] = {}
        self._claims: dict[str, int] = {}  # key -> the trial that is to keep its state
        self._room: dict[int, int] = {}  # bytes that trials may still keep, by trial
        self._lent: dict[int, str] = {}  # key of what a trial starts from, until it has trained on
        known = {event.address: event for event in records.kept if event.address}
        for address in sorted(present.keys() - known.keys()):
            drop(address)
        for event in records.kept:
            if not event.address or event.address in present:
                self._add(event)

    def order(self, number: int) -> Order:
        """What the trial is to do."""
        self._handed += 1
        trial = self._records.trials[number]
        chain, outline = self._of(trial)
        fork = self._fork(trial, chain, outline)
        self._lent.pop(number, None)
        if fork is not None and fork.stored:
            self._lent[number] = fork.key
        self._release(number)
        begun = self._common.identity.begins if fork is None else fork.step
        keep = self._keep(number, chain, outline, begun)
        last_calm = self._last_calm(chain, outline, begun)
        room = self._reserve(number, len([step for step in keep if step < self._horizon]) + bool(last_calm))
        if not room:
            keep, last_calm = {step: keys for step, keys in keep.items() if step >= self._horizon}, {}
        for keys in keep.values():
            self._claims |= dict.fromkeys(keys, number)
        return Order(fork, keep, last_calm, room)

    @property
    def held(self) -> int:
        """Bytes that all that is kept takes."""
        return sum(entry.size for entry in self.kept.values())

    def gone(self, key: str, address: str) -> None:
        """A worker has not found the state of `key` at `address`, where it should be."""
        entry = self.kept.get(key)
        if entry is not None and entry.address == address:  # else its machine is of another type
            self._forget(entry)

    def __call__(self, event: Event) -> None:
        """Take in what happens to trials."""
        match event:
            case Kept():
                self._add(event)
                self._claims.pop(event.key, None)
                self._evict(0)
            case Paused() | Ended() | Retried():
                self._release(event.trial)
                if isinstance(event, Ended):
                    self._lent.pop(event.trial, None)
                    self._known.pop(event.trial, None)
            case Reported():
                entry = self.kept.get(self._lent.get(event.trial, ""))
                if entry is not None and event.step > entry.step:
                    del self._lent[event.trial]

    # What a trial starts from.

    def _fork(self, trial: Trial, chain: Chain, outline: Outline) -> Fork | None:
        for entry in sorted(self.kept.values(), key=lambda entry: -entry.step):  # of equal steps the one kept first
            if self._serves(entry, chain, outline, trial):
                entry.hits.append(self._handed)
                reports = tuple(_report(each) for each in self._reports(entry) if each[0] > trial.step)
                return Fork(entry.key, entry.step, entry.source, reports, bool(entry.address))
        return None

    def _serves(self, entry: Entry, chain: Chain, outline: Outline, trial: Trial) -> bool:
        """Whether the state is one that the trial comes to, too."""
        common, controller = self._common, self._common.sharing.controller
        if entry.source == trial.number and not entry.address:
            return False
        if self._of(self._records.trials[entry.source])[1].scheduled(outline) < entry.step:
            return False  # seen at once, where keys take their time
        calm, acted = chain.keys(entry.step)
        if entry.key == acted and entry.seen is None:
            return self._whole(entry)
        if entry.key != calm or entry.seen is None:
            return False
        if controller is not None and not controller.calm(common.config_of(trial.proposed.values), entry.seen):
            return False
        return self._whole(entry)

    def _reports(self, entry: Entry) -> Iterator[tuple[int, Mapping[str, float]]]:
        source = self._records.trials[entry.source]
        return ((report.step, report.metrics) for report in source.reports if report.step <= entry.step)

    def _whole(self, entry: Entry) -> bool:
        """Whether every report that led to the state is known."""
        every, begins = self._common.identity.every, self._common.identity.begins
        return [step for step, _ in self._reports(entry)] == list(range(begins + every, entry.step + 1, every))

    # What a trial keeps.

    def _keep(self, number: int, chain: Chain, outline: Outline, begun: int) -> dict[int, tuple[str, str]]:
        at_work = (other for known, (_, other) in self._known.items() if known != number)
        others = [*self._common.prediction.outlines, *at_work]
        found = forks(outline, others, self._common.prediction.lengths)
        wanted = [step for step, count in found.items() if count >= WANTED and step > begun]
        wanted.sort(key=lambda step: -step * found[step])
        keep = {}
        for step in [*wanted[:MOST], self._horizon]:
            keys = chain.keys(step)
            if not any(key in self.kept or key in self._claims for key in keys):
                keep[step] = keys
        return keep

    def _last_calm(self, chain: Chain, outline: Outline, begun: int) -> dict[int, str]:
        """Where a controller may act at any time, and others of the space would act at another."""
        every = self._common.identity.every
        drawn = self._common.prediction.outlines
        if self._common.sharing.controller is None or not any(outline.differs_in_settings(other) for other in drawn):
            return {}
        return {step: chain.keys(step)[0] for step in range(begun + every, self._horizon, every)}

    # Room.

    def _reserve(self, number: int, states: int) -> int:
        """Bytes that so many states may take in all, made free; 0 where there is no room, or no need of any.

        How much one takes is known from the first that was kept; until then it is all there is.
        """
        if not states:
            return 0
        largest = max((entry.size for entry in self.kept.values()), default=0)
        size = int(largest * SLACK)
        promised = sum(self._room.values())
        self._evict(promised + size * states)
        free = self._common.cap - self.held - promised
        needed = size * states or free
        if needed <= 0 or free < needed:
            return 0
        self._room[number] = needed
        return needed

    def _evict(self, room: int) -> None:
        needed = self.held + room - self._common.cap
        for entry in evicted(self.kept.values(), needed, set(self._lent.values()), self._handed):
            self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        self.kept.pop(entry.key, None)
        if entry.address:
            self._drop(entry.address)

    def _add(self, event: Kept) -> None:
        entry = Entry(event.key, event.address, event.step, event.size, event.seen, event.trial, [self._handed])
        self.kept[entry.key] = entry
        if event.address and event.trial in self._room:
            self._room[event.trial] = max(0, self._room[event.trial] - event.size)

    def _release(self, number: int) -> None:
        """The trial keeps nothing more, as far as can be said now."""
        self._claims = {key: owner for key, owner in self._claims.items() if owner != number}
        self._room.pop(number, None)

    def _of(self, trial: Trial) -> tuple[Chain, Outline]:
        if trial.number not in self._known:
            common = self._common
            config = common.config_of(trial.proposed.values)
            # The seed is the trial's own: a confirmation run has another.
            identity = replace(common.identity, seed=trial.proposed.seed)
            chain = Chain(common.model, common.sharing, identity, config)
            outline = Outline(common.model, common.sharing, config, common.prediction.lengths)
            self._known[trial.number] = chain, outline
        return self._known[trial.number]

    @property
    def _horizon(self) -> int:
        return self._common.prediction.lengths.horizon


def _report(known: tuple[int, Mapping[str, float]]) -> dict[str, Any]:
    """A report as a worker tells it, from what the journal has of it."""
    step, metrics = known
    told = {name: value for name, value in metrics.items() if name != OBJECTIVE}
    return {STEP: step, OBJECTIVE: metrics[OBJECTIVE], METRICS: told}
