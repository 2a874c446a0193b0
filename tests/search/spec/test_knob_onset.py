from pathlib import Path

import pytest
from small_search import write_search

from search.spec.knob_onset import acting
from search.spec.plan import make_plan
from search.spec.plan_text import describe
from search.spec.resolve import resolve
from search.spec.search import Search
from spaces.problems import BadInput


def phases(folder: Path, *overrides: str) -> Search:
    """Two of the phases of sequence_generator: the knobs of the second act from where the first ends."""
    path = folder / "phases.yaml"
    path.write_text(
        "model: sequence_generator\n"
        "data: {generate: {simulations: 20, grid: 16}}\n"
        "knobs: [start_lr, noise_level, plan.phase_2.alpha, plan.phase_5.clip_grad_norm]\n"
        "budget: {trials: 9, steps: 500 epochs, evaluate_every: 10 epochs}\n"
        "early_stopping: {kind: asha, first_rung: 100}\n"
    )
    return resolve(path, overrides)


def test_a_knob_of_a_later_phase_acts_from_there(tmp_path: Path) -> None:
    found = acting(phases(tmp_path))
    assert set(found) == {"plan.phase_2.alpha", "plan.phase_5.clip_grad_norm"}
    assert found["plan.phase_2.alpha"] == 100 and found["plan.phase_5.clip_grad_norm"] == 400


def test_the_plan_says_which_rungs_cannot_decide_a_knob(tmp_path: Path) -> None:
    search = phases(tmp_path)
    text = describe(search, make_plan(search))
    assert (
        "the rung at 100 can't decide" in text and "plan.phase_2.alpha (100), plan.phase_5.clip_grad_norm (400)" in text
    )
    assert "the rung at 300 can't decide" in text


def test_knobs_in_no_schedule_and_those_that_act_at_once_are_not_late(tmp_path: Path) -> None:
    search = resolve(write_search(tmp_path))
    assert acting(search) == {}
    assert "can't decide" not in describe(search, make_plan(search))


def planned(folder: Path, *overrides: str) -> tuple[int, int]:
    plan = make_plan(resolve(write_search(folder), overrides))
    return plan.trials, plan.search_steps


@pytest.mark.parametrize("total", [18, 100, 500, 3000])
def test_without_a_number_of_trials_as_many_as_the_steps_allow(tmp_path: Path, total: int) -> None:
    without = ("budget.trials=null", f"budget.total_steps={total}", "early_stopping={kind: asha, first_rung: 2}")
    trials, steps = planned(tmp_path, *without)
    assert steps <= total
    more = planned(tmp_path, f"budget.trials={trials + 1}", "early_stopping={kind: asha, first_rung: 2}")
    assert more[1] > total


def test_a_control_group_costs_what_it_trains(tmp_path: Path) -> None:
    stopping = "early_stopping={{kind: asha, first_rung: 2, control: {}}}"
    none = make_plan(resolve(write_search(tmp_path), ["budget.trials=41", stopping.format(0)]))
    tenth = make_plan(resolve(write_search(tmp_path), ["budget.trials=41", stopping.format(0.1)]))
    assert tenth.entering[1] > none.entering[1] and tenth.entering[2] > none.entering[2]
    assert tenth.entering_least[2] >= 4  # of 40


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (["budget.trials=null"], "without trials, total_steps must say when to end"),
        (["budget.trials=null", "budget.total_steps=90", "early_stopping={kind: pbt}"], "pbt groups trials"),
        (["early_stopping={kind: asha, control: 0.6}"], "less than or equal to 0.5, got 0.6"),
        (["objectives=[]"], "objectives"),
        (["objectives=[{val_nll: min}]"], "the first must be the model's own, val_mae_prior_sd: min"),
        (["objectives=[{val_mae_prior_sd: max}]"], "the first must be the model's own"),
        (["objectives=[{val_mae_prior_sd: min}, {train_loss: min}]"], "choose of val_nll: min, seconds_per_step: min"),
        (["objectives=[{val_mae_prior_sd: min}, {val_nll: max}]"], "val_nll: max can't be one"),
        (["objectives=[{val_mae_prior_sd: min}, {val_nll: min}, {val_nll: min}]"], "stands there twice"),
        (
            ["objectives=[{val_mae_prior_sd: min}, {val_nll: min}]", "early_stopping={kind: median}"],
            "median compares by one objective",
        ),
        (["objectives=[{val_mae_prior_sd: min}, {val_nll: min}]", "warm_start={search: s}"], "drop warm_start"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, override: list[str], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        resolve(write_search(tmp_path), override)
    assert message in str(caught.value)


def test_the_objectives_are_part_of_what_a_search_is(tmp_path: Path) -> None:
    path = write_search(tmp_path)
    one, own = resolve(path), resolve(path, ["objectives=[{val_mae_prior_sd: min}]"])
    two = resolve(path, ["objectives=[{val_mae_prior_sd: min}, {seconds_per_step: min}]"])
    assert one.digest == own.digest != two.digest
    assert [goal.metric for goal in two.further] == ["seconds_per_step"]
    assert "beside it seconds_per_step (min)" in describe(two, make_plan(two))
