"""How long one proposal takes, the forest sampler beside Optuna's TPE: `python benchmarks/forest.py`, under a minute.

One core, and its processor time, so that other work on the machine counts for little. Trials as promotion ASHA leaves
them (a third of each rung goes on), so that n observations come from about two thirds as many trials. A proposal is a
whole `study.ask` with all its knobs: fit, predict, and everything around.
Target: below 50 ms at 1,000 observations.
"""

import os
import statistics
import time
import warnings

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import TrialState

from search.sampling.forest.columns import Column
from search.sampling.forest.sampler import ForestSampler

TARGET_MS, REPEATS = 50.0, 9
RUNGS = (2, 6, 18, 50)


def space(knobs: int) -> dict[str, BaseDistribution]:
    """Every kind of knob in turn."""
    kinds: list[BaseDistribution] = [
        FloatDistribution(1e-5, 1e-1, log=True),
        FloatDistribution(0.0, 1.0),
        IntDistribution(8, 512, log=True),
        IntDistribution(2, 10, step=2),
        CategoricalDistribution(("none", "step", "cosine")),
    ]
    return {f"k{i}": kinds[i % len(kinds)] for i in range(knobs)}


def filled(sampler: BaseSampler, knobs: int, observations: int) -> optuna.Study:
    """A study with so many (trial, rung)."""
    rng = np.random.default_rng(0)
    study = optuna.create_study(sampler=sampler)
    distributions = space(knobs)
    columns = [Column(name, distribution) for name, distribution in distributions.items()]
    made = 0
    while made < observations:
        places = rng.random(knobs)
        rungs = min(int(rng.geometric(2 / 3)), len(RUNGS), observations - made)
        value = float(np.square(places - 0.4).sum())
        reports = {step: value + 1 / step for step in RUNGS[:rungs]}
        whole = rungs == len(RUNGS)
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE if whole else TrialState.PRUNED,
                value=reports[RUNGS[rungs - 1]],
                params={c.name: c.value(place) for c, place in zip(columns, places.tolist(), strict=True)},
                distributions=distributions,
                intermediate_values=reports,
            )
        )
        made += rungs
    return study


def proposal_ms(study: optuna.Study, knobs: int) -> float:
    """Milliseconds of processor time per proposal: the median over some."""
    took = []
    for _ in range(REPEATS):
        start = time.process_time()
        trial = study.ask(space(knobs))
        took.append((time.process_time() - start) * 1e3)
        study.tell(trial, state=TrialState.FAIL)  # so that the study stays as it is to samplers
    return statistics.median(took)


def main() -> None:
    """Print the table."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    print(f"ms per proposal, median of {REPEATS}; target for the forest at 1,000 observations: {TARGET_MS:g} ms")
    print(f"{'knobs':>5} {'observations':>12} {'trials':>7} {'forest':>8} {'TPE':>8}")
    for knobs in (8, 20):
        for observations in (100, 300, 1000, 3000):
            forest = filled(ForestSampler(seed=0, horizon=RUNGS[-1], rungs=RUNGS), knobs, observations)
            tpe = filled(TPESampler(seed=0, multivariate=True, group=True, constant_liar=True), knobs, observations)
            ours, theirs = proposal_ms(forest, knobs), proposal_ms(tpe, knobs)
            verdict = "" if observations != 1000 else "ok" if ours < TARGET_MS else "TOO SLOW"
            print(f"{knobs:5} {observations:12} {len(tpe.trials) - REPEATS:7} {ours:8.1f} {theirs:8.1f}  {verdict}")


if __name__ == "__main__":
    main()
