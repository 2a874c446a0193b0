import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces import paths
from spaces.strict_yaml import loads
from spaces.values import fits, freeze, same, show, thaw

NATIVE: dict[str, Any] = {
    "lr": 1e-3,
    "channels": [128, 256],
    "model": {"dropout": None, "input": {"sizes": [512]}},
    "phases": [{"lr": 0.1, "epochs": 5}, {"lr": 0.2, "epochs": 9}],
    "empty": {},
    "none": [],
}


def test_get_reaches_mappings_and_items() -> None:
    assert paths.get(NATIVE, "model.input.sizes") == [512]
    assert paths.get(NATIVE, "phases.1.lr") == 0.2
    assert paths.get(NATIVE, "channels.0") == 128
    assert paths.get(NATIVE, "model.dropout") is None


@pytest.mark.parametrize(
    "path", ["lrr", "phases.2.lr", "phases.-1.lr", "phases.00.lr", "phases.x", "lr.x", "", "model.", "model.dropout.x"]
)
def test_missing_paths(path: str) -> None:
    assert not paths.has(NATIVE, path)
    with pytest.raises(paths.Missing, match="has no key") as caught:
        paths.get(NATIVE, path)
    assert caught.value.path == path and isinstance(caught.value, KeyError)


def test_leaves_in_order_lists_of_mappings_by_index() -> None:
    expected = ["lr", "channels", "model.dropout", "model.input.sizes"]
    expected += ["phases.0.lr", "phases.0.epochs", "phases.1.lr", "phases.1.epochs", "none"]
    assert paths.leaves(NATIVE) == expected
    assert paths.leaves({"a.b": 1, 3: 2, "": 4, "c": 5}) == ["c"]


def test_with_values_copies_deeply() -> None:
    before = copy.deepcopy(NATIVE)
    changed = paths.with_values(NATIVE, {"phases.1.lr": 5, "channels": (1, (2, 3)), "new.section.key": None})
    assert before == NATIVE
    assert changed["phases"] == [{"lr": 0.1, "epochs": 5}, {"lr": 5, "epochs": 9}]
    assert changed["channels"] == [1, [2, 3]]
    assert changed["new"] == {"section": {"key": None}}
    changed["model"]["input"]["sizes"].append(1)
    assert before == NATIVE


@pytest.mark.parametrize("path", ["phases.2", "phases.2.lr", "lr.x", "channels.first"])
def test_with_values_grows_no_list_and_passes_no_scalar(path: str) -> None:
    with pytest.raises(paths.Missing):
        paths.with_values(NATIVE, {path: 1})


keys = st.text("abc", min_size=1, max_size=3)
text = st.text("ab1é \n")
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
natives = st.dictionaries(
    keys,
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)),
    max_size=4,
)


@given(natives)
def test_every_leaf_can_be_read_and_written(native: dict[str, Any]) -> None:
    found = paths.leaves(native)
    assert len(set(found)) == len(found)
    assert paths.with_values(native, {path: paths.get(native, path) for path in found}) == native
    marked = paths.with_values(native, {path: f"at {path}" for path in found})
    assert [paths.get(marked, path) for path in paths.leaves(marked)] == [f"at {path}" for path in found]


values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


@given(values)
def test_freeze_and_thaw(raw: Any) -> None:
    frozen = freeze(raw)
    hash(frozen)
    assert thaw(frozen) == raw and freeze(thaw(frozen)) == frozen
    assert same(frozen, frozen) and fits(frozen, frozen)


@pytest.mark.parametrize("raw", [{}, [1, {"a": 1}], float("nan"), [float("inf")], object(), {1}, b"x"])
def test_freeze_refuses(raw: Any) -> None:
    with pytest.raises(ValueError, match=r"not a finite number|expected a number, text"):
        freeze(raw)


def test_comparisons_tell_types() -> None:
    assert same(1, 1.0) and not same(1, True) and not same(0, False) and not same(None, False) and not same("1", 1)
    assert same((1, 2), (1.0, 2)) and not same((1,), (1, 2)) and not same((1,), 1)
    assert fits(1, 1.0) and not fits(1.0, 1) and not fits((1.0,), (1,))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_shown_exactly_and_as_yaml(number: float) -> None:
    assert loads(show(number), "") == number


def test_show() -> None:
    shown = [show(raw) for raw in (1e-4, 0.01, 1e-5, 1.0, 12345678, True, None, "a", (64, "b"), float("nan"))]
    assert shown == ["1e-4", "0.01", "1e-5", "1", "12345678", "true", "null", "'a'", "[64, 'b']", "nan"]
