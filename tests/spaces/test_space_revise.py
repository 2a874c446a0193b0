from collections.abc import Mapping
from typing import Any

import pytest

from spaces.domain import Categorical, Float, Int
from spaces.knob import Condition, Knob
from spaces.problems import BadInput
from spaces.space import Space, parse_space
from spaces.strict_yaml import loads
from spaces.values import ABSENT

BASE: dict[str, Any] = {
    "lr": 1e-3,
    "scheduled": True,
    "alpha": 0.6,
    "alpha_step": 100,
    "seed": 1,
    "sizes": [64, 64],
    "data": {"noise": 0.1, "cut": 3},
    "phases": [{"lr": 0.1}],
}
SPACE = parse_space(
    loads(
        """
        lr: {float: [1e-4, 1e-2], log: true, why: rate, documented: 1e-3}
        scheduled: {choice: [true, false], why: ramp, documented: true}
        alpha: {float: [0, 1], why: mix, documented: 0.6, when: {scheduled: false}}
        alpha_step: {int: [100, 1000], step: 100, documented: 300, when: {scheduled: true}}
        """,
        "",
    ),
    "space.yaml",
)


def problems(raw: str, space: Space = SPACE) -> dict[str, str]:
    with pytest.raises(BadInput) as caught:
        space.revised(loads(raw, ""), "search.yaml", BASE)
    return {problem.where: problem.what for problem in caught.value.problems}


def revised(raw: str) -> tuple[dict[str, Knob], Mapping[str, Any]]:
    space, fixed = SPACE.revised(loads(raw, ""), "search.yaml", BASE)
    return space.by_path, fixed


def test_nothing_changes_nothing() -> None:
    assert SPACE.revised({}, "", BASE) == (SPACE, {})


def test_a_domain_replaces_the_domain_only() -> None:
    knobs, fixed = revised("alpha: {float: [0.2, 0.9]}\nlr: {choice: [1e-3, 1e-4], why: two, documented: 1e-4}")
    assert knobs["alpha"] == Knob("alpha", Float(0.2, 0.9), (Condition("scheduled", (False,)),), "mix", 0.6)
    assert knobs["lr"] == Knob("lr", Categorical((1e-3, 1e-4)), (), "two", 1e-4)
    assert not fixed and list(knobs) == list(SPACE.by_path)


def test_a_documented_value_of_another_kind_is_dropped() -> None:
    assert revised("alpha: {choice: [low, high]}")[0]["alpha"].documented is ABSENT
    assert revised("alpha: {int: [0, 1]}")[0]["alpha"].documented is ABSENT


def test_adjusting_without_a_domain() -> None:
    knobs, _ = revised("lr: {log: false}\nalpha: {when: null}\nalpha_step: {step: null, when: {scheduled: [true]}}")
    assert knobs["lr"] == Knob("lr", Float(1e-4, 1e-2), (), "rate", 1e-3)
    assert knobs["alpha"].when == () and knobs["alpha"].why == "mix"
    assert knobs["alpha_step"].domain == Int(100, 1000)
    assert revised("alpha: {step: 0.25}")[0]["alpha"].domain == Float(0, 1, step=0.25)


def test_fixing_takes_out_of_the_search() -> None:
    knobs, fixed = revised("scheduled: false\nlr: {fixed: 5e-4, why: known}\nseed: 7\nsizes: {fixed: [32, 32]}")
    assert fixed == {"scheduled": False, "lr": 5e-4, "seed": 7, "sizes": (32, 32)}
    assert list(knobs) == ["alpha", "alpha_step"]
    assert revised("lr: {fixed: null}")[1] == {"lr": None}


def test_adding_a_key_of_the_base() -> None:
    knobs, _ = revised("data.noise: {float: [0, 1], when: {alpha_step: 100}}\nphases.0.lr: {float: [0, 1]}")
    assert knobs["data.noise"] == Knob("data.noise", Float(0, 1), (Condition("alpha_step", (100,)),))
    assert "phases.0.lr" in knobs


@pytest.mark.parametrize(
    ("raw", "path", "words"),
    [
        ("alhpa: {float: [0, 1]}", ".alhpa", ["unknown key", "did you mean 'alpha'?"]),
        ("data.nose: 3", ".data.nose", ["unknown key", "did you mean 'data.noise'?"]),
        ("zzzzzz: 3", ".zzzzzz", ["unknown key", "valid keys", "data.cut"]),
        ("data: {noise: {float: [0, 1]}}", ".data", ["section", "'data.noise'"]),
        ("phases: 3", ".phases", ["section", "'phases.0.lr'"]),
        ("5: 3", ".5", ["dotted path", "5"]),
        ("lr: [1e-3, 1e-4]", ".lr", ["{choice: [values]}", "{fixed: [0.001, 1e-4]}"]),
        ("lr:", ".lr", ["{fixed: null}"]),
        ("lr: {fixed: .nan}", ".lr.fixed", ["nan"]),
        ("lr: {fixed: 1, log: true}", ".lr.log", ["not searched", "drop"]),
        ("seed: {log: true}", ".seed", ["no domain", "int: [low, high]"]),
        ("lr: {lgo: false}", ".lr.lgo", ["unknown key", "'log'"]),
        ("alpha: {log: true}", ".alpha.float[0]", ["above 0", "got 0"]),
        ("alpha_step: {step: 700}", ".alpha_step.int[1]", ["1000", "step 700", "800 or 1500"]),
        ("scheduled: {log: true}", ".scheduled.log", ["a choice has no log"]),
        ("lr: {float: [1, 0]}", ".lr.float[0]", ["upper end 0"]),
        ("scheduled: {when: {alpha: 1}}", ".scheduled.when", ["scheduled -> alpha -> scheduled"]),
        ("lr: {when: {lr: 1}}", ".lr.when.lr", ["itself"]),
        ("sizes: {choice: [[1, 2]]}\nsizes.0: {int: [0, 1]}", ".sizes.0", ["inside the knob 'sizes'"]),
    ],
)
def test_each_problem_of_a_revision(raw: str, path: str, words: list[str]) -> None:
    found = problems(raw)
    assert list(found) == [f"search.yaml space{path}"]
    for word in words:
        assert word in found[f"search.yaml space{path}"]


def test_all_problems_of_a_revision_together() -> None:
    found = problems("alhpa: 1\nlr: {float: [1, 0]}\nseed: {int: [0, 1], x: 1}\nscheduled: {when: {alpha: 1}}")
    assert list(found) == [f"search.yaml space.{key}" for key in ("alhpa", "lr.float[0]", "seed.x", "scheduled.when")]


def test_only() -> None:
    assert list(SPACE.only(["alpha", "lr"], "--knobs").by_path) == ["lr", "alpha"]
    assert len(SPACE.only(["alpha"], "").active({}, BASE | {"scheduled": False})) == 1
    assert SPACE.only(["alpha"], "").active({}, BASE) == ()
    with pytest.raises(BadInput) as caught:
        SPACE.only(["alhpa", "lr", "seed"], "--knobs")
    assert [str(problem) for problem in caught.value.problems] == [
        "--knobs: the space has no knob 'alhpa'; did you mean 'alpha'?",
        "--knobs: the space has no knob 'seed'; valid keys: alpha, alpha_step, lr, scheduled",
    ]


def check(text: str, unsearchable: dict[str, str] | None = None) -> dict[str, str]:
    space = parse_space(loads(text, ""), "")
    try:
        space.check(BASE, unsearchable or {}, "s.yaml")
    except BadInput as error:
        return {problem.where: problem.what for problem in error.problems}
    return {}


def test_check_passes_a_good_space() -> None:
    SPACE.check(BASE, {"seed": "x", "l": "y"}, "s.yaml")
    assert check("lr: {float: [0, 1], when: {alpha: 1, seed: 99, data.cut: [1, 3]}}\nalpha: {float: [0, 1]}") == {}


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("lrr: {int: [0, 1]}", "lrr", ["unknown key", "'lr'"]),
        ("phases: {int: [0, 1]}", "phases", ["section", "'phases.0.lr'"]),
        ("seed: {int: [0, 1]}", "seed", ["evaluation uses it"]),
        ("data.cut: {int: [0, 1]}", "data.cut", ["fixed by the files"]),
        ("lr: {float: [0, 1], when: {sched: 1}}", "lr.when.sched", ["unknown key", "'scheduled'"]),
        ("lr: {float: [0, 1], when: {data: 1}}", "lr.when.data", ["section"]),
        ("lr: {float: [0, 1], when: {alpha: 2}}\nalpha: {float: [0, 1]}", "lr.when.alpha", ["2", "float [0, 1]"]),
        (
            "lr: {float: [0, 1], when: {scheduled: 1}}\nscheduled: {choice: [true, false]}",
            "lr.when.scheduled",
            ["1 is never taken", "[true, false]"],
        ),
    ],
)
def test_each_problem_of_a_check(text: str, path: str, words: list[str]) -> None:
    found = check(text, {"seed": "evaluation uses it", "data": "fixed by the files"})
    assert list(found) == [f"s.yaml space.{path}"]
    for word in words:
        assert word in found[f"s.yaml space.{path}"]


def test_all_problems_of_a_check_together() -> None:
    text = "lrr: {int: [0, 1], when: {x: 1}}\nseed: {int: [0, 1], when: {lrr: [1, 2]}}"
    assert list(check(text, {"seed": "no"})) == [
        "s.yaml space.lrr",
        "s.yaml space.lrr.when.x",
        "s.yaml space.seed",
        "s.yaml space.seed.when.lrr",
    ]
