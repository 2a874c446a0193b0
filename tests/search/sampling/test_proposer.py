"""The searcher: values inside the space, one history and one future, and what Optuna is told."""

import itertools
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.history.events import FINAL, Status
from search.sampling.codec import code
from search.sampling.draw import activity
from search.sampling.grid import config_count, every_config
from search.sampling.proposer import Proposer
from search.sampling.samplers import BEST, WINDOW, Standing, draw_seed, rank
from search.sampling.study import Appended
from search.sampling.trial_history import PastTrial, Problem, Sampling, Scoring
from spaces.domain import Categorical, Domain, Float, Int, contains, grid, sample, size
from spaces.knob import Condition, Knob
from spaces.space import Space
from spaces.values import thaw

MIN = Scoring("min", worst=9.0)
MIXED = Space(
    (
        Knob("lr", Float(1e-5, 1e-1, log=True)),
        Knob("alpha", Float(0.0, 1.0, step=0.1)),
        Knob("width", Int(8, 512, log=True)),
        Knob("layers", Int(2, 10, step=2)),
        Knob("kind", Categorical(("none", "step", "cosine"))),
        Knob("steps", Categorical(((10, 20), (5,), None)), when=(Condition("kind", ("step",)),)),
        Knob("period", Float(1.0, 9.0), when=(Condition("kind", ("cosine",)),)),
        Knob("decay", Float(0.1, 0.9), when=(Condition("kind", ("cosine",)), Condition("flag", (True,)))),
        Knob("flag", Categorical((True, False))),
    )
)
BASE: dict[str, Any] = {
    "lr": 1e-3,
    "alpha": 0.5,
    "width": 64,
    "layers": 4,
    "kind": "step",
    "steps": [10, 20],
    "period": 3.0,
    "decay": 0.5,
    "flag": False,
    "units": 3,
}
SMALL = Space((Knob("flag", Categorical((True, False))), Knob("layers", Int(2, 4, step=2))))


def proposer(
    folder: Path,
    kind: str = "tpe",
    space: Space = MIXED,
    base: Mapping[str, Any] = BASE,
    scoring: Scoring = MIN,
    seed: int = 0,
    past: Sequence[PastTrial] = (),
    points: int = 3,
) -> Proposer:
    return Proposer(
        Problem("search", space, base), Sampling(kind, seed, points), scoring, folder / "study.journal", past
    )


def stored(folder: Path) -> list[FrozenTrial]:
    """The trials of the study file, read by Optuna alone."""
    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    return optuna.load_study(study_name="search", storage=storage).trials


def loss(values: Mapping[str, Any]) -> float:
    """Smooth in every knob, so that learning pays."""
    total: float = (math.log10(values["lr"]) + 3) ** 2 + 4 * (values["alpha"] - 0.3) ** 2
    total += {"none": 2.0, "step": 1.0, "cosine": 0.0}[values["kind"]]
    return total + abs(float(values.get("period", 4.0)) - 4.0) / 4


def assert_inside(space: Space, base: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    assert list(values) == [knob.path for knob in space.active(values, base)]
    for knob in space.knobs:
        if knob.path in values:
            assert contains(knob.domain, values[knob.path]), (knob, values[knob.path])
            assert_plain(values[knob.path])
            match knob.domain:
                case Float():
                    assert type(values[knob.path]) is float
                case Int():
                    assert type(values[knob.path]) is int


def assert_plain(value: Any) -> None:
    """No numpy type, no tuple: what JSON gives back is what was written, type by type."""
    assert type(value) in (bool, int, float, str, list, type(None))
    assert repr(json.loads(json.dumps(value))) == repr(value)


# --- proposals ---------------------------------------------------------------------------------------------------


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


# --- what Optuna is told -----------------------------------------------------------------------------------------


def test_each_status_in_the_study(tmp_path: Path) -> None:
    search = proposer(tmp_path, "random")
    for number in range(8):
        search.propose(number)
        for step in (1, 3):
            search.report(number, step, 1.0 / step + number)
    search.tell(0, "completed", 0.25)
    search.tell(1, "stopped", reason="rung 3")
    search.tell(2, "diverged", math.nan, reason="loss is nan at step 4")
    search.tell(3, "failed", reason="RuntimeError")
    search.tell(4, "completed", math.inf)
    search.pause(5)
    search.pause(6)
    search.resume(6)
    done, stopped, diverged, failed, infinite, paused, resumed, running = stored(tmp_path)
    assert (done.state, done.value, done.intermediate_values) == (TrialState.COMPLETE, 0.25, {1: 1.0, 3: 1 / 3})
    assert (stopped.state, stopped.value) == (TrialState.PRUNED, 1 + 1 / 3)
    assert (diverged.state, diverged.value) == (TrialState.COMPLETE, 9.0)
    assert diverged.constraints == infinite.constraints == {"diverged": 1.0}
    assert (failed.state, failed.value) == (TrialState.FAIL, None)
    assert (infinite.state, infinite.value) == (TrialState.COMPLETE, 9.0)
    assert [t.state for t in (paused, resumed, running)] == [TrialState.RUNNING] * 3
    assert [t.user_attrs["status"] for t in (paused, resumed, running)] == ["paused", "running", "running"]
    expected = {"trial": 2, "origin": "random", "status": "diverged", "reason": "loss is nan at step 4", "seed": 0}
    assert diverged.user_attrs == expected
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    assert optuna.load_study(study_name="search", storage=storage).best_trial.user_attrs["trial"] == 0


def test_an_end_is_final(tmp_path: Path) -> None:
    search = proposer(tmp_path)
    search.propose(0)
    with pytest.raises(ValueError, match="can't end as paused"):
        search.tell(0, "paused")
    search.tell(0, "failed")
    with pytest.raises(ValueError, match="trial 0 is over: failed"):
        search.tell(0, "completed", 1.0)


def test_a_trial_that_a_larger_budget_promotes_is_open_again(tmp_path: Path) -> None:
    search = proposer(tmp_path)
    for number in (0, 1):
        search.propose(number)
        search.report(number, 1, 0.5)
        search.tell(number, "stopped", reason="not promoted from 1")
    search.resume(0)  # it waited at a rung
    search.report(1, 2, 0.4)  # it was cut off
    search.report(0, 2, 0.3)
    search.tell(0, "completed", 0.3)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    done, running = optuna.load_study(study_name="search", storage=storage).trials
    assert (done.state, done.value) == (TrialState.COMPLETE, 0.3)
    assert running.state == TrialState.RUNNING and running.intermediate_values == {1: 0.5, 2: 0.4}
    assert search.file_error is None


def test_non_finite_reports_count_as_the_worst(tmp_path: Path) -> None:
    search = proposer(tmp_path)
    search.propose(0)
    search.report(0, 1, math.nan)
    search.report(0, 2, math.inf)
    search.tell(0, "stopped")
    (trial,) = stored(tmp_path)
    assert trial.intermediate_values == {1: 9.0, 2: 9.0}
    assert trial.value == 9.0


@pytest.mark.parametrize("mode", ["min", "max"])
def test_tpe_ranks_diverged_trials_behind_stopped_ones(tmp_path: Path, mode: Any) -> None:
    worst = 9.0 if mode == "min" else -9.0
    search = proposer(tmp_path, scoring=Scoring(mode, worst))
    for number in range(4):
        search.propose(number)
        search.report(number, 1 + number % 2, 0.1 * number)
    search.tell(0, "diverged")
    search.tell(1, "stopped")
    search.tell(2, "stopped")
    search.tell(3, "completed", 0.3)
    study = optuna.load_study(
        study_name="search", storage=JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    )
    direction = study.direction
    ours = [t.number for t in sorted(study.trials, key=lambda trial: rank(trial, direction))]
    assert ours == [3, 1, 2, 0]
    for count in range(5):  # the same order as TPE's own
        below, _ = optuna.samplers._tpe.sampler._split_trials(study, study.trials, count)
        assert {t.number for t in below} == set(ours[:count])


def test_the_window_keeps_the_best_the_newest_and_the_running() -> None:
    def trial(number: int, state: TrialState, value: float | None) -> FrozenTrial:
        made = optuna.trial.create_trial(state=state, value=value)
        made.number = number
        return made

    def standing(trials: Sequence[FrozenTrial]) -> Standing:
        found = Standing(StudyDirection.MAXIMIZE)
        for each in trials:
            found.put(trial(each.number, TrialState.RUNNING, None))
            found.put(each)
        return found

    trials = [trial(n, TrialState.COMPLETE, float((n * 7919) % 2003)) for n in range(900)]
    trials += [trial(900, TrialState.FAIL, None), trial(901, TrialState.RUNNING, None)]
    kept = standing(trials).window()
    numbers = [t.number for t in kept]
    assert numbers == sorted(numbers)
    assert len(kept) == WINDOW + 1
    assert {t.number for t in sorted(trials[:900], key=lambda t: -(t.value or 0))[:BEST]} <= set(numbers)
    assert set(range(900 - WINDOW + BEST, 900)) | {901} <= set(numbers)
    assert 900 not in numbers
    assert [t.number for t in standing(trials[:WINDOW]).window()] == list(range(WINDOW))


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


# --- the file and the resume -------------------------------------------------------------------------------------


def test_another_process_reads_the_same_study(tmp_path: Path) -> None:
    search = proposer(tmp_path, "random")
    for number in range(3):
        search.propose(number)
        search.report(number, 1, number + 0.5)
    search.tell(1, "completed", 0.5)
    code = (
        "import optuna, json\n"
        "from optuna.storages import JournalStorage\n"
        "from optuna.storages.journal import JournalFileBackend\n"
        f"storage = JournalStorage(JournalFileBackend({str(tmp_path / 'study.journal')!r}))\n"
        "study = optuna.load_study(study_name='search', storage=storage)\n"
        "print(json.dumps([[t.state.name, t.value, t.params, t.user_attrs] for t in study.trials]))\n"
    )
    read = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert read == [[t.state.name, t.value, t.params, t.user_attrs] for t in stored(tmp_path)]
    assert [state for state, *_ in read] == ["RUNNING", "COMPLETE", "RUNNING"]


STATUSES: tuple[Status, ...] = ("completed", "stopped", "completed", "diverged", "failed", "stopped", "completed")
Act = tuple[Any, ...]


def acts(trials: int) -> list[Act]:
    """A history with three trials at once that end out of order, with pauses and every status."""
    out: list[Act] = []
    for number in range(trials):
        out.append(("propose", number))
        out.append(("report", number, 1))
        if number % 3 == 1:
            out.append(("pause", number))
        if number >= 3:
            old = number - (3 if number % 2 else 2)
            if ("tell", old) not in out:
                out += [("resume", old), ("report", old, 3)] if ("pause", old) in out else []
                out.append(("tell", old))
    return out


def play(search: Proposer, script: Sequence[Act], past: dict[int, PastTrial]) -> list[Any]:
    """Perform the acts; what was proposed is returned, what happened is kept in `past`."""
    proposals = []
    for act, number, *rest in script:
        if act == "propose":
            values = search.propose(number)
            proposals.append(values)
            if values is not None:
                past[number] = PastTrial(number, values, "running", search.origin(number))
        elif number not in past:
            continue
        elif act == "report":
            value = loss(past[number].values) + 1 / rest[0]
            search.report(number, rest[0], value)
            past[number] = replace(past[number], reports=(*past[number].reports, (rest[0], value)))
        elif act == "pause":
            search.pause(number)
            past[number] = replace(past[number], status="paused")
        elif act == "resume":
            search.resume(number)
            past[number] = replace(past[number], status="running")
        else:
            status, value = STATUSES[number % 7], loss(past[number].values)
            search.tell(number, status, value, "because")
            past[number] = replace(past[number], status=status, value=value, reason="because")
    return proposals


def comparable(trials: Sequence[FrozenTrial]) -> list[Any]:
    return [(t.state, t.values, t.params, t.user_attrs, t.system_attrs, t.intermediate_values) for t in trials]


@pytest.mark.parametrize("kind", ["forest", "tpe", "random", "grid"])
def test_a_rebuilt_search_goes_on_as_the_undisturbed_one(tmp_path: Path, kind: str) -> None:
    script = acts(20)
    base = {**BASE, "lr": 5.0} if kind == "random" else BASE  # once with a baseline that the study does not know
    whole = proposer(tmp_path, kind, base=base)
    past: dict[int, PastTrial] = {}
    cuts: list[tuple[int, dict[int, PastTrial]]] = []
    proposed: list[Any] = []
    for act in script:
        cuts.append((len(proposed), dict(past)))
        proposed += play(whole, [act], past)
    final = stored(tmp_path)
    for cut, (before, known) in enumerate(cuts):
        if cut % 3:  # of every kind of act
            continue
        to_the_end = cut % 12 == 0
        resumed = proposer(tmp_path, kind, base=base, past=list(reversed(known.values())))
        rest = play(resumed, script[cut:] if to_the_end else script[cut : cut + 10], known)
        assert rest == proposed[before : before + len(rest)], f"cut at {cut}: {script[cut]}"
        assert resumed.file_error is None
        if to_the_end:
            assert comparable(stored(tmp_path)) == comparable(final)


def test_a_journal_round_trip_of_values_changes_nothing(tmp_path: Path) -> None:
    past: dict[int, PastTrial] = {}
    script = acts(16)
    expected = play(proposer(tmp_path), script, past)
    again = [replace(t, values=json.loads(json.dumps(dict(t.values), sort_keys=True))) for t in past.values()]
    assert proposer(tmp_path, past=again).propose(16) == proposer(tmp_path, past=list(past.values())).propose(16)
    assert len(expected) == 16


def test_past_values_outside_a_changed_space_are_skipped_and_counted(tmp_path: Path) -> None:
    past = [
        PastTrial(0, MIXED.baseline(BASE), "completed", "baseline", value=1.0),
        PastTrial(1, {**MIXED.baseline(BASE), "lr": 0.5}, "completed", "tpe", value=2.0),
        PastTrial(2, {"lr": 1e-3}, "running", "tpe"),  # knobs that were not searched then
    ]
    search = proposer(tmp_path, past=past)
    assert list(search.outside) == [1, 2]
    assert [t.user_attrs["trial"] for t in stored(tmp_path)] == [0]
    search.report(2, 1, 0.5)
    search.tell(2, "completed", 0.5)
    assert search.propose(3) is not None


def test_a_killed_writers_lock_and_torn_line_do_not_matter(tmp_path: Path) -> None:
    past: dict[int, PastTrial] = {}
    play(proposer(tmp_path), acts(4), past)
    file = tmp_path / "study.journal"
    file.write_bytes(file.read_bytes() + b'{"op_code": 5, "wor')
    (tmp_path / "study.journal.lock").touch()
    search = proposer(tmp_path, past=list(past.values()))
    assert search.propose(4) is not None
    assert len(stored(tmp_path)) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.journal"]


def test_a_file_that_cannot_be_written_does_not_stop_the_search_and_heals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Appended, logs: list[dict[str, Any]]) -> None:
        raise OSError(28, "No space left on device")

    search = proposer(tmp_path)
    search.propose(0)
    with monkeypatch.context() as patched:
        patched.setattr(Appended, "append_logs", full)
        search.report(0, 1, 0.5)
        assert search.propose(1) is not None
    assert "No space left" in (search.file_error or "")
    search.report(1, 1, 0.25)
    search.tell(0, "completed", 0.5)
    assert search.file_error is None
    assert [t.state.name for t in stored(tmp_path)] == ["COMPLETE", "RUNNING"]
    assert stored(tmp_path)[1].intermediate_values == {1: 0.25}


def test_every_final_status_is_covered() -> None:
    assert set(STATUSES) == FINAL
