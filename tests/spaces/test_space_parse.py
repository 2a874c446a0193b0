import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.domain import Categorical, Float, Int
from spaces.knob import Condition, Knob
from spaces.problems import BadInput
from spaces.space import Space, parse_space
from spaces.strict_yaml import loads
from spaces.values import ABSENT

TEXT = """
lr: {float: [1e-4, 1e-2], log: true, why: "the first thing to tune", documented: 1e-3}
noise: {float: [0, 0.5], step: 0.1}
epochs: {int: [1e1, 100], step: 10, documented: 500}
layers: {choice: [[64, 64], [128]], documented: [256, 256]}
alpha: {float: [0, 1], when: {scheduled: false, epochs: [10, 20], layers: [[128]]}}
scheduled: {choice: [true, false], documented: null, when: {other.key: null}}
"""


def problems(text: str, where: str = "s.yaml") -> dict[str, str]:
    with pytest.raises(BadInput) as caught:
        parse_space(loads(text, "test"), where)
    found = {problem.where: problem.what for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems)
    return found


def test_every_form_of_a_knob() -> None:
    space = parse_space(loads(TEXT.replace("documented: null, ", ""), "test"), "s.yaml")
    when = (Condition("scheduled", (False,)), Condition("epochs", (10, 20)), Condition("layers", ((128,),)))
    assert space.knobs == (
        Knob("lr", Float(1e-4, 1e-2, log=True), (), "the first thing to tune", 1e-3),
        Knob("noise", Float(0, 0.5, step=0.1)),
        Knob("epochs", Int(10, 100, step=10), documented=500),
        Knob("layers", Categorical(((64, 64), (128,))), documented=(256, 256)),
        Knob("scheduled", Categorical((True, False)), (Condition("other.key", (None,)),)),
        Knob("alpha", Float(0, 1), when),
    )


def test_null_is_a_documented_value_only_where_a_choice_is_null() -> None:
    space = parse_space(loads("a: {choice: [null, 1.0], documented: null}\nb: {int: [0, 1]}", ""), "")
    assert [knob.documented for knob in space.knobs] == [None, ABSENT]
    assert problems("a: {float: [0, 1], documented: null}") == {
        "s.yaml space.a.documented": "expected a number, got null; the domain is float [0, 1]"
    }


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("[1]", "space", ["mapping", "[1]"]),
        ("null", "space", ["mapping", "null"]),
        ("3: {int: [0, 1]}", "space.3", ["dotted path", "3"]),
        ("a..b: {int: [0, 1]}", "space.a..b", ["dotted path", "'a..b'"]),
        ("lr: 5", "space.lr", ["float: [low, high]", "got 5"]),
        ("lr: [0, 1]", "space.lr", ["choice: [values]", "got [0, 1]"]),
        ("lr: {}", "space.lr", ["float: [low, high]", "no domain"]),
        ("lr: {float: [0, 1], lg: true}", "space.lr.lg", ["unknown key", "did you mean 'log'?"]),
        ("lr: {float: [0, 1], zzz: 1}", "space.lr.zzz", ["unknown key", "valid keys", "documented"]),
        ("lr: {float: [0, 1], int: [0, 1]}", "space.lr", ["float and int", "keep one"]),
        ("lr: {float: [0, 1], choice: [0, 1]}", "space.lr", ["float and choice", "keep one"]),
        ("lr: {float: 3}", "space.lr.float", ["[low, high]", "got 3"]),
        ("lr: {float: [1, 2, 3]}", "space.lr.float", ["[low, high]", "[1, 2, 3]"]),
        ("lr: {float: [0.5, 0.1]}", "space.lr.float[0]", ["0.5", "upper end 0.1"]),
        ("lr: {float: [0, 0.1], log: true}", "space.lr.float[0]", ["above 0", "got 0"]),
        ("n: {int: [0, 8], log: true}", "space.n.int[0]", ["at least 1", "got 0"]),
        ("lr: {float: [-1e-3, 0.1], log: true}", "space.lr.float[0]", ["above 0", "got -0.001"]),
        ("lr: {float: [true, 2]}", "space.lr.float[0]", ["expected a number", "true"]),
        ("lr: {float: [0, '1']}", "space.lr.float[1]", ["expected a number", "'1'"]),
        ("lr: {float: [.nan, 1]}", "space.lr.float[0]", ["finite", "nan"]),
        ("lr: {float: [0, .inf]}", "space.lr.float[1]", ["finite", "inf"]),
        ("lr: {float: [null, 1]}", "space.lr.float[0]", ["expected a number", "null"]),
        ("n: {int: [0, 1.5]}", "space.n.int[1]", ["whole", "1.5"]),
        ("n: {int: [0, 9], step: 1.5}", "space.n.step", ["whole", "1.5"]),
        ("lr: {float: [0, 1], log: 1}", "space.lr.log", ["true or false", "got 1"]),
        ("lr: {float: [0, 1], log: 'yes'}", "space.lr.log", ["true or false", "'yes'"]),
        ("lr: {float: [0, 1], step: 0}", "space.lr.step", ["above 0", "got 0"]),
        ("lr: {float: [0, 1], step: -0.1}", "space.lr.step", ["above 0", "got -0.1"]),
        ("lr: {float: [0, 1], step: 2}", "space.lr.step", ["2", "wider", "at most 1"]),
        ("n: {int: [0, 4], step: 5}", "space.n.step", ["5", "wider", "at most 4"]),
        ("lr: {float: [0, 1], step: 0.4}", "space.lr.float[1]", ["1", "step 0.4", "0.8 or 1.2"]),
        ("lr: {float: [0.1, 1], log: true, step: 0.1}", "space.lr.step", ["0.1", "log"]),
        ("a: {choice: []}", "space.a.choice", ["empty", "at least 1"]),
        ("a: {choice: yes}", "space.a.choice", ["list", "'yes'"]),
        ("a: {choice: [1, 2, 2]}", "space.a.choice[2]", ["2", "twice", "[1]"]),
        ("a: {choice: [1, true]}", "space.a.choice[1]", ["true", "can't be told from 1"]),
        ("a: {choice: [1, {b: 2}]}", "space.a.choice[1]", ["expected a number, text", "{'b': 2}"]),
        ("a: {choice: [1, 2], log: true}", "space.a.log", ["no log", "got true"]),
        ("a: {choice: [1, 2], step: 1}", "space.a.step", ["no step", "got 1"]),
        ("lr: {float: [0, 1], documented: fast}", "space.lr.documented", ["number", "'fast'", "float [0, 1]"]),
        ("n: {int: [0, 1], documented: 0.5}", "space.n.documented", ["whole", "0.5", "int [0, 1]"]),
        ("a: {choice: [true, false], documented: 1}", "space.a.documented", ["got 1", "[true, false]"]),
        ("a: {choice: [1, 2], why: 3}", "space.a.why", ["text", "3"]),
        ("a: {int: [0, 1], when: b}", "space.a.when", ["mapping", "'b'"]),
        ("a: {int: [0, 1], when: {a: 1}}", "space.a.when.a", ["'a'", "itself"]),
        ("a: {int: [0, 1], when: {b: []}}", "space.a.when.b", ["empty list", "at least 1"]),
        ("a: {int: [0, 1], when: {b: {c: 1}}}", "space.a.when.b", ["expected", "{'c': 1}"]),
        ("a: {int: [0, 1], when: {b: [1, .nan]}}", "space.a.when.b[1]", ["nan"]),
        ("a: {int: [0, 1], when: {2: 1}}", "space.a.when.2", ["dotted path", "2"]),
        ("a: {choice: [[1]]}\na.0: {int: [0, 1]}", "space.a.0", ["inside the knob 'a'"]),
        ("a: {int: [0, 1], when: {b: 1}}\nb: {int: [0, 1], when: {a: 1}}", "space.a.when", ["a -> b -> a", "drop"]),
    ],
)
def test_each_problem_names_path_value_and_bound(text: str, path: str, words: list[str]) -> None:
    found = problems(text)
    assert list(found) == [f"s.yaml {path}"]
    for word in words:
        assert word in found[f"s.yaml {path}"]


def test_all_problems_are_reported_together() -> None:
    text = """
    lr: {float: [0.5, 0.1], lgo: true, documented: x}
    a: {int: [0, 1.5], step: 0, why: 1, when: {a: 1, b: []}}
    b: {choice: [1, 1], log: true}
    c: {int: [0, 1], when: {d: 1}}
    d: {int: [0, 1], when: {e: 1}}
    e: {int: [0, 1], when: {c: 1}}
    f: {int: [0, 1], when: {g: 1}}
    g: {int: [0, 1], when: {f: 1, h: 1}}
    h: {float: 1}
    """
    assert list(problems(text, "")) == [
        "space.lr.lgo",
        "space.lr.float[0]",
        "space.a.int[1]",
        "space.a.step",
        "space.a.when.a",
        "space.a.when.b",
        "space.a.why",
        "space.b.log",
        "space.b.choice[1]",
        "space.h.float",
        "space.c.when",
        "space.f.when",
    ]
    assert problems(text)["s.yaml space.c.when"] == "conditions in a circle: c -> d -> e -> c; drop one of them"


def test_the_prefix_is_the_callers() -> None:
    with pytest.raises(BadInput, match=r"^s\.yaml lr: expected"):
        parse_space({"lr": 1}, "s.yaml", prefix="")


ends = st.tuples(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6)).map(sorted)
whole_ends = st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)).map(sorted)
scalars = st.none() | st.booleans() | st.integers(2, 50) | st.floats(2, 50) | st.text("ab1é:# ", max_size=4)
values = scalars | st.lists(scalars, max_size=2).map(tuple)
lists = st.lists(values, min_size=1, max_size=3, unique=True).map(tuple)
domains = st.one_of(
    st.builds(lambda e, log: Float(e[0], e[1], log=log), ends, st.booleans()),
    st.builds(
        lambda low, n, k: Float(low / 10, (low + n * k) / 10, step=k / 10), st.integers(-9, 9), *[st.integers(1, 9)] * 2
    ),
    st.builds(lambda e, log: Int(e[0], e[1], log=log), whole_ends, st.booleans()),
    st.builds(lambda low, n, k: Int(low, low + n * k, step=k), st.integers(-9, 9), *[st.integers(1, 9)] * 2),
    st.builds(Categorical, lists),
)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    names = draw(st.permutations(["a", "b.c", "b.d", "e.0.f"]))
    knobs = []
    for index, name in enumerate(names):
        domain = draw(domains)
        own: Any = domain.choices[0] if isinstance(domain, Categorical) else domain.low
        others = draw(st.lists(st.sampled_from([*names[:index], "x", "y.z"]), max_size=2, unique=True))
        when = tuple(Condition(other, draw(lists)) for other in others)
        why = draw(st.sampled_from(["", "because: it # matters"]))
        knobs.append(Knob(name, domain, when, why, draw(st.sampled_from([ABSENT, own]))))
    return Space(tuple(draw(st.permutations(knobs))))


@given(spaces())
def test_parse_undoes_as_dict(space: Space) -> None:
    raw = space.as_dict()
    assert parse_space(raw, "") == space
    stored = json.loads(json.dumps(raw, allow_nan=False))
    assert stored == raw and parse_space(stored, "") == space
    assert parse_space(stored, "").as_dict() == raw
