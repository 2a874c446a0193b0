"""Half the steps, on schedules: the service's policy against its peers, training for real.

    python -m benchmarks.schedules --out FOLDER          # all six tasks and policies: a night on 2 cores
    python -m benchmarks.schedules configs/tts/demo.yaml --policies ours,ray --seeds 2 --out FOLDER

All search the space of a search YAML, the documented baseline first, on the same data and with the same training seed.
Trials train in this process on a simulated clock (`search.simulate.clock`): two workers, an evaluation takes one unit
of time. So the only thing that differs is who decides. At each mark (a share of the search's steps) the config that
each would hand over is trained in full on fresh seeds: that mean is what counts. It is the trial with the best last
value, as Ray's `ResultGrid.get_best_result` does and as ours picks what it confirms.

- ours          what a user gets who names no sampler: `forest`, and promotion ASHA as the YAML has it
- ours-tpe      the same with Optuna's TPE
- ours-whole    the first, with the documented config trained in full beside the search (`baseline: full`)
- ours-together the same, and all trials compared at every rung (`from_settled: false`)
- ray           AsyncHyperBandScheduler as it comes (reduction 4, grace 1), OptunaSearch
- ray-settled   the same, its grace period set to the plan's first rung, reduction as in the YAML
- random-asha   AsyncHyperBandScheduler as it comes, random draws
- optuna        Optuna's TPE and HyperbandPruner at their defaults
- pbt           population based training as Ray's class does it (`schedules_pbt.py`); not for code of one's own, whose
                values cannot change in mid-run. It hands over the whole course of values that it found
- random        random draws, trained in full

Trainings are kept in FOLDER/curves.sqlite and finished searches in FOLDER/*.jsonl: started again, it goes on, and
several processes may share the folder.
"""

import argparse
import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from scipy import stats

from benchmarks.schedules_pbt import PbtPolicy
from benchmarks.schedules_peers import OptunaPolicy, RayPolicy, Train, Values
from benchmarks.schedules_training import Course, Trainings
from search.execution.choose_stopping import make_bracket
from search.sampling.proposer import Proposer
from search.sampling.trial_history import Problem, Sampling, Scoring
from search.simulate.clock import Policy, simulate
from search.simulate.ours import RungPolicy
from search.simulate.sources import Kind, Learned
from search.spec.plan import Plan, make_plan
from search.spec.resolve import resolve
from search.spec.search import Search, adopted
from search.stopping.bracket import Bracket
from search.stopping.rungs import Rule

TASKS = {
    "configs/own/function/spiral.yaml": 96,
    "configs/tts/demo.yaml": 198,
    "configs/whisper_child/demo.yaml": 66,
    "configs/diphone_rnn/demo.yaml": 1440,
    "configs/early_inference/demo.yaml": 175,
    "configs/sequence_generator/demo.yaml": 200,
}
"""With the steps of a search: fixed, for what the plan expects hangs on the policy."""
OURS: Mapping[str, Kind] = {"ours": "forest", "ours-tpe": "tpe", "ours-whole": "forest", "ours-together": "forest"}
RULES: Mapping[str, Mapping[str, Any]] = {
    "ours-whole": {"baseline": "full"},
    "ours-together": {"baseline": "full", "from_settled": False},
}
"""What they set in `early_stopping`."""
POLICIES = (
    "ours",
    "ray",
    "random-asha",
    "optuna",
    "pbt",
    "random",
    "ours-tpe",
    "ours-whole",
    "ours-together",
    "ray-settled",
)
WORKERS = 2
MARKS = (0.25, 0.5, 1.0)
HALF, END = 1, 2
FRESH = (101, 102, 103)  # training seeds of the configs that are handed over

Game = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """One search YAML: what is searched there, and what is known of it."""

    path: Path
    out: Path

    @cached_property
    def trainings(self) -> Trainings:
        """Its trainings; the data is prepared when they are first asked for."""
        search = resolve(self.path)
        prepared = search.model.prepare(search.data, search.model.parse(search.base, "base"))
        return Trainings(adopted(search, prepared.keys), prepared, self.out / "curves.sqlite")

    @cached_property
    def plan(self) -> Plan:
        """Its plan: the steps that the search takes, and the rungs."""
        return make_plan(self.trainings.search)

    @property
    def games(self) -> list[Game]:
        """The finished searches."""
        file = self._file
        lines = file.read_text().splitlines() if file.exists() else []
        games = [json.loads(line) for line in lines]
        return list({(game["policy"], game["seed"]): game for game in games}.values())

    @property
    def marks(self) -> list[int]:
        """The evaluations after which to look at what a search would hand over; the last one ends it."""
        steps = TASKS.get(str(self.path), self.plan.search_steps)
        return [max(1, round(share * steps / self.trainings.search.every)) for share in MARKS]

    def play(self, name: str, seed: int) -> Game:
        """One search, and the true value of what it would hand over at each mark."""
        search, marks = self.trainings.search, self.marks
        policy, handed_over = self._contender(name, seed)
        run = simulate(policy, WORKERS, marks[-1], marks, search.every)
        self.trainings.close()
        chosen = [choice.newest for choice in run.chosen]
        game = {
            "policy": name,
            "seed": seed,
            "steps": [mark * search.every for mark in marks],
            "trials": run.trials,
            "chosen": chosen,
            "true": [None if n is None else self._true(handed_over(at, n)) for at, n in enumerate(chosen)],
            "baseline": self._true(((0, search.space.baseline(search.base)),)),
        }
        with self._file.open("a") as file:
            file.write(json.dumps(game) + "\n")
        print(f"{search.name} {name} seed {seed}: {game['true']} (baseline {game['baseline']:.4f})", flush=True)
        return game

    def _contender(self, name: str, seed: int) -> tuple[Policy, Callable[[int, int], Course]]:
        """A fresh search, and how it would have a trial that it hands over at a mark trained."""
        search, trainings = self.trainings.search, self.trainings
        if name == "pbt":
            draws = proposer_of(search, self.plan, "random", seed)
            steps = self.marks[-1] * search.every
            pbt = PbtPolicy(search, lambda course: trainings.course(course, seed), draws, seed, steps, self.marks)
            return pbt, pbt.handed_over
        policy, values = contender(name, search, self.plan, lambda values: trainings.curve(values, seed), seed)
        return policy, lambda _, trial: ((0, values[trial]),)

    @property
    def _file(self) -> Path:
        return self.out / f"{self.path.parent.name}-{self.path.stem}.jsonl"

    def _true(self, course: Course) -> float:
        worst = self.trainings.search.model.objective.worst
        ends = [self.trainings.course(course, fresh)[-1] for fresh in FRESH]
        self.trainings.close()
        return statistics.fmean(worst if math.isnan(end) else end for end in ends)


def proposer_of(search: Search, plan: Plan, kind: Kind, seed: int) -> Proposer:
    """The service's proposals for a search."""
    problem = Problem(search.name, search.space, search.base, search.horizon, plan.rungs)
    return Proposer(problem, Sampling(kind, seed), Scoring("min", abs(search.model.objective.worst)), None)


def contender(name: str, search: Search, plan: Plan, train: Train, seed: int) -> tuple[Policy, Mapping[int, Values]]:
    """A fresh search, and the values of its trials."""
    objective, stopping = search.model.objective, search.settings.early_stopping
    reduction: int = stopping.reduction  # type: ignore[attr-defined]
    if name in RULES:
        search, plan = under(search, RULES[name])

    match name:
        case "ray":
            policy = RayPolicy(search, train, seed, 4, 1)
            return policy, policy.values
        case "random-asha":
            policy = RayPolicy(search, train, seed, 4, 1, proposer_of(search, plan, "random", seed))
            return policy, policy.values
        case "ray-settled":
            policy = RayPolicy(search, train, seed, reduction, plan.rungs[0] // search.every)
            return policy, policy.values
        case "optuna":
            study = OptunaPolicy(search, train, seed)
            return study, study.values
    known: dict[int, Values] = {}

    def begin(trial: int, values: Values) -> Sequence[float]:
        known[trial] = values
        return train(values)

    if name == "random":
        bracket = Bracket(Rule("promote", (search.horizon,), reduction, "min", abs(objective.worst)))
    else:
        bracket = of_scores(search, plan, known.__getitem__)
    kind: Kind = "random" if name == "random" else OURS[name]
    return RungPolicy(bracket, Learned(proposer_of(search, plan, kind, seed), begin)), known


def under(search: Search, rule: Mapping[str, Any]) -> tuple[Search, Plan]:
    """The search with these settings of its early stopping, and its plan."""
    stopping = search.settings.early_stopping.model_copy(update=rule)
    search = replace(search, settings=search.settings.model_copy(update={"early_stopping": stopping}))
    return search, make_plan(search)


def of_scores(search: Search, plan: Plan, values: Callable[[int], Values]) -> Bracket:
    """The search's rungs, for curves of which lower is better. `values`: of a trial."""
    bracket = make_bracket(search, plan, values)
    assert bracket is not None, "the tasks have rungs"
    bracket.rule = replace(bracket.rule, objective="min", worst=abs(search.model.objective.worst))
    return bracket


@dataclass(frozen=True)
class Mean:
    """A mean with its 95% Student t interval; that of a single value is unbounded."""

    mean: float
    half: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean":
        """Of at least one value."""
        if len(values) < 2:
            return cls(statistics.fmean(values), math.inf)
        half = float(stats.t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
        return cls(statistics.fmean(values), half)

    def __str__(self) -> str:
        if math.isinf(self.half):
            return f"{self.mean:.4f}"
        return f"{self.mean:.4f} [{self.mean - self.half:.4f}, {self.mean + self.half:.4f}]"


def paired(games: Sequence[Game], one: tuple[str, int], other: tuple[str, int]) -> Mean | None:
    """The difference of two policies' true values, each at a mark, over the seeds that both have; lower is better."""
    true = {(game["policy"], game["seed"]): game["true"] for game in games}
    pairs = [
        (true[one[0], s][one[1]], true[other[0], s][other[1]]) for n, s in true if n == one[0] and (other[0], s) in true
    ]
    known = [mine - theirs for mine, theirs in pairs if mine is not None and theirs is not None]
    return Mean.of(known) if known else None


def table(title: str, games: Sequence[Game], names: Sequence[str]) -> str:
    """The Markdown table of one task."""
    steps = games[0]["steps"]
    lines = [f"### {title} (documented: {games[0]['baseline']:.4f})", ""]
    lines += ["| policy | seeds, trials | " + " | ".join(f"{each} steps" for each in steps) + " |"]
    lines += ["|---" * (2 + len(steps)) + "|"]
    for name in names:
        own = [game for game in games if game["policy"] == name]
        known = [[game["true"][at] for game in own if game["true"][at] is not None] for at in range(len(steps))]
        cells = [str(Mean.of(each)) if each else "" for each in known]
        trials = statistics.fmean(game["trials"] for game in own)
        lines.append(f"| {name} | {len(own)}, {trials:.0f} | " + " | ".join(cells) + " |")
    for name in names[1:]:
        found = [paired(games, (names[0], at), (name, at)) for at in range(len(steps))]
        cells = ["" if each is None else str(each) for each in found]
        lines.append(f"| {names[0]} − {name}, paired | | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def goal(title: str, games: Sequence[Game], names: Sequence[str]) -> str:
    """The task's row in the table of the goal: the first policy at half of the steps against the best peer's end.
    A peer with fewer seeds is not judged."""
    played = Counter(game["policy"] for game in games)
    mine = names[0]
    peers = [name for name in names[1:] if name not in OURS and played[name] >= played[mine]]
    if not peers:
        return f"| {title} | none with as many seeds | | ? | |"
    ends = {peer: [game["true"][END] for game in games if game["policy"] == peer] for peer in peers}
    best = min(peers, key=lambda peer: statistics.fmean(end for end in ends[peer] if end is not None))
    found = paired(games, (mine, HALF), (best, END))
    worse = []
    for peer in peers:
        for at, share in enumerate(MARKS):
            there = paired(games, (mine, at), (peer, at))
            if there is not None and there.mean - there.half > 0:
                worse.append(f"{peer} at {share:g}")
    reached = "?" if found is None else "yes" if found.mean <= 0 else "no"
    return f"| {title} | {best} | {found} | {reached} | {', '.join(worse) or 'nowhere'} |"


def report(tasks: Sequence[Task], names: Sequence[str]) -> str:
    """All tables; of each task those policies that have finished a search."""
    rows, tables = [], []
    for task in tasks:
        games = [game for game in task.games if game["policy"] in names]
        have = [name for name in names if any(game["policy"] == name for game in games)]
        if games:
            tables.append(table(str(task.path), games, have))
        if have[:1] == [names[0]] and any(name not in OURS for name in have[1:]):
            rows.append(goal(str(task.path), games, have))
    head = (
        f"| task | best peer at the end | {names[0]} at half − that peer at the end | reached | worse, by 95% |\n"
        + "|---" * 5
    )
    return "\n\n".join(["\n".join([head + "|", *rows]), *tables]) + "\n"


def due(tasks: Sequence[Task], names: Sequence[str], seeds: int) -> Iterator[tuple[Task, str, int]]:
    """The searches that are not finished: all tasks have a seed before the next one begins."""
    for seed in range(seeds):
        for task in tasks:
            for name in names:
                if not any(game["policy"] == name and game["seed"] == seed for game in task.games):
                    yield task, name, seed


def main() -> None:
    """Run what is not known yet, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", type=Path, default=[Path(task) for task in TASKS])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--out", type=Path, default=Path("results/schedules"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.policies.split(",")
    tasks = [Task(path, options.out) for path in options.configs]
    for task, name, seed in due(tasks, names, options.seeds):
        task.play(name, seed)
        (options.out / "schedules.md").write_text(report(tasks, names))
    print(report(tasks, names))


if __name__ == "__main__":
    main()
