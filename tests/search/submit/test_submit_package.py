"""The files that are sent to a cluster."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_search import write_search

from search.submit import ignore, package, tree
from spaces.problems import BadInput
from tests.search.submit.conftest import make

ROOT = Path(__file__).parents[3]
NO_GIT_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


def git(folder: Path, *words: str) -> str:
    environment = {**os.environ, **NO_GIT_SETTINGS, "HOME": str(folder)}
    return subprocess.run(
        ["git", *words], cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout


def walked(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in ignore.walk(folder))


def as_git_lists(folder: Path) -> list[str]:
    git(folder, "init", "-q")
    return sorted(git(folder, "ls-files", "--others", "--exclude-standard", "-z").rstrip("\0").split("\0"))


NAMES = [
    "a",
    "b.log",
    "c.txt",
    "d/a",
    "d/b.log",
    "d/e/a",
    "d/e/b.log",
    "d/e/f/c.txt",
    "x y",
    "build/a",
    "d/build/a",
    "[a]",
]
LINES = [
    "*",
    "*.log",
    "!b.log",
    "/a",
    "a",
    "d/",
    "d/*",
    "d/**",
    "**/a",
    "**/e/**",
    "d/**/a",
    "!d/e/a",
    "build",
    "/build/",
]
LINES += [
    "# no",
    "",
    "\\#",
    "x y",
    "x\\ y ",
    "?",
    "[a-c]",
    "[!a]",
    "[]a]",
    "\\[a\\]",
    "[^a].txt",
    "d/e",
    "/d/e/",
    "!/d/e/",
    "!*/",
    "**",
]
LINES += ["e/f", "/**", "a/", "**/", "d/?/a", "*.l[o-p]g", "!", "/", "[a", "b.*"]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(LINES), max_size=5), st.lists(st.sampled_from(LINES), max_size=3))
def test_files_are_left_out_as_git_leaves_them_out(
    tmp_path_factory: pytest.TempPathFactory, top: list[str], inner: list[str]
) -> None:
    folder = make(tmp_path_factory.mktemp("tree"), *NAMES)
    (folder / ".gitignore").write_text("\n".join(top))
    (folder / "d" / ".gitignore").write_text("\n".join(inner) + "\n")
    assert walked(folder) == [name for name in as_git_lists(folder) if name]


@pytest.mark.parametrize("line", LINES)
def test_each_kind_of_rule_means_what_it_means_to_git(tmp_path: Path, line: str) -> None:
    make(tmp_path, *NAMES)
    (tmp_path / ".gitignore").write_text(line + "\n")
    assert walked(tmp_path) == [name for name in as_git_lists(tmp_path) if name]


@pytest.mark.parametrize("in_git", [True, False])
def test_the_tree_holds_the_search_and_the_code_but_neither_outputs_nor_secrets(
    tmp_path: Path, in_git: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_search(tmp_path)
    make(
        tmp_path,
        "models/mine.py",
        "results/s/best.yaml",
        "data/big.bin",
        "models/data/small.csv",
        "notes.log",
        "key.pem",
    )
    make(
        tmp_path,
        ".env",
        ".env.local",
        ".aws/credentials",
        "models/__pycache__/m.pyc",
        "venv/pyvenv.cfg",
        "venv/bin/python",
    )
    (tmp_path / ".gitignore").write_text("*.log\nbase.yaml\n")
    monkeypatch.chdir(tmp_path)
    if in_git:
        git(tmp_path, "init", "-q")
    sent = tree.working_tree(config, [tmp_path / "base.yaml"])
    own = {name for name in sent.files if name.split("/")[0] in tree.CODE}
    assert sent.config == "search.yaml"
    assert set(sent.files) - own == {
        ".gitignore",
        "search.yaml",
        "base.yaml",
        "models/mine.py",
        "models/data/small.csv",
    }
    assert {"search/run.py", "search/submit/start.py", "spaces/early_inference.yaml", "trainables/tune.py"} <= own
    assert not [name for name in own if "__pycache__" in name]


def test_a_clone_is_sent_as_git_sees_it() -> None:
    sent = tree.working_tree(ROOT / "configs/early_inference/demo.yaml", [ROOT / "configs/early_inference/small.yaml"])
    assert sent.root == ROOT and sent.config == "configs/early_inference/demo.yaml"
    assert {"pyproject.toml", "search/run.py", "configs/early_inference/small.yaml"} <= set(sent.files)
    assert not [name for name in sent.files if name.startswith(("results/", ".venv/", ".git/"))]


def test_a_base_outside_of_the_tree_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_search(make(tmp_path / "mine"))
    make(tmp_path, "elsewhere.yaml")
    monkeypatch.chdir(tmp_path / "mine")
    with pytest.raises(BadInput, match=r"elsewhere\.yaml: lies outside of .*mine, the folder that is sent"):
        tree.working_tree(config, [tmp_path / "mine" / ".." / "elsewhere.yaml"])


def test_a_folder_that_is_no_source_tree_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MOST_FILES", 5)
    monkeypatch.chdir(tmp_path)
    config = write_search(make(tmp_path, *NAMES))
    with pytest.raises(BadInput, match="holds more than 5 files"):
        tree.working_tree(config)


def test_a_tree_with_packages_of_our_names_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = write_search(make(tmp_path, "search/mine.py"))
    with pytest.raises(BadInput, match="holds search, where the service's own packages would go"):
        tree.working_tree(config)


def test_too_large_a_tree_is_refused_and_its_largest_files_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = write_search(tmp_path)
    (tmp_path / "weights.bin").write_bytes(bytes(6_000_000))
    (tmp_path / "more.bin").write_bytes(bytes(5_000_000))
    sent = tree.working_tree(config)
    package.check_size(sent)
    monkeypatch.setattr(package, "LIMIT", 10_000_000)
    with pytest.raises(BadInput, match=r"at most 10 MB can be. The largest: weights.bin \(6 MB\), more.bin \(5 MB\), "):
        package.check_size(sent)


def test_equal_trees_make_equal_archives_whose_notes_are_private(tmp_path: Path) -> None:
    first = make(tmp_path / "one", "a.py", "b/run.sh")
    (first / "b/run.sh").chmod(0o700)
    sent = tree.Tree(first, "a.py", {"b/run.sh": first / "b/run.sh", "a.py": first / "a.py"})
    size = package.write(sent, {"note": "x"}, tmp_path / "1.zip")
    os.utime(first / "a.py", (1e9, 1e9))
    package.write(tree.Tree(first, "a.py", dict(reversed(sent.files.items()))), {"note": "x"}, tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    assert size == (tmp_path / "1.zip").stat().st_size
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        modes = {entry.filename: oct(entry.external_attr >> 16) for entry in archive.infolist()}
        assert archive.read("a.py") == b"a.py"
    assert modes == {"a.py": "0o644", "b/run.sh": "0o744", "note": "0o600"}
