"""When trials are compared, and whether the documented config is: the rule now, and those before it.

    python -m benchmarks.settling --out FOLDER                         # an hour on 2 cores, where nothing is kept yet
    python -m benchmarks.settling configs/tts/demo.yaml --out FOLDER

- now       from each trial's own settled step on; the documented config waits at rungs like any other
- whole     the same, with the documented config trained in full from the beginning (`baseline: full`)
- together  that, and all trials compared at every rung (`from_settled: false`)

Of each task so many random configs and the documented one are trained in full (and kept, as in `schedules.py`). The
rules are then played on them many times: two workers, the documented config first, then draws from the configs. What a
play hands over is the trial with the lowest newest value; what counts is that config's value after a full training, on
the same seed. All rules meet the same draws.
"""

import argparse
import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.schedules import RULES, TASKS, WORKERS, Task, of_scores, under
from search.sampling.proposer import Proposer
from search.sampling.trial_history import Problem, Sampling, Scoring
from search.simulate.advice import Listed
from search.simulate.clock import simulate
from search.simulate.ours import RungPolicy
from search.spec.plan import Plan
from search.spec.search import Search

SEED = 10  # of the trainings
DRAW = 1000  # of the configs
ENDLESS = 10**9

Outcome = tuple[float, ...]
"""Steps of all trials, the value handed over then, and at each mark of a search that is limited by its steps."""


class Pool:
    """One task's configs and their curves; the documented one is the first."""

    def __init__(self, task: Task, count: int) -> None:
        search = task.trainings.search
        worst = abs(search.model.objective.worst)
        problem = Problem(search.name, search.space, search.base, search.horizon, task.plan.rungs)
        proposer = Proposer(problem, Sampling("random", DRAW), Scoring("min", worst), None)
        self.search, self._worst = search, worst
        self._marks = task.marks
        self._values = [proposer.propose(number) or {} for number in range(count + 1)]
        self._curves = []
        for values in self._values:
            curve = task.trainings.curve(values, SEED)
            self._curves.append([curve[at] for at in range(len(curve))])
            task.trainings.close()

    def play(self, rule: tuple[Search, Plan], seed: int) -> Outcome:
        """A search of as many trials as the YAML says, and one of as many steps as `schedules.TASKS` says."""
        every, trials = self.search.every, rule[1].trials
        draw = random.Random(seed)  # noqa: S311 - draws, no secret
        rows = [0, *(draw.randrange(1, len(self._values)) for _ in range(self._marks[-1]))]
        whole = simulate(self._policy(rule, rows[:trials]), WORKERS, ENDLESS, every=every)
        limited = simulate(self._policy(rule, rows), WORKERS, self._marks[-1], self._marks, every)
        found = [choice.newest for choice in (*whole.chosen, *limited.chosen)]
        ends = [self._curves[rows[trial or 0]][-1] for trial in found]
        return whole.evaluations * every, *(self._worst if math.isnan(end) else end for end in ends)

    def _policy(self, rule: tuple[Search, Plan], rows: Sequence[int]) -> RungPolicy:
        bracket = of_scores(*rule, lambda trial: self._values[rows[trial]])
        return RungPolicy(bracket, Listed([self._curves[row] for row in rows]), len(rows))


def shown(values: Sequence[float]) -> str:
    """A mean with its standard error over plays."""
    return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values) / len(values) ** 0.5:.3f}"


def main() -> None:
    """Train what is not kept yet, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", type=Path, default=[Path(task) for task in TASKS])
    parser.add_argument("--count", type=int, default=16, help="random configs of each task")
    parser.add_argument("--plays", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("results/schedules"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    print("| task | rule, rungs | steps of the YAML's trials | handed over then | at ¼ of the steps | ½ | all |")
    print("|---" * 7 + "|")
    for path in options.configs:
        pool = Pool(Task(path, options.out), options.count)
        rules = {name.removeprefix("ours-"): under(pool.search, rule) for name, rule in {"now": {}, **RULES}.items()}
        plays = {name: [pool.play(rule, seed) for seed in range(options.plays)] for name, rule in rules.items()}
        for name, (_, plan) in rules.items():
            steps, *values = zip(*plays[name], strict=True)
            cells = [f"{statistics.fmean(steps):.0f}", *map(shown, values)]
            print(f"| `{path}` | {name}, {plan.rungs} | " + " | ".join(cells) + " |", flush=True)
        for name in list(rules)[1:]:
            pairs = zip(plays["now"], plays[name], strict=True)
            _, *less = zip(*([a - b for a, b in zip(one, other, strict=True)] for one, other in pairs), strict=True)
            print(f"| | now − {name}, paired | | " + " | ".join(map(shown, less)) + " |", flush=True)


if __name__ == "__main__":
    main()
