"""What a new search takes over from earlier trials: which of them count as its own observations, and which run first.

The rule is strict where numbers are compared and lenient where configs are tried. The sampler is told of an old trial
only if training its config here would have given the same curve: same model, objective and data, the same config apart
from the knobs that are searched now, values inside the space. Any other config that fits the space may still be good:
it can run first, as a trial of the new search, so that its numbers are the new search's own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.history.events import Observed, Status, WarmStarted
from search.sampling.codec import text_of
from search.sampling.trial_history import PastTrial, Queued
from search.spec.search import Search
from spaces.domain import snap
from spaces.paths import Missing, get, has, leaves, with_values
from spaces.problems import BadInput
from spaces.values import ABSENT, Absent, show, thaw
from trainables.native import plain, unknown_keys
from trainables.run import Model, Native


@dataclass(frozen=True)
class OldTrial:
    """A trial of an earlier search, as it was trained there."""

    name: str  # "tcn-2 trial 7"
    base: Native | None  # the whole config that its search started from; None: not known
    data: str  # digest
    values: Mapping[str, Any]
    status: Status
    reports: Sequence[tuple[int, float]]  # (step, objective), by step
    reason: str = ""
    changed: bool = False  # its knobs changed in mid-run


@dataclass(frozen=True)
class Old:
    """Earlier searches over the same model and objective."""

    source: str  # for people
    trials: Sequence[OldTrial]


@dataclass(frozen=True)
class _Fit:
    """An old trial held against the new search."""

    trial: OldTrial
    observed: Observed | None = None  # None: its values are no point of the space
    why: str = ""  # why the sampler is not told of it

    @property
    def tried(self) -> bool:
        """Whether it ended with a number that a config can be judged by."""
        return bool(self.trial.reports) and self.trial.status not in {"diverged", "failed"}


def warm_start(search: Search, old: Old, data: str, at: float) -> WarmStarted:
    """What `search`, on data of the digest `data`, takes over from `old`."""
    start = search.settings.warm_start
    assert start is not None, "there is something to take over"
    here = _Here(search, data)
    fits = [here.hold(trial) for trial in old.trials]
    told = [fit.observed for fit in fits if fit.observed is not None and not fit.why]
    reasons = [f"{fit.trial.name} ({fit.why})" for fit in fits if fit.why]
    return WarmStarted(
        source=old.source,
        observations=told,
        first=_best(search, fits)[: start.first],
        left_out=len(reasons),
        why=reasons[0] if reasons else "",
        at=at,
    )


def _best(search: Search, fits: Sequence[_Fit]) -> list[Observed]:
    """The configs worth running, best first: those whose numbers count here, then those trained furthest, then by
    objective. Equal configs once; the new baseline runs anyway.
    """
    seen = {text_of({path: thaw(value) for path, value in search.space.baseline(search.base).items()})}
    best = []
    usable = [(fit, fit.observed) for fit in fits if fit.observed is not None and fit.tried]
    for _, observed in sorted(usable, key=lambda pair: (bool(pair[0].why), *_rank(pair[0].trial, search))):
        if text_of(observed.values) not in seen:
            seen.add(text_of(observed.values))
            best.append(observed)
    return best


def _rank(trial: OldTrial, search: Search) -> tuple[int, float]:
    step, objective = next(
        (report for report in reversed(trial.reports) if report[0] <= search.horizon), trial.reports[0]
    )
    return -step, search.model.objective.score(objective)


class _Here:
    """The new search, as far as old trials are held against it."""

    def __init__(self, search: Search, data: str) -> None:
        self._search, self._data = search, data
        self._read = _read(search.model, search.base)
        self._free = {search.model.length_key, *search.space.by_path}

    def hold(self, trial: OldTrial) -> _Fit:
        """Project the trial on the space; say why it is no observation, if it is none."""
        search = self._search
        try:
            was = search.model.parse(with_values(trial.base or search.base, trial.values), trial.name)
        except (BadInput, Missing) as error:
            return _Fit(trial, why=f"its config is none of this model's: {str(error).splitlines()[0]}")
        config = plain(was)
        values, reason = self._projected(config)
        if values is None:
            return _Fit(trial, why=reason)
        status, reports = self._outcome(trial, config)
        observed = Observed(trial.name, values, status, reports, trial.reason)
        return _Fit(trial, observed, next(self._objections(trial, config, reports), ""))

    def _projected(self, config: Native) -> tuple[dict[str, Any] | None, str]:
        """The values of the active knobs in `config`, or why they are no point of the space."""
        search, space = self._search, self._search.space
        found = {knob.path: get(config, knob.path) for knob in space.knobs if has(config, knob.path)}
        active = space.active(found, search.base)
        values = {knob.path: found[knob.path] for knob in active if knob.path in found}
        reasons = space.outside(values, search.base)
        if reasons:
            return None, reasons[0]
        values = {knob.path: thaw(snap(knob.domain, values[knob.path])) for knob in active}
        try:
            search.model.parse(with_values(search.base, values), "it")
        except BadInput as error:
            return None, f"with this search's base {str(error).splitlines()[0]}"
        return values, ""

    def _objections(self, trial: OldTrial, config: Native, reports: Sequence[tuple[int, float]]) -> Iterator[str]:
        """Why the trial's numbers are not those that its config would have had here."""
        if trial.status == "failed":
            yield f"failed{f' ({trial.reason})' if trial.reason else ''}"
        if not reports:
            yield f"no evaluation in its first {self._search.horizon} {self._search.model.unit}s"
        if trial.changed:
            yield "its knobs changed in mid-run"
        if trial.data != self._data:
            own = self._search.settings.trainable is not None  # whose data is what its code makes
            yield "it was trained by other code" if own else "it was trained on other data"
        if trial.base is None:
            yield "the config that its search started from is not known"
        was = _read(self._search.model, config)
        for path in dict.fromkeys([*was, *self._read]):
            before, after = was.get(path, ABSENT), self._read.get(path, ABSENT)
            if before != after and path not in self._free:
                yield f"{path} was {_shown(before)} and is {_shown(after)}"

    def _outcome(self, trial: OldTrial, config: Native) -> tuple[Status, list[tuple[int, float]]]:
        """The trial's status and reports had it run under this search's horizon.

        Completed stays what was trained in full, or ended by its own patience, under the schedule that it would have
        here; a run of another length that had still to go on, or whose schedule was stretched otherwise, was stopped.
        """
        horizon, length = self._search.horizon, get(config, self._search.model.length_key)
        reports = [(step, value) for step, value in trial.reports if step <= horizon]
        last = reports[-1][0] if reports else 0
        cut = len(reports) < len(trial.reports)  # what came later counts for nothing, be it a divergence
        if cut or (trial.status == "completed" and length != horizon):
            over = last == horizon or (not cut and last < length)
            return ("completed" if over and self._same_schedule(config, reports) else "stopped"), reports
        return ("stopped" if trial.status in {"running", "paused"} else trial.status), reports

    def _same_schedule(self, config: Native, reports: Sequence[tuple[int, float]]) -> bool:
        """Whether every scheduled knob had, before each evaluation, the value that it has under the new length."""
        model = self._search.model
        old = model.parse(config, "")
        new = model.parse(with_values(config, {model.length_key: self._search.horizon}), "")
        return all(model.knobs(old, step - 1) == model.knobs(new, step - 1) for step, _ in reports)


def _read(model: Model[Any, Any], native: Native) -> dict[str, Any]:
    """What the model reads of a config, by path: not the keys that it only carries through."""
    config = model.parse(native, "")
    unread = unknown_keys(config)
    whole = plain(config)
    return {
        path: get(whole, path) for path in leaves(whole) if not any(f"{path}.".startswith(f"{key}.") for key in unread)
    }


def _shown(value: Any) -> str:
    return "absent" if isinstance(value, Absent) else show(value)


# What the rest of the search does with it.


def past(warm: WarmStarted | None) -> list[PastTrial]:
    """The observations as the proposer takes them: ended before trial 0, the last one as number -1."""
    if warm is None:
        return []
    return [
        PastTrial(
            number=index - len(warm.observations),
            values=trial.values,
            status=trial.status,
            origin=trial.name,
            reports=trial.reports,
            value=trial.reports[-1][1],
            reason=trial.reason,
            began=warm.at,
            ended=warm.at,
        )
        for index, trial in enumerate(warm.observations)
    ]


def queue(warm: WarmStarted | None) -> list[Queued]:
    """The configs that run right after the baseline."""
    return [Queued(trial.values, f"warm {trial.name}") for trial in warm.first] if warm is not None else []


def told(warm: WarmStarted) -> str:
    """One or two lines for people."""
    taken = len(warm.observations)
    total = taken + warm.left_out
    if not total:
        return f"warning: warm start: {warm.source} has no trials yet"
    text = f"warm start: {taken} of {total} trials of {warm.source} taken over as observations"
    if warm.left_out:
        text += f"; {warm.left_out} not, such as {warm.why}"
    if not taken and not warm.first:
        return f"warning: {text}"
    names = ", ".join(trial.name for trial in warm.first)
    return f"{text}\nrun first, after the baseline: {names}" if names else text
