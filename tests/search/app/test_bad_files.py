"""Files of a search that are missing, damaged or hostile: what is said of them, and nothing written."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_search import small_search, write_search

from tests.search.app.conftest import Refused, data_folder, on_data

# Files.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", "search.yaml: not valid YAML line 1"),
        ("model: a\nmodel: b", "search.yaml: not valid YAML line 2: key 'model' stands twice"),
        ("- 1", "search.yaml: a search is a mapping"),
        ("", "search.yaml: a search is a mapping"),
        ("model: early_inference", "search.yaml budget: missing; this key is required"),
        ("a: !!python/object/apply:os.mkdir [x]", "search.yaml: not valid YAML line 1"),
    ],
)
def test_a_file_that_is_no_search(tmp_path: Path, refused: Refused, text: str, told: str) -> None:
    write_search(tmp_path).write_text(text)
    assert told in refused()


def test_a_search_file_that_is_missing_or_no_text(tmp_path: Path, refused: Refused) -> None:
    assert "nowhere.yaml: can't be read: No such file" in refused(config="nowhere.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "binary.yaml: can't be read: is not UTF-8 text" in refused(config="binary.yaml")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("gone.yaml", None, "gone.yaml: can't be read: No such file"),
        ("base.txt", "lr: 1", "base.txt: suffix '.txt' is not a native config's"),
        ("base.py", "CONFIG = {'lr': float('1')}", "base.py lr: \"float('1')\" is no literal"),
        ("base.py", "CONFIG = make()", "base.py"),
        ("base.py", "lr = 1", "base.py"),
        ("base.py", "CONFIG = {", "base.py"),
        ("base.yaml", "lr: fast", "base.yaml lr: input should be a valid number, got 'fast'"),
        ("base.yaml", "lr: 1\nlr: 2", "base.yaml: not valid YAML line 2: key 'lr' stands twice"),
        ("base.yaml", "[1]", "base.yaml: expected a mapping"),
        ("base.json", "{", "base.json: not valid JSON line 1"),
    ],
)
def test_a_base_file_that_is_none(tmp_path: Path, refused: Refused, name: str, text: str | None, told: str) -> None:
    write_search(tmp_path)
    if text is not None:
        (tmp_path / name).write_text(text)
    assert told in refused("--set", f"base={name}")


def test_a_base_file_is_never_run(tmp_path: Path, refused: Refused) -> None:
    sentinel = tmp_path / "sentinel"
    write_search(tmp_path)
    (tmp_path / "base.py").write_text(f"import os\nos.mkdir({str(sentinel)!r})\nCONFIG = {{'lr': os.getpid()}}\n")
    assert "base.py lr: 'os.getpid()' is no literal" in refused("--set", "base=base.py")
    assert not sentinel.exists()


# Data files.


def test_a_data_folder_that_is_missing_or_incomplete(tmp_path: Path, refused: Refused) -> None:
    assert "nowhere: no such folder" in refused(*on_data(tmp_path / "nowhere"))
    (data_folder(tmp_path / "d") / "training_data.npz").unlink()
    assert "d/training_data.npz: missing" in refused(*on_data(tmp_path / "d"))
    (data_folder(tmp_path / "e") / "metadata.json").unlink()
    assert "e/metadata.json" in refused(*on_data(tmp_path / "e"))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_npz(tmp_path: Path, refused: Refused, share: float) -> None:
    path = data_folder(tmp_path / "d") / "training_data.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "d/training_data.npz: is no intact npz archive" in refused(*on_data(tmp_path / "d"))


def test_an_npz_damaged_inside(tmp_path: Path, refused: Refused) -> None:
    path = data_folder(tmp_path / "d") / "training_data.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert "d/training_data.npz prefix_30s: is damaged" in refused(*on_data(tmp_path / "d"))


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sentinel),)


def test_a_hostile_pickle_in_an_npz_is_refused_and_nothing_in_it_runs(tmp_path: Path, refused: Refused) -> None:
    sentinel = tmp_path / "sentinel"
    folder = data_folder(tmp_path / "d", Hostile(sentinel))
    message = refused(*on_data(folder))
    assert "d/training_data.npz prefix_30s: holds" in message and "nothing in it ran" in message
    assert not sentinel.exists()
    with np.load(folder / "training_data.npz", allow_pickle=True) as archive:
        _ = archive["prefix_30s"]
    assert sentinel.is_dir()  # it would have been


def test_the_data_of_these_tests_is_good_where_it_is_not_made_bad(tmp_path: Path) -> None:
    search = small_search(tmp_path, *on_data(data_folder(tmp_path / "d"))[1:])
    assert "6 curves of 30 s" in search.model.prepare(search.data, search.model.parse(search.base, "")).summary
