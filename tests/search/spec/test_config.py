from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_search import write_search

from search.common.quantities import decimals, seconds, units
from search.spec import settings_file
from search.spec.config import Settings
from search.spec.settings_file import overridden
from search.stopping.asha import Asha
from search.stopping.median import Median
from search.stopping.none import NoStopping
from spaces.problems import BadInput


def read_settings(path: Path, overrides: Sequence[str] = ()) -> Settings:
    settings, wrong = settings_file.read_settings(path, overrides)
    wrong.stop()
    return settings


def problems(path: Path, *overrides: str) -> dict[str, str]:
    """What is wrong, by place; places are relative to the file."""
    with pytest.raises(BadInput) as caught:
        read_settings(path, overrides)
    found = {problem.where.removeprefix(f"{path} "): problem.what for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems)
    return found


# Times and lengths.


@pytest.mark.parametrize(
    ("wait", "expected"),
    [(90, 90), (0.5, 0.5), ("90s", 90), ("20m", 1200), (" 20 m ", 1200), ("1.5h", 5400), ("2d", 172800), ("1e2s", 100)],
)
def test_times_are_seconds(wait: int | float | str, expected: float) -> None:
    assert seconds(wait, "w") == expected


@pytest.mark.parametrize("wait", ["90", "1h30m", "m", "", "-1s", "0s", 0, -3.0, "nans", "infs", "20 min", "1:30", "2M"])
def test_other_times_are_refused(wait: int | float | str) -> None:
    with pytest.raises(BadInput) as caught:
        seconds(wait, "s.yaml budget.wall")
    (problem,) = caught.value.problems
    assert problem.where == "s.yaml budget.wall"
    assert repr(wait) in problem.what and "90s, 20m, 1.5h" in problem.what


@given(st.integers(1, 10**9), st.sampled_from(["epoch", "step"]))
def test_lengths_are_units_of_the_model(n: int, unit: str) -> None:
    for span in (n, f"{n} {unit}", f"{n} {unit}s", f"  {n}   {unit}s "):
        assert units(span, unit, "w") == n


def test_lengths_take_decimal_forms_of_whole_numbers() -> None:
    assert units("1e3 steps", "step", "w") == units("1000.0 steps", "step", "w") == 1000


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ("18 steps", ["counts in epochs", "'18 epochs'", "'18 steps'"]),
        ("18", ["counts in epochs", "'18 epochs'"]),
        ("2.5 epochs", ["whole number of epochs from 1", "'2.5 epochs'"]),
        ("0 epochs", ["whole number of epochs from 1"]),
        (0, ["whole number of epochs from 1", "got 0"]),
        (-4, ["got -4"]),
        ("18epochs", ["'18epochs'"]),
        ("auto", ["'auto'"]),
        ("nan epochs", ["'nan epochs'"]),
        ("inf epochs", ["'inf epochs'"]),
        ("", ["got ''"]),
    ],
)
def test_other_lengths_are_refused(span: int | str, words: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        units(span, "epoch", "s.yaml budget.steps")
    (problem,) = caught.value.problems
    assert problem.where == "s.yaml budget.steps"
    assert all(word in problem.what for word in words), problem.what


# Overrides.


def test_overrides_reach_every_depth_and_are_read_as_yaml() -> None:
    raw = {"budget": {"trials": 9, "wall": "1h"}, "space": {"lr": 1}, "name": "a"}
    out = overridden(
        raw, ["budget.trials=12", "budget.wall=null", "name=b=c", "confirm.seeds=1e0", "sampler={kind: grid}"]
    )
    assert out == {
        "budget": {"trials": 12, "wall": None},
        "space": {"lr": 1},
        "name": "b=c",
        "confirm": {"seeds": 1.0},
        "sampler": {"kind": "grid"},
    }
    assert raw == {"budget": {"trials": 9, "wall": "1h"}, "space": {"lr": 1}, "name": "a"}  # untouched


def test_a_knob_under_space_keeps_its_dots() -> None:
    out = overridden({"space": {"a.b": 1}}, ["space.a.b=0.5", "space.optimizer.lr={float: [1e-4, 1e-2], log: true}"])
    assert out == {"space": {"a.b": 0.5, "optimizer.lr": {"float": [1e-4, 1e-2], "log": True}}}


def test_the_last_override_of_a_key_counts() -> None:
    assert overridden({}, ["a.b=1", "a.b=2"]) == {"a": {"b": 2}}


def test_all_bad_overrides_are_told_together() -> None:
    bad = ["budget.trials", "=3", "a..b=1", ".a=1", "name=[", "budget.trials.x=3"]
    with pytest.raises(BadInput) as caught:
        overridden({"budget": {"trials": 9}}, [*bad, "budget.steps=3"])
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == len(bad)
    for text, problem in zip(bad, told, strict=True):
        assert problem.startswith(f"--set {text.partition('=')[0]}")
    assert all("KEY=VALUE" in problem for problem in told[:4])
    assert "not valid YAML line 1" in told[4]
    assert "trials is 9, which has no keys below it" in told[5]


def test_an_override_is_checked_like_the_file(tmp_path: Path) -> None:
    path = write_search(tmp_path)
    assert read_settings(path, ["budget.trials=3"]).budget.trials == 3
    assert problems(path, "budget.trials=0", "budget.trails=3") == {
        "budget.trials": "input should be greater than or equal to 1, got 0",
        "budget.trails": "unknown key; did you mean 'trials'?",
    }


# The schema.


def test_defaults(tmp_path: Path) -> None:
    settings = read_settings(write_search(tmp_path))
    assert settings.early_stopping == Asha(kind="asha", mode="promote", first_rung="auto", reduction=3)
    assert (settings.sampler.kind, settings.sampler.seed) == ("forest", 0)
    assert (settings.confirm.top, settings.confirm.seeds) == (3, 3)
    assert settings.tracking.uri is settings.tracking.experiment is settings.name is None


def test_the_kind_of_early_stopping_says_which_keys_it_has(tmp_path: Path) -> None:
    path = write_search(tmp_path)

    def kind(text: str) -> object:
        return read_settings(path, [f"early_stopping={text}"]).early_stopping

    assert kind("{kind: median, grace: 3, min_trials: 2}") == Median(kind="median", grace=3, min_trials=2)
    assert kind("{kind: none}") == NoStopping(kind="none")
    assert problems(path, "early_stopping={kind: median, min_trial: 3}") == {
        "early_stopping.min_trial": "unknown key; did you mean 'min_trials'?"
    }
    assert problems(path, "early_stopping={kind: pbt, grace: 3}") == {
        "early_stopping.grace": "unknown key; valid keys: kind, perturb_every, quantile"
    }
    assert problems(path, "early_stopping={kind: pbt, quantile: 0.6}") == {
        "early_stopping.quantile": "input should be less than or equal to 0.5, got 0.6"
    }
    (wrong,) = problems(path, "early_stopping={kind: ashaa}").items()
    assert wrong[0] == "early_stopping.kind" and "'ashaa'; give one of asha, none, hyperband" in wrong[1]
    assert problems(path, "early_stopping={mode: stop}") == {
        "early_stopping.kind": "missing; give one of asha, none, hyperband, median, pbt"
    }


def test_unknown_keys_at_every_depth_name_the_nearest_key_all_together(tmp_path: Path) -> None:
    path = write_search(
        tmp_path, "budgt: 1\nsampler: {knd: tpe}\nearly_stopping: {kind: asha, first_rungg: 3}\nzzz: 1\n"
    )
    assert problems(path, "resources.gpus=1", "budget.steps=true") == {
        "budgt": "unknown key; did you mean 'budget'?",
        "sampler.knd": "unknown key; did you mean 'kind'?",
        "early_stopping.first_rungg": "unknown key; did you mean 'first_rung'?",
        "resources.gpus": "unknown key; did you mean 'gpu'?",
        "budget.steps": "input should be a valid integer or a valid string, got True",
        "zzz": "unknown key; valid keys: "
        "arguments, base, budget, check, confirm, data, early_stopping, knobs, max_failures, model, name, "
        "notes, …",
    }


@pytest.mark.parametrize(
    ("override", "place", "words"),
    [
        ("budget.wall=[1]", "budget.wall", ["number", "string", "[1]"]),
        ("resources.gpu=lots", "resources.gpu", ["'auto'", "number", "'lots'"]),
        ("resources.gpu=-1", "resources.gpu", ["'auto'", "greater than or equal to 0", "-1"]),
        ("resources.cpu=0", "resources.cpu", ["greater than 0", "got 0"]),
        ("knobs=lr", "knobs", ["list", "'lr'"]),
        ("knobs=[lr, 3]", "knobs.1", ["string", "3"]),
        ("sampler.kind=tpee", "sampler.kind", ["'tpe', 'random' or 'grid'", "'tpee'"]),
        ("budget.gpu_hours=.inf", "budget.gpu_hours", ["finite", "inf"]),
        ("space=null", "space", ["mapping of keys", "None"]),
        ("confirm=3", "confirm", ["mapping of keys", "3"]),
        ("budget.trials='9'", "budget.trials", ["integer", "'9'"]),
    ],
)
def test_a_wrong_value_is_one_problem_at_its_key(tmp_path: Path, override: str, place: str, words: list[str]) -> None:
    (found,) = problems(write_search(tmp_path), override).items()
    assert found[0] == place
    assert all(word in found[1] for word in words), found[1]


def test_what_is_no_search_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    for text in ("", "[1, 2]", "3", "just text"):
        path.write_text(text)
        assert "a search is a mapping" in problems(path)[str(path)]
    path.write_text("model: early_inference\n")
    assert problems(path) == dict.fromkeys(("data", "budget"), "missing; this key is required")


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = read_settings(write_search(tmp_path))
    assert isinstance(settings, Settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.model = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "text", ["tracking.uri=http://user:canary@host:5000", "warm_start={experiment: e, uri: 'http://h/?token=canary'}"]
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_settings(write_search(tmp_path), [text])
    (problem,) = caught.value.problems
    assert "carries credentials" in problem.what and "MLFLOW_TRACKING_URI" in problem.what
    assert "canary" not in str(problem)


@pytest.mark.parametrize("key", ["trials=1000000000000", "trials=18446744073709551617"])
def test_a_count_beyond_any_search_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(BadInput, match="trials"):
        read_settings(write_search(tmp_path), [f"budget.{key}"])


@pytest.mark.parametrize("wait", ["9999999d", "1e-300s", 1e308, "1e308s"])
def test_a_time_that_no_clock_takes_is_refused_with_its_bounds(wait: float | str) -> None:
    with pytest.raises(BadInput, match=r"expected a time from 0\.001s to 3650d"):
        seconds(wait, "budget.wall")


@pytest.mark.parametrize("span", ["1e308 epochs", 10**13])
def test_a_length_beyond_any_training_is_refused_with_its_bound(span: int | str) -> None:
    with pytest.raises(BadInput, match=r"expected at most 1e\+12 epochs"):
        units(span, "epoch", "budget.steps")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.43123, "0.4312"), (0.0, "0.0000"), (-12.5, "-12.5000"), (1.234e-5, "1.234e-05"), (3.7e200, "3.7e+200"),
     (0.0049, "0.0049"), (float("inf"), "inf")],
)  # fmt: skip
def test_values_are_told_with_what_they_are(value: float, text: str) -> None:
    assert decimals(value) == text
