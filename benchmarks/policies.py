"""Our stopping rules and samplers beside Ray's and Optuna's own, on recorded curves: `python benchmarks/policies.py`.

The peers' classes are imported and called as their libraries call them; only the clock is simulated. Every search is
judged by the true final value of the config that it would hand over, scaled per task: 0 is the best of the task's
1,000 configs, 1 their median. Prints Markdown; writes it, a figure and every game into --out. A run that was
interrupted goes on where it was; the tables are written anew after each seed.

    python benchmarks/policies.py --curves ../shared/data/curves --seeds 10
    python benchmarks/policies.py --policies ours,ray-rf3-g1 --seeds 20 --workers 1
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from policies_optuna import Optuna
from policies_ray import Ray
from policies_syne import AVAILABLE, Syne

from search.simulate import show
from search.simulate.ours import Halving
from search.simulate.standing import Standings
from search.simulate.table import load
from search.simulate.tournament import Contender, Game, Ours, play_all

ROOT = Path(__file__).resolve().parent.parent
EVERY = 50  # epochs between the points of a regret curve
REFERENCE = "ray-rf3-g1"
TARGETS = {250: 0.8, 500: 0.75, 1000: 0.7, 2000: 0.4}
"""Our regret over the reference's, at most, at each budget."""
TARGET_EPOCHS = 900
"""By then ours is to have the reference's regret at its last budget."""


def contenders() -> dict[str, Contender]:
    """Every policy by its name on the command line."""
    asha, early, stopping = Halving(), Halving(first_rung=1), Halving("stop")  # as the service takes them by itself
    found: list[Contender] = [
        Ours(asha, "forest", label="ours"),
        Ours(early, "forest", label="ours-g1"),
        Ours(asha, "random", label="ours-random"),
        Ours(early, "random", label="ours-g1-random"),
        Ours(asha, "tpe", label="ours-tpe"),
        Ours(stopping, "forest", label="ours-stop"),
        Ray("ray-rf3-g1", 3, 1),
        Ray("ray-rf4-g1", 4, 1),
        Ray("ray-rf3-g5", 3, 5),
        Ray("ray-optuna", 4, 1, optuna=True),
        Optuna("optuna-hyperband", "hyperband"),
        Optuna("optuna-median", "median"),
        Optuna("optuna-halving", "halving"),
        Ours(None, "random", label="random"),
    ]
    if AVAILABLE:
        found += [Syne("syne-asha", "asha"), Syne("syne-bohb", "bohb")]
    return {contender.name: contender for contender in found}


def main() -> int:
    """Exit code: 0 done, 2 bad input."""
    known = contenders()
    options = _options(list(known))
    wanted = [name.strip() for name in options.policies.split(",")]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        hint = "; those of Syne Tune need the extra `peers`" if any("syne" in name for name in unknown) else ""
        print(f"error: --policies: {', '.join(unknown)}: not among {', '.join(known)}{hint}", file=sys.stderr)
        return 2
    files = sorted(options.curves.glob("*.npz"))
    if not files:
        print(f"error: --curves: {options.curves} holds no tables of curves (*.npz)", file=sys.stderr)
        return 2
    budgets = sorted(int(text) for text in options.budgets.split(","))
    marks = sorted({*budgets, *range(EVERY, budgets[-1] + 1, EVERY)})
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / f"games_w{options.workers}.jsonl"
    games = [game for game, at in kept(log) if at == marks]
    done = {(game.policy, game.task, game.seed) for game in games}
    began, fresh = time.perf_counter(), 0
    with log.open("a", encoding="utf-8") as file:
        played = play_all(
            [known[name] for name in wanted],
            [load(path) for path in files],
            range(options.seeds),
            options.workers,
            marks,
            options.jobs,
            done,
        )
        for game in played:
            if games and game.seed > games[-1].seed:  # a whole seed is in: something to look at
                _write(options, _asked(games, wanted, options.seeds), marks, budgets)
            games.append(game)
            fresh += 1
            file.write(json.dumps({"marks": marks, **asdict(game)}) + "\n")
            file.flush()
    if fresh:
        print(f"{fresh} searches in {time.perf_counter() - began:.0f} s")
    print(_write(options, _asked(games, wanted, options.seeds), marks, budgets))
    return 0


def _options(names: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, default=ROOT.parent / "shared" / "data" / "curves", metavar="DIR")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--policies", default=",".join(names), help=f"of {', '.join(names)}")
    parser.add_argument("--budgets", default="250,500,1000,2000")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "policies", metavar="DIR")
    return parser.parse_args()


def kept(log: Path) -> Iterator[tuple[Game, list[int]]]:
    """The games of an earlier run with the marks that they were played at."""
    if not log.exists():
        return
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            raw: Mapping[str, object] = json.loads(line)
        except ValueError:  # the line that a kill tore
            continue
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
        marks = [int(mark) for mark in fields.pop("marks")]  # type: ignore[attr-defined]
        yield Game(**fields), marks  # type: ignore[arg-type]


def _asked(games: Sequence[Game], wanted: Sequence[str], seeds: int) -> list[Game]:
    asked = [game for game in games if game.policy in wanted and game.seed < seeds]
    return sorted(asked, key=lambda game: wanted.index(game.policy))


def _write(options: argparse.Namespace, games: Sequence[Game], marks: list[int], budgets: list[int]) -> str:
    """The tables of the games so far, as Markdown, and a figure of each."""
    text = []
    for handover, meaning in (
        ("newest", "the trial with the lowest newest value, wherever it is"),
        ("furthest", "of the trials trained furthest the best"),
    ):
        standings = Standings(games, marks, handover)  # type: ignore[arg-type]
        reference = REFERENCE if REFERENCE in standings.policies else standings.policies[0]
        title = f"{options.workers} workers, handed over: {meaning}"
        text += [f"**{title}**", "", show.table(standings, budgets, reference, "epoch"), ""]
        if reference == REFERENCE and "ours" in standings.policies:
            text += [*_targets(standings, budgets), ""]
        show.draw(standings, options.out / f"regret_w{options.workers}_{handover}.png", "epoch", title, reference)
    (options.out / f"regret_w{options.workers}.md").write_text("\n".join(text), encoding="utf-8")
    return "\n".join(text)


def _targets(standings: Standings, budgets: Sequence[int]) -> Iterator[str]:
    ours, theirs = standings.score("ours").mean, standings.score(REFERENCE).mean
    for budget in budgets:
        at = standings.at(budget)
        target = f" (target: at most {TARGETS[budget]:.2f})" if budget in TARGETS else ""
        yield f"- ours over {REFERENCE} at {budget}: {ours[at] / theirs[at]:.2f}{target}"
    reached = standings.reach("ours", float(theirs[standings.at(budgets[-1])]))
    told = f"after {reached} epochs" if reached is not None else "not reached"
    yield f"- {REFERENCE}'s regret at {budgets[-1]}: {told} (target: {TARGET_EPOCHS})"
    for policy in standings.policies:
        if policy == "ours":
            continue
        gap = standings.difference("ours", policy)
        worse = [b for b in budgets if gap.mean[standings.at(b)] > 2 * gap.error[standings.at(b)]]
        if worse:
            yield f"- ours is significantly worse than {policy} at {', '.join(map(str, worse))}"


if __name__ == "__main__":
    sys.exit(main())
