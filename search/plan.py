"""What a search will do, before it does it: rungs, trials, units to be trained, and whether the first rung is fair."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from search.config import Asha, units
from search.resolve import Search
from search.rungs import auto_first_rung, ladder
from spaces.paths import with_values
from spaces.problems import BadInput, Problem

SAMPLED = 200
"""Configs drawn from the space to learn when they settle."""


@dataclass(frozen=True)
class Plan:
    """The search in numbers. Lengths are in the model's unit."""

    unit: str
    trials: int
    horizon: int
    every: int
    rungs: tuple[int, ...]
    """Steps at which trials are compared; the last is the horizon. Only the horizon without early stopping."""
    entering: tuple[int, ...]
    """Trials expected to reach each rung."""
    unsettled: tuple[float, ...]
    """Share of the space's configs that are still in warmup, freeze or ramp at each rung."""
    search_steps: int
    confirm_steps: int
    full_steps: int
    """What the same trials would train without early stopping."""

    @property
    def steps(self) -> int:
        """Everything that is expected to be trained."""
        return self.search_steps + self.confirm_steps

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `plan.json`."""
        return {**asdict(self), "steps": self.steps}


def make_plan(search: Search) -> Plan:
    """Plan `search`. Raises BadInput for impossible rungs and for a space with configs that the model refuses."""
    settles = _settling(search)
    stopping = search.settings.early_stopping
    rungs: tuple[int, ...] = (search.horizon,)
    if isinstance(stopping, Asha):
        rungs = _rungs(search, stopping, settles)
    entering = _entering(search, rungs)
    ends = (*entering[1:], 0)
    trained = sum((here - on) * rung for here, on, rung in zip(entering, ends, rungs, strict=True))
    total = search.total_steps
    runs = (min(search.settings.confirm.top, search.settings.budget.trials - 1) + 1) * search.settings.confirm.seeds
    return Plan(
        unit=search.model.unit,
        trials=search.settings.budget.trials,
        horizon=search.horizon,
        every=search.every,
        rungs=rungs,
        entering=entering,
        unsettled=tuple(sum(s > rung for s in settles) / len(settles) for rung in rungs),
        search_steps=trained if total is None else min(trained, total),
        confirm_steps=runs * search.horizon,
        full_steps=search.settings.budget.trials * search.horizon,
    )


def _settling(search: Search) -> list[int]:
    """When each of many sampled configs, the baseline among them, has settled."""
    rng = np.random.default_rng(0)
    draws: list[Mapping[str, Any]] = [{}, *(search.space.sample(rng, search.base) for _ in range(SAMPLED))]
    settles, refused = [], []
    for values in draws:
        try:
            config = search.model.parse(with_values(search.base, values), f"a config of the space, {dict(values)}")
            settles.append(search.model.settles(config))
        except BadInput as error:
            refused.append(error)
    if refused:
        first = Problem(
            "space", f"{len(refused)} of {len(draws)} configs drawn from it are refused by the model; narrow it"
        )
        raise BadInput([first, *refused[0].problems])
    return settles


def _rungs(search: Search, stopping: Asha, settles: Sequence[int]) -> tuple[int, ...]:
    where = "early_stopping.first_rung"
    if stopping.first_rung == "auto":
        first = auto_first_rung(settles, search.horizon, search.every)
        if first >= search.horizon:
            return (search.horizon,)
    else:
        first = units(stopping.first_rung, search.model.unit, where)
    try:
        return ladder(first, stopping.reduction, search.horizon, search.every)
    except ValueError as error:
        raise BadInput.of(where, str(error)) from error


def _entering(search: Search, rungs: Sequence[int]) -> tuple[int, ...]:
    """Trials that reach each rung when each promotes its best 1/reduction, and the baseline, rarely among them, goes
    on through all.
    """
    stopping = search.settings.early_stopping
    counts = [search.settings.budget.trials]
    best = counts[0]
    for _ in rungs[1:]:
        assert isinstance(stopping, Asha)
        best //= stopping.reduction
        counts.append(min(counts[0], best + 1))
    return tuple(counts)


def describe(search: Search, plan: Plan) -> str:
    """The plan for people."""
    unit = plan.unit
    lines = [
        f"{search.name}: {plan.trials} trials of {search.model.name} over {len(search.space.knobs)} knobs, "
        f"the documented baseline first",
        f"objective: {search.model.objective.metric} ({search.model.objective.mode}), in {search.model.objective.unit}",
        f"each trial: up to {plan.horizon} {unit}s, evaluated every {plan.every}",
    ]
    start = search.settings.warm_start
    if start is not None:
        source = f"search {start.search}" if start.search is not None else f"MLflow experiment {start.experiment}"
        lines.append(f"starts from {source}" + (f", its best {start.first} configs first" if start.first else ""))
    if len(plan.rungs) > 1:
        lines.append(f"  rung ({unit})  trials that reach it  configs still in warmup or ramp there")
        for rung, entering, unsettled in zip(plan.rungs, plan.entering, plan.unsettled, strict=True):
            lines.append(f"  {rung:>11}  {entering:>20}  {unsettled:>38.0%}")
    elif isinstance(search.settings.early_stopping, Asha):
        lines.append(
            f"no rung fits: 90% of the space's configs settle only by {unit} {plan.horizon}; every trial runs in full"
        )
    lines.append(
        f"to train: about {plan.search_steps} {unit}s searching ({plan.full_steps} without early stopping) "
        f"+ {plan.confirm_steps} confirming"
    )
    return "\n".join(lines)
