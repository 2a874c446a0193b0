"""What a search will do, before it does it: rungs, trials, units to be trained, and whether the first rung is fair."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from search.sampling.grid import config_count
from search.spec import settling, sharing
from search.spec.knob_onset import acting
from search.spec.resources import at_once
from search.spec.search import Search
from search.spec.sharing import Shared
from search.stopping.bracket import Bracket
from search.stopping.forecast import Forecast, forecast
from search.stopping.kind import Lengths
from search.stopping.rungs import Goal


@dataclass(frozen=True)
class Plan:
    """The search in numbers. Lengths are in the model's unit."""

    unit: str
    trials: int
    configs: int | None
    """How many different configs can be tried; None for more than can be counted."""
    horizon: int
    every: int
    rungs: tuple[int, ...]
    """Steps at which trials are compared, counted from 0 of the whole training; the last is the horizon. Only the
    horizon without early stopping."""
    entering: tuple[int, ...]
    """Trials expected to reach each rung: what half of the plays of `stopping.forecast` keep below."""
    entering_least: tuple[int, ...]
    """Between these all plays lie, also below."""
    entering_most: tuple[int, ...]
    workers: int
    """Trials at once, as far as this machine tells."""
    unsettled: tuple[float, ...]
    """Share of the space's configs that are still in warmup, freeze or ramp at each rung; empty where nobody knows."""
    search_steps: int
    search_least: int
    search_most: int
    confirm_steps: int
    """At most; `confirm_least` where a confirmation one seed at a time is decided as early as can be."""
    confirm_least: int
    full_steps: int
    """What the same trials would train without early stopping."""
    repeated_steps: int
    """Of `search_steps`, what is trained again because trials start over when they are promoted."""
    acting: Mapping[str, int]
    """The knobs that act late, with the step before which most configs that differ in them alone train alike."""
    shared: Shared = sharing.NONE
    """Whether trials share the training of what they have in common."""
    begins: int = 0
    """The step that every trial starts from; what is trained counts from there."""
    start_least: int = 0
    start_steps: int = 0
    """What has to be trained up to there, for the search's seed and the fresh ones."""
    explain_steps: int = 0
    """At most, after a verdict to switch: every part of the winner's changes on every fresh seed."""

    @property
    def steps(self) -> int:
        """Everything that is expected to be trained."""
        return self.search_steps + self.confirm_steps

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `plan.json`."""
        plain = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "shared"}
        return {**plain, "steps": self.steps, "sharing": self.shared.as_dict()}


def make_plan(search: Search) -> Plan:
    """Plan `search`. Raises BadInput for impossible rungs and for a space with configs that the model refuses."""
    drawn = settling.drawn(search)
    stopping, shared = search.settings.early_stopping, sharing.decided(search)
    begins = search.begins
    settles = [max(0, settled - begins) for settled in drawn]
    compared = [settling.comparable(settled, search, shared) - begins for settled in drawn]
    rungs = stopping.rungs(Lengths(search.length, search.every, search.model.unit, compared))
    sampler, total = search.settings.sampler, search.total_steps
    configs = config_count(search.space, search.base, sampler.kind, sampler.points)
    trials = _trials(search, rungs, compared, shared)
    trials = trials if configs is None else min(trials, configs)
    found = _forecast(search, rungs, compared, trials)
    least, entering, most = (found.at(share) for share in (0, 0.5, 1))

    def again(reaching: Sequence[int]) -> int:  # each trial that reaches a rung starts over on its way to the next
        return sum(on * rung for on, rung in zip(reaching[1:], rungs, strict=False)) if search.starts_over else 0

    def steps(reaching: Sequence[int]) -> int:
        trained = _trained(rungs, reaching, shared) + again(reaching)
        return trained if total is None else min(trained, total)

    confirm = search.settings.confirm
    candidates = min(confirm.top, trials - 1)
    fewest, all_runs = confirm.runs(candidates)
    return Plan(
        unit=search.model.unit,
        trials=trials,
        configs=configs,
        horizon=search.horizon,
        every=search.every,
        rungs=tuple(begins + rung for rung in rungs),
        entering=entering,
        entering_least=least,
        entering_most=most,
        workers=at_once(search.settings.resources),
        unsettled=tuple(sum(s > rung for s in settles) / len(settles) for rung in rungs if settles),
        search_steps=steps(entering),
        search_least=steps(least),
        search_most=steps(most),
        confirm_steps=all_runs * search.length,
        confirm_least=fewest * search.length,
        full_steps=trials * search.length,
        repeated_steps=again(entering),
        acting=acting(search),
        shared=shared,
        begins=begins,
        start_least=_start_steps(search, confirm.fewest(candidates)),
        start_steps=_start_steps(search, confirm.distinct),
        explain_steps=(len(search.space.knobs) - 1) * confirm.distinct * search.length if confirm.explain else 0,
    )


def _start_steps(search: Search, fresh: int) -> int:
    """What has to be trained before the first trial, and before a confirmation on so many seeds."""
    point, first = search.start, search.settings.sampler.seed
    if point is None or not point.trained:
        return 0
    seeds = range(first, first + 1 + fresh)
    return point.step * sum(seed not in point.kept for seed in seeds)


def _trials(search: Search, rungs: tuple[int, ...], compared: Sequence[int], shared: Shared) -> int:
    """How many trials there will be: as many as asked for, or as the steps are expected to last for."""
    asked, total = search.settings.budget.trials, search.total_steps
    if asked is not None:
        return asked
    assert total is not None, "a budget has one of the two"
    low, high = 1, max(2, int(total / max(1.0, shared.trained(rungs[0]))) + 1)
    while high - low > 1:  # the expected length grows with the trials
        middle = (low + high) // 2
        enough = _trained(rungs, _forecast(search, rungs, compared, middle).at(0.5), shared) <= total
        low, high = (middle, high) if enough else (low, middle)
    return low


def _trained(rungs: Sequence[int], entering: Sequence[int], shared: Shared) -> int:
    """Units trained when so many trials enter each rung."""
    ends = (*entering[1:], 0)
    return round(sum((here - on) * shared.trained(rung) for here, on, rung in zip(entering, ends, rungs, strict=True)))


def _forecast(search: Search, rungs: tuple[int, ...], compared: Sequence[int], trials: int) -> Forecast:
    """How many trials reach each rung; every one where the rule is not ours. `compared`: as of drawn configs."""
    settled = (lambda trial: compared[trial % len(compared)]) if compared else None
    found = forecast(lambda: empty_rungs(search, rungs, (), settled), trials, at_once(search.settings.resources))
    return found or Forecast(((trials,) * len(rungs),))


def empty_rungs(
    search: Search, rungs: tuple[int, ...], further: tuple[Goal, ...], settled: Callable[[int], int] | None
) -> Bracket | None:
    """The rungs that decide, before any trial; None where one of Ray's own schedulers does. `settled`: from which step
    a trial can be compared, by its number; None where nobody knows."""
    stopping, seed = search.settings.early_stopping, search.settings.sampler.seed
    bracket = stopping.bracket(rungs, (search.model.objective, further))
    if bracket is None:
        return None
    confirmed = search.settings.confirm.distinct > 0 and not search.further  # a front is taken from the search itself
    bracket.exempt = lambda trial: stopping.in_full(trial, seed, confirmed)
    if stopping.waits and settled is not None:
        bracket.settled = settled
    return bracket
