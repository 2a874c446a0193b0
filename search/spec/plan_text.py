"""The plan of a search for people."""

from collections.abc import Iterator
from itertools import zip_longest

from search.spec import sharing
from search.spec.fit import described, listed
from search.spec.plan import Plan
from search.spec.search import Search
from search.stopping.ladder import ALL_SETTLED, SETTLED
from spaces.values import show

NAMED = 4  # knobs on a line


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


def _span(least: int, most: int) -> str:
    return f"{least} to {most}" if least < most else f"{most}"


def describe(search: Search, plan: Plan) -> str:
    """The plan for people."""
    unit, objective = plan.unit, search.model.objective
    about = "about " if search.settings.budget.trials is None else ""
    lines = [
        f"{search.name}: {about}{plan.trials} trials of {search.model.name} over {len(search.space.knobs)} knobs, "
        f"{'the documented baseline' if search.base_source is None else search.base_name} first",
        f"objective: {objective.measured} ({objective.mode})"
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
        passing = " (at first they pass it)" * search.settings.early_stopping.waits
        column = f"  configs still in warmup or ramp there{passing}"
        lines.append(f"  rung ({unit})  trials that reach it" + column * known)
        reaching = (_span(*pair) for pair in zip(plan.entering_least, plan.entering_most, strict=True))
        for rung, span, unsettled in zip_longest(plan.rungs, reaching, plan.unsettled):
            lines.append(f"  {rung:>11}  {span:>20}" + (f"  {unsettled:>38.0%}" if known else ""))
        lines += _late(plan)
    elif search.settings.early_stopping.has_rungs:
        share = SETTLED if search.settings.early_stopping.waits else ALL_SETTLED
        lines.append(
            f"no rung fits: {share:.0%} of the space's configs settle only by {unit} {plan.horizon}; every trial runs "
            "in full"
        )
    lines.append(
        f"to train: {_span(plan.search_least, plan.search_most)} {unit}s searching ({plan.full_steps} without early "
        f"stopping), {plan.workers} trials at once, + {_span(plan.confirm_least, plan.confirm_steps)} confirming"
        + (f" + up to {plan.explain_steps} explaining" if plan.explain_steps else "")
        + (f" + {_span(plan.start_least, plan.start_steps)} up to the start" if plan.start_steps else "")
    )
    total = search.total_steps
    if total is not None and plan.search_least >= total and search.settings.budget.trials is not None:
        short = f", less than one training of {search.length}" if total < search.length else ""
        lines.append(
            f"  budget.total_steps ends it after {total} {unit}s{short}, before {plan.trials} trials are through"
        )
    lines += sharing.lines(search, plan.shared)
    if plan.repeated_steps:
        lines.append(
            f"  about {plan.repeated_steps} of them again: pause: rerun starts a trial over when it is promoted"
        )
    if search.held and len(plan.rungs) > 1:
        lines.append(
            f"  pause: hold: paused trials stay in memory, on each node at most {search.held} with half of its memory; "
            "beyond that the least trained is ended. It starts over, as after a crash"
        )
    return "\n".join(lines)
