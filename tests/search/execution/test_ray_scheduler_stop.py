"""`mode: stop` of the scheduler against Ray's own class.

Where `mode: stop` differs from Ray's AsyncHyperBandScheduler on purpose:
- a score that is not finite: Ray lets NaN pass every cutoff and run to the end; here it is the worst score, and stops;
- a report between rungs: Ray enters it at the rung below, even one that the trial has passed; here it is not judged;
- a report without step or objective: Ray skips it silently; here it is an error;
- brackets: Ray may draw one per trial from numpy's global generator; here there is one;
- exempt trials: here alone;
- the reduction factor is a whole number, so that rungs are steps.
"""

import math

import numpy as np
import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray_world import Trial, result, scheduler

from search.stopping.ladder import ladder
from trainables.run import OBJECTIVE, STEP


@pytest.mark.parametrize("block", range(10))
def test_stopping_decides_as_ray(block: int) -> None:
    for seed in range(100 * block, 100 * block + 100):
        compare_with_ray(np.random.default_rng(seed))


def compare_with_ray(rng: np.random.Generator) -> None:
    """A random stream of reports from interleaved trials, to both."""
    reduction, first = int(rng.choice([2, 3, 4, 5])), int(rng.choice([1, 2, 5]))
    power = first * reduction ** int(rng.integers(1, 5))
    horizon = power if rng.random() < 0.5 else int(rng.integers(first + 1, 200))
    objective = str(rng.choice(["min", "max"]))
    ours = scheduler("stop", ladder(first, reduction, horizon, 1), objective, reduction, workers=99)
    theirs = AsyncHyperBandScheduler(STEP, OBJECTIVE, objective, horizon, first, reduction)
    live = [Trial(n) for n in range(int(rng.integers(1, 26)))]
    for trial in live:
        ours.on_trial_add(None, trial)
        theirs.on_trial_add(None, trial)
    coarse = rng.random() < 0.5  # ties, and scores that hit the cutoff exactly
    while live:
        trial = live[int(rng.integers(len(live)))]
        trial.step += 1
        report = result(trial.step, float(rng.integers(0, 6)) if coarse else float(rng.normal()))
        decision = ours.on_trial_result(None, trial, report)
        assert decision == theirs.on_trial_result(None, trial, report), (trial.number, trial.step)
        if decision == "STOP":
            ours.on_trial_complete(None, trial, report)
            theirs.on_trial_complete(None, trial, report)
            live.remove(trial)
    assert ours.free() == 99


def ray_asha() -> AsyncHyperBandScheduler:
    return AsyncHyperBandScheduler(STEP, OBJECTIVE, "min", 27, 1, 3)


def test_ray_never_stops_a_nan_and_we_do() -> None:
    ours, theirs = scheduler("stop"), ray_asha()
    trial = Trial(0)
    for each in (ours, theirs):
        each.on_trial_add(None, trial)
    assert theirs.on_trial_result(None, trial, result(1, math.nan)) == "CONTINUE"
    assert ours.on_trial_result(None, trial, result(1, math.nan)) == "STOP"


def test_ray_judges_between_rungs_and_we_do_not() -> None:
    ours, theirs = scheduler("stop"), ray_asha()
    for each in (ours, theirs):
        for number in range(3):
            trial = Trial(number)
            each.on_trial_add(None, trial)
            assert each.on_trial_result(None, trial, result(3, 0.0)) == "CONTINUE"
        late = Trial(3)
        each.on_trial_add(None, late)
        assert each.on_trial_result(None, late, result(5, 1.0)) == ("CONTINUE" if each is ours else "STOP")


def test_a_report_without_step_or_objective_is_an_error() -> None:
    ours = scheduler("stop")
    ours.on_trial_add(None, Trial(0))
    with pytest.raises(ValueError, match="trial 0 reported no 'step' or no 'objective'; it reported \\['loss'\\]"):
        ours.on_trial_result(None, Trial(0), {"loss": 1.0})
