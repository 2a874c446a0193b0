"""The comparison on the screen."""

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table as Screen

from search.compare.groups import Table, seed_of
from search.compare.results import Cost, Difference, Outcome, Summary
from search.report.shown import duration, number, rounded
from search.results.procedure import Estimate


def screens(
    table: Table, found: Sequence[Summary], costs: Sequence[Sequence[Cost]], gaps: Sequence[Difference]
) -> Iterator[Screen]:
    """The outcomes of a table's searches with what they took; then how far groups lie apart."""
    material = table.first.material
    objective, unit = material.model.objective, material.unit
    better = "lower" if objective.mode == "min" else "higher"
    title = f"{objective.measured} after {material.horizon} {unit}s, {better} is better"
    shown = Screen(title=f"{title}\nmeans over fresh seeds ± half a 95% interval", title_justify="left")
    for column in ("search", "seed", "verdict"):
        shown.add_column(column)
    for column in ("winner", "documented", "gain"):
        shown.add_column(column, justify="right")
    spent = Screen(title="what they took", title_justify="left")  # a table of its own: 80 columns don't hold both
    for column in ("search", "seed"):
        spent.add_column(column)
    for column in (f"{unit}s trained", "training time"):
        spent.add_column(column, justify="right")
    for each, took in zip(found, costs, strict=True):
        for one, cost in zip(each.outcomes, took, strict=True):
            name, seed = escape(one.source.name), str(seed_of(one.source))
            shown.add_row(name, seed, *_row(one))
            spent.add_row(name, seed, *_spent([cost]))
        if len(each.outcomes) > 1:
            name = escape(each.group.name)
            shown.add_row(name, "mean", *_mean(each), style="bold", end_section=True)
            spent.add_row(name, "sum", *_spent(took), style="bold", end_section=True)
    yield shown
    yield spent
    if gaps:
        apart = Screen(title=f"against {gaps[0].reference}, paired by seed", title_justify="left")
        apart.add_column("searches")
        apart.add_column(f"better by, {objective.unit}", justify="right")
        apart.add_column("seeds", justify="right")
        for gap in gaps:
            apart.add_row(escape(gap.other), _said(gap.gain), str(gap.gain.n))
        yield apart


def _row(one: Outcome) -> tuple[str, ...]:
    verdict = one.verdict.decision if one.verdict is not None else "no value"
    numbers = (_said(each) for each in (one.confirmed, one.baseline, one.gain))
    return (verdict, *numbers)


def _mean(each: Summary) -> tuple[str, ...]:
    said = ", ".join(f"{count} {decision}" for decision, count in each.decisions.items())
    numbers = (_said(each) for each in (each.confirmed, each.baseline, each.gain))
    return (said, *numbers)


def _spent(costs: Sequence[Cost]) -> tuple[str, str]:
    """Units trained, searching and confirming; time in training."""
    steps = sum(cost.search_steps + cost.confirm_steps for cost in costs)
    return f"{steps:,}", duration(sum(cost.training for cost in costs))


def _said(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return number(estimate.mean)
    half = (estimate.high - estimate.low) / 2
    return f"{rounded(estimate.mean, half)} ± {number(half, 2)}"
