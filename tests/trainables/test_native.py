import ast
import json
import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.bounds import MOST
from spaces.problems import BadInput
from spaces.schema import NativeSection
from spaces.strict_yaml import loads
from trainables.native import (
    as_python,
    as_yaml,
    parse_native,
    plain,
    python_value,
    read_native,
    rewrite,
    unknown_keys,
    yaml_value,
)

YAML = """\
# my config
lr: 1e-3   # learning rate

tcn_channels:
  - 128   # first
  - 256
dims:
- 1
- 2
# a tail
nested: {a: 1, b: [1,2]}
deep:
  x: 1  # dx
  y: "s"

flag: yes
"""

PYTHON = """\
import os  # never run
raise SystemExit("never run")

CONFIG = {
    'lr': 1e-3,  # é: learning rate
    "sizes": (1, 2),
    'deep': {'a': 1},
    'flag': True  # the last one
}
train(CONFIG)
"""


class Inner(NativeSection):
    a: int = 1


class Outer(NativeSection):
    inner: Inner = Inner()
    sizes: tuple[int, ...] = (1, 2)
    rate: float = 1e-05


def test_yaml_keeps_comments_order_and_formatting():
    changes = {"lr": 1e-5, "tcn_channels": [64, 128], "nested.a": 2, "deep.y": "t", "flag": False}
    expected = (
        YAML.replace("1e-3 ", "1.0e-05 ").replace("- 128 ", "- 64 ").replace("- 256", "- 128").replace("a: 1", "a: 2")
    )
    expected = expected.replace('"s"', "t").replace("flag: yes", "flag: false")
    assert rewrite(YAML, "a.yaml", changes) == expected


def test_yaml_list_of_another_length_stays_a_list_of_lines():
    assert "dims:\n- 1\n- 2\n- 3\n# a tail\n" in rewrite(YAML, "a.yaml", {"dims": [1, 2, 3]})
    assert "tcn_channels:\n  - 7\ndims:" in rewrite(YAML, "a.yaml", {"tcn_channels": [7]})


def test_yaml_missing_keys_are_added_to_their_section():
    written = rewrite(YAML, "a.yaml", {"deep.z": "1e-3", "new": None, "nested.c": 1.5, "made.up": [1]})
    assert '  y: "s"\n  z: "1e-3"\n' in written
    assert "nested: {a: 1, b: [1,2], c: 1.5}\n" in written
    assert written.startswith(YAML.split("nested")[0])
    assert loads(written, "")["made"] == {"up": [1]}


def test_yaml_without_final_newline_and_with_text_block():
    assert rewrite("a: 1", "a.yaml", {"b": 2}) == "a: 1\nb: 2"
    assert loads(rewrite("s: |\n  text\n", "a.yaml", {"b": 2}), "") == {"s": "text\n", "b": 2}


def test_yaml_with_anchors_and_merges_keeps_its_meaning():
    text = "base: &b {lr: 1, k: &q 3}  # shared\nother:\n  <<: *b\n  z: *q\n"
    other = rewrite(text, "a.yaml", {"other.z": 1e-5, "other.n": 5})
    assert loads(other, "") == {"base": {"lr": 1, "k": 3}, "other": {"lr": 1, "k": 3, "z": 1e-5, "n": 5}}
    assert yaml.safe_load(other)["other"]["z"] == 1e-5
    assert "# shared" in other
    assert loads(rewrite(text, "a.yaml", {"base.k": 9}), "")["other"] == {"lr": 1, "k": 3, "z": 3}


def test_python_keeps_everything_but_the_values():
    changes = {"lr": 2e-5, "sizes": [3, 4, 5], "deep.b": None, "new": 'a"b'}
    written = rewrite(PYTHON, "c.py", changes)
    expected = PYTHON.replace("1e-3", "2e-05").replace("(1, 2)", "[3, 4, 5]").replace("'a': 1}", "'a': 1, 'b': None}")
    assert written == expected.replace("True  # the last one\n", "True,  # the last one\n    'new': 'a\"b'\n")


def test_python_trailing_comma_and_one_line():
    assert rewrite("CONFIG = {'a': 1,}", "c.py", {"b": 2}) == "CONFIG = {'a': 1, 'b': 2,}"
    assert rewrite("CONFIG = {}", "c.py", {"b": 2}) == "CONFIG = {'b': 2}"
    many = "CONFIG: dict = {\n  'a': 1,  # one\n}\n"
    assert rewrite(many, "c.py", {"b": 2}) == "CONFIG: dict = {\n  'a': 1,  # one\n  'b': 2,\n}\n"


def test_json_keeps_its_indent():
    text = '{\n    "a": 1, "l": [1, 2],\n    "d": {}\n}\n'
    written = rewrite(text, "c.json", {"a": 1e-5, "d.x": True, "n": None})
    assert written == '{\n    "a": 1e-05, "l": [1, 2],\n    "d": {"x": true},\n    "n": null\n}\n'
    tabs = rewrite('{\n\t"a": 1\n}\n', "c.json", {"a": 2, "b": [3]})
    assert json.loads(tabs) == {"a": 2, "b": [3]}
    assert '\n\t"a": 2' in tabs


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("CONFIG = {'lr': float('1e-3'), 'n': f(2)}", "c.py", "c.py lr: \"float('1e-3')\" is no literal"),
        ("CONFIG = {'lr': float('1e-3'), 'n': f(2)}", "c.py", "c.py n: 'f(2)' is no literal"),
        ("CONFIG = {**BASE, 'lr': 1}", "c.py", "keys must be plain text"),
        ("CONFIG = {'lr': 1, 'lr': 2}", "c.py", "stands twice"),
        ("CONFIG = {'lr': {1, 2}}", "c.py", "set values have no place"),
        ("CONFIG = make()", "c.py", "expected exactly one top-level assignment"),
        ("CONFIG = {}\nCONFIG = {'a': 1}", "c.py", "expected exactly one top-level assignment"),
        ("lr = 1", "c.py", "expected exactly one top-level assignment"),
        ("CONFIG = {", "c.py", "not valid Python line 1"),
        ("CONFIG = " + "-" * 100_000 + "1", "c.py", "not valid Python"),
        ('{"a": 1, "a": 2}', "c.json", "key 'a' stands twice"),
        ('{"a": }', "c.json", "not valid JSON line 1"),
        ("[1]", "c.json", "expected a mapping"),
        ("a: 1\na: 2", "c.yaml", "stands twice"),
        ("- 1", "c.yaml", "expected a mapping"),
        ("a: 1", "c.toml", "suffix '.toml'"),
    ],
)
def test_bad_files_are_named(text, name, said):
    with pytest.raises(BadInput) as error:
        parse_native(text, name, name)
    assert said in str(error.value)


def test_a_value_below_a_scalar_is_refused():
    with pytest.raises(BadInput, match=r"lr\.x"):
        rewrite(YAML, "a.yaml", {"lr.x": 1})


def test_python_is_never_run(tmp_path):
    path = tmp_path / "c.py"
    path.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nCONFIG = {{'a': (1, 2)}}\n")
    assert read_native(path) == {"a": [1, 2]}
    assert not (tmp_path / "ran").exists()


def test_missing_file_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="can't be read"):
        read_native(tmp_path / "no.yaml")


@pytest.mark.parametrize("value", [1e-5, 1e22, 5e-324, 1.0, -2.5e-7, 100.0, math.inf, -math.inf])
def test_numbers_read_back_equal_in_yaml_1_1_and_1_2(value):
    assert yaml.safe_load(yaml_value(value)) == value
    assert loads(yaml_value(value), "") == value
    assert isinstance(loads(yaml_value(value), ""), float)


CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MOST, MOST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(CHARACTERS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcyn1", min_size=1), inner, max_size=3),
    max_leaves=8,
)
configs = st.dictionaries(st.text("abcxyz_", min_size=1), values, min_size=1, max_size=4)


@given(configs)
@settings(max_examples=60, deadline=None)
def test_every_config_reads_back_equal(config):
    for text, name in ((as_yaml(config), "c.yaml"), (as_python(config), "c.py")):
        assert parse_native(text, name, name) == config
    assert yaml.safe_load(as_yaml(config)) == config


@given(configs, configs)
@settings(max_examples=40, deadline=None)
def test_every_change_reads_back_equal(config, changes):
    for text, name in ((as_yaml(config), "c.yaml"), (as_python(config), "c.py"), (json.dumps(config), "c.json")):
        assert parse_native(rewrite(text, name, changes), name, name) == {**config, **changes}


def test_unknown_keys_are_listed_and_kept():
    config = Outer.model_validate({"inner": {"a": 2, "mine": 3}, "also": "mine"})
    assert unknown_keys(config) == ("also", "inner.mine")
    assert plain(config) == {"inner": {"a": 2, "mine": 3}, "sizes": [1, 2], "rate": 1e-5, "also": "mine"}


@pytest.mark.parametrize(
    ("value", "python", "written"),
    [
        (math.inf, "1e999", ".inf"),
        (-math.inf, "-1e999", "-.inf"),
        ({"a b": [1, (2.5, None)], "c": {}}, "{'a b': [1, [2.5, None]], 'c': {}}", '{"a b": [1, [2.5, null]], c: {}}'),
        ("é \U0001f600", "'é \U0001f600'", '"\\u00e9 \\U0001f600"'),
    ],
)
def test_a_value_is_written_so_that_it_is_read_back(value, python, written):
    assert python_value(value) == python and yaml_value(value) == written
    back = [ast.literal_eval(python), loads(f"a: {written}", "")["a"], yaml.safe_load(f"a: {written}")["a"]]
    assert back == [json.loads(json.dumps(value))] * 3


def test_what_has_no_place_in_a_config_is_refused_by_name():
    with pytest.raises(BadInput, match="config: nan has no Python literal; leave the key out"):
        python_value({"a": [math.nan]})
    assert yaml_value([math.nan]) == "[.nan]"
    with pytest.raises(BadInput, match="config: 1j has no place in a YAML file; use numbers, text, lists and mappings"):
        yaml_value({"a": [1j]})


@pytest.mark.parametrize(
    ("text", "name"),
    [('{"a": 1}', "c.json"), ("a: 1", "c.yaml"), ("a: &x 1\nb: *x", "c.yaml"), ("CONFIG = {'a': 1}", "c.py")],
)
def test_a_value_that_does_not_read_back_is_not_written(text, name):
    with pytest.raises(BadInput, match=f"{name}: can't take the values of a, d; give the config as plain YAML"):
        rewrite(text, name, {"a": math.inf, "d": 2})
