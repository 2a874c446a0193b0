"""What lies in the working folder under our packages' names never takes their place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_search import write_search

from search.spec.knobs import model_space
from spaces.problems import BadInput
from trainables.registry import model_named


@pytest.mark.parametrize("module", ["search.run", "trainables.train"])
@pytest.mark.parametrize(
    "content", ["spaces/", "spaces.py", "spaces/__init__.py", "spaces/early_inference.yaml", "search/", "trainables/"]
)
def test_a_folder_or_file_with_the_name_of_a_package_of_ours(tmp_path: Path, module: str, content: str) -> None:
    write_search(tmp_path)
    place = tmp_path / content
    place.parent.mkdir(exist_ok=True)
    place.mkdir() if content.endswith("/") else place.write_text("no: {such: space}\n")
    words = ["search.yaml", "--plan"] if module == "search.run" else ["--help"]
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", module, *words], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "over 3 knobs" in done.stdout or module != "search.run"


def test_a_missing_space_of_a_built_in_model_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_named("early_inference")
    assert model_space(model).knobs
    monkeypatch.setattr("spaces.space.__file__", str(tmp_path / "space.py"))
    with pytest.raises(BadInput, match=r"spaces/early_inference\.yaml: is missing at "):
        model_space(model)
