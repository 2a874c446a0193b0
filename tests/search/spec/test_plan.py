import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_search import small_search, write_search

from search.spec.plan import Plan, empty_rungs, make_plan
from search.spec.plan_text import describe
from search.spec.resolve import resolve
from search.spec.search import adopted
from search.spec.settling import SAMPLED
from spaces.problems import BadInput


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plans")


def plan(folder: Path, *overrides: str) -> Plan:
    return make_plan(small_search(folder, *overrides))


def refusal(folder: Path, *overrides: str) -> str:
    with pytest.raises(BadInput) as caught:
        plan(folder, *overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "whole"),
    [
        ((), False),
        (("confirm={seeds: 0}",), True),
        (("confirm={seeds: auto}",), False),
        (("early_stopping={kind: asha, baseline: full}",), True),
        (("objectives=[{val_mae_prior_sd: min}, {seconds_per_step: min}]",), True),
    ],
)
def test_the_baseline_trains_in_full_beside_the_search_where_no_fresh_seed_shows_it(
    folder: Path, overrides: tuple[str, ...], whole: bool
) -> None:
    search = small_search(folder, *overrides)
    empty = empty_rungs(search, (1, 3, 18), (), None)
    assert empty is not None and empty.exempt(0) is whole and not empty.exempt(1)


def test_what_the_data_says_of_itself_is_adopted_and_planned_with(folder: Path) -> None:
    search = small_search(folder, "knobs=[lr]", "space={}")
    assert adopted(search, {}) is search and adopted(search, {"warmup_epochs": search.base["warmup_epochs"]}) is search
    known = adopted(search, {"warmup_epochs": 12})  # as a model would say that counts batches
    assert known.base["warmup_epochs"] == 12 and known.digest != search.digest
    assert make_plan(search).rungs[0] < make_plan(known).rungs[0]
    with pytest.raises(BadInput, match="what the data says of itself"):
        adopted(search, {"warmup_epochs": -1})


def test_rungs_of_the_first_rung_given(folder: Path) -> None:
    found = plan(folder, "early_stopping={kind: asha, first_rung: 2 epochs}")
    assert found.rungs == (2, 6, 18) and found.unit == "epoch" and (found.horizon, found.every) == (18, 1)


def test_every_rung_but_the_last_is_a_multiple_of_evaluate_every(folder: Path) -> None:
    stopping = "early_stopping={kind: asha, first_rung: 6, reduction: 2}"
    found = plan(folder, "budget.steps=24", "budget.evaluate_every=3", stopping)
    assert found.rungs == (6, 12, 24)


def test_auto_waits_until_one_in_ten_configs_has_settled(folder: Path) -> None:
    for warmup, first in (("[0, 4]", 1), ("[2, 4]", 2), ("[3, 4]", 3)):
        search = small_search(folder, f"space.warmup_epochs={{int: {warmup}}}")
        found = make_plan(search)
        assert found.rungs[0] == first and 0 < found.unsettled[0] <= 0.9 and found.unsettled[-1] == 0
        assert "configs still in warmup or ramp there (at first they pass it)" in describe(search, found)


def test_auto_waits_until_nine_in_ten_configs_have_settled_where_all_are_compared(folder: Path) -> None:
    for warmup, first in (("[0, 4]", 4), ("[0, 3]", 3), ("[0, 2]", 2)):
        every = "early_stopping={kind: asha, from_settled: false}"
        search = small_search(folder, f"space.warmup_epochs={{int: {warmup}}}", every)
        found = make_plan(search)
        assert found.rungs[0] == first and found.unsettled[0] <= 0.1
        assert "configs still in warmup or ramp there\n" in describe(search, found)


def test_auto_is_at_least_a_twenty_fifth_of_the_horizon(folder: Path) -> None:
    assert plan(folder, "budget.steps=100", "knobs=[lr]", "space.warmup_epochs=0").rungs == (4, 12, 36, 100)


def test_auto_without_room_below_the_horizon_trains_every_trial_in_full(folder: Path) -> None:
    search = small_search(folder, "knobs=[lr]", "space.warmup_epochs=20")
    found = make_plan(search)
    assert found.rungs == (18,) and found.entering == (9,) and found.unsettled == (1.0,)
    assert found.search_steps == found.full_steps == 9 * 18
    assert "no rung fits" in describe(search, found)


def test_unsettled_shares_count_configs_still_in_warmup(folder: Path) -> None:
    """Warmup is uniform on 0…9 epochs, and the baseline has 5: a share of about (9 - rung) / 10 is still in it."""
    found = plan(folder, "space.warmup_epochs={int: [0, 9]}", "early_stopping={kind: asha, first_rung: 2}")
    assert found.rungs == (2, 6, 18)
    for rung, share in zip(found.rungs, found.unsettled, strict=True):
        expected = max(0, 9 - rung) / 10
        assert abs(share - expected) < 4 * (0.25 / SAMPLED) ** 0.5
        assert (share * (SAMPLED + 1)) == pytest.approx(round(share * (SAMPLED + 1)))
    assert found.unsettled[0] > 0.5 and found.unsettled[1] < 0.5


def test_a_fixed_warmup_settles_all_configs_at_once(folder: Path) -> None:
    found = plan(folder, "knobs=[lr]", "space.warmup_epochs=4", "early_stopping={kind: asha, first_rung: 2}")
    assert found.unsettled == (1.0, 0.0, 0.0)


def test_expected_steps_by_hand(folder: Path) -> None:
    """27 trials to epoch 2; the best 9 and the baseline to 6, the best 3 and it to 18, and those promoted too early."""
    found = plan(folder, "budget.trials=27", "early_stopping={kind: asha, first_rung: 2}", "confirm={top: 2, seeds: 5}")
    for entering, steps in (
        (found.entering_least, found.search_least),
        (found.entering, found.search_steps),
        (found.entering_most, found.search_most),
    ):
        assert entering[0] == 27 and entering[1] >= 9 and entering[2] >= 3
        assert steps == (27 - entering[1]) * 2 + (entering[1] - entering[2]) * 6 + entering[2] * 18
    assert found.entering_least[1] < found.entering[1] < found.entering_most[1]
    assert found.confirm_steps == (2 + 1) * 5 * 18
    assert found.full_steps == 27 * 18
    assert found.steps == found.search_steps + found.confirm_steps


def test_few_trials_confirm_no_more_than_there_are(folder: Path) -> None:
    one = plan(folder, "budget.trials=1", "confirm={top: 3, seeds: 2}")
    assert one.search_steps == one.full_steps == 18 and set(one.entering) == {1}
    assert one.confirm_steps == 1 * 2 * 18
    assert plan(folder, "confirm.seeds=0").confirm_steps == 0


@given(st.integers(1, 60), st.integers(1, 17), st.integers(2, 5))
def test_the_estimate_lies_between_one_full_trial_and_all_of_them(
    folder: Path, trials: int, first: int, eta: int
) -> None:
    stopping = f"early_stopping={{kind: asha, first_rung: {first}, reduction: {eta}}}"
    found = plan(folder, f"budget.trials={trials}", stopping)
    assert 18 + (trials - 1) * first <= found.search_steps <= found.full_steps == 18 * trials
    assert found.entering[0] == trials and found.entering[-1] >= 1
    assert list(found.entering) == sorted(found.entering, reverse=True)


@pytest.mark.parametrize("kind", ["none", "median", "hyperband", "pbt"])
def test_other_kinds_have_no_rungs_of_ours(folder: Path, kind: str) -> None:
    search = small_search(folder, f"early_stopping={{kind: {kind}}}")
    found = make_plan(search)
    assert found.rungs == (18,) and found.search_steps == found.full_steps
    assert "no rung fits" not in describe(search, found)


def test_a_total_budget_bounds_the_estimate(folder: Path) -> None:
    free = plan(folder)
    assert plan(folder, "budget.total_steps=20 epochs").search_steps == 20
    assert plan(folder, "budget.total_steps=100000").search_steps == free.search_steps
    ends = "budget.total_steps ends it after"
    for total, told in ((20, f"{ends} 20 epochs, before 9"), (5, f"{ends} 5 epochs, less than one training of 18, ")):
        search = small_search(folder, f"budget.total_steps={total}")
        assert told in describe(search, make_plan(search))
    search = small_search(folder, "budget.total_steps=100000")
    assert ends not in describe(search, make_plan(search))


@pytest.mark.parametrize(
    ("first", "every", "words"),
    [
        ("30", 1, ["early_stopping.first_rung", "first_rung is 30", "below steps 18"]),
        ("18 epochs", 1, ["first_rung is 18", "below steps 18"]),
        ("3", 2, ["first_rung is 3", "evaluate_every 2", "set it to 4 or to auto"]),
        ("3 steps", 1, ["early_stopping.first_rung", "counts in epochs"]),
        ("soon", 1, ["early_stopping.first_rung", "whole number of epochs", "'soon'"]),
    ],
)
def test_impossible_rungs_are_refused(folder: Path, first: str, every: int, words: list[str]) -> None:
    stopping = f"early_stopping={{kind: asha, first_rung: {first}}}"
    message = refusal(folder, f"budget.evaluate_every={every}", stopping)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(("every", "near"), [(4, 3), (5, 3), (17, 9), (19, 18), (100, 18)])
def test_an_interval_that_misses_the_horizon_names_one_that_does_not(folder: Path, every: int, near: int) -> None:
    message = refusal(folder, f"budget.evaluate_every={every}")
    assert "budget.evaluate_every" in message and f"{every} epochs does not divide budget.steps, 18" in message
    assert message.endswith(f"try {near}")


def test_a_space_with_configs_that_the_model_refuses_is_refused(folder: Path) -> None:
    message = refusal(folder, "knobs=[lr, scheduler_min_lr]", "space={scheduler_min_lr: {float: [1e-6, 1e-1]}}")
    assert f"of {SAMPLED + 1} drawn configs are refused" in message
    assert "is above lr" in message


def test_lengths_that_are_left_out(tmp_path: Path) -> None:
    search = small_search(tmp_path, "budget={trials: 2}")
    assert (search.horizon, search.every) == (18, 1)  # the base's epochs
    for steps, every in ((100, 4), (103, 1), (24, 1), (60, 2), (1000, 40)):
        assert small_search(tmp_path, f"budget={{trials: 2, steps: {steps}}}").every == every


def test_several_bad_lengths_are_told_together(tmp_path: Path) -> None:
    path = write_search(tmp_path)
    with pytest.raises(BadInput) as caught:
        resolve(path, ["budget.steps=3 steps", "budget.wall=soon", "budget.total_steps=x", "budget.evaluate_every=4"])
    told = {problem.where.removeprefix(f"{path} ") for problem in caught.value.problems}
    assert {"budget.steps", "budget.wall", "budget.total_steps"} <= told


def test_the_plan_is_told_and_kept(folder: Path) -> None:
    search = small_search(folder, "early_stopping={kind: asha, first_rung: 2}")
    found = make_plan(search)
    assert found == make_plan(search)
    kept = json.loads(json.dumps(found.as_dict()))
    assert kept["rungs"] == [2, 6, 18] and kept["steps"] == found.steps
    text = describe(search, found)
    assert "9 trials of early_inference over 3 knobs" in text
    assert "up to 18 epochs, evaluated every 1" in text
    rows = [line.split() for line in text.splitlines() if line.strip()[:1].isdigit()]
    assert [int(row[0]) for row in rows] == list(found.rungs)
    assert f"{found.entering_least[1]} to {found.entering_most[1]}" in text
    assert f"{found.search_least} to {found.search_most} epochs searching ({found.full_steps} without" in text


@pytest.mark.parametrize(
    ("sampler", "trials", "configs"),
    [("tpe", 9, 3), ("forest", 2, 3), ("{kind: grid, points: 2}", 9, 3), ("random", 9, None)],
)
def test_a_finite_space_is_counted_and_bounds_the_trials(
    folder: Path, sampler: str, trials: int, configs: int | None
) -> None:
    kind = sampler if "{" in sampler else f"{{kind: {sampler}}}"
    knobs = "lr, batch_size" if configs is None else "batch_size"
    search = small_search(
        folder,
        f"sampler={kind}",
        f"budget.trials={trials}",
        f"knobs=[{knobs}]",
        "space={batch_size: {choice: [16, 32]}}",
    )
    found = make_plan(search)
    assert found.configs == configs  # the documented 256 beside the two
    assert found.trials == min(trials, configs or trials)
    said = describe(search, found)
    assert ("configs in all" in said) == (configs is not None)
    assert ("the search ends when all are tried" in said) == (configs is not None and trials > configs)
