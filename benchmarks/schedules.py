"""Half the epochs, on schedules: the service's policy against Ray's ASHA with OptunaSearch, training for real.

    python benchmarks/schedules.py configs/early_inference/demo.yaml configs/tts/demo.yaml --seeds 5 --out FOLDER

Both search the space of a search YAML, the documented baseline first, on the same data and with the same training seed.
Trials train in this process on a simulated clock (`search.simulate.clock`): two workers, an evaluation takes one unit
of time. So the only thing that differs is who decides. At each mark (a share of the steps that the search's plan
expects) the config that each would hand over is trained in full on fresh seeds: that mean is what counts. It is the
trial with the best last value, as Ray's `ResultGrid.get_best_result` does and as ours picks what it confirms.

- ours-forest  promotion ASHA with the plan's rungs, sampler `forest`
- ours-tpe     the same with Optuna's TPE
- ray          AsyncHyperBandScheduler as it comes (reduction 4, grace 1), OptunaSearch
- ray-settled  the same, its grace period set to the plan's first rung, reduction as in the YAML
"""

import argparse
import json
import logging
import math
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import torch
from optuna.trial import Trial as OptunaTrial
from policies_ray import FakeTrial
from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch
from scipy import stats

from search.sampling.codec import code
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
from spaces.paths import with_values
from trainables.run import Diverged, Prepared

METRIC = "loss"
OURS: Mapping[str, Kind] = {"ours-forest": "forest", "ours-tpe": "tpe"}
WORKERS = 2
MARKS = (0.25, 0.5, 1.0)
FRESH = (101, 102)  # training seeds of the configs that are handed over


class Curve(Sequence[float]):
    """A trial's values, trained when they are asked for; NaN from where it diverged."""

    def __init__(self, search: Search, prepared: Prepared, values: Mapping[str, Any], seed: int) -> None:
        model = search.model
        config = model.parse(with_values(search.base, values), "a trial")
        self._search, self._run = search, model.build(config, prepared, seed)
        self._found: list[float] = []

    def __len__(self) -> int:
        return self._search.horizon // self._search.every

    @overload
    def __getitem__(self, at: int) -> float: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[float]: ...
    def __getitem__(self, at: int | slice) -> float | Sequence[float]:
        assert isinstance(at, int)
        at = range(len(self))[at]
        while len(self._found) <= at:
            self._found.append(self._next())
        return self._found[at]

    def _next(self) -> float:
        objective = self._search.model.objective
        if self._found and (math.isnan(self._found[-1]) or self._run.ended is not None):
            return self._found[-1]  # its own patience has ended it: it stays as good as it was
        try:
            self._run.train((len(self._found) + 1) * self._search.every)
            value = self._run.evaluate()[objective.metric]
        except Diverged:
            return math.nan
        return value if objective.mode == "min" else -value


class RayPolicy:
    """Ray's classes, called as Tune's loop calls them: early-stopped trials are told as COMPLETE. A diverged evaluation
    is reported as the objective's worst value: as NaN, Ray would never stop it."""

    def __init__(
        self, search: Search, train: Callable[[Mapping[str, Any]], Curve], seed: int, reduction: int, grace: int
    ) -> None:
        objective = search.model.objective
        self._worst = objective.worst if objective.mode == "min" else -objective.worst
        self._every, self._train = search.every, train
        self._codes = {knob.path: code(knob.path, knob.domain) for knob in search.space.knobs}
        self._search = search
        self._scheduler = AsyncHyperBandScheduler(
            time_attr=TRAINING_ITERATION,
            metric=METRIC,
            mode="min",
            max_t=search.horizon // search.every,
            grace_period=grace,
            reduction_factor=reduction,
        )
        logging.getLogger("ray.tune.search.optuna.optuna_search").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._optuna = OptunaSearch(self._suggest, metric=METRIC, mode="min", seed=seed, study_name="ray")
        self.values: dict[int, Mapping[str, Any]] = {}
        self._curves: dict[int, Curve] = {}

    def _suggest(self, trial: OptunaTrial) -> None:
        """The space by running it, conditions honoured."""
        values: dict[str, Any] = {}
        for knob in self._search.space.knobs:
            if self._search.space.is_active(knob, values, self._search.base):
                values[knob.path] = self._codes[knob.path].suggest(trial)
        trial.set_user_attr("values", values)

    def take(self) -> int | None:
        """The next trial, a new one."""
        trial = len(self.values)
        if trial == 0:  # not known to Optuna: its values may lie outside the space
            self.values[trial] = dict(self._search.space.baseline(self._search.base))
        else:
            self._optuna.suggest(str(trial))
            self.values[trial] = self._optuna._ot_trials[str(trial)].user_attrs["values"]
        self._curves[trial] = self._train(self.values[trial])
        self._scheduler.on_trial_add(None, FakeTrial(str(trial)))
        return trial

    def curve(self, trial: int) -> Sequence[float]:
        """What the trial will report."""
        return self._curves[trial]

    def report(self, trial: int, step: int, value: float) -> bool:
        """Tell Ray of the evaluation; whether it lets the trial go on."""
        result = {TRAINING_ITERATION: step // self._every, METRIC: value if math.isfinite(value) else self._worst}
        if self._scheduler.on_trial_result(None, FakeTrial(str(trial)), result) == TrialScheduler.STOP:
            if trial:
                self._optuna.on_trial_complete(str(trial), result=result)
            return False
        if trial:
            self._optuna.on_trial_result(str(trial), result)
        return True


def contender(
    name: str, search: Search, plan: Plan, train: Callable[[Mapping[str, Any]], Curve], seed: int
) -> tuple[Policy, Mapping[int, Mapping[str, Any]]]:
    """A fresh search, and the values of its trials."""
    objective, stopping = search.model.objective, search.settings.early_stopping
    if name in OURS:
        proposer = Proposer(
            Problem(search.name, search.space, search.base, search.horizon, plan.rungs),
            Sampling(OURS[name], seed),
            Scoring("min", abs(objective.worst)),
            None,
        )
        known: dict[int, Mapping[str, Any]] = {}

        def begin(trial: int, values: Mapping[str, Any]) -> Curve:
            known[trial] = values
            return train(values)

        rule = Rule("promote", plan.rungs, stopping.reduction, "min", abs(objective.worst))  # type: ignore[attr-defined]
        return RungPolicy(Bracket(rule, exempt=lambda trial: trial == 0), Learned(proposer, begin)), known
    settled = name == "ray-settled"
    grace = plan.rungs[0] // search.every if settled else 1
    policy = RayPolicy(search, train, seed, stopping.reduction if settled else 4, grace)  # type: ignore[attr-defined]
    return policy, policy.values


def games(path: Path, seeds: int, names: Sequence[str], out: Path) -> Iterator[dict[str, Any]]:
    """Every search, with the true value of what it would hand over at each mark. What is known already is read."""
    search = resolve(path, ["confirm.seeds=0"])
    prepared = search.model.prepare(search.data, search.model.parse(search.base, "base"))
    search = adopted(search, prepared.keys)
    plan = make_plan(search)
    marks = [max(1, round(share * plan.search_steps / search.every)) for share in MARKS]
    known = out / f"{search.name}.jsonl"
    done = [json.loads(line) for line in known.read_text().splitlines()] if known.exists() else []
    yield from (game for game in done if game["policy"] in names and game["seed"] < seeds)
    truth: dict[str, float] = {}

    def true(values: Mapping[str, Any]) -> float:
        key = json.dumps(values, sort_keys=True)
        if key not in truth:
            ends = [Curve(search, prepared, values, fresh)[-1] for fresh in FRESH]
            worst = search.model.objective.worst
            truth[key] = statistics.fmean(worst if math.isnan(end) else end for end in ends)
        return truth[key]

    for seed in range(seeds):
        for name in names:
            if any(game["policy"] == name and game["seed"] == seed for game in done):
                continue
            policy, values = contender(name, search, plan, partial(Curve, search, prepared, seed=seed), seed)
            run = simulate(policy, WORKERS, marks[-1], marks, search.every)
            chosen = [choice.newest for choice in run.chosen]
            game = {
                "policy": name,
                "seed": seed,
                "steps": [mark * search.every for mark in marks],
                "trials": run.trials,
                "chosen": chosen,
                "true": [None if trial is None else true(values[trial]) for trial in chosen],
                "baseline": true(dict(search.space.baseline(search.base))),
            }
            with known.open("a") as file:
                file.write(json.dumps(game) + "\n")
            print(f"{search.name} {name} seed {seed}: {game['true']} (baseline {game['baseline']:.4f})", flush=True)
            yield game


def interval(values: Sequence[float]) -> str:
    """Mean with its 95% Student t interval."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.4f}"
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.4f} [{mean - half:.4f}, {mean + half:.4f}]"


def table(title: str, found: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """The Markdown table of one search YAML."""
    steps = found[0]["steps"]
    by = {(game["policy"], game["seed"]): game["true"] for game in found}
    lines = [f"### {title} (documented: {found[0]['baseline']:.4f})", ""]
    lines += [
        "| policy | trials | " + " | ".join(f"{each} steps" for each in steps) + " |",
        "|---" * (2 + len(steps)) + "|",
    ]
    for name in names:
        own = [game for game in found if game["policy"] == name]
        cells = [interval([game["true"][i] for game in own if game["true"][i] is not None]) for i in range(len(steps))]
        lines.append(f"| {name} | {statistics.fmean(g['trials'] for g in own):.0f} | " + " | ".join(cells) + " |")
    for name in names[1:]:
        cells = []
        for i in range(len(steps)):
            pairs = [(by[names[0], s][i], by[name, s][i]) for n, s in by if n == names[0] and (name, s) in by]
            cells.append(interval([mine - theirs for mine, theirs in pairs if mine is not None and theirs is not None]))
        lines.append(f"| {names[0]} − {name}, paired | | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what is not known yet, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--policies", default="ours-forest,ours-tpe,ray,ray-settled")
    parser.add_argument("--out", type=Path, default=Path("results/schedules"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.policies.split(",")
    tables = []
    for path in options.configs:
        found = list(games(path, options.seeds, names, options.out))
        tables.append(table(str(path), found, names))
        print(tables[-1], flush=True)
    (options.out / "schedules.md").write_text("\n\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
