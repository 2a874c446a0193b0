"""Equal keys mean equal bits: for each model, over pairs of configs, at every evaluation of tiny trainings.

`unlike` is the check, and the mutation tests hold it to its word: leave one field out of a key, and it finds where two
trainings that the key takes for one differ.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.prefixes.key import Chain, Identity, identity_of
from spaces.paths import with_values
from spaces.problems import BadInput
from trainables.prefix import Controller, Sharing, address, environment, sharing_of
from trainables.registry import model_named, models

sys.path.insert(0, str(Path(__file__).parents[2] / "trainables"))
from tiny_cases import CASES, loaded, parts, stored

STEPS = {"diphone_rnn": 8, "early_inference": 8, "sequence_generator": 6, "tts": 6, "whisper_child": 4}
PLATEAU = {"lr": 0.05, "warmup_epochs": 0, "scheduler_patience": 0, "scheduler_factor": 0.3}


@dataclass(frozen=True)
class Trained:
    """A whole training, evaluated after each unit. Values of knobs are JSON here and below."""

    states: tuple[bytes, ...]
    bits: tuple[Any, ...]  # of state and metrics


@dataclass(frozen=True)
class Setting:
    """What a key is made of, beside the config."""

    seed: int = 0
    threads: int = 1
    data: str = "{}"  # changes of the case's data


def config_of(name: str, values: str) -> Any:
    return model_named(name).parse(with_values(CASES[name].base, json.loads(values)), "case")


def prepared_of(name: str, config: Any, setting: Setting) -> Any:
    model = model_named(name)
    data = {"generate": {**CASES[name].data["generate"], **eval(setting.data)}}  # noqa: S307
    return model.prepare(model.parse_data(data, config, "data"), config)


def built(name: str, values: str, setting: Setting) -> Any:
    torch.set_num_threads(setting.threads)
    config = config_of(name, values)
    return model_named(name).build(config, prepared_of(name, config, setting), setting.seed)


def watched(run: Any, upto: int) -> Trained:
    """Train on to `upto`, unit by unit."""
    states, bits = [], []
    while run.step < upto:
        metrics = {**run.train(run.step + 1), **run.evaluate()}
        states.append(stored(run))
        bits.append((metrics, dict(parts(loaded(states[-1])))))
    run.close()
    torch.set_num_threads(1)
    return Trained(tuple(states), tuple(bits))


@cache
def trained(name: str, values: str, setting: Setting = Setting()) -> Trained:
    return watched(built(name, values, setting), STEPS[name])


class Key:
    """What names a state; parts of it can be left out."""

    def __init__(self, name: str, values: str, setting: Setting, without: str = "") -> None:
        model, config = model_named(name), config_of(name, values)
        sharing = sharing_of(model)
        assert sharing is not None
        self.controller = sharing.controller
        self.config = config
        identity = identity_of(model, None, prepared_of(name, config, setting).digest, setting.seed, 1)
        if without in ("data", "seed", "code"):
            identity = replace(identity, **{without: 0 if without == "seed" else ""})
        torch.set_num_threads(setting.threads)
        self.machine = {key: value for key, value in environment().items() if key != without}
        torch.set_num_threads(1)
        if without == "schedules":
            sharing = replace(sharing, realised=lambda _, step: step)
        if without.startswith("static:"):
            sharing = less_static(sharing, model, without.removeprefix("static:"))
        self.chain = Chain(model, sharing, identity, config)

    def same(self, other: "Key", step: int, seen: int | None) -> bool:
        """Whether a state of `other` at `step`, whose controller had `seen` this, is taken for one of this training."""
        (calm, acted), (theirs, theirs_acted) = self.chain.keys(step), other.chain.keys(step)
        if seen is None:
            return address(acted, self.machine) == address(theirs_acted, other.machine)
        awake = self.controller is not None and not self.controller.calm(self.config, seen)
        return address(calm, self.machine) == address(theirs, other.machine) and not awake


def less_static(sharing: Sharing[Any], model: Any, key: str) -> Sharing[Any]:
    def without(config: Any) -> Mapping[str, Any]:
        whole = model.static(config) if sharing.controller is None else sharing.controller.unacted(config)
        return {name: value for name, value in whole.items() if name != key}

    controller: Controller[Any] | None = sharing.controller
    if controller is not None:
        return replace(sharing, controller=replace(controller, unacted=without))
    return replace(sharing, static=without)


def shared(name: str, one: str, other: str, settings: tuple[Setting, Setting], without: str = "") -> list[int]:
    """The steps at which a state of `one` is taken for one of `other`."""
    mine, theirs = Key(name, one, settings[0], without), Key(name, other, settings[1], without)
    states = trained(name, one, settings[0]).states
    seen = [mine.controller.seen(loaded(state)) if mine.controller else 0 for state in states]
    return [step for step, found in enumerate(seen, 1) if theirs.same(mine, step, found)]


def unlike(
    name: str, one: str, other: str, settings: tuple[Setting, Setting] = (Setting(), Setting()), without: str = ""
) -> list[int]:
    """Of these, the steps at which the two trainings are not the same, bit for bit."""
    mine, theirs = trained(name, one, settings[0]), trained(name, other, settings[1])
    return [s for s in shared(name, one, other, settings, without) if mine.bits[s - 1] != theirs.bits[s - 1]]


@st.composite
def pairs(draw: st.DrawFn, name: str) -> tuple[str, str]:
    """Two configs that differ in few knobs, over the values that the case of the model has for them."""
    live, shapes = CASES[name].live, CASES[name].shapes
    some = draw(st.sets(st.sampled_from(sorted(live)), max_size=4))
    one = {knob: draw(st.sampled_from(live[knob])) for knob in sorted(some)}
    moved = draw(st.sets(st.sampled_from(sorted(set(live) - set(shapes))), min_size=1, max_size=3))
    other = one | {knob: draw(st.sampled_from(live[knob])) for knob in sorted(moved)}
    return json.dumps(one), json.dumps(other)


QUICK = "diphone_rnn", "early_inference"


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in models()]
)
@given(data=st.data())
@settings(
    max_examples=2 if settings().max_examples <= 25 else 20, deadline=None, suppress_health_check=list(HealthCheck)
)
def test_what_has_the_same_key_is_the_same_to_the_last_bit_and_goes_on_so(name: str, data: st.DataObject) -> None:
    one, other = data.draw(pairs(name))
    try:
        steps = shared(name, one, other, (Setting(), Setting()))
    except BadInput:  # not every combination is a config
        return
    assert unlike(name, one, other) == []
    for step in {*steps[:1], *steps[-1:]}:
        fork = built(name, other, Setting())
        fork.restore(loaded(trained(name, one).states[step - 1]))
        assert watched(fork, STEPS[name]).bits == trained(name, other).bits[step:]


LATE: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any], int]] = {
    # a model: two configs that part late, and the last step at which they have one state
    "early_inference": ({**PLATEAU, "scheduler_patience": 1}, {**PLATEAU, "scheduler_patience": 2}, 3),
    "diphone_rnn": ({"alpha_schedule_end": 0.1}, {"alpha_schedule_end": 0.3}, 4),
    "tts": ({"training.level_switch.learning_rate": 2e-3}, {"training.level_switch.learning_rate": 1e-3}, 3),
    "whisper_child": (
        {"data.curriculum_learning": True, "data.curriculum_epochs": 1},
        {"data.curriculum_learning": True, "data.curriculum_epochs": 2},
        1,
    ),
    "sequence_generator": ({"plan.phase_3.alpha": 0.2}, {"plan.phase_3.alpha": 0.9}, 2),
}


@pytest.mark.parametrize("name", LATE)
def test_configs_that_part_late_share_what_is_before(name: str) -> None:
    one, other, last = LATE[name]
    mine, theirs = json.dumps(one), json.dumps(other)
    steps = shared(name, mine, theirs, (Setting(), Setting()))
    assert steps and unlike(name, mine, theirs) == []
    assert steps[0] == 1 and steps[-1] >= last


MUTATIONS = [
    ("seed", "{}", "{}", (Setting(), Setting(seed=1))),
    ("data", "{}", "{}", (Setting(), Setting(data="{'seed': 3}"))),
    ("static:batch_size", '{"batch_size": 16}', '{"batch_size": 32}', (Setting(), Setting())),
    ("schedules", '{"lr": 1e-3}', '{"lr": 1e-2}', (Setting(), Setting())),
    ("threads", '{"batch_size": 32}', '{"batch_size": 32}', (Setting(), Setting(threads=2))),
]


@pytest.mark.parametrize(("without", "one", "other", "its"), MUTATIONS, ids=[each[0] for each in MUTATIONS])
def test_a_field_left_out_of_the_key_is_found(without: str, one: str, other: str, its: tuple[Setting, Setting]) -> None:
    name = "early_inference"
    assert unlike(name, one, other, its) == []
    assert unlike(name, one, other, its, without) != []


def test_code_belongs_to_the_key() -> None:
    model, config = model_named("early_inference"), config_of("early_inference", "{}")
    sharing = sharing_of(model)
    assert sharing is not None
    mine = Identity("early_inference", "a", "d", 0, 1)
    assert Chain(model, sharing, mine, config).keys(2) != Chain(model, sharing, replace(mine, code="b"), config).keys(2)
