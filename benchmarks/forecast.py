"""Does the plan's range hold? Searches replayed from recorded curves, against what the plan says beforehand.

    python benchmarks/forecast.py FOLDER_OF_TABLES

A search trains so many steps; the plan gives the least, the expected and the most (`search.stopping.forecast`).
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import get_args

from search.simulate.clock import simulate
from search.simulate.ours import RungPolicy
from search.simulate.sources import Kind
from search.simulate.table import Table, load
from search.simulate.tournament import Ours
from search.stopping.bracket import Bracket
from search.stopping.forecast import forecast

SEARCHES = (24, 2), (24, 8), (60, 4)
"""Trials, and trials at once."""
TASKS = 6
"""The first ones by name of each group of tables."""
SEEDS = 0, 1


def steps(reaching: Sequence[int], rungs: Sequence[int]) -> int:
    """What is trained when so many trials reach each rung."""
    return sum(n * (here - before) for n, here, before in zip(reaching, rungs, (0, *rungs), strict=False))


def compare(table: Table, sampler: Kind, trials: int, workers: int, seed: int) -> tuple[float, float, float]:
    """The least, the most and the trained steps, as ratios to what was expected."""
    policy, _ = Ours(sampler=sampler, trials=trials).start(table, seed, 1)
    assert isinstance(policy, RungPolicy)
    rule = policy.bracket.rule
    told = forecast(lambda: Bracket(rule), trials, workers)
    assert told is not None
    simulate(policy, workers, trials * table.horizon, every=table.every)
    trained = steps([len(rung.scores) for rung in policy.bracket.rungs], rule.rungs)
    least, expected, most = (steps(told.at(share), rule.rungs) for share in (0, 0.5, 1))
    return least / expected, most / expected, trained / expected


def main() -> None:
    """Print a row per sampler and size of search."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", type=Path, help="folder of .npz tables, one folder below per group")
    groups: dict[str, list[Table]] = {}
    for path in sorted(parser.parse_args().tables.rglob("*.npz")):
        table = load(path)
        groups.setdefault(table.group, []).append(table)
    tables = [table for group in groups.values() for table in group[:TASKS]]
    print(f"{len(tables)} tasks, seeds {SEEDS}; steps trained, as ratios to what the plan expects")
    print("sampler  trials  at once  searches  below  above  told             trained: least, median, most")
    for sampler, (trials, workers) in product(get_args(Kind), SEARCHES):
        found = [compare(table, sampler, trials, workers, seed) for table in tables for seed in SEEDS]
        low, high, ratios = found[0][0], found[0][1], sorted(ratio for *_, ratio in found)
        below, above = (sum(r < least for least, _, r in found), sum(r > most for _, most, r in found))
        shown = f"{ratios[0]:.2f} {ratios[len(ratios) // 2]:.2f} {ratios[-1]:.2f}"
        print(f"{sampler:<7}  {trials:>6}  {workers:>7}  {len(found):>8}  {below:>5}  {above:>5}  ", end="")
        print(f"{low:.2f} to {high:.2f}     {shown}", flush=True)


if __name__ == "__main__":
    main()
