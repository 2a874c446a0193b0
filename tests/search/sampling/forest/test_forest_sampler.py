"""The forest sampler as Optuna's users meet it."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import Trial, TrialState

from search.sampling.forest.sampler import ForestSampler, Recipe

EAGER = Recipe(starts=5, explore=0.0)
Objective = Callable[[Trial], float]


def optimised(
    objective: Objective, trials: int, sampler: BaseSampler | None = None, direction: str = "minimize", jobs: int = 1
) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=sampler or ForestSampler(seed=0), direction=direction)
    study.optimize(objective, n_trials=trials, n_jobs=jobs)
    return study


def params(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def conditional(trial: Trial) -> float:
    """Best 0, at x 2, kind a, n 7."""
    x, kind = trial.suggest_float("x", -5, 5), trial.suggest_categorical("kind", ["a", "b", "c"])
    value = (x - 2) ** 2 + {"a": 0.0, "b": 1.0, "c": 4.0}[kind]
    if kind == "a":
        value += (math.log(trial.suggest_int("n", 1, 100, log=True) / 7)) ** 2
    if kind == "b":
        value += 5 * abs(trial.suggest_float("share", 0, 1, step=0.25) - 0.5)
    return value


def late(study: optuna.Study, start: int = 20) -> float:
    return float(np.mean([trial.value for trial in study.trials[start:]]))


def test_it_learns_what_random_does_not() -> None:
    learned, drawn = (
        [optimised(conditional, 50, make(seed=seed)) for seed in range(4)] for make in (ForestSampler, RandomSampler)
    )
    assert np.mean([late(study) for study in learned]) < 0.4 * np.mean([late(study) for study in drawn])
    assert np.mean([study.best_value for study in learned]) < 0.6 * np.mean([study.best_value for study in drawn])


def test_equal_seeds_give_equal_studies() -> None:
    first, again, other = (params(optimised(conditional, 25, ForestSampler(seed=seed))) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_only_the_order_of_values_counts() -> None:
    def bent(trial: Trial) -> float:
        return math.expm1(conditional(trial)) * 1e3 - 5

    def mirrored(trial: Trial) -> float:
        return -conditional(trial)

    plain = params(optimised(conditional, 25))
    assert params(optimised(bent, 25)) == plain
    assert params(optimised(mirrored, 25, direction="maximize")) == plain


def test_failed_trials_are_as_good_as_none() -> None:
    def study_with(failed: int) -> optuna.Study:
        study = optuna.create_study(sampler=ForestSampler(seed=0, recipe=EAGER))
        for number in range(12 + failed):
            x = number / 12 if number < 12 else 0.3
            state = TrialState.COMPLETE if number < 12 else TrialState.FAIL
            value = (x - 0.3) ** 2 if number < 12 else None
            space = {"x": optuna.distributions.FloatDistribution(0, 1)}
            study.add_trial(optuna.trial.create_trial(state=state, value=value, params={"x": x}, distributions=space))
        return study

    asked = [study_with(failed).ask() for failed in (0, 30)]
    assert asked[0].suggest_float("x", 0, 1) == asked[1].suggest_float("x", 0, 1)


def test_the_baseline_comes_first_and_its_neighbourhood_is_searched() -> None:
    def needle(trial: Trial) -> float:
        values = [trial.suggest_float(f"x{i}", 0, 1) for i in range(12)]
        return sum((value - 0.83) ** 2 for value in values)

    baseline = {f"x{i}": 0.8 for i in range(12)} | {"gone": 3}
    sampler = ForestSampler(seed=0, baseline=baseline, recipe=EAGER)
    study = optimised(needle, 40, sampler)
    assert study.trials[0].params == {f"x{i}": 0.8 for i in range(12)}
    near = [max(abs(value - 0.8) for value in trial.params.values()) for trial in study.trials[6:]]
    assert np.median(near) < 0.45  # a random config has a knob further away than .65 in half of all cases
    beyond = ForestSampler(seed=0, baseline={"x0": 7.0})
    assert 0 <= optimised(needle, 1, beyond).trials[0].params["x0"] <= 1


def test_early_reports_teach_about_the_horizon() -> None:
    """Configs with a large x start ahead and end behind; most trials are stopped early, where the large x lead."""

    def curve(x: float, step: int) -> float:
        return (1 - x) / step + 2 * x * (1 - 1 / step)

    space = {"x": optuna.distributions.FloatDistribution(0, 1), "y": optuna.distributions.FloatDistribution(0, 1)}
    sampler = ForestSampler(seed=0, horizon=27, rungs=(1, 3, 9, 27), recipe=EAGER)
    study = optuna.create_study(sampler=sampler)
    rng = np.random.default_rng(0)
    for number in range(60):
        x, y = rng.random(2)
        steps = (1,) if number % 3 else (1, 3, 9, 27)
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.PRUNED if number % 3 else TrialState.COMPLETE,
                value=curve(x, steps[-1]),
                params={"x": x, "y": y},
                distributions=space,
                intermediate_values={step: curve(x, step) for step in steps},
            )
        )
    proposed = [study.ask(space).params["x"] for _ in range(8)]
    assert np.mean(proposed) < 0.25


def test_a_region_that_diverges_is_left_alone() -> None:
    def cliff(trial: Trial) -> float:
        lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        trial.suggest_float("other", 0, 1)
        if lr > 1e-3:
            trial.set_constraint("diverged", 1.0)
            return -1e6  # the value of a violation does not count
        return -math.log10(lr)  # best right below the cliff

    study = optimised(cliff, 60)
    assert np.mean([trial.params["lr"] > 1e-3 for trial in study.trials[30:]]) < 0.35
    assert np.mean([trial.params["lr"] > 1e-4 for trial in study.trials[30:]]) > 0.5


def test_no_config_is_proposed_twice_while_there_are_others() -> None:
    def small(trial: Trial) -> float:
        return trial.suggest_int("a", 0, 3) * 1.0 + trial.suggest_categorical("b", [0, 1, 2])

    study = optimised(small, 16, ForestSampler(seed=0, recipe=Recipe(starts=1, explore=0.0)))
    first = {tuple(sorted(values.items())) for values in params(study)[:12]}
    assert len(first) == 12
    assert len(study.trials) == 16


def test_what_hangs_on_what_may_be_told_or_is_learned() -> None:
    """Kind b has no knob n; told or learned, the same configs are proposed."""
    asked: list[Mapping[str, Any]] = []

    def active(values: Mapping[str, Any]) -> set[str]:
        asked.append(dict(values))
        return {"x", "kind"} | {"a": {"n"}, "b": {"share"}, "c": set()}[values["kind"]]

    told = params(optimised(conditional, 40, ForestSampler(seed=0, active=active)))
    assert told == params(optimised(conditional, 40, ForestSampler(seed=0)))
    assert asked
    assert all(list(values) == list(asked[0]) and len(values) == 4 for values in asked)


def test_several_objectives_spread_over_the_front() -> None:
    def two(trial: Trial) -> tuple[float, float]:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        return x**2 + y, -((1 - x) ** 2 + y)

    found = {}
    for name, sampler in (("forest", ForestSampler(seed=0)), ("random", RandomSampler(seed=0))):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
        study.optimize(two, n_trials=60)
        found[name] = [trial.params for trial in study.best_trials]
        late_y = float(np.mean([trial.params["y"] for trial in study.trials[30:]]))
        assert late_y < 0.25 if name == "forest" else late_y > 0.4
    places = sorted(values["x"] for values in found["forest"])
    assert len(places) > len(found["random"])
    assert places[0] < 0.4 and places[-1] > 0.75


def test_threads_share_a_sampler() -> None:
    """Each draws its own candidates. Two that draw the same child of a config before either is recorded may propose it
    twice, as with Optuna's own samplers; that all do would be one generator's state read by all."""
    study = optimised(conditional, 30, ForestSampler(seed=0, recipe=EAGER), jobs=3)
    assert len({tuple(sorted(values.items())) for values in params(study)}) >= 27


def test_running_trials_without_reports_are_no_observations() -> None:
    study = optuna.create_study(sampler=ForestSampler(seed=0, recipe=EAGER))
    for _ in range(30):
        study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})  # never told: no model can be fitted
    assert len({trial.params["x"] for trial in study.trials}) == 30


def test_long_curves_and_long_studies_stay_affordable() -> None:
    sampler = ForestSampler(seed=0, recipe=Recipe(starts=1, explore=0.0, window=100))
    study = optuna.create_study(sampler=sampler)
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}
    for number in range(150):
        x = number / 150
        reports = {step: abs(x - 0.5) + 1 / step for step in range(1, 300, 7)}
        study.add_trial(
            optuna.trial.create_trial(
                value=abs(x - 0.5), params={"x": x}, distributions=space, intermediate_values=reports
            )
        )
    assert abs(study.ask(space).params["x"] - 0.5) < 0.15


def test_where_everything_diverges_it_still_proposes() -> None:
    def hopeless(trial: Trial) -> float:
        trial.set_constraint("diverged", 1.0)
        return trial.suggest_float("x", 0, 1)

    study = optimised(hopeless, 12, ForestSampler(seed=0, recipe=Recipe(starts=3, explore=0.0)))
    assert len({trial.params["x"] for trial in study.trials}) == 12


def test_candidates_are_judged_as_what_they_become() -> None:
    """Near 50 the model likes all, and most of what it likes becomes 0, which it does not: what stays is proposed."""
    shown: list[int] = []

    def project(values: Mapping[str, Any]) -> dict[str, Any]:
        shown.append(values["x"])
        return {"x": values["x"] if values["x"] % 10 == 7 else 0}

    sampler = ForestSampler(seed=0, project=project, recipe=Recipe(starts=5, explore=0.0, kappa=0.0))
    study = optuna.create_study(sampler=sampler)
    space = {"x": optuna.distributions.IntDistribution(0, 99)}
    for x in range(0, 100, 2):
        study.add_trial(optuna.trial.create_trial(value=abs(x - 50), params={"x": x}, distributions=space))
    assert study.ask(space).params["x"] in (47, 57)
    assert len(shown) == 50 and len([x for x in shown if x % 10 == 7]) < 20
