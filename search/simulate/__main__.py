"""Compare stopping rules and samplers on recorded curves: `python -m search.simulate SOURCE…`."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TypeVar, get_args

from search.common.command_line import argument_parser, command
from search.common.exit_codes import Exit
from search.simulate import show
from search.simulate.clock import Handover
from search.simulate.ours import Halving
from search.simulate.recorded import is_search, read_search
from search.simulate.sources import Kind
from search.simulate.standing import Standings
from search.simulate.table import Table, load
from search.simulate.tournament import Game, Ours, play_all
from search.stopping.rungs import Mode
from spaces.problems import BadInput, Problem, raise_any

T = TypeVar("T")

POINTS = 40  # of a curve in the figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of `search.common.exit_codes`."""
    options = _options(arguments)
    return command(lambda console, screen: _run(options))  # noqa: ARG005 - it prints lines only


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argument_parser(
        "search.simulate",
        "Compare stopping rules and samplers on recorded curves; advise on a finished search's first rung.",
        (Exit.DONE, Exit.BAD_INPUT, Exit.INTERRUPTED),
        "results/demo",
    )
    parser.add_argument(
        "sources", nargs="+", type=Path, metavar="SOURCE", help=".npz tables, folders of them, finished searches"
    )
    parser.add_argument("--modes", default="promote", help="of promote, stop, none; a list, as below: promote,stop")
    parser.add_argument("--first-rungs", default="auto", help="in the model's unit; auto: a 25th of the horizon")
    parser.add_argument("--reductions", default="3", help="reduction factors η")
    parser.add_argument("--samplers", default="random", help="of random, tpe, forest")
    parser.add_argument("--workers", type=int, default=8, help="default: 8")
    parser.add_argument("--seeds", type=int, default=10, help="searches of each policy on each task; default: 10")
    parser.add_argument("--budgets", help="steps over all trials, to report regret at; default: up to 40 × the horizon")
    parser.add_argument("--handover", choices=get_args(Handover), default="newest", help="default: newest")
    parser.add_argument("--reference", help="the policy that others are compared with; default: the first one")
    parser.add_argument("--jobs", type=int, default=1, help="processes; default: 1")
    parser.add_argument("--out", type=Path, default=Path("results/simulate"), help="default: results/simulate")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    problems = [
        Problem(f"--{name}", f"is {getattr(options, name)}; it must be at least 1")
        for name in ("workers", "seeds", "jobs")
        if getattr(options, name) < 1
    ]
    raise_any(problems)
    tables = [table for source in options.sources for table in _tables(source)]
    _check_tables(tables)
    contenders = _contenders(options, tables)
    reference = _reference(options.reference, [contender.name for contender in contenders])
    budgets = _budgets(options.budgets, tables)
    every = tables[0].every
    marks = sorted({*budgets, *(round(budgets[-1] * i / POINTS / every) * every for i in range(1, POINTS + 1))} - {0})
    _make(options.out)
    began = time.perf_counter()
    games = list(play_all(contenders, tables, range(options.seeds), options.workers, marks, options.jobs))
    took = time.perf_counter() - began
    _say(
        f"{len(games)} searches in {took:.1f} s: {60 * len(games) / took:.0f} a minute, {options.workers} workers each"
    )
    _hand_out(options, games, marks, budgets, reference, tables[0].unit_name)
    return Exit.DONE


def _tables(source: Path) -> list[Table]:
    if source.is_dir() and is_search(source):
        found = read_search(source)
        n, whole = found.trials, len(found.table.values)
        _say(f"{source}: {whole} of {n} trials have a whole curve and can be replayed")
        _say(found.advice.text if found.advice else "no advice on the first rung: too few evaluations")
        return [found.table]
    if source.is_dir():
        files = sorted(source.glob("*.npz"))
        if not files:
            raise BadInput.of(str(source), "holds neither a search (search.yaml) nor tables of curves (*.npz)")
        return [load(file) for file in files]
    if not source.exists():
        raise BadInput.of(str(source), "is not there; give .npz tables, folders of them, or folders of searches")
    return [load(source)]


def _check_tables(tables: Sequence[Table]) -> None:
    names = [table.name for table in tables]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput.of(", ".join(twice), "given twice; tasks are known by their names")
    if len({(table.every, table.unit_name) for table in tables}) > 1:
        kinds = sorted({f"every {table.every} {table.unit_name}s" for table in tables})
        raise BadInput.of("SOURCE", f"curves are evaluated {' and '.join(kinds)}; compare those alike")


def _contenders(options: argparse.Namespace, tables: Sequence[Table]) -> list[Ours]:
    known: tuple[Mode | None, ...] = (*get_args(Mode), None)
    kinds: tuple[Kind, ...] = get_args(Kind)
    modes = _chosen("--modes", options.modes, {mode or "none": mode for mode in known})
    samplers = _chosen("--samplers", options.samplers, {kind: kind for kind in kinds})
    firsts = [None if text == "auto" else _whole("--first-rungs", text) for text in _listed(options.first_rungs)]
    reductions = [_whole("--reductions", text) for text in _listed(options.reductions)]
    found: list[Ours] = []
    for mode, sampler in product(modes, samplers):
        if mode is None:
            found.append(Ours(None, sampler))
            continue
        found += [Ours(Halving(mode, first, reduction), sampler) for first, reduction in product(firsts, reductions)]
    for contender, table in product(found, tables):
        try:
            _ = contender.halving and contender.halving.rungs(table.horizon, table.every)
        except ValueError as error:
            raise BadInput.of(f"{contender.name} on {table.name}", str(error)) from error
    return found


def _budgets(text: str | None, tables: Sequence[Table]) -> list[int]:
    """In steps, ascending, on the grid of evaluations."""
    every = tables[0].every
    if text is None:
        most = min(min(40, len(table.values)) * table.horizon for table in tables)
        return sorted({max(1, round(most / part / every)) * every for part in (8, 4, 2, 1)})
    budgets = sorted({_whole("--budgets", word) for word in _listed(text)})
    off = [budget for budget in budgets if budget % every]
    if off:
        raise BadInput.of("--budgets", f"{off[0]} is no multiple of {every}, the steps between evaluations")
    return budgets


def _reference(name: str | None, names: Sequence[str]) -> str:
    if name is not None and name not in names:
        raise BadInput.of("--reference", f"there is no policy {name!r}; there are {', '.join(names)}")
    return names[0] if name is None else name


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _chosen(flag: str, text: str, known: Mapping[str, T]) -> list[T]:
    words = _listed(text)
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        what = f"{unknown[0]!r} is not known" if unknown else "nothing is given"
        raise BadInput.of(flag, f"{what}; choose from {', '.join(known)}")
    return [known[word] for word in words]


def _whole(flag: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise BadInput.of(flag, f"expected a whole number from 1, got {text!r}")
    return int(text)


def _hand_out(
    options: argparse.Namespace,
    games: Sequence[Game],
    marks: Sequence[int],
    budgets: Sequence[int],
    reference: str,
    unit: str,
) -> None:
    standings = Standings(games, marks, options.handover)
    shown = show.table(standings, budgets, reference, unit)
    _say(shown)
    (options.out / "regret.md").write_text(shown + "\n", encoding="utf-8")
    content = {"marks": list(marks), "games": [asdict(game) for game in games]}
    (options.out / "games.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
    title = f"{len({game.task for game in games})} tasks, {options.seeds} seeds, {options.workers} workers"
    show.draw(standings, options.out / "regret.png", unit, title, reference)
    _say(f"kept in {options.out}: regret.md, regret.png, games.json")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise BadInput.of(str(folder), f"can't be written to ({error.strerror}); choose another --out") from error


def _say(text: str) -> None:
    print(text)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
