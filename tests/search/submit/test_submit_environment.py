"""The packages and the variables that a job has on a cluster."""

import json
import os
import re
from pathlib import Path

import pytest
from small_search import small_search

from search.spec.config import Settings
from search.submit import environment, start
from spaces.problems import BadInput

ROOT = Path(__file__).parents[3]
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
