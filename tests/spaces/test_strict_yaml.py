import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from spaces.bounds import MOST
from spaces.problems import BadInput
from spaces.strict_yaml import dumps, load, loads, read_text


def refusal(text: str) -> str:
    with pytest.raises(BadInput) as caught:
        loads(text, "file.yaml")
    (problem,) = caught.value.problems
    assert problem.where == "file.yaml"
    return problem.what


# What a scalar is.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("-2e+3", -2000.0),
        ("5.", 5.0),
        (".5", 0.5),
        ("1.5e-05", 1.5e-05),
        ("1.0", 1.0),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("7", 7),
        ("-7", -7),
        ("0", 0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_numbers_truth_and_null(text: str, value: Any) -> None:
    found = loads(f"a: {text}", "")["a"]
    assert found == value and type(found) is type(value)


def test_nan() -> None:
    assert math.isnan(loads(".nan", ""))


@pytest.mark.parametrize(
    "text",
    ["on", "off", "yes", "no", "Yes", "NO", "y", "n", "2026-01-01", "2026-01-01 10:00:00", "e3", "1e", "1.2.3", "20m"],
)
def test_words_and_dates_stay_text(text: str) -> None:
    assert loads(f"a: {text}", "") == {"a": text}


# What is refused.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3", ["line 3", "key 'a' stands twice"]),
        ("a: {b: 1, b: 1}", ["line 1", "key 'b' stands twice"]),
        ("- x\n- {1: a, 1: b}", ["line 2", "key 1 stands twice"]),
        ("true: 1\nTrue: 2", ["line 2", "stands twice"]),
        ("? [1]\n: 2", ["line 1", "key is not a scalar"]),
        ("? {a: 1}\n: 2", ["line 1", "key is not a scalar"]),
        ("a: [1", ["line 1"]),
        ("a: 1\n b: 2", ["line 2"]),
        ("a: 1\n---\nb: 2", ["line 2", "another document"]),
        ("\ta: 1", ["line 1"]),
        ("a: *missing", ["line 1", "missing"]),
        ("a: 'x", ["line 1"]),
        ("a: \x00", ["not valid YAML"]),
        ("[" * 5000, ["not valid YAML"]),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_line(text: str, words: list[str]) -> None:
    message = refusal(text)
    assert message.startswith("not valid YAML")
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    "tagged",
    [
        "!!python/object/apply:os.mkdir [SENTINEL]",
        "!!python/object/new:os.mkdir [SENTINEL]",
        "!!python/name:os.system",
        "!!python/tuple [1]",
        "!mine {a: 1}",
    ],
)
def test_tags_that_build_objects_are_refused_and_nothing_runs(tmp_path: Path, tagged: str) -> None:
    sentinel = tmp_path / "sentinel"
    assert "is not read; use numbers, text, lists and mappings" in refusal(
        f"a: {tagged.replace('SENTINEL', str(sentinel))}"
    )
    assert not sentinel.exists()


# Anchors and merges.


def test_merged_keys_may_be_overridden_but_own_keys_may_not_stand_twice() -> None:
    text = "base: &b {lr: 1, k: 3}\nother:\n  <<: *b\n  lr: 2\n  z: 4\n"
    assert loads(text, "") == {"base": {"lr": 1, "k": 3}, "other": {"lr": 2, "k": 3, "z": 4}}
    assert "line 6: key 'lr' stands twice" in refusal(text + "  lr: 5\n")
    assert "line 1: key 'lr' stands twice" in refusal("base: &b {lr: 1, lr: 3}\nother: {<<: *b}\n")
    assert "line 2: key '<<' stands twice" in refusal("base: &b {lr: 1}\nother: {<<: *b, <<: *b}\n")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: 3}\nd: {<<: [*a, *b], x: 9}\n",
        "a: &a {x: 1, y: 1}\nb: {<<: *a, y: 2, w: &w {<<: *a, x: 0}}\nc: *w\n",
        "x: &x\n  y: &y {a: 1}\n  z: {<<: *y, a: 2}\n<<: *x\n",
        "a: &list [1, 2]\nb: *list\n",
    ],
)
def test_merges_mean_what_they_mean_to_pyyaml(text: str) -> None:
    assert loads(text, "") == yaml.safe_load(text)


# There and back.

LOOKALIKES = ["1e-3", "null", "yes", "2026-01-01", "~", "on", "0x1F", "0o17", "1_000", "1:30", ".inf", "=", "<<", "é"]
LOOKALIKES += ["-", "-a", "a:b", "#x", "'", '"', "!tag", "*a", "&a", "[", "{", "%", "|", ">", "?", "@", "`"]
LOOKALIKES += ["", " ", "- a", "a: b", "a #x", "a\nb", "a\n", "\n", "\ta", "a\r", "\x85", "\u2028", "a\ufeff"]
characters = st.characters(codec="utf-8", exclude_characters="\0")
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-MOST, MOST)
    | st.floats(allow_nan=False)
    | st.text(characters, max_size=20)
    | st.sampled_from(LOOKALIKES)
)
contents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(characters, max_size=8) | scalars.filter(bool), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(contents)
@example(LOOKALIKES)
@example(
    {"a": "1e-3", "1e-3": None, "b": ["null", "yes", "on", "2026-01-01", "1:30"], "c": 1e-05, "d": 1e16, "yes": "n"}
)
def test_what_is_dumped_is_read_back_equal_by_this_reader_and_by_pyyaml(content: Any) -> None:
    text = dumps(content)
    for found in (loads(text, "dumped"), yaml.safe_load(text)):
        assert found == content
        assert repr(found) == repr(content)  # 1 is not 1.0 or True, and keys keep their order


def test_other_objects_are_not_dumped() -> None:
    with pytest.raises(yaml.representer.RepresenterError):
        dumps({"a": object()})


# Files.


def test_files_that_can_not_be_read_are_named(tmp_path: Path) -> None:
    for path, what in ((tmp_path / "missing.yaml", "No such file"), (tmp_path, "it is a folder")):
        with pytest.raises(BadInput, match=f"{path}: can't be read: {what}"):
            read_text(path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff\xfe")
    with pytest.raises(BadInput, match=f"{binary}: can't be read: is not UTF-8 text"):
        load(binary)
    binary.write_text("a: 1e-3", encoding="utf-8")
    assert load(binary) == {"a": 0.001}
    binary.write_text("a: [", encoding="utf-8")
    with pytest.raises(BadInput, match=f"{binary}: not valid YAML line 1"):
        load(binary)
