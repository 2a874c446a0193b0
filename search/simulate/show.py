"""A tournament for people: a table in Markdown and a figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from search.simulate.standing import Score, Standings

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Okabe and Ito's colours, which colour-blind people tell apart, too."""

STYLES = ("-", "--", ":", "-.")


def table(standings: Standings, budgets: Sequence[int], reference: str, unit: str) -> str:
    """Regret at each budget, and the paired difference from `reference`, both ± standard error, in Markdown."""
    last = budgets[-1]
    level = float(standings.score(reference).mean[standings.at(last)])
    head = [f"{budget} {unit}s" for budget in budgets]
    lines = [
        f"| policy | {' | '.join(head)} | {unit}s to {reference}'s regret at {last} |",
        f"|---|{'---|' * (len(budgets) + 1)}",
    ]
    for policy in standings.policies:
        cells = _cells(standings.score(policy), standings, budgets, "")
        reached = standings.reach(policy, level)
        lines.append(f"| {policy} | {' | '.join(cells)} | {'–' if reached is None else reached} |")
    lines += ["", f"| minus {reference}, paired | {' | '.join(head)} |", f"|---|{'---|' * len(budgets)}"]
    for policy in standings.policies:
        if policy != reference:
            cells = _cells(standings.difference(policy, reference), standings, budgets, "+")
            lines.append(f"| {policy} | {' | '.join(cells)} |")
    score = standings.score(reference)
    over = f"{score.tasks} tasks" if score.tasks > 1 else "seeds (there is one task)"
    lines += ["", f"± standard error over {over}; seeds per task: {_seeds(standings)}."]
    return "\n".join(lines)


def _cells(score: Score, standings: Standings, budgets: Sequence[int], sign: str) -> list[str]:
    places = [standings.at(budget) for budget in budgets]
    return [f"{score.mean[at]:{sign}.3f} ± {score.error[at]:.3f}" for at in places]


def _seeds(standings: Standings) -> str:
    counts = {policy: standings.score(policy).seeds for policy in standings.policies}
    if len(set(counts.values())) == 1:
        return str(next(iter(counts.values())))
    return ", ".join(f"{policy} {count}" for policy, count in counts.items())


def draw(standings: Standings, path: Path, unit: str, title: str, reference: str) -> None:
    """Regret against what was trained, and the paired difference from `reference`; bands are one standard error."""
    figure = Figure(figsize=(12, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for number, policy in enumerate(standings.policies):
        look = PALETTE[number % len(PALETTE)], STYLES[number // len(PALETTE) % len(STYLES)]
        _line(left, standings, standings.score(policy), policy, look)
        if policy != reference:
            _line(right, standings, standings.difference(policy, reference), policy, look)
    right.axhline(0, color="0.4", linewidth=0.8)
    left.set(ylabel="regret (0: best of the pool, 1: median)", title=title, ylim=(0, None))
    right.set(ylabel=f"regret minus that of {reference}", title="paired by task and seed; below 0 is better")
    for axes in (left, right):
        axes.set_xlabel(f"{unit}s trained, all trials together")
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.25)
    figure.legend(*left.get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False)
    figure.savefig(path)


def _line(axes: Axes, standings: Standings, score: Score, label: str, look: tuple[str, str]) -> None:
    colour, style = look
    axes.plot(standings.marks, score.mean, color=colour, linestyle=style, label=label, linewidth=1.6)
    if np.isfinite(score.error).all():
        low, high = score.mean - score.error, score.mean + score.error
        axes.fill_between(standings.marks, low, high, color=colour, alpha=0.12, linewidth=0)
