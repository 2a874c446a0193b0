"""Prefixes of trainings that trials share: what a model says of itself, and how a worker takes one up and keeps one.

Two trainings that agree in everything up to a step are in the same state there. Their common part is kept once, below
`prefixes/` of the search, under an address that names all it depends on: the driver's key (`search.prefixes.key`) and
what only the worker knows of its machine. So a worker of another machine type finds nothing, and trains.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, TypeVar

from trainables import checkpoints, fingerprint
from trainables.objects import Prefix
from trainables.run import AHEAD, SECONDS, STEP, Native, Run
from trainables.signed import digest

STORE = "prefixes"
"""In the search's folder, or its store: a folder per kept state, called by its address."""
PREFIX = "prefix"  # key of a trial's Ray config
# Keys of a report, where there is something to say.
REPLAYED = "replayed"  # {"trial": whose report it is, "step": up to where that one's are copied}
KEPT = "kept"  # a list of `Kept` as mappings: the states that this worker has put into the store
GONE = "gone"  # {"key": of a state that was not found, or not intact, "address": where it was looked for}
_LIBRARIES = ("transformers", "tokenizers", "accelerate", "lightning", "scipy", "scikit-learn")

C = TypeVar("C")


@dataclass(frozen=True)
class Controller(Generic[C]):
    """A part of training that does nothing until it has seen enough results: a reduction or a switch on a plateau."""

    unacted: Callable[[C], Native]
    """What training depends on beside `realised`, while the controller has not acted: `static` without its settings,
    as far as its own state does not depend on them either."""
    settings: Callable[[C], Native]
    """What it does once it acts: all of it."""
    earliest: Callable[[C], int]
    """The first unit that it may change."""
    seen: Callable[[Mapping[str, Any]], int | None]
    """Of a run's state: the longest stretch without a gain so far; None once it has acted."""
    calm: Callable[[C, int], bool]
    """Whether the one of this config would have done nothing either, given that stretch."""


@dataclass(frozen=True)
class Sharing(Generic[C]):
    """What a model promises of its trainings, so that two may share their beginning.

    Two configs that agree in `static`, and in `realised` at each unit up to a step, train the same bits up to there,
    given the same data and seed; and a run that is restored from the state of the other goes on as if it were its own.
    """

    realised: Callable[[C, int], Any]
    """All that training unit `step` takes from the config beside `static`: JSON-like values, exact ones."""
    controller: Controller[C] | None = None
    static: Callable[[C], Native] | None = None
    """What training depends on beside that; None: the model's own `static`."""
    rough: Callable[[C, int], Any] | None = None
    """`realised` in short, where that is long: equal for equal ones. For predictions only."""


def sharing_of(model: object) -> Sharing[Any] | None:
    """What a model promises of its trainings, as its `sharing`; None where it says nothing of that."""
    promised: Sharing[Any] | None = getattr(model, "sharing", None)
    return promised


@dataclass(frozen=True)
class Fork:
    """A kept state that a trial may start from, and the reports that led to it."""

    key: str
    step: int
    source: int
    """The trial that kept it."""
    reports: tuple[Mapping[str, Any], ...] = ()
    """In the form of the bridge's; ascending. Those that the driver knows already may be missing."""
    stored: bool = True
    """False: its reports are all there is, up to the end of a training."""


@dataclass(frozen=True)
class Order:
    """What a trial does with prefixes, as the driver has decided when it handed the trial out."""

    fork: Fork | None = None
    keep: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Steps at which its state is to be kept -> the key while its controller has not acted, and after that."""
    last_calm: Mapping[int, str] = field(default_factory=dict)
    """Where the model has a controller that may act at any time: every step -> the key of its state there. When it
    acts, the newest checkpoint before that is kept."""
    room: int = 0
    """Bytes that the states which it keeps may take in all."""

    def as_config(self) -> dict[str, Any]:
        """Plain values, for Ray's config of the trial."""
        return asdict(self)

    @classmethod
    def of_config(cls, given: Mapping[str, Any]) -> "Order":
        """What `as_config` wrote."""
        fork = given["fork"]
        keep = {int(step): (keys[0], keys[1]) for step, keys in given["keep"].items()}
        last_calm = {int(step): str(key) for step, key in given["last_calm"].items()}
        return cls(None if fork is None else Fork(**fork), keep, last_calm, int(given["room"]))


@dataclass(frozen=True)
class Kept:
    """A state that a worker has put into the store."""

    key: str
    address: str
    step: int
    size: int
    seen: int | None
    """What the controller had seen, where it had not acted; 0 without one."""


def address(key: str, environment: Mapping[str, Any]) -> str:
    """Where the state of `key` is kept that came about in `environment`."""
    return digest([key, dict(environment)])


def environment() -> dict[str, Any]:
    """What decides the bits of a training beside its key, in this process: machine type, threads, device, versions."""
    return {**fingerprint.fingerprint(), "libraries": _versions()}


class TrialPrefix:
    """One trial's part in the sharing of prefixes."""

    def __init__(
        self, order: Order, base: checkpoints.Place, sharing: Sharing[Any] | None, own: Mapping[str, Any] | None = None
    ) -> None:
        """`base`: the search's folder or store. `own`: the environment; None: that of this process, now."""
        self._order, self._base = order, base
        self._controller = None if sharing is None else sharing.controller
        self._environment = environment() if own is None else own
        self._room = order.room
        self._calm = True  # at the last look
        self._copied: list[Mapping[str, Any]] = []  # reports of the fork that are still to be told
        self._gone: Mapping[str, str] | None = None

    def start(self, run: Run) -> int | None:
        """Bring a run at step 0 to the fork; the fork's step. None where there is none, or none that is intact."""
        fork = self._order.fork
        if fork is None:
            return None
        if fork.stored:
            where = address(fork.key, self._environment)
            state = self._found(where, fork.step)
            if state is None:
                self._gone = {"key": fork.key, "address": where}
                return None
            run.restore(state)
        self._copied = list(fork.reports)
        return fork.step

    def replay(self, horizon: int) -> dict[str, Any] | None:
        """The next of the reports that are copied; None where all are told."""
        if not self._copied:
            return None
        fork, report = self._order.fork, self._copied.pop(0)
        assert fork is not None, "what is copied is of a fork"
        mark = {"trial": fork.source, "step": fork.step}
        return {**report, SECONDS: 0.0, "done": report[STEP] >= horizon, REPLAYED: mark}

    def told(self, step: int) -> None:
        """The driver has the reports up to `step`."""
        self._copied = [report for report in self._copied if report[STEP] > step]

    def remarks(self, step: int, run: Run, saved: checkpoints.Place, horizon: int) -> dict[str, Any]:
        """Keep what is to be kept, now that the trial has been evaluated at `step`; what its report says of that.

        Args:
            step: What the trial has reached.
            run: The trial's run, there.
            saved: The trial's own checkpoints.
            horizon: The step at which every training ends.

        """
        found: dict[str, Any] = {}
        if self._gone is not None:
            found[GONE], self._gone = dict(self._gone), None
        keys = self._order.keep.get(step)
        watches = bool(self._order.last_calm) and self._calm
        if keys is None and not watches:
            return found
        state = run.state()
        seen = 0 if self._controller is None else self._controller.seen(state)
        kept = []
        if keys is not None:
            key = keys[0 if seen is not None else 1]
            kept.append(Kept(key, "", step, 0, seen) if step >= horizon else self._put(step, state, key, seen))
        if watches and seen is None:
            self._calm = False
            kept.append(self._keep_last_calm(step, saved))
        if told := [asdict(each) for each in kept if each is not None]:
            found[KEPT] = told
        return found

    def _found(self, where: str, step: int) -> Mapping[str, Any] | None:
        for at, state in checkpoints.intact(place_of(self._base, where), "cpu"):
            if at == step and state.get("address") == where:
                run: Mapping[str, Any] = state["run"]
                return run
        return None

    def _keep_last_calm(self, step: int, saved: checkpoints.Place) -> Kept | None:
        """Keep the newest of the trial's own checkpoints from before its controller acted."""
        assert self._controller is not None
        for at, state in checkpoints.intact(saved, "cpu"):
            seen = self._controller.seen(state["run"]) if at < step else None
            if seen is not None and at in self._order.last_calm:
                return self._put(at, state["run"], self._order.last_calm[at], seen)
        return None

    def _put(self, step: int, run: Mapping[str, Any], key: str, seen: int | None) -> Kept | None:
        """Put a state into the store; None where it is there already, too large, or not that of the step alone."""
        where = address(key, self._environment)
        place = place_of(self._base, where)
        if run.get(AHEAD) or checkpoints.steps(place):
            return None
        data = checkpoints.packed({"run": run, "address": where})
        if len(data) > self._room:
            return None
        self._room -= len(data)
        checkpoints.put(place, step, data)
        return Kept(key, where, step, len(data), seen)


def place_of(base: checkpoints.Place, where: str) -> checkpoints.Place:
    """Where the state of the address `where` lies, below the search's folder or store."""
    return base / STORE / where if isinstance(base, Path) else base / f"{STORE}/{where}"


def stored(base: checkpoints.Place) -> dict[str, int]:
    """Address -> bytes of all that the store holds, intact or not."""
    found: dict[str, int] = {}
    match base:
        case Path():
            for file in (base / STORE).glob("*/*"):
                found[file.parent.name] = found.get(file.parent.name, 0) + file.stat().st_size
        case Prefix():
            for path, size in (base / STORE).sizes(recursive=True).items():
                where = path.partition("/")[0]
                found[where] = found.get(where, 0) + size
    return found


def drop(base: checkpoints.Place, where: str) -> None:
    """Delete a state."""
    place = place_of(base, where)
    checkpoints.remove(place)
    if isinstance(place, Path) and place.is_dir():
        for left in place.iterdir():  # of a worker that died while it wrote
            left.unlink(missing_ok=True)
        place.rmdir()


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
