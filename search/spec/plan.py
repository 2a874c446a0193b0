"""What a search will do, before it does it: rungs, trials, units to be trained, and whether the first rung is fair."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest
from typing import Any

import numpy as np

from search.sampling.grid import config_count
from search.spec import sharing
from search.spec.fit import described, listed
from search.spec.knob_onset import acting
from search.spec.resolve import Search
from search.spec.sharing import Shared
from search.stopping.kind import Lengths
from search.stopping.ladder import RUNGS_SHARE
from spaces.paths import with_values
from spaces.problems import BadInput, Problem
from spaces.values import show

NAMED = 4  # knobs on a line
DRAWN_LENGTH = 160  # characters of a config in an error
SAMPLED = 200
"""Configs drawn from the space to learn when they settle."""


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
    """Trials expected to reach each rung."""
    unsettled: tuple[float, ...]
    """Share of the space's configs that are still in warmup, freeze or ramp at each rung; empty where nobody knows."""
    search_steps: int
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
    start_steps: int = 0
    """What has to be trained up to there, for the search's seed and the fresh ones."""

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
    settles = _settling(search)
    stopping, shared = search.settings.early_stopping, sharing.decided(search)
    begins = search.begins
    settles = [max(0, settled - begins) for settled in settles]
    rungs = stopping.rungs(Lengths(search.length, search.every, search.model.unit, _apart(settles, search, shared)))
    configs, total = _configs(search), search.total_steps
    trials = _trials(search, rungs, shared)
    trials = trials if configs is None else min(trials, configs)
    entering = _entering(search, rungs, trials)
    repeated = _trained_again(rungs, entering) if search.starts_over else 0
    trained = _trained(rungs, entering, shared) + repeated
    fewest, most = search.settings.confirm.runs(min(search.settings.confirm.top, trials - 1))
    return Plan(
        unit=search.model.unit,
        trials=trials,
        configs=configs,
        horizon=search.horizon,
        every=search.every,
        rungs=tuple(begins + rung for rung in rungs),
        entering=entering,
        unsettled=tuple(sum(s > rung for s in settles) / len(settles) for rung in rungs if settles),
        search_steps=trained if total is None else min(trained, total),
        confirm_steps=most * search.length,
        confirm_least=fewest * search.length,
        full_steps=trials * search.length,
        repeated_steps=repeated,
        acting=acting(search),
        shared=shared,
        begins=begins,
        start_steps=_start_steps(search),
    )


def _start_steps(search: Search) -> int:
    """What has to be trained before the first trial and before the confirmation."""
    point, first = search.start, search.settings.sampler.seed
    if point is None or not point.trained:
        return 0
    seeds = range(first, first + 1 + search.settings.confirm.distinct)
    return point.step * sum(seed not in point.kept for seed in seeds)


def _apart(settles: Sequence[int], search: Search, shared: Shared) -> Sequence[int]:
    """When configs can be compared: settled, and trained for as long as before any rung since they are different."""
    if not shared.together:
        return settles
    first = min(search.horizon, shared.together + max(search.every, search.horizon // RUNGS_SHARE))
    return [max(settled, first) for settled in settles]


def _settling(search: Search) -> list[int]:
    """When each of many sampled configs, the baseline among them, has settled; empty where the model can't know."""
    rng = np.random.default_rng(0)
    draws: list[Mapping[str, Any]] = [{}, *(search.space.sample(rng, search.base) for _ in range(SAMPLED))]
    settles: list[int] = []
    refused: list[tuple[Mapping[str, Any], BadInput]] = []
    for values in draws:
        try:
            config = search.model.parse(with_values(search.base, values), "")
            settled = search.model.settles(config)
            settles += [settled] if settled is not None else []
        except BadInput as error:
            refused.append((values, error))
    if refused:
        raise BadInput(_refusals(search, refused, len(draws)))
    return settles


def _refusals(search: Search, refused: Sequence[tuple[Mapping[str, Any], BadInput]], draws: int) -> Sequence[Problem]:
    """What the model says to configs of the space: one problem per knob, with how often, and an example."""
    said: dict[str, list[str]] = {}
    for values, error in refused:
        first: dict[str, str] = {}  # of this config's problems with the knob
        for problem in error.problems:
            key = problem.where.strip()
            knob = next((path for path in values if f"{key}.".startswith(f"{path}.")), "")
            drawn = "" if knob else f" (drawn: {_drawn(values)})"
            first.setdefault(knob, f"{key + ': ' if key != knob else ''}{problem.what}{drawn}")
        for knob, what in first.items():
            said.setdefault(knob, []).append(what)
    return [
        Problem(
            f"{search.source} space" + (f".{knob}" if knob else ""),
            f"{len(whats)} of {draws} drawn configs are refused: {whats[0]}; narrow it",
        )
        for knob, whats in said.items()
    ]


def _drawn(values: Mapping[str, Any]) -> str:
    """A drawn config for people, cut where it is long."""
    shown = ", ".join(f"{path}: {show(value)}" for path, value in values.items())
    return shown if len(shown) <= DRAWN_LENGTH else shown[: DRAWN_LENGTH - 1] + "…"


def _configs(search: Search) -> int | None:
    sampler = search.settings.sampler
    return config_count(search.space, search.base, sampler.kind, sampler.points)


def _trials(search: Search, rungs: Sequence[int], shared: Shared) -> int:
    """How many trials there will be: as many as asked for, or as the steps are expected to last for."""
    asked, total = search.settings.budget.trials, search.total_steps
    if asked is not None:
        return asked
    assert total is not None, "a budget has one of the two"
    low, high = 1, max(2, int(total / max(1.0, shared.trained(rungs[0]))) + 1)
    while high - low > 1:  # the expected length grows with the trials
        middle = (low + high) // 2
        enough = _trained(rungs, _entering(search, rungs, middle), shared) <= total
        low, high = (middle, high) if enough else (low, middle)
    return low


def _trained(rungs: Sequence[int], entering: Sequence[int], shared: Shared) -> int:
    """Units trained when so many trials enter each rung."""
    ends = (*entering[1:], 0)
    return round(sum((here - on) * shared.trained(rung) for here, on, rung in zip(entering, ends, rungs, strict=True)))


def _trained_again(rungs: Sequence[int], entering: Sequence[int]) -> int:
    """Units trained a second time when each trial that enters a rung starts over on its way to the next."""
    return sum(on * rung for on, rung in zip(entering[1:], rungs, strict=False))


def _entering(search: Search, rungs: Sequence[int], trials: int) -> tuple[int, ...]:
    """Trials that are expected to reach each rung."""
    return tuple(search.settings.early_stopping.reaching(rung, trials) for rung in range(len(rungs)))


def _late(plan: Plan) -> list[str]:
    """Which knobs a rung can't decide, for they act later."""
    lines = []
    for rung in plan.rungs[:-1]:
        late = sorted((acts, knob) for knob, acts in plan.acting.items() if acts >= rung)
        if late:
            named = ", ".join(f"{knob} ({acts})" for acts, knob in late[:NAMED])
            more = f" and {len(late) - NAMED} more" if len(late) > NAMED else ""
            lines.append(f"the rung at {rung} can't decide what acts only from a later {plan.unit} on: {named}{more}")
    return lines


def _base_lines(search: Search) -> list[str]:
    """What the base file means where it says nothing, and what of the space it makes pointless."""
    lines = []
    if search.base_source is not None and search.filled:
        filled = ", ".join(f"{path}: {show(value)}" for path, value in search.filled.items())
        lines.append(f"{search.base_name} omits these, so trial 0 has what your script does without them: {filled}")
    lines += [f"{search.base_name} omits these, and {said}" for said in _unsettled(search)]
    left_out = described(search.left_out)
    return [*lines, left_out] if left_out else lines


def _unsettled(search: Search) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for path, taken in search.unsettled.items():
        by_reason.setdefault(taken.why, []).append(f"{path}: {show(taken.value)}")
    for why, found in by_reason.items():
        yield f"{why}; trial 0 has {', '.join(found)}"


def _lengths(search: Search, plan: Plan) -> list[str]:
    """How long a trial is, and where it starts."""
    unit, point = plan.unit, search.start
    if point is None:
        return [f"each trial: up to {plan.horizon} {unit}s, evaluated every {plan.every}"]
    last = f"{unit} {plan.horizon} of the whole training"
    lines = [
        f"starts at {unit} {point.step}: {point.source}; the baseline is going on unchanged",
        f"each trial: up to {search.length} {unit}s from there, to {last}, evaluated every {plan.every}",
    ]
    fresh = search.settings.confirm.distinct
    if point.trained and fresh:
        lines.append(f"confirmation: the {point.step} {unit}s before the start are trained on the fresh seeds, too")
    elif fresh:
        lines.append("confirmation: only what follows the start has fresh seeds, for the start is one given training")
    if search.later is not None and search.later.early:
        lines.append(f"not searched, for it acts before the start: {listed(search.later.early)}")
    if search.later is not None and search.later.narrowed:
        told = ", ".join(f"{path} to {domain}" for path, domain in search.later.narrowed.items())
        lines.append(f"narrowed to values that act after the start alone: {told}")
    return lines


def describe(search: Search, plan: Plan) -> str:
    """The plan for people."""
    unit, objective = plan.unit, search.model.objective
    about = "about " if search.settings.budget.trials is None else ""
    lines = [
        f"{search.name}: {about}{plan.trials} trials of {search.model.name} over {len(search.space.knobs)} knobs, "
        f"the documented baseline first",
        f"objective: {objective.metric} ({objective.mode}), in {objective.unit}"
        + "".join(f"; beside it {goal.metric} ({goal.mode})" for goal in search.further),
        *_lengths(search, plan),
    ]
    if plan.configs is not None:
        grid = search.settings.sampler.kind == "grid"
        line = f"{'the grid has' if grid else 'the space holds'} {plan.configs} configs in all, the baseline among them"
        asked = search.settings.budget.trials
        ends = f": fewer than budget.trials, {asked}; the search ends when all are tried"
        lines.append(line + (ends if asked is not None and asked > plan.configs else ""))
    lines += _base_lines(search)
    start = search.settings.warm_start
    if start is not None:
        source = f"search {start.search}" if start.search is not None else f"MLflow experiment {start.experiment}"
        lines.append(f"starts from {source}" + (f", its best {start.first} configs first" if start.first else ""))
    if len(plan.rungs) > 1:
        known = bool(plan.unsettled)
        lines.append(f"  rung ({unit})  trials that reach it" + "  configs still in warmup or ramp there" * known)
        for rung, entering, unsettled in zip_longest(plan.rungs, plan.entering, plan.unsettled):
            lines.append(f"  {rung:>11}  {entering:>20}" + (f"  {unsettled:>38.0%}" if known else ""))
        lines += _late(plan)
    elif search.settings.early_stopping.has_rungs:
        lines.append(
            f"no rung fits: 90% of the space's configs settle only by {unit} {plan.horizon}; every trial runs in full"
        )
    confirming = f"{plan.confirm_steps}"
    if plan.confirm_least < plan.confirm_steps:
        confirming = f"{plan.confirm_least} to {confirming}"
    lines.append(
        f"to train: about {plan.search_steps} {unit}s searching ({plan.full_steps} without early stopping) "
        f"+ {confirming} confirming" + (f" + {plan.start_steps} up to the start" if plan.start_steps else "")
    )
    lines += sharing.lines(search, plan.shared)
    if plan.repeated_steps:
        lines.append(f"  {plan.repeated_steps} of them again: pause: rerun starts a trial over when it is promoted")
    return "\n".join(lines)
