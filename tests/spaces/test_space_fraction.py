"""Knobs given as shares of the budget: `{float: [0.02, 0.3], of: budget}`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.spec.resolve import resolve
from search.spec.search import Search
from spaces.domain import Float, Int
from spaces.problems import BadInput
from spaces.space import Space, parse_space
from spaces.strict_yaml import loads
from spaces.values import ABSENT

BASE: dict[str, Any] = {"interval": 3000, "warmup": 1000, "lr": 0.1, "alpha": True}
SPACE = """
interval: {float: [0.005, 0.05], log: true, of: budget, why: stairs, documented: 0.02}
warmup: {float: [0, 0.1], of: budget}
lr: {float: [0.01, 1]}
"""


def parsed(text: str) -> Space:
    return parse_space(loads(text, ""), "s")


def problems(text: str) -> dict[str, str]:
    with pytest.raises(BadInput) as caught:
        parsed(text).check(BASE, {}, "s")
    return {problem.where.removeprefix("s space."): problem.what for problem in caught.value.problems}


def test_one_space_serves_every_budget() -> None:
    full, demo = parsed(SPACE).in_steps(150_000).by_path, parsed(SPACE).in_steps(2_000).by_path
    assert (full["interval"].domain, full["interval"].documented) == (Int(750, 7500, log=True), 3000)
    assert (demo["interval"].domain, demo["interval"].documented) == (Int(10, 100, log=True), 40)
    assert (full["warmup"].domain, demo["warmup"].domain) == (Int(0, 15_000), Int(0, 200))
    assert full["warmup"].documented is ABSENT
    assert full["interval"].why == "stairs" and full["interval"].of is None
    assert full["lr"] == parsed(SPACE).by_path["lr"]


def test_a_share_above_zero_is_at_least_one_step() -> None:
    assert parsed(SPACE).in_steps(10).by_path["interval"].domain == Int(1, 1, log=True)
    assert parsed(SPACE).in_steps(10).by_path["warmup"].domain == Int(0, 1)


@given(st.integers(1, 10**7), st.floats(0, 2), st.floats(0, 2))
def test_steps_are_whole_and_in_order(horizon: int, one: float, other: float) -> None:
    low, high = sorted([one, other])
    domain = parsed(f"a: {{float: [{low!r}, {high!r}], of: budget}}").in_steps(horizon).by_path["a"].domain
    assert isinstance(domain, Int)
    assert abs(domain.low - low * horizon) <= 1 and abs(domain.high - high * horizon) <= 1


def test_the_same_draws_in_every_budget() -> None:
    draws = [
        parsed(SPACE).in_steps(horizon).sample(np.random.default_rng(3), BASE)["interval"] for horizon in (10**6, 10**5)
    ]
    assert draws[0] == pytest.approx(10 * draws[1], rel=1e-2)  # type: ignore[operator]


def test_the_baseline_keeps_its_own_steps() -> None:
    assert parsed(SPACE).in_steps(150_000).baseline(BASE) == {"interval": 3000, "warmup": 1000, "lr": 0.1}


def test_yaml_form_gives_an_equal_space_back() -> None:
    space = parsed(SPACE)
    assert space.as_dict()["warmup"] == {"float": [0.0, 0.1], "of": "budget"}
    assert parse_space(space.as_dict(), "s") == space
    assert parse_space(space.in_steps(70).as_dict(), "s") == space.in_steps(70)


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("interval: {int: [1, 9], of: budget}", "interval.of", "a share of the budget is a float"),
        ("interval: {choice: [1, 9], of: budget}", "interval.of", "a share of the budget is a float"),
        ("interval: {float: [0, 1], of: trials}", "interval.of", "expected budget, the length of a run"),
        ("interval: {float: [-1, 1], of: budget}", "interval.float[0]", "0 or more, got -1"),
        ("interval: {float: [0, 1], step: 0.5, of: budget}", "interval.step", "no step, got 0.5; drop it"),
        ("lr: {float: [0, 1], of: budget}", "lr.of", "the config holds 0.1, no whole number of steps"),
        ("alpha: {float: [0, 1], of: budget}", "alpha.of", "the config holds true, no whole number of steps"),
    ],
)
def test_what_can_be_no_share(text: str, where: str, said: str) -> None:
    assert said in problems(text)[where]


def test_no_condition_on_a_share() -> None:
    found = problems("interval: {float: [0, 1], of: budget}\nlr: {float: [0, 1], when: {interval: 0.5}}")
    assert "'interval' is a share of the budget" in found["lr.when.interval"]


def revised(text: str) -> dict[str, Any]:
    knob = parsed(SPACE).revised(loads(text, ""), "s", BASE)[0].by_path["interval"]
    return {"domain": knob.domain, "of": knob.of, "documented": knob.documented}


def test_a_search_may_narrow_shares_or_give_steps() -> None:
    assert revised("interval: {float: [0.01, 0.02]}") == {
        "domain": Float(0.01, 0.02),
        "of": "budget",
        "documented": 0.02,
    }
    assert revised("interval: {int: [100, 1000], step: 100}") == {
        "domain": Int(100, 1000, step=100),
        "of": None,
        "documented": ABSENT,
    }
    assert revised("interval: {log: false}")["of"] == "budget"


def test_a_search_can_end_a_share_only_with_steps() -> None:
    assert revised("interval: {float: [1, 2], of: null}")["of"] is None


SEARCH = """
model: early_inference
data: {generate: {samples: 50}}
knobs: [warmup_epochs, lr]
space: {warmup_epochs: {float: [0, 0.25], of: budget}}
budget: {trials: 3, steps: 40 epochs}
"""


def resolved(folder: Path, overrides: list[str]) -> Search:
    (folder / "search.yaml").write_text(SEARCH, encoding="utf-8")
    return resolve(folder / "search.yaml", overrides)


def test_a_search_proposes_and_exports_steps(tmp_path: Path) -> None:
    search = resolved(tmp_path, [])
    assert search.space.by_path["warmup_epochs"].domain == Int(0, 10)
    assert resolved(tmp_path, ["budget.steps=80"]).space.by_path["warmup_epochs"].domain == Int(0, 20)
    values = search.space.sample(np.random.default_rng(0), search.base)
    assert type(values["warmup_epochs"]) is int
    assert search.space.baseline(search.base)["warmup_epochs"] == 5  # the documented epochs, not a share
    assert search.identity()["space"]["warmup_epochs"]["int"] == [0, 10]
