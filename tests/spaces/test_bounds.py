import os
from pathlib import Path

import pytest

from spaces.bounds import DEEPEST, MOST, MOST_BYTES, MOST_VALUES, check_value, read_bounded
from spaces.problems import BadInput
from spaces.strict_yaml import load, loads
from trainables.native import parse_native

LEVELS = range(1, 30)
SEQUENCES = "a0: &a0 [x, y]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in LEVELS)
MAPPINGS = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{{', '.join(f'k{n}: *a{i - 1}' for n in range(9))}}}\n" for i in LEVELS
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in LEVELS)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2 * DEEPEST))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SEQUENCES, f"more than {MOST_VALUES} values once aliases are followed"),
        (MAPPINGS, f"more than {MOST_VALUES} values once aliases are followed"),
        (MERGES, f"more than {MOST_VALUES} values once aliases are followed"),
        (CHAIN, f"nested more than {DEEPEST} deep"),
        ("a: " + "[" * 900 + "]" * 900, f"nested more than {DEEPEST} deep"),
        ("".join(" " * i + "a:\n" for i in range(300)), f"nested more than {DEEPEST} deep"),
        ("a: &a [*a]", "an alias stands inside of what it names"),
        ("a: &a {b: *a}", "an alias stands inside of what it names"),
        ("a: !!set {x}", "tag !!set is not read"),
        ("a: !!binary aGk=", "tag !!binary is not read"),
        ("a: !!timestamp 2026-01-01", "tag !!timestamp is not read"),
        ("a: !!bool maybe", "not valid YAML"),
        ("a: " + "9" * 10_000, "not valid YAML: Exceeds the limit"),
        ("a: " + "9" * 400, "f a: is a whole number of 400 digits; at most 2^64"),
        ('a: "b\\0c"', "f a: text has no NUL character"),
        ('a: ["\\ud800"]', "f a[0]: is no text: half of a character"),
        ("# " + "x" * MOST_BYTES, "is too large"),
    ],
)
def test_yaml_that_nothing_could_use(text: str, told: str) -> None:
    with pytest.raises(BadInput) as caught:
        loads(text, "f")
    assert told in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        ('{"a": ' + "[" * 900 + "]" * 900 + "}", "a.json", f"is nested more than {DEEPEST} deep"),
        ('{"a": ' + "[" * 90_000 + "]" * 90_000 + "}", "a.json", f"nested more than {DEEPEST} deep"),
        ('{"a": ' + "9" * 10_000 + "}", "a.json", "not valid JSON: Exceeds the limit"),
        ('{"a": ' + "9" * 30 + "}", "a.json", "a: is a whole number of 30 digits"),
        ('{"a": NaN}', "a.json", "a: nan can't be trained with"),
        ('{"a": {"b": [1, -Infinity]}}', "a.json", "a.b[1]: -inf can't be trained with"),
        ('{"a": "\\u0000"}', "a.json", "a: text has no NUL character"),
        ("CONFIG = {'a': " + "[" * 90 + "]" * 90 + "}", "a.py", f"nested more than {DEEPEST} deep"),
        ("CONFIG = {'a': 1e999}", "a.py", "a: inf can't be trained with"),
        ("CONFIG = {'a': " + "-" * 90_000 + "1}", "a.py", "not valid Python"),
        ("unread: {deep: [.nan]}", "a.yaml", "unread.deep[0]: nan can't be trained with"),
        ("lr: 1e999", "a.yaml", "lr: inf can't be trained with"),
    ],
)
def test_a_base_file_that_nothing_could_use(text: str, name: str, told: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_native(text, name, "f")
    assert told in str(caught.value)


def test_what_is_large_and_fine() -> None:
    value = {"seed": MOST, "low": -MOST, "list": list(range(10_000)), "text": "é\n"}
    check_value(value, "f")
    deep: object = 1
    for _ in range(DEEPEST):
        deep = [deep]
    check_value(deep, "f")
    with pytest.raises(BadInput, match="deep"):
        check_value([deep], "f")


def test_a_value_of_another_kind_is_named() -> None:
    with pytest.raises(BadInput, match="f a: bytes values have no place in a config"):
        check_value({"a": b"x"}, "f")


def test_only_regular_files_of_some_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(bytes(11))
    for path, told in (
        (Path("/dev/zero"), "no regular file"),
        (tmp_path / "pipe", "no regular file"),
        (tmp_path, "it is a folder"),
        (tmp_path / "large", "is too large: 11 bytes, where 10 are the most"),
        (tmp_path / "missing", "No such file"),
        (Path("a\0b"), "a path has no NUL character"),
    ):
        with pytest.raises(BadInput, match=told):
            read_bounded(path, most=10)
    assert read_bounded(tmp_path / "large", most=11) == bytes(11)
    with pytest.raises(BadInput, match="no regular file"):
        load(Path("/dev/zero"))
