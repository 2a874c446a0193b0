from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from spaces.problems import BadInput
from spaces.schema import Flag, NativeSection, Real, Section, Text, Whole, parse


class Cat(Section):
    kind: Literal["cat"]
    lives: Whole = 9


class Dog(Section):
    kind: Literal["dog", "wolf"]
    tricks: tuple[Text, ...] = ()
    weight: Annotated[Real, Field(gt=0)] | None = None


class Inner(Section):
    rate: Annotated[Real, Field(gt=0, le=1)] = 0.5
    sizes: tuple[Annotated[Whole, Field(ge=1)], ...] = (1,)


class Outer(Section):
    name: Text
    inner: Inner = Inner()
    maybe: Inner | None = None
    animal: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat(kind="cat")
    span: Whole | Text = 1
    share: Literal["auto"] | Annotated[Real, Field(ge=0)] = "auto"
    low: Whole = 0
    high: Whole = 10
    free: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ordered(self) -> "Outer":
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}; swap them")
        return self


class Users(NativeSection):
    rate: Real = 0.5
    inner: Inner = Inner()


def problems(value: Any, schema: type[Section] | type[NativeSection] = Outer, prefix: str = "") -> dict[str, str]:
    with pytest.raises(BadInput) as caught:
        parse(schema, value, "f.yaml", prefix)
    found = {problem.where: problem.what for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems)  # one per place
    return found


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_whole_is_an_int_and_nothing_else(value: Any) -> None:
    assert "f.yaml low" in problems({"name": "a", "low": value})


@pytest.mark.parametrize("value", [True, "0.5", float("nan"), float("inf"), None])
def test_real_is_a_finite_number(value: Any) -> None:
    assert "f.yaml inner.rate" in problems({"name": "a", "inner": {"rate": value}})
    assert parse(Outer, {"name": "a", "inner": {"rate": 1}}, "").inner.rate == 1.0


@pytest.mark.parametrize("value", [1, 0, "true", "yes", None])
def test_flag_and_text_take_no_lookalikes(value: Any) -> None:
    class One(Section):
        flag: Flag

    assert problems({"flag": value}, One) == {"f.yaml flag": f"input should be a valid boolean, got {value!r}"}
    assert problems({"name": 3}) == {"f.yaml name": "input should be a valid string, got 3"}


def test_every_problem_is_told_with_its_path_value_and_bound() -> None:
    raw = {
        "inner": {"rate": 0, "sizes": [4, 0, "x"]},
        "maybe": {"ratee": 1},
        "animal": {"kind": "dog", "trick": ["sit"], "weight": -1},
        "span": 2.5,
        "share": "lots",
        "innr": {},
    }
    assert problems(raw) == {
        "f.yaml name": "missing; this key is required",
        "f.yaml inner.rate": "input should be greater than 0, got 0",
        "f.yaml inner.sizes.1": "input should be greater than or equal to 1, got 0",
        "f.yaml inner.sizes.2": "input should be a valid integer, got 'x'",
        "f.yaml maybe.ratee": "unknown key; did you mean 'rate'?",
        "f.yaml animal.trick": "unknown key; did you mean 'tricks'?",
        "f.yaml animal.weight": "input should be greater than 0, got -1",
        "f.yaml span": "input should be a valid integer or a valid string, got 2.5",
        "f.yaml share": "input should be 'auto' or a valid number, got 'lots'",
        "f.yaml innr": "unknown key; did you mean 'inner'?",
    }


def test_each_of_several_sections_names_its_own_keys() -> None:
    def about(animal: dict[str, Any]) -> dict[str, str]:
        return problems({"name": "a", "animal": animal})

    assert about({"kind": "cat", "zzz": 1}) == {"f.yaml animal.zzz": "unknown key; valid keys: kind, lives"}
    assert about({"kind": "wolf", "zzz": 1}) == {"f.yaml animal.zzz": "unknown key; valid keys: kind, tricks, weight"}
    assert about({"kind": "dog", "tricks": [1]}) == {"f.yaml animal.tricks.0": "input should be a valid string, got 1"}


def test_a_section_of_several_kinds_names_them() -> None:
    def about(animal: Any) -> dict[str, str]:
        return problems({"name": "a", "animal": animal})

    assert about({"kind": "cow"}) == {"f.yaml animal.kind": "unknown kind 'cow'; give one of cat, dog, wolf"}
    assert about({}) == {"f.yaml animal.kind": "missing; give one of cat, dog, wolf"}
    assert about({"lives": 3}) == {"f.yaml animal.kind": "missing; give one of cat, dog, wolf"}
    assert about("wolf") == {"f.yaml animal": "input should be a mapping, as in {kind: wolf}, got 'wolf'"}
    assert about("cow") == {"f.yaml animal": "input should be a mapping of keys to values, got 'cow'"}


def test_a_check_across_fields_speaks_for_itself() -> None:
    assert problems({"name": "a", "low": 5, "high": 1}) == {"f.yaml": "low 5 is above high 1; swap them"}
    assert problems({"name": "a", "low": 5, "high": 1}, prefix="part") == {
        "f.yaml part": "low 5 is above high 1; swap them"
    }


def test_a_prefix_leads_every_path() -> None:
    assert problems({"name": "a", "inner": {"rat": 1}}, prefix="model.outer") == {
        "f.yaml model.outer.inner.rat": "unknown key; did you mean 'rate'?"
    }


@pytest.mark.parametrize("value", [None, 3, "text", [1]])
def test_a_section_is_a_mapping(value: Any) -> None:
    assert problems(value) == {"f.yaml": f"expected a mapping of keys to values, got {value!r}"}
    (found,) = problems({"name": "a", "inner": value}).items()
    assert found[0] == "f.yaml inner" and repr(value) in found[1]


def test_a_key_that_is_no_text_is_told() -> None:
    (found,) = problems({"name": "a", 3: 1}).items()
    assert found == ("f.yaml 3", "keys should be strings, got 3")


def test_what_is_free_is_kept_as_it_is() -> None:
    free = {"a": {"b": [1, None]}, "c.d": "x"}
    assert parse(Outer, {"name": "a", "free": free}, "").free == free


def test_a_users_section_carries_unknown_keys_but_checks_those_it_knows() -> None:
    found = parse(Users, {"rate": 0.1, "mine": {"deep": 1}}, "")
    assert found.model_extra == {"mine": {"deep": 1}}
    assert problems({"rate": "fast", "mine": 1, "inner": {"rat": 1}}, Users) == {
        "f.yaml rate": "input should be a valid number, got 'fast'; your script ends where it computes with it; write "
        "a number, or leave the key out",
        "f.yaml inner.rat": "unknown key; did you mean 'rate'?",
    }


def test_sections_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        parse(Outer, {"name": "a"}, "").name = "b"  # type: ignore[misc]
