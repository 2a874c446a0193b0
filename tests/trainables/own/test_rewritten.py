"""What a training has written into a folder: which files count, and which are not looked at."""

from pathlib import Path

import pytest

from trainables.own import rewritten
from trainables.own.rewritten import stamps, written


def put(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_is_new_or_other_is_written(tmp_path: Path) -> None:
    for name in ("same", "sub/grows", "gone"):
        put(tmp_path / name, "a")
    before = stamps(tmp_path)
    put(tmp_path / "sub" / "grows", "ab")
    put(tmp_path / "sub" / "new")
    (tmp_path / "gone").unlink()
    assert written(before, stamps(tmp_path)) == ["sub/grows", "sub/new"]
    assert written(before, before) == []


def test_what_searches_and_tools_write_themselves_is_not_looked_at(tmp_path: Path) -> None:
    kept = ("a.py", "results/own.txt")
    others = (".git/index", "__pycache__/a.pyc", "env/pyvenv.cfg", "env/lib/x.py", "mlflow.db", "results/mlflow.db-wal")
    for name in (*kept, *others, "results/mine/.again.json", "results/mine/trials/t0000/log.txt"):
        put(tmp_path / name)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "nowhere").symlink_to(tmp_path / "no such file")
    assert set(stamps(tmp_path)) == set(kept)
    assert stamps(tmp_path / "no such folder") == {}


def test_of_many_files_the_nearest_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewritten, "_MOST", 2)
    for name in ("a/1", "a/2", "a/b/3", "near"):
        put(tmp_path / name)
    assert set(stamps(tmp_path)) == {"near", "a/1", "a/2"}
