"""What every registered model must fulfil. A new model adds its `Case` and passes all of it.

A run's state keeps the weights under `network`: the tests compare them there, and put NaN into them.
"""

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_cases import CASES, fingerprint, loaded, parts, stored

from spaces import strict_yaml
from spaces.paths import get, leaves, with_values
from spaces.space import parse_space
from spaces.values import ABSENT, freeze, thaw
from trainables.keys import differing, ours
from trainables.native import parse_native, plain
from trainables.registry import model_named, models
from trainables.run import Diverged

SPACES = Path(__file__).parents[2] / "spaces"


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(params=models())
def model(request):
    assert request.param in CASES, f"add a Case for {request.param}"
    return model_named(request.param)


@pytest.fixture
def case(model):
    return CASES[model.name]


def knobs_of(name):
    file = SPACES / f"{name}.yaml"
    return [knob.path for knob in parse_space(strict_yaml.load(file), str(file)).knobs]


each_knob = pytest.mark.parametrize(("name", "knob"), [(name, knob) for name in models() for knob in knobs_of(name)])


@pytest.fixture
def space(model):
    file = SPACES / f"{model.name}.yaml"
    space = parse_space(strict_yaml.load(file), str(file))
    return space.in_steps(get(plain(model.parse(model.documented(), "documented")), model.length_key))


def build(model, case, seed=0, **values):
    config = model.parse(with_values(case.base, values), "case")
    return model.build(config, model.prepare(model.parse_data(case.data, config, "data"), config), seed)


# The space fits the config.


def test_space_fits_the_config(model, space):
    base = plain(model.parse(model.documented(), "documented"))
    space.check(base, model.unsearchable, "space")
    assert all(knob.why for knob in space.knobs)
    assert set(model.unsearchable) <= set(leaves(base))
    assert model.length_key in model.unsearchable
    assert model.changeable <= {knob.path for knob in space.knobs}


def test_every_key_is_searchable_or_says_why_not(model, space):
    searched = {knob.path for knob in space.knobs}
    assert set(leaves(plain(model.parse(model.documented(), "documented")))) == searched | set(model.unsearchable)


def test_documented_values_are_the_defaults_and_lie_in_the_space(model, space):
    base = plain(model.parse(model.documented(), "documented"))
    for knob in space.knobs:
        assert knob.documented is not ABSENT, knob.path
        assert knob.documented == freeze(get(base, knob.path)), knob.path
    assert space.outside(space.baseline(base), base) == []


def test_sampled_configs_parse_and_come_back_through_native_files(model, case, space):
    base = plain(model.parse(model.documented(), "documented"))
    rng = np.random.default_rng(0)
    for _ in range(10):
        values = {path: thaw(value) for path, value in space.sample(rng, base).items()}
        config = model.parse(with_values(base, values), "sampled")
        files = model.write_native(None, "config.yaml", config)
        assert set(files) == case.files
        for name in files.keys() - case.partial:
            read = plain(model.parse(parse_native(files[name], name, name), name))
            assert differing(read, plain(config)).keys() <= {path for path, _ in ours(config)}


def commented(section: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """YAML lines with the path of the key that each is about."""
    for key, value in section.items():
        here, indent = f"{path}{key}", "  " * path.count(".")
        nested = isinstance(value, dict)
        yield here, f"{indent}{key}: {'' if nested else json.dumps(value)}  # about {here}\n"
        if nested:
            yield from commented(value, f"{here}.")


def test_the_users_file_gets_only_the_changes(model, space):
    base = plain(model.parse(model.documented(), "documented"))
    lines = list(commented(base))
    source = "".join(line for _, line in lines)
    values = {path: thaw(value) for path, value in space.sample(np.random.default_rng(1), base).items()}
    written = model.write_native(source, "mine.yaml", model.parse(with_values(base, values), "c"))["mine.yaml"]
    changed = {key for (key, a), b in zip(lines, written.splitlines(keepends=True), strict=True) if a != b}
    assert changed <= set(values)
    assert all(f"# about {key}\n" in written for key, _ in lines)


# Schedules.


def test_knobs_are_pure_and_settle(model, case, space):
    base = plain(model.parse(case.base, "case"))
    rng = np.random.default_rng(0)
    for _ in range(20):
        config = model.parse(with_values(base, space.sample(rng, base)), "sampled")
        steps = [int(step) for step in rng.permutation(40)]
        seen = {step: dict(model.knobs(config, step)) for step in steps}
        assert all(math.isfinite(value) for values in seen.values() for value in values.values())
        assert {step: dict(model.knobs(config, step)) for step in sorted(steps)} == seen
        assert isinstance(model.settles(config), int)
        assert model.settles(config) >= 0


# Training.


@pytest.mark.parametrize("pauses", [[1], [3, 4], [2, 5, 7]])
def test_pausing_changes_no_bit(model, case, pauses):
    whole = build(model, case)
    whole.train(case.steps)
    part = build(model, case)
    for pause in pauses:
        part.train(pause)
        part.evaluate()
        state = stored(part)
        part.close()
        part = build(model, case)
        torch.manual_seed(99)
        part.restore(loaded(state))
        assert part.step == pause
    part.train(case.steps)
    assert fingerprint(part) == fingerprint(whole)
    assert part.evaluate() == whole.evaluate()


def test_a_diverged_training_scores_a_finite_number_that_the_objectives_worst_bounds(model, case):
    worst = build(model, case).worst
    assert math.isfinite(worst)
    assert worst <= model.objective.worst if model.objective.mode == "min" else worst >= model.objective.worst


def test_artifacts_are_files_and_change_nothing(model, case, tmp_path):
    run = build(model, case)
    run.train(1)
    before, metrics = fingerprint(run), run.evaluate()
    run.artifacts(tmp_path)
    assert all(path.is_file() and path.stat().st_size for path in tmp_path.iterdir())
    assert fingerprint(run) == before and run.evaluate() == metrics


def test_the_config_takes_what_the_data_says_of_itself(model, case):
    config = model.parse(case.base, "case")
    prepared = model.prepare(model.parse_data(case.data, config, "case"), config)
    told = model.parse(with_values(plain(config), prepared.keys), "told")
    again = model.prepare(model.parse_data(case.data, told, "case"), told)
    assert (again.keys, again.digest, again.path) == (prepared.keys, prepared.digest, prepared.path)


def test_same_seed_same_result_other_seed_other_result(model, case):
    runs = [build(model, case, seed=seed) for seed in (1, 1, 2)]
    for run in runs:
        run.train(2)
    first, again, other = (run.evaluate() for run in runs)
    assert first == again
    assert first != other


def test_metrics_are_finite_and_named_for_mlflow(model, case):
    run = build(model, case)
    metrics = {**run.train(2), **run.evaluate()}
    assert model.objective.metric in metrics
    assert all(re.fullmatch(r"[A-Za-z0-9_.\- /]+", key) for key in metrics)
    assert all(math.isfinite(value) for value in metrics.values())
    assert math.isfinite(model.objective.worst)
    assert set(model.knobs(model.parse(case.base, "case"), 0)) <= set(metrics)


@each_knob
def test_no_knob_is_dead(name, knob):
    model, case = model_named(name), CASES[name]
    assert knob in case.live, f"say in the Case of {name} which two values of {knob} train differently"
    begins = next((step for start, step in case.begins.items() if knob.startswith(start)), 0)
    context = case.contexts.get(knob, {})
    runs = [build(model, case, **{**context, knob: value}) for value in case.live[knob]]
    for run in runs if begins else ():
        run.restore(loaded(trained(name, begins)))
    for step in range(begins + 1, case.steps + 1):
        for run in runs:
            run.train(step)
        one, other = (network(run) for run in runs)
        if one != other:
            return
    pytest.fail(f"{case.live[knob]} train alike for {case.steps} steps")


@cache
def trained(name, until):
    """The state of the base config after so many steps."""
    run = build(model_named(name), CASES[name])
    run.train(until)
    return stored(run)


def network(run):
    return dict(parts(run.state()["network"]))


@each_knob
def test_the_objective_depends_on_no_knob(name, knob):
    model, case = model_named(name), CASES[name]
    if knob in case.shapes:
        pytest.skip("other weights")
    one, other = (build(model, case, seed, **{knob: value}) for seed, value in enumerate(case.live[knob]))
    one.train(1)
    other.restore(loaded(stored(one)))
    found, expected = other.evaluate(), one.evaluate()
    for metric in (model.objective.metric, *model.objective.further):
        assert found[metric] == expected[metric]


@pytest.mark.parametrize("then", ["train", "evaluate"])
def test_nan_ends_the_run(model, case, then):
    run = build(model, case)
    run.train(1)
    state = loaded(stored(run))
    state["network"] = {key: value * math.nan for key, value in state["network"].items()}
    run.restore(state)
    with pytest.raises(Diverged) as error:
        run.train(3) if then == "train" else run.evaluate()
    assert error.value.quantity
    assert error.value.step in (1, 2)


def test_planning_needs_no_torch():
    code = (
        "import sys; from trainables.registry import model_named\n"
        f"for name in {list(models())!r}:\n"
        "    m = model_named(name); c = m.parse(m.documented(), 'c'); m.knobs(c, 0); m.settles(c)\n"
        "    m.write_native(None, 'c.yaml', c)\n"
        "    assert 'torch' not in sys.modules, name"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
