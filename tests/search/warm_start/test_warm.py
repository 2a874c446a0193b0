"""Warm start: which old trials count here and which don't, and what runs first."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from small_search import small_search

from search.history.events import Observed, Status, WarmStarted
from search.spec.search import Search
from search.warm_start.warm import Old, OldTrial, told, warm_start
from trainables.run import Metrics, Objective

DATA = "d" * 64
VALUES: dict[str, Any] = {"lr": 2e-3, "batch_size": 64, "warmup_epochs": 2}
WARM = "warm_start={search: old}"


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return small_search(tmp_path, WARM)


def old_trial(search: Search, number: int = 7, **changes: Any) -> OldTrial:
    """A trial of a search just like `search`, with `changes`."""
    plain = OldTrial(f"old trial {number}", search.base, DATA, VALUES, "completed", [(9, 0.6), (18, 0.5)])
    return replace(plain, **changes)


def start(search: Search, *trials: OldTrial) -> WarmStarted:
    return warm_start(search, Old("search old", trials), DATA, 5.0)


def refused(search: Search, old: OldTrial) -> str:
    """Why `old` is no observation of `search`, which takes a good one beside it."""
    found = start(search, old, old_trial(search, 8))
    assert [each.name for each in found.observations] == ["old trial 8"] and found.left_out == 1
    return found.why.removeprefix(f"{old.name} (").removesuffix(")")


# --- what counts as an observation -------------------------------------------------------------------------------


def test_a_trial_of_the_same_search_counts_as_it_is(search: Search) -> None:
    found = start(search, old_trial(search, reason="why"))
    taken = Observed("old trial 7", VALUES, "completed", [(9, 0.6), (18, 0.5)], "why")
    assert found == WarmStarted("search old", [taken], [taken], 0, "", 5.0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"values": {**VALUES, "lr": 0.5}}, "lr: 0.5 is not in float [1e-4, 0.01] log"),
        ({"values": {**VALUES, "batch_size": 100}}, "batch_size: 100 is not in one of ["),
        ({"values": {**VALUES, "tcn_dropout": 0.3}}, "tcn_dropout was 0.3 and is 0.2"),
        ({"values": {**VALUES, "lr": "fast"}}, "its config is none of this model's: old trial 7 lr: "),
        ({"values": {**VALUES, "lr.x": 1}}, "its config is none of this model's: the config has no key 'lr.x'"),
        ({"data": "e" * 64}, "it was trained on other data"),
        ({"base": None}, "the config that its search started from is not known"),
        ({"changed": True}, "its knobs changed in mid-run"),
        ({"status": "failed", "reason": "OOM"}, "failed (OOM)"),
        ({"status": "running", "reports": []}, "no evaluation in its first 18 epochs"),
        ({"reports": [(27, 0.1)]}, "no evaluation in its first 18 epochs"),
    ],
)
def test_what_is_no_observation_is_told_why(search: Search, changes: dict[str, Any], told: str) -> None:
    assert told in refused(search, old_trial(search, **changes))


def test_another_base_makes_other_numbers(search: Search) -> None:
    base = {**search.base, "weight_decay": 0.5}
    assert refused(search, old_trial(search, base=base)) == "weight_decay was 0.5 and is 1e-5"


def test_what_the_model_does_not_read_and_knobs_in_the_base_make_no_difference(search: Search) -> None:
    base = {**search.base, "my_note": "another", "mine": {"too": 1}, "lr": 0.9, "warmup_epochs": 4}
    assert start(search, old_trial(search, base=base)).left_out == 0


def test_diverged_trials_count_with_their_status(search: Search) -> None:
    old = old_trial(search, status="diverged", reports=[(3, 1.0)], reason="loss is nan")
    assert start(search, old).observations == [Observed(old.name, VALUES, "diverged", [(3, 1.0)], "loss is nan")]


@pytest.mark.parametrize("status", ["running", "paused"])
def test_what_is_unfinished_counts_as_stopped_where_it_is(search: Search, status: Status) -> None:
    old = old_trial(search, status=status, reports=[(3, 0.7)])
    (found,) = start(search, old).observations
    assert (found.status, found.reports) == ("stopped", [(3, 0.7)])


def test_a_knob_that_is_new_here_has_the_value_of_the_old_base(tmp_path: Path) -> None:
    wider = small_search(tmp_path, WARM, "knobs=[lr, batch_size, warmup_epochs, tcn_dropout]")
    old = old_trial(wider, base={**wider.base, "tcn_dropout": 0.1})
    assert start(wider, old).observations[0].values == {**VALUES, "tcn_dropout": 0.1}
    outside = old_trial(wider, base={**wider.base, "tcn_dropout": 0.95})
    assert "tcn_dropout: 0.95 is not in" in refused(wider, outside)


def test_a_knob_that_is_fixed_now_must_have_had_that_value(tmp_path: Path) -> None:
    fewer = small_search(tmp_path, WARM, "space.batch_size=64")
    assert start(fewer, old_trial(fewer)).observations[0].values == {"lr": 2e-3, "warmup_epochs": 2}
    other = old_trial(fewer, values={**VALUES, "batch_size": 128})
    assert refused(fewer, other) == "batch_size was 128 and is 64"


def test_only_knobs_that_are_active_here_are_taken(tmp_path: Path) -> None:
    knobs = "knobs=[lr, use_variance_regularization, variance_penalty_weight]"
    search = small_search(tmp_path, WARM, knobs, "space={}")
    off = {"lr": 2e-3, "use_variance_regularization": False}
    base = {**search.base, "variance_penalty_weight": 0.02}
    assert start(search, old_trial(search, values=off, base=base)).observations[0].values == off
    on = {"lr": 2e-3, "use_variance_regularization": True}
    assert start(search, old_trial(search, values=on, base=base)).observations[0].values == {
        **on,
        "variance_penalty_weight": 0.02,
    }


def test_values_are_the_domains_own(tmp_path: Path) -> None:
    search = small_search(
        tmp_path, WARM, "knobs=[lr, tcn_dropout]", "space={tcn_dropout: {float: [0, 0.5], step: 0.1}}"
    )
    for value, expected in [(0, 0.0), (0.1 + 0.2, 0.3)]:
        (found,) = start(search, old_trial(search, values={"lr": 1e-3, "tcn_dropout": value})).observations
        assert repr(found.values["tcn_dropout"]) == repr(expected)


@dataclass(frozen=True)
class Stretched:
    """The model with a schedule that goes by the length of the run."""

    inner: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def knobs(self, config: Any, step: int) -> Metrics:
        return {"lr": config.lr * (1 - step / config.epochs)}


LONG = [(9, 0.6), (18, 0.5), (27, 0.4), (36, 0.3)]


@pytest.mark.parametrize(
    ("epochs", "status", "reports", "expected", "kept"),
    [
        (9, "completed", LONG[:1], "stopped", 1),  # had more to train here
        (9, "stopped", [(3, 0.7)], "stopped", 1),
        (9, "completed", [(7, 0.7)], "completed", 1),  # ended by its own patience
        (36, "completed", LONG, "completed", 2),
        (36, "stopped", LONG, "completed", 2),
        (36, "diverged", LONG, "completed", 2),  # later than it could here
        (36, "diverged", LONG[:1], "diverged", 1),
        (36, "completed", [(12, 0.6), (24, 0.5), (36, 0.4)], "stopped", 1),  # none at 18
        (18, "completed", LONG[:2], "completed", 2),
        (18, "stopped", LONG[:1], "stopped", 1),
    ],
)
def test_trials_of_another_length(
    search: Search, epochs: int, status: Status, reports: list[tuple[int, float]], expected: Status, kept: int
) -> None:
    old = old_trial(search, base={**search.base, "epochs": epochs}, status=status, reports=reports)
    (found,) = start(search, old).observations
    assert (found.status, found.reports) == (expected, reports[:kept])
    stretched = replace(search, model=Stretched(search.model))
    (found,) = start(stretched, replace(old, base={**search.base, "epochs": epochs})).observations
    own = expected if epochs == 18 or expected == "diverged" else "stopped"
    assert (found.status, found.reports) == (own, reports[:kept])


# --- what runs first ---------------------------------------------------------------------------------------------


def scored(search: Search, number: int, lr: float, objective: float, step: int = 18, **changes: Any) -> OldTrial:
    reports = [(3, 0.0), (step, objective)]
    return old_trial(search, number, **{"values": {**VALUES, "lr": lr}, "reports": reports, **changes})


def firsts(search: Search, *trials: OldTrial) -> list[int]:
    return [int(each.name.removeprefix("old trial ")) for each in start(search, *trials).first]


def test_the_best_run_first_each_config_once_and_never_the_baseline(tmp_path: Path) -> None:
    search = small_search(tmp_path, "warm_start={search: old, first: 9}")
    trials = [
        scored(search, 0, 0.0, 0.1, values={path: search.base[path] for path in VALUES}),
        scored(search, 1, 1e-3, 0.5),
        scored(search, 2, 2e-3, 0.4),
        scored(search, 3, 3e-3, 0.1, step=9, status="stopped"),
        scored(search, 4, 4e-3, 0.1, status="diverged"),
        scored(search, 5, 5e-3, 0.1, status="failed"),
        scored(search, 6, 2e-3, 0.45),  # as trial 2
        scored(search, 7, 7e-3, 0.2, data="e" * 64),  # other data: its number does not count, its config does
        scored(search, 8, 0.9, 0.1),  # outside
        scored(search, 9, 6e-3, 0.45, step=27),  # 0.45 comes too late for this search, 0.0 at 3 was its last here
    ]
    assert firsts(search, *trials) == [2, 1, 3, 9, 7]
    assert firsts(search, *reversed(trials)) == [2, 1, 3, 9, 7]
    assert firsts(small_search(tmp_path, "warm_start={search: old, first: 2}"), *trials) == [2, 1]
    assert firsts(small_search(tmp_path, "warm_start={search: old, first: 0}"), *trials) == []


def test_the_largest_is_the_best_where_large_is_better(search: Search) -> None:
    objective = replace(search.model.objective, mode="max")
    large = replace(search, model=Other(search.model, objective))
    assert firsts(large, scored(large, 1, 1e-3, 0.5), scored(large, 2, 2e-3, 0.4)) == [1, 2]


@dataclass(frozen=True)
class Other:
    """The model with another objective."""

    inner: Any
    objective: Objective

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_a_config_that_this_base_does_not_allow_is_not_run(tmp_path: Path) -> None:
    search = small_search(tmp_path, WARM, "knobs=[lr]", "space={}")
    old = old_trial(search, values={"lr": 1e-4})
    strict = replace(search, base={**search.base, "scheduler_min_lr": 5e-4})
    assert firsts(search, old) == [7]
    found = start(strict, old)
    assert (found.observations, found.first) == ([], [])
    assert "with this search's base" in found.why and "scheduler_min_lr 0.0005 is above lr" in found.why


def test_what_people_are_told(search: Search) -> None:
    good, bad = old_trial(search, 1), old_trial(search, 2, values={**VALUES, "lr": 0.5}, data="e" * 64)
    run = "\nrun first, after the baseline: old trial 1"
    why = "; 1 not, such as old trial 2 (lr: 0.5 is not in float [1e-4, 0.01] log)"
    counted = "trials of search old taken over as observations"
    assert told(start(search, good)) == f"warm start: 1 of 1 {counted}{run}"
    assert told(start(search, good, bad)) == f"warm start: 1 of 2 {counted}{why}{run}"
    assert told(start(search, bad)) == f"warning: warm start: 0 of 1 {counted}{why}"
    assert told(start(search)) == "warning: warm start: search old has no trials yet"
    assert told(start(search, replace(good, data="e" * 64))).startswith(f"warm start: 0 of 1 {counted}")
