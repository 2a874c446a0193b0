"""The sampler's proposals: inside the space, the baseline first, each seed its own; the grid, and what models learn."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from proposing import BASE, MIN, MIXED, SMALL, assert_inside, loss, proposer, stored

from search.sampling.codec import code
from search.sampling.draw import activity
from search.sampling.grid import config_count, every_config
from search.sampling.proposer import Proposer
from search.sampling.samplers import draw_seed
from search.sampling.trial_history import Problem, Sampling
from spaces.domain import Categorical, Domain, Float, Int, contains, grid, sample, size
from spaces.knob import Condition, Knob
from spaces.space import Space
from spaces.values import thaw


@pytest.mark.parametrize("kind", ["forest", "tpe", "random", "grid"])
def test_a_proposal_has_exactly_the_active_knobs_inside_their_domains(tmp_path: Path, kind: str) -> None:
    search = proposer(tmp_path, kind)
    kinds = set()
    for number in range(40):
        values = search.propose(number)
        assert values is not None
        assert_inside(MIXED, BASE, values)
        kinds.add(values["kind"])
        assert search.origin(number) == ("baseline" if number == 0 else kind)
        search.report(number, 1, loss(values))
        search.tell(number, "completed", loss(values))
    assert search.file_error is None
    assert kind == "grid" or len(kinds) == 3


DOMAINS: list[Domain] = [
    Float(0.5, 8.0, log=True),
    Float(-1.0, 1.0),
    Float(0.0, 0.3, step=0.1),
    Int(1, 100, log=True),
    Int(3, 9, step=3),
    Int(5, 5),
    Categorical(("a", "b")),
    Categorical((1, "1", None, 2.5)),
    Categorical(((1, 2), (1.5,), "x")),
]


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Random conditional spaces: some knobs depend on the value of an earlier categorical one."""
    knobs: list[Knob] = []
    for index in range(draw(st.integers(1, 6))):
        domain = draw(st.sampled_from(DOMAINS))
        switches = [knob for knob in knobs if isinstance(knob.domain, Categorical)]
        when: tuple[Condition, ...] = ()
        if switches and index % 2 == draw(st.sampled_from((0, 1))):
            switch = draw(st.sampled_from(switches))
            assert isinstance(switch.domain, Categorical)
            when = (Condition(switch.path, (draw(st.sampled_from(switch.domain.choices)),)),)
        knobs.append(Knob(f"k{index}", domain, when))
    return Space(tuple(knobs))


def base_of(space: Space) -> dict[str, Any]:
    return {knob.path: thaw(grid(knob.domain, 1)[0]) for knob in space.knobs}


@given(space=spaces(), kind=st.sampled_from(["forest", "tpe", "random", "grid"]), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_conditional_spaces(tmp_path: Path, space: Space, kind: str, seed: int) -> None:
    base = base_of(space)
    search = proposer(tmp_path, kind, space, base, seed=seed)
    for number in range(16):
        values = search.propose(number)
        if values is None:
            assert number == config_count(space, base, kind, 3)
            break
        assert_inside(space, base, values)
        search.tell(number, "completed", float(number % 5))
    assert search.file_error is None
    assert not search.outside


def test_the_baseline_comes_first_and_is_told(tmp_path: Path) -> None:
    search = proposer(tmp_path)
    assert search.propose(0) == {path: thaw(value) for path, value in MIXED.baseline(BASE).items()}
    search.tell(0, "completed", 1.0)
    (trial,) = stored(tmp_path)
    assert trial.user_attrs["origin"] == "baseline"
    assert trial.value == 1.0


def test_a_baseline_outside_the_domains_runs_but_the_study_does_not_know_it(tmp_path: Path) -> None:
    base = {**BASE, "lr": 5.0}
    search = proposer(tmp_path, base=base)
    values = search.propose(0)
    assert values is not None
    assert values["lr"] == 5.0
    search.report(0, 1, 0.5)
    search.tell(0, "completed", 0.5)
    assert search.outside == {0: ("lr: 5 is not in float [1e-5, 0.1] log",)}
    assert search.propose(1) is not None
    (trial,) = stored(tmp_path)
    assert trial.user_attrs["trial"] == 1
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    study = optuna.load_study(study_name="search", storage=storage)
    assert "trial 0 (baseline): lr: 5 is not" in study.user_attrs["note"] and study.metric_names == ["objective"]


@pytest.mark.parametrize("kind", ["forest", "tpe", "random"])
def test_same_seed_same_proposals_other_seed_others(tmp_path: Path, kind: str) -> None:
    def run(name: str, seed: int) -> list[Any]:
        (tmp_path / name).mkdir()
        search = proposer(tmp_path / name, kind, seed=seed)
        out = []
        for number in range(20):
            values = search.propose(number)
            assert values is not None
            out.append(values)
            search.tell(number, "completed", loss(values))
        return out

    assert run("a", 1) == run("b", 1)
    assert run("c", 1)[1:] != run("d", 2)[1:]


def test_seeds_of_draws_never_change() -> None:
    assert [draw_seed(0, 1, 0), draw_seed(0, 1, 1), draw_seed(1, 0, 0)] == [
        502024700,
        1832444226,
        1383503242,
    ]  # else old searches can't go on


def test_numbers_grow_and_may_skip(tmp_path: Path) -> None:
    search = proposer(tmp_path)
    search.propose(0)
    search.propose(7)
    with pytest.raises(ValueError, match="trial 3 can't be proposed"):
        search.propose(3)
    with pytest.raises(ValueError, match="trial 5 was never proposed"):
        search.tell(5, "failed")


@pytest.mark.parametrize("kind", ["forest", "tpe", "random", "grid"])
def test_a_finite_space_is_tried_once_and_then_used_up(tmp_path: Path, kind: str) -> None:
    search = proposer(tmp_path, kind, SMALL)
    drawn = []
    for number in range(6):
        values = search.propose(number)
        if values is not None:
            drawn.append(tuple(values.values()))
            search.tell(number, "completed", 0.5)
    assert len(set(drawn)) == len(drawn) == config_count(SMALL, BASE, kind, 3)


def test_a_space_with_a_rare_continuum_is_drawn_until_there_is_a_new_config(tmp_path: Path) -> None:
    rare = Knob("period", Float(0.0, 1.0), (Condition("kind", ("cosine",)),))
    space = Space((Knob("kind", Categorical(("none", "step", "cosine"))), rare))
    base = {**BASE, "kind": "none", "period": 0.5}
    search = proposer(tmp_path, "random", space, base)
    drawn = [json.dumps(search.propose(number)) for number in range(30)]
    assert len(set(drawn)) == 30
    assert config_count(space, base, "random", 3) is None and config_count(space, base, "grid", 3) == 5


@given(low=st.integers(1, 5), more=st.integers(0, 40), log=st.booleans(), step=st.integers(1, 4))
def test_every_config_of_a_finite_space_is_counted(low: int, more: int, log: bool, step: int) -> None:
    step = 1 if log else step
    step = min(step, max(1, more))  # a step wider than the range is refused
    domain = Int(low, low + more - more % step, log, step)
    space = Space((Knob("layers", domain), Knob("flag", Categorical((True, False)))))
    configs = list(every_config(space, {"layers": 1, "flag": True}) or ())
    assert {json.dumps(values) for values in configs} == {
        json.dumps({"layers": layers, "flag": flag})
        for layers in range(low, domain.high + 1, step)
        for flag in (True, False)
    }
    assert len(configs) == (size(domain) or 0) * 2
    outside = not contains(domain, 1)
    assert config_count(space, {"layers": 1, "flag": True}, "tpe", 3) == len(configs) + outside


# --- the grid ----------------------------------------------------------------------------------------------------


def product(space: Space, base: Mapping[str, Any], points: int) -> set[str]:
    """The full product over all knobs, each combination cut down to its active knobs."""
    axes = [list(map(thaw, grid(knob.domain, points))) for knob in space.knobs]
    found = set()
    for combination in itertools.product(*axes):
        values = dict(zip((knob.path for knob in space.knobs), combination, strict=True))
        active = {knob.path for knob in space.active(values, base)}
        found.add(json.dumps({path: value for path, value in values.items() if path in active}, sort_keys=True))
    return found


@given(space=spaces())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_grid_is_the_product_over_active_knobs(tmp_path: Path, space: Space) -> None:
    base = base_of(space)
    expected = product(space, base, 2)
    if len(expected) > 100:
        return
    search = proposer(tmp_path, "grid", space, base, points=2)
    drawn = []
    for number in itertools.count():
        values = search.propose(number)
        if values is None:
            break
        drawn.append(json.dumps(values, sort_keys=True))
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) | {drawn[0]} == expected | {drawn[0]}  # the baseline may lie between the grid's points
    assert search.propose(len(drawn) + 1) is None


def test_models_learn_what_random_does_not(tmp_path: Path) -> None:
    knobs = (
        Knob("on", Categorical((True, False))),
        Knob("x", Float(-5.0, 5.0)),
        Knob("y", Float(-5.0, 5.0), when=(Condition("on", (True,)),)),
    )
    kinds: tuple[str, ...] = ("forest", "tpe", "random")
    late = dict.fromkeys(kinds, 0.0)
    for kind, seed in itertools.product(kinds, range(3)):
        folder = tmp_path / f"{kind}{seed}"
        folder.mkdir()
        search = proposer(folder, kind, Space(knobs), {"on": False, "x": 0.0, "y": 0.0}, seed=seed)
        values = []
        for number in range(40):
            proposal = search.propose(number)
            assert proposal is not None
            values.append((proposal["x"] - 2) ** 2 + ((proposal["y"] + 1) ** 2 if proposal["on"] else 3.0))
            search.tell(number, "completed", values[-1])
        late[kind] += sum(values[20:])
    assert late["tpe"] < 0.4 * late["random"]
    assert late["forest"] < 0.4 * late["random"]


def test_the_forest_learns_from_rungs_what_the_horizon_will_say() -> None:
    """Wide nets start behind and end ahead; of most trials only the start is known."""
    space = Space((Knob("width", Float(0.0, 1.0)), Knob("other", Float(0.0, 1.0))))
    search = Proposer(
        Problem("search", space, {"width": 0.5, "other": 0.5}, 27, (1, 3, 27)), Sampling("forest", 0), MIN, None
    )
    late = []
    for number in range(40):
        values = search.propose(number)
        assert values is not None
        late += [values["width"]] if number >= 25 else []
        for step in (1, 3, 27):
            search.report(number, step, values["width"] / step + 2 * (1 - values["width"]) * (1 - 1 / step))
            if step == 3 and number % 3:
                search.pause(number)
                break
        else:
            search.tell(number, "completed", 2 * (1 - values["width"]))
    assert np.median(late) > 0.8


def test_the_forest_knows_which_knobs_a_candidate_has() -> None:
    codes = {knob.path: code(knob.path, knob.domain) for knob in MIXED.knobs}
    active = activity(MIXED, BASE, codes)
    assert active is not None
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = {knob.path: thaw(sample(knob.domain, rng)) for knob in MIXED.knobs}
        kept = {path: codes[path].encode(value) for path, value in values.items()}
        assert active(kept) == {knob.path for knob in MIXED.active(values, BASE)}
    assert activity(SMALL, {}, {knob.path: code(knob.path, knob.domain) for knob in SMALL.knobs}) is None


def test_drawn_proposals_may_be_mapped_to_others_and_the_file_left_out() -> None:
    drawn = []

    def snap(values: Mapping[str, Any]) -> dict[str, Any]:
        drawn.append(dict(values))
        return {"flag": values["flag"], "layers": 4}

    for kind in ("forest", "tpe", "random"):
        drawn.clear()
        search = Proposer(
            Problem("search", SMALL, {"flag": True, "layers": 2}), Sampling(kind, 0), MIN, None, snap=snap
        )
        proposed = [search.propose(number) for number in range(4)]
        assert proposed[0] == {"flag": True, "layers": 2}  # the baseline is not drawn
        assert all(values is not None and values["layers"] == 4 for values in proposed[1:])
        assert len(drawn) > 3  # what is known is drawn again
        search.report(1, 1, 0.5)
        search.pause(1)
        search.tell(1, "stopped")
        assert search.file_error is None
