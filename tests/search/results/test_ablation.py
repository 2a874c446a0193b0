"""The way from the baseline to the winner, on functions whose terms are known."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_search import records_of, small_search, trial

from search.history.events import Event
from search.results.ablation import LEAST, Ablation, Setting, ablation, differing, flipped, way
from spaces.domain import Categorical, Float
from spaces.knob import Condition, Knob
from spaces.space import Space

Values = Mapping[str, Any]
KNOBS = ("a", "b", "c", "d", "e")


class Closed:
    """A model of which only what configs are is asked: all that is in them acts, but for `dead`."""

    def parse(self, native: Values, where: str) -> Values:  # noqa: ARG002
        return native

    def static(self, config: Values) -> Values:
        return {path: value for path, value in config.items() if path != "dead"}

    def knobs(self, config: Values, step: int) -> Values:  # noqa: ARG002
        return {}


def setting(space: Space, base: Values) -> Setting:
    model: Any = Closed()
    return Setting(space, base, model, 10, (10,))


def flat(*more: Knob) -> Setting:
    space = Space((*(Knob(path, Float(0, 1)) for path in KNOBS), *more))
    return setting(space, {knob.path: 0.0 for knob in space.knobs})


def by(score: Callable[[Values], float]) -> Callable[[Sequence[Values]], Any]:
    return lambda configs: np.array([score(values) for values in configs])


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=5), st.lists(st.floats(0.01, 1), min_size=5, max_size=5))
def test_of_an_additive_function_each_change_brings_its_own_term_and_the_best_come_first(
    weights: list[float], values: list[float]
) -> None:
    terms = dict(zip(KNOBS, weights, strict=True))
    here, winner = flat(), dict(zip(KNOBS, values, strict=True))
    found = way(here, here.base, winner, by(lambda v: sum(terms[path] * v[path] for path in KNOBS)))
    assert sorted(path for change in found for path in change.knobs) == list(KNOBS) and len(found) == 5
    assert found[-1].values == winner
    gone = [0.0, *(change.predicted for change in found)]
    brought = [after - before for before, after in pairwise(gone)]
    for change, term in zip(found, brought, strict=True):
        assert term == pytest.approx(terms[change.knobs[0]] * winner[change.knobs[0]], abs=1e-12)
    assert all(one <= other + 1e-12 for one, other in pairwise(brought))


def test_what_does_not_differ_is_no_change_and_equals_leave_no_way() -> None:
    here = flat()
    winner = {**here.base, "b": 0.5}
    assert [change.knobs for change in way(here, here.base, winner, by(lambda v: v["b"]))] == [("b",)]
    assert way(here, here.base, here.base, by(lambda v: 0.0)) == []  # noqa: ARG005
    assert differing({"a": 1, "b": 2, "c": 3}, {"b": 2.0, "c": 4, "d": 5}) == ["a", "c", "d"]


def test_what_changes_nothing_in_training_comes_last_whatever_is_predicted_of_it() -> None:
    here = flat(Knob("dead", Float(0, 1)))
    winner = {**here.base, "a": 0.5, "dead": 0.5}
    found = way(here, here.base, winner, by(lambda v: -v["a"] - 9 * v["dead"]))
    assert [(change.knobs, change.acts) for change in found] == [(("a",), True), (("dead",), False)]
    assert found[1].predicted == found[0].predicted == -0.5


SWITCH = Knob("on", Categorical((False, True)))
INNER = Knob("inner", Float(0, 1), when=(Condition("on", (True,)),))
OUTER = Knob("outer", Float(0, 1), when=(Condition("on", (False,)),))
CONDITIONAL = setting(
    Space((SWITCH, INNER, OUTER, Knob("a", Float(0, 1)))), {"on": False, "inner": 0.1, "outer": 0.2, "a": 0.0}
)


def test_a_knob_brings_what_hangs_on_it_and_takes_away_what_no_longer_does() -> None:
    before, after = {"on": False, "outer": 0.2, "a": 0.0}, {"on": True, "inner": 0.7, "a": 0.3}
    found = way(CONDITIONAL, before, after, by(lambda v: v["a"] - v.get("inner", 0.0)))
    assert [change.knobs for change in found] == [("on", "inner", "outer"), ("a",)]
    assert found[0].values == {"on": True, "inner": 0.7, "a": 0.0}
    assert all(not CONDITIONAL.space.outside(change.values, CONDITIONAL.base) for change in found)


def test_what_becomes_active_on_the_way_alone_has_its_documented_value() -> None:
    """The winner has neither: the switch is on in between."""
    both = setting(
        Space((Knob("x", Categorical((0, 1, 2))), Knob("y", Float(0, 1), when=(Condition("x", (0, 1)),)))),
        {"x": 0, "y": 0.4},
    )
    assert flipped(both, {"x": 2}, {"x": 1}, "x") == {"x": 1, "y": 0.4}
    assert flipped(both, {"x": 0, "y": 0.9}, {"x": 2}, "y") == {"x": 0, "y": 0.4}


@given(st.integers(0, 2**32 - 1))
def test_from_any_config_the_way_leads_to_any_other_through_points_of_the_space(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = (CONDITIONAL.space.sample(rng, CONDITIONAL.base) for _ in range(2))
    found = way(CONDITIONAL, one, other, by(lambda v: float(np.sin(sum(map(float, v.values()))))))
    assert not differing(found[-1].values if found else one, other)
    assert all(not CONDITIONAL.space.outside(change.values, CONDITIONAL.base) for change in found)


# By what a search's trials teach.


def learnt(tmp_path: Path, trials: int) -> Ablation | None:
    """`lr` decides, far more than `batch_size`, and the warmup does nothing."""
    search = small_search(tmp_path)
    here = Setting(search.space, search.base, search.model, search.horizon, (6, 18))
    rng = np.random.default_rng(0)
    events: list[list[Event]] = []
    for number in range(trials):
        values = search.space.sample(rng, search.base) if number else search.space.baseline(search.base)
        score = abs(np.log10(values["lr"]) + 2) + 0.1 * (values["batch_size"] == 64) + 1
        events.append(trial(number, float(score), values=values, origin="tpe" if number else "baseline"))
    winner = {"lr": 1e-2, "batch_size": 64, "warmup_epochs": 3}
    return ablation(records_of(*events), here, winner)


def test_the_change_that_decides_comes_first_and_has_nearly_all_of_the_gain(tmp_path: Path) -> None:
    found = learnt(tmp_path, 80)
    assert found is not None and found.changes[0].knobs == ("lr",)
    assert found.shares[0] > 0.8 and sum(found.shares) == pytest.approx(1)
    assert found.skill > 0.5 and found.start > found.changes[-1].predicted
    assert found == learnt(tmp_path, 80)


def test_few_trials_say_nothing(tmp_path: Path) -> None:
    assert learnt(tmp_path, LEAST - 1) is None and learnt(tmp_path, LEAST) is not None
