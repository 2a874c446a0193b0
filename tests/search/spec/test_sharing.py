"""When a search shares training prefixes, and what its plan says of that."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_search import small_search, write_search

from search.spec import sharing
from search.spec.as_begun import as_begun
from search.spec.plan import make_plan
from search.spec.plan_text import describe
from search.spec.resolve import resolve
from search.spec.search import Search
from spaces.problems import BadInput

LATE = (
    "knobs=[scheduler_factor, scheduler_patience, scheduler_min_lr]",
    "space={scheduler_patience: {int: [8, 12]}}",
)


def late(folder: Path, *overrides: str) -> Search:
    """What is done at a plateau: nothing that is searched acts early."""
    return small_search(folder, *LATE, *overrides)


def test_late_knobs_are_shared_by_themselves_and_the_plan_says_so(tmp_path: Path) -> None:
    search = late(tmp_path)
    plan = make_plan(search)
    assert plan.shared.on and plan.shared.prediction is not None and plan.shared.prediction.share >= 0.4
    told = describe(search, plan)
    assert "sharing: on (share: auto)" in told and "no rung is set before it" in told
    assert plan.rungs[0] > plan.shared.together > 0
    alone = make_plan(late(tmp_path, "share=off"))
    assert alone.rungs[0] < plan.rungs[0] and not alone.shared.on
    assert plan.as_dict()["sharing"]["on"] is True and plan.search_steps < plan.trials * plan.horizon


def test_where_every_knob_acts_from_the_first_step_nothing_is_said_or_changed(tmp_path: Path) -> None:
    auto, off = small_search(tmp_path), small_search(tmp_path, "share=off")
    found, alone = make_plan(auto), make_plan(off)
    assert not found.shared.on and describe(auto, found) == describe(off, alone)
    assert (found.rungs, found.search_steps, found.trials) == (alone.rungs, alone.search_steps, alone.trials)


def test_a_small_space_is_counted_once_and_not_as_often_as_it_is_drawn(tmp_path: Path) -> None:
    search = small_search(tmp_path, "knobs=[use_weighted_pooling]", "space={}", "share=on")
    found = make_plan(search)
    assert found.shared.prediction is not None and len(found.shared.prediction.begun) == 2
    assert found.search_steps == 5 + 18  # one of the two goes on from the first rung


def test_on_is_on_whatever_it_saves(tmp_path: Path) -> None:
    search = small_search(tmp_path, "share=on")
    plan = make_plan(search)
    assert plan.shared.on and "sharing: on (share: on): 0 of 60" in describe(search, plan)


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (
            ("early_stopping={kind: pbt}", "knobs=[scheduler_factor, scheduler_patience, lr]"),
            "take over each other's state",
        ),
        (("objectives=[{val_mae_prior_sd: min}, {seconds_per_step: min}]",), "another one for each training"),
    ],
)
def test_what_can_not_be_shared_is_refused_if_it_is_asked_for_and_else_left_alone(
    overrides: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=why):
        make_plan(late(tmp_path, *overrides, "share=on"))
    shared = make_plan(late(tmp_path, *overrides)).shared
    assert not shared.on and why in shared.why_not


def test_a_search_goes_on_as_it_began(tmp_path: Path) -> None:
    search = late(tmp_path)
    before = sharing.settled(search, sharing.NONE).identity()  # also what an earlier version has written
    assert "share" not in before["settings"]
    assert not make_plan(as_begun(search, before)).shared.on
    shared = sharing.settled(search, make_plan(search).shared).identity()
    assert shared["settings"]["share"] == "on"
    assert make_plan(as_begun(search, shared)).shared.on
    said = resolve(write_search(tmp_path), [*LATE, "share=off"])
    assert said.settings.share == as_begun(said, shared).settings.share == "off"  # the folder refuses it


def test_the_cap_is_a_size(tmp_path: Path) -> None:
    assert late(tmp_path, "resources.prefixes=2 GB").prefixes == 2 * 10**9
    with pytest.raises(BadInput, match=r"resources\.prefixes"):
        late(tmp_path, "resources.prefixes=much")


def test_code_of_the_users_own_shares_under_auto_only_where_the_probe_found_it_exact(tmp_path: Path) -> None:
    path = Path(__file__).parents[3] / "configs/own/function"
    search = resolve(next(path.glob("*.yaml")), ["share=auto"])
    shared = replace(make_plan(late(tmp_path)).shared)
    why = sharing.withdrawn(search, shared)
    assert why is not None and "resume" in why
    exact = {"resume": "exact", "repeats": "same bits"}
    names = search.model.declared.schedules  # type: ignore[attr-defined]
    exact |= {f"schedule {name}": "as declared" for name in names}
    assert sharing.withdrawn(replace(search, checked=exact), shared) is None
    assert sharing.withdrawn(replace(search, checked={**exact, "resume": "differs by 0.1"}), shared) is not None
