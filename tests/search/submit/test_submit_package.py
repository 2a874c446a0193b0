"""What is sent to a cluster: the files, the packages, the variables; and what comes back."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_search import small_search, write_search

from search.spec.config import Settings
from search.submit import environment, fetch, handout, ignore, package, start, tree
from spaces.problems import BadInput

ROOT = Path(__file__).parents[3]
NO_GIT_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


def make(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


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


PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)


def canonical(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    ("model", "beyond"),
    [
        ("early_inference", set()),
        ("diphone_rnn", {"h5py"}),
        ("tts", {"matplotlib"}),
        ("whisper_child", {"transformers"}),
    ],
)
def test_a_jobs_packages_are_the_projects_own_in_the_pinned_versions(model: str, beyond: set[str]) -> None:
    made = environment.packages(ROOT, model)
    constraints, *rest = made.requirements
    pins = {canonical(name): version for name, version in PINS.items()}
    found = dict(re.fullmatch(r"([a-z0-9-]+)(?:\[.*\])?==(.+)", line).groups() for line in rest)  # type: ignore[union-attr,misc]
    assert {"torch", "ray", "mlflow", *beyond} <= set(found)
    assert all(pins[name] == version for name, version in found.items())
    assert "hypothesis" not in found and ("transformers" in found) == (model == "whisper_child")
    assert "ray[tune]==" + pins["ray"] in rest
    (file,) = made.notes
    assert constraints.endswith("/" + file) and made.notes[file] == (ROOT / "constraints.txt").read_text()


def test_other_pins_make_another_environment(tmp_path: Path) -> None:
    """Ray knows an environment by the text of its requirements alone."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["A.b[c]>=1"]\n')
    found = []
    for indirect in ("1", "2"):
        (tmp_path / "constraints.txt").write_text(f"a-B==3\nother=={indirect}\n")
        found.append(environment.packages(tmp_path, "early_inference").requirements)
    assert found[0][1:] == found[1][1:] == ("a-b[c]==3",) and found[0][0] != found[1][0]
    (tmp_path / "constraints.txt").write_text("other==1\n")
    with pytest.raises(BadInput, match="no version is given for a-b; add NAME==VERSION"):
        environment.packages(tmp_path, "early_inference")
    (tmp_path / "constraints.txt").unlink()
    with pytest.raises(BadInput, match="with --no-install the nodes' own environment is used"):
        environment.packages(tmp_path, "early_inference")


USER = {"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}
KEYS = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
AWAY = {"OPENAI_API_KEY": "o", "HOME": "/home/me", "RAY_AUTH_TOKEN": "t"}
HTTP, SQL = {"MLFLOW_TRACKING_URI": "https://mlflow.example"}, {"MLFLOW_TRACKING_URI": "postgresql://u:p@db/mlflow"}
FILE = {"MLFLOW_TRACKING_URI": "sqlite:///here.db"}
ENDPOINT = {"MLFLOW_S3_ENDPOINT_URL": "https://s3.example"}


@pytest.mark.parametrize(
    ("uri", "results", "given", "expected"),
    [
        (None, "~/r", {**USER, **KEYS, **AWAY}, {}),
        (None, "~/r", {**HTTP, **USER, **KEYS, **AWAY}, {**HTTP, **USER}),
        ("https://own.example", "~/r", {**HTTP, **USER}, USER),
        (None, "~/r", {**SQL, **USER}, SQL),
        (None, "~/r", {**FILE, **USER}, {}),
        (None, "~/r", {**HTTP, **KEYS, **ENDPOINT}, {**HTTP, **KEYS, **ENDPOINT}),
        (None, "s3://bucket/r", {**KEYS, **USER}, KEYS),
        (None, "~/r with a store", {**KEYS, **USER}, KEYS),
        (None, "~/r", {"SCHEDULE_SEARCH_MODELS": "m=mine.spec"}, {"SCHEDULE_SEARCH_MODELS": "m=mine.spec"}),
    ],
)
def test_only_the_variables_that_a_search_needs_are_handed_over(
    uri: str | None, results: str, given: dict[str, str], expected: dict[str, str], tmp_path: Path
) -> None:
    kept = ["storage=s3://bucket/r"] if "a store" in results else []
    asked: Settings = small_search(tmp_path, *([f"tracking.uri={uri}"] if uri else []), *kept).settings
    handed = environment.handed(asked, results, given, [])
    assert {name: value for name, value in handed.items() if name != environment.COMMIT} == expected


def test_more_is_handed_over_by_name_and_must_be_there(tmp_path: Path) -> None:
    asked = small_search(tmp_path).settings
    assert environment.handed(asked, "~/r", AWAY, ["OPENAI_API_KEY"])["OPENAI_API_KEY"] == "o"
    with pytest.raises(BadInput, match="--env WANDB: is not set in this environment"):
        environment.handed(asked, "~/r", AWAY, ["OPENAI_API_KEY", "WANDB"])


def test_a_tracking_server_on_the_clients_own_machine_is_warned_of(tmp_path: Path) -> None:
    asked = small_search(tmp_path).settings
    told = environment.own_host(asked, {"MLFLOW_TRACKING_URI": "http://u:pw@localhost:5000"})
    assert told is not None and "pw" not in told and "the head itself" in told
    assert environment.own_host(asked, HTTP) is None and environment.own_host(asked, {}) is None


def test_what_was_handed_over_is_in_the_jobs_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HANDED_A", "the node's")
    monkeypatch.setenv("HANDED_B", "stays")
    start.load()  # nothing there: nothing to do
    (tmp_path / start.HANDED).write_text(json.dumps({"HANDED_A": "ä b"}))
    start.load()
    assert (os.environ["HANDED_A"], os.environ["HANDED_B"]) == ("ä b", "stays")


def finished(folder: Path) -> Path:
    make(folder, "best.yaml", "native/base.yaml", "trials.csv", "journal.jsonl", "trials/t0000/log.txt")
    (folder / "report.html").write_bytes(bytes(range(256)) * 400)
    return folder


def handed_out(folder: Path) -> str:
    """What the script prints, run as the job runs it: by itself, whatever is installed."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", handout.__file__, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    source = finished(tmp_path / "s")
    noise = "2026-01-01 INFO job_manager.py: Runtime env is setting up.\nRunning entrypoint: python3 handout.py\n"
    content = fetch.decoded(noise + handed_out(source), "s")
    files = fetch.unpack(content, tmp_path / "got")
    names = {file.relative_to(tmp_path / "got").as_posix() for file in files}
    assert names == {"best.yaml", "native/base.yaml", "trials.csv", "report.html"}
    for name in names:
        assert (tmp_path / "got" / name).read_bytes() == (source / name).read_bytes()


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_result_that_did_not_arrive_whole_is_refused(at: int, byte: int) -> None:
    text = handout.as_text(bytes(range(256)) * 30)
    at %= len(text)
    for broken in (text[:at], text[:at] + chr(byte) + text[at + 1 :]):
        try:
            assert (
                fetch.decoded(broken, "s") == bytes(range(256)) * 30
            )  # an end that is only whitespace changes nothing
        except BadInput as error:
            assert "did not arrive whole" in str(error) or "problem" in broken


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"s: there is no folder .*nowhere \(on the head of the cluster\)"):
        fetch.decoded(handed_out(tmp_path / "nowhere"), "s")
    with pytest.raises(BadInput, match="empty holds nothing that a search hands over"):
        fetch.decoded(handed_out(tmp_path / "empty"), "s")


def test_no_file_lands_outside_of_the_folder(tmp_path: Path) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    with pytest.raises(BadInput, match="outside the destination"):
        fetch.unpack(target.getvalue(), tmp_path / "got")
    assert not (tmp_path / "outside").exists()


def test_the_archive_is_text_of_short_lines() -> None:
    lines = handout.as_text(os.urandom(10_000)).splitlines()
    assert max(map(len, lines)) < 20_000  # Ray cuts longer ones on their way
    assert base64.b64decode("".join(lines[1:-1])) and json.dumps(lines)
