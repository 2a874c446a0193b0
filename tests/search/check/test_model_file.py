"""`model: ./spec.py`: a model of the full protocol in a file of the user's own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from search import run
from search.check.__main__ import main
from search.check.protocol import protocol
from search.persistence.folder import CODE
from search.spec.resolve import resolve
from search.spec.search import Search
from search.submit.submission import needed
from spaces.problems import BadInput
from trainables.registry import model_of

EXAMPLE = Path(__file__).parents[3] / "configs" / "own" / "model"


def written(folder: Path, old: str = "", new: str = "") -> Path:
    """The example in `folder`, with one change in its spec.py."""
    shutil.copytree(EXAMPLE, folder / "mine", ignore=shutil.ignore_patterns("__pycache__"))
    spec = folder / "mine" / "faded" / "spec.py"
    text = spec.read_text()
    assert old in text
    spec.write_text(text.replace(old, new, 1))
    return folder / "mine" / "faded.yaml"


def broken(search: Search) -> list[str]:
    """What breaks the protocol."""
    return [text for each in protocol(search) for text in each.text.split("; ") if text]


def test_the_example_keeps_the_protocol_and_its_files_belong_to_the_search(tmp_path: Path) -> None:
    search = resolve(written(tmp_path))
    assert broken(search) == []
    known = search.trainable
    assert known is not None and set(known["code"]) == {"faded/__init__.py", "faded/run.py", "faded/spec.py"}
    assert {path.name for path in needed(search, tmp_path)} == {"__init__.py", "run.py", "spec.py"}
    (tmp_path / "mine" / "faded" / "run.py").write_text("changed = True\n")
    assert resolve(tmp_path / "mine" / "faded.yaml").digest != search.digest
    with pytest.raises(BadInput, match=r"the code has changed since the search began: faded/run\.py"):
        model_of(search.model.name, known)
    shutil.copytree(EXAMPLE, tmp_path / CODE)
    shutil.rmtree(tmp_path / "mine")
    assert model_of(search.model.name, known, copy=tmp_path / CODE).name == "faded"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("return {\"lr\": config.lr * warm", "self.calls = getattr(self, 'calls', 0) + 1\n        "
         "return {\"lr\": config.lr * self.calls", "knobs(config, step) gives other values when it is asked again"),
        ("return max(config.warmup_steps, config.noise_steps)", "return -1", "settles gives -1: a step from 0"),
        ("return documented(Config)", "return {\"lr\": 0.03}", "documented() leaves keys out"),
        ("return plain(config)", "return {\"model\": self}", "static: TypeError"),
        ("return handed_over(source, name, config, lambda native: self.parse(native, name), \"config.yaml\")",
         "return {\"config.yaml\": \"lr: 7.0\"}",
         "config.yaml reads otherwise than the config: lr"),
    ],
)  # fmt: skip
def test_what_breaks_the_protocol_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert any(told in text for text in broken(resolve(written(tmp_path, old, new))))


@pytest.mark.parametrize("first", ["", "import torch; "], ids=["fresh", "torch is there already"])
def test_who_brings_torch_is_told_unless_it_was_there(tmp_path: Path, first: str) -> None:
    path = written(tmp_path, "from pathlib import Path", "from pathlib import Path\nimport torch")
    asked = (
        "from search.check.protocol import protocol; from search.spec.resolve import resolve; from pathlib import Path"
    )
    code = f"{first}{asked}; print(protocol(resolve(Path({str(path)!r}))))"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert ("imports torch" in told) == (not first), told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("MODEL: Any = Faded()", "", "faded/spec.py has no MODEL"),
        ("MODEL: Any = Faded()", "MODEL = 3", "MODEL has no name, unit, objective"),
        ("from pathlib import Path", "from pathlip import Path", "faded/spec.py line"),
    ],
)
def test_a_file_that_is_no_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, told: str
) -> None:
    path = written(tmp_path, old, new)
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path} model: ") and told in error and error.count("\n") == 1


def test_data_that_it_cant_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(
        tmp_path, "        return Prepared(", '        Path("data/x.npz").read_bytes()\n        return Prepared('
    )
    assert run.main([str(path), "--results", "results", "--set", "check=null"]) == 2
    told = f"error: {path} data: faded/spec.py line 59: FileNotFoundError: [Errno 2] No such file or directory: "
    assert capsys.readouterr().err == f"{told}'data/x.npz' (relative paths start in {tmp_path})\n"
    assert not Path("results").exists()


def test_a_file_that_no_yaml_names_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.py").touch()
    assert main([str(tmp_path / "spec.py")]) == 2
    assert "give the YAML that says model: spec.py" in capsys.readouterr().err
    (tmp_path / "mine.yaml").write_text("model: gone.py\ndata: {}\nbudget: {trials: 2, steps: 4}\n")
    assert main([str(tmp_path / "mine.yaml")]) == 2
    assert "gone.py is no file" in capsys.readouterr().err
