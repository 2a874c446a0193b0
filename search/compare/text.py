"""The comparison on the screen."""

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Column
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
    title += "\nmeans over fresh seeds ± half a 95% interval"
    shown = _screen(title, ["search", "seed", "verdict"], ["winner", "documented", "gain"])
    # A table of its own: 80 columns don't hold both.
    spent = _screen("what they took", ["search", "seed"], [f"{unit}s trained", "training time"])
    for each, took in zip(found, costs, strict=True):
        for one, cost in zip(each.outcomes, took, strict=True):
            name, seed = escape(one.source.name), str(seed_of(one.source))
            shown.add_row(name, seed, *_row(one.verdict.decision if one.verdict is not None else "no value", one))
            spent.add_row(name, seed, *_spent([cost]))
        if len(each.outcomes) > 1:
            name = escape(each.group.name)
            decisions = ", ".join(f"{count} {decision}" for decision, count in each.decisions.items())
            shown.add_row(name, "mean", *_row(decisions, each), style="bold", end_section=True)
            spent.add_row(name, "sum", *_spent(took), style="bold", end_section=True)
    yield shown
    yield spent
    if gaps:
        against = f"against {gaps[0].reference}, paired by seed"
        apart = _screen(against, ["searches"], [f"better by, {objective.unit}", "seeds"])
        for gap in gaps:
            apart.add_row(escape(gap.other), _said(gap.gain), str(gap.gain.n))
        yield apart


def _screen(title: str, words: Sequence[str], numbers: Sequence[str]) -> Screen:
    """An empty table, with columns of words before those of numbers."""
    right = [Column(name, justify="right") for name in numbers]
    return Screen(*words, *right, title=title, title_justify="left")


def _row(verdict: str, each: Outcome | Summary) -> tuple[str, ...]:
    return (verdict, *map(_said, (each.confirmed, each.baseline, each.gain)))


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
