"""The user's code as files: what belongs to it, what has changed, and where it is."""

from pathlib import Path

import pytest

from spaces.problems import BadInput
from trainables.own import code
from trainables.own.declaration import Declaration
from trainables.own.declare import from_declaration


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "train.py": "import torch\nimport net.body\nfrom data import load\n\ndef go():\n    from late import x\n",
        "data.py": "",
        "late.py": "",
        "unrelated.py": "import data",
        "net/__init__.py": "",
        "net/body.py": "from . import head\nfrom .parts import knee\nfrom .. import nothing\n",
        "net/head.py": "import train",
        "net/parts.py": "",
        "net/idle.py": "",
        "conf/a.json": "{}",
        "conf/__pycache__/a.pyc": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_files_that_a_file_imports_belong_to_it(project: Path) -> None:
    own = ["data.py", "late.py", "net/__init__.py", "net/body.py", "net/head.py", "net/parts.py", "train.py"]
    assert code.files_of(project, ["train.py", "--lr", "no/such.py"]) == own


@pytest.mark.parametrize(
    ("command", "own"),
    [
        ("python -m net.parts {args}", ["net/__init__.py", "net/parts.py"]),
        ("python -m mine.fit {args}", ["src/mine/__init__.py", "src/mine/fit.py", "src/mine/model.py"]),
        ("env PYTHONPATH=lib:/else python -m other {args}", ["lib/other/__main__.py", "lib/other_data.py"]),
        ("torchrun --nproc-per-node 1 late.py {args}", ["late.py"]),
        ("installed-program {args}", []),
    ],
)
def test_the_files_of_a_command_are_those_that_it_starts_and_what_they_import(
    project: Path, command: str, own: list[str]
) -> None:
    for name, text in {
        "src/mine/__init__.py": "",
        "src/mine/fit.py": "from mine.model import Net",
        "src/mine/model.py": "import torch",
        "lib/other/__main__.py": "import other_data",
        "lib/other_data.py": "",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    declared = Declaration.model_validate(
        {
            "command": command,
            "metrics": {"csv": "a.csv"},
            "length": "epochs",
            "objective": {"loss": "min", "worst": 1.0},
        }
    )
    model = from_declaration(declared, project / "mine.yaml", ("mine.yaml", None))
    assert sorted(model.reference.code) == own
    config = model.parse({"epochs": 2}, "c")
    told = model.prepare(model.parse_data({}, config, ""), config).summary
    assert ("none of the command's code was found" in told) == (not own)


def test_named_files_folders_and_patterns(project: Path) -> None:
    assert code.named(project, ["conf", "net/*.py", "data.py"], "y") == [
        "conf/a.json", "data.py", "net/__init__.py", "net/body.py", "net/head.py", "net/idle.py", "net/parts.py"
    ]  # fmt: skip
    with pytest.raises(BadInput, match="y: 'nets/': there is no such file"):
        code.named(project, ["nets/"], "y")


def test_what_has_changed_is_named(project: Path) -> None:
    known = code.digests(project, ["train.py", "data.py", "late.py"])
    assert code.changed(project, known) == []
    (project / "data.py").write_text("x = 1")
    (project / "late.py").unlink()
    assert code.changed(project, known) == ["data.py", "late.py"]
    with pytest.raises(BadInput, match=r"the code has changed since the search began: data.py, late.py; undo that"):
        code.located(str(project), "nowhere", known, None)


def test_it_is_found_where_another_node_keeps_it_or_in_the_searchs_folder(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = code.digests(project, ["train.py"])
    node = tmp_path_factory.mktemp("node")
    (node / "mine").mkdir()
    (node / "mine/train.py").write_bytes((project / "train.py").read_bytes())
    with pytest.raises(BadInput, match="the code is not here"):
        code.located("/gone", "mine", known, None)
    assert code.located("/gone", "mine", known, node / "mine") == node / "mine"
    monkeypatch.syspath_prepend(str(node))
    assert code.located("/gone", "mine", known, None) == node / "mine"


def test_a_function_is_looked_for_without_running_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("raise SystemExit\nfrom b import got\nmade = print\ndef own(run): ...\nasync def wait(run): ...\n")
    for name in ("got", "made", "own"):
        code.function_in(file, name, "y")
    with pytest.raises(BadInput, match="line 5: wait is async; give a plain function"):
        code.function_in(file, "wait", "y")
    with pytest.raises(BadInput, match=r"a\.py has no function 'owm'; its functions: own"):
        code.function_in(file, "owm", "y")
