"""One command: what it lists, shows and deletes, and how it hands over to the others."""

import json
import os
import socket
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.report_folder import Story, make_folder
from search.cli import command
from search.common.git import tool_version
from search.report import build
from search.report.listing import size
from search.tracking.mlflow_store import MlflowStore
from search.tracking.types import KEY_TAG
from spaces.problems import BadInput, Problem

TOLD = CliRunner()


def call(*words: str, given: str = "") -> tuple[int, str]:
    result = TOLD.invoke(command.app, list(words), input=given)
    if isinstance(result.exception, BadInput):
        return 2, str(result.exception)
    return result.exit_code, result.output


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three searches: switch, running, and one that stopped; beside them what is none."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results"
    make_folder(folder / "done")
    make_folder(folder / "runs", Story(trials=6, failing=0, retried=0, finished=False))
    (folder / "runs" / ".owner").write_text(f"{socket.gethostname()} pid {os.getpid()}\n")
    make_folder(folder / "left", Story(trials=6, failing=0, retried=0, finished=False))
    (folder / "mlflow.db").touch()
    return folder


def test_the_list_says_the_state_of_each_search(results: Path) -> None:
    code, said = call("list", "--json")
    rows = {row["name"]: row for row in json.loads(said)}
    assert code == 0 and rows.keys() == {"done", "runs", "left"}
    assert {name: row["state"] for name, row in rows.items()} == {
        "done": "done",
        "runs": "searching",
        "left": "interrupted",
    }
    assert rows["done"]["verdict"] == "switch" and rows["done"]["gain_low"] > 0
    assert all(row["bytes"] > 1000 and row["trials_over"] <= row["trials_asked"] for row in rows.values())
    code, said = call("list")
    assert code == 0 and all(name in said for name in rows) and "interrupted" in said


def test_a_damaged_search_is_named_and_the_others_are_listed(results: Path) -> None:
    (results / "left" / "search.yaml").write_text("[]\n")
    result = TOLD.invoke(command.app, ["list"])
    assert result.exit_code == 0 and "done" in result.stdout and "search.yaml" in result.stderr


def test_one_search_is_shown_in_words(results: Path) -> None:
    code, said = call("show", "done")
    assert code == 0 and "Switch to the new config" in said and "trainables.train" in said
    code, said = call("show", "left", "--json")
    assert json.loads(said)["state"] == "interrupted"
    assert call("show", "none")[0] == 2


def test_a_search_that_runs_is_not_deleted(results: Path) -> None:
    code, said = call("delete", "runs", "--yes")
    assert code == 2 and "running" in said and (results / "runs").is_dir()


def test_deleting_asks_first(results: Path) -> None:
    assert "nothing was deleted" in call("delete", "left", given="n\n")[1] and (results / "left").is_dir()
    code, said = call("delete", "left", given="y\n")
    assert code == 0 and "deleted" in said and not (results / "left").exists()


def test_a_copy_of_a_search_in_a_store_is_not_deleted(results: Path) -> None:
    (results / "left" / ".storage").write_text("s3://bucket/left\n")
    code, said = call("delete", "left", "--yes")
    assert code == 2 and "s3://bucket/left" in said and (results / "left").is_dir()


@pytest.mark.integration
def test_deleting_leaves_no_run_and_no_artifact(results: Path) -> None:
    (results / "mlflow.db").unlink()
    store = MlflowStore(f"sqlite:///{results / 'mlflow.db'}", "diphone_rnn")
    store.open()
    mine = [store.create(f"trial {n}", {KEY_TAG: f"u1/{n}"}, 1000) for n in ("search", 0, 1)]
    other = store.create("other", {KEY_TAG: "u2/search"}, 1000)
    (results / "note.txt").write_text("x")
    for run in (*mine, other):
        store.add_file(run, results / "note.txt")
    store.delete(mine[2])  # one that somebody has deleted before
    (results / "left" / "tracking.jsonl").write_text('{"uid": "u1"}\n')
    code, said = call("delete", "left", "--yes")
    assert code == 0 and "deleted 3 runs" in said
    with sqlite3.connect(results / "mlflow.db") as database:
        assert [row[0] for row in database.execute("select run_uuid from runs")] == [other]
    kept = [file for file in (results / "mlartifacts").rglob("*") if file.is_file()]
    assert len(kept) == 1 and other in str(kept[0])


def test_a_note_is_kept_shown_and_told_to_mlflow_where_the_yaml_says(results: Path) -> None:
    uri = f"sqlite:///{results / 'elsewhere.db'}"
    settings = results / "left" / "search.yaml"
    settings.write_text(
        settings.read_text() + f"tracking: {{uri: '{uri}', experiment: mine}}\ntags: {{team: speech}}\nnotes: why\n"
    )
    store = MlflowStore(uri, "mine")
    store.open()
    run = store.create("trial 1", {KEY_TAG: "u1/1"}, 1000)
    (results / "left" / "tracking.jsonl").write_text('{"uid": "u1"}\n')
    assert "and in MLflow" in call("note", "left", "odd <b>", "--trial", "1")[1]
    assert "not in MLflow: it has no such run" in call("note", "left", "slow")[1]
    assert "no trial 99; it has 0 to 5" in call("note", "left", "x", "--trial", "99")[1]
    with sqlite3.connect(results / "elsewhere.db") as database:
        assert database.execute("select value from tags where key = 'note'").fetchall() == [("odd <b>",)]
    (row,) = (each for each in json.loads(call("list", "--json")[1]) if each["name"] == "left")
    assert (row["notes"], row["tags"], row["trial_notes"]) == ("why; slow", {"team": "speech"}, {"1": "odd <b>"})
    said = call("show", "left")[1]
    assert "team: speech" in said and "note: why; slow" in said and "note on trial 1: odd <b>" in said
    page = build.write(results / "left").read_text()
    assert "why; slow" in page and "odd &lt;b&gt;" in page and "odd <b>" not in page.split("report-data")[0]
    assert "and in MLflow" in call("note", "left", "", "--trial", "1")[1]
    assert "note on trial" not in call("show", "left")[1]
    assert call("delete", "left", "--yes")[1].count("deleted 1 runs") == 1 and run


@pytest.mark.parametrize("name", command.MODULES)
def test_other_commands_are_their_modules_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = TOLD.invoke(command.app, [name, "--help"])
    assert result.exit_code == 0 and command.MODULES[name][0] in result.output


def test_plan_is_run_with_plan(tmp_path: Path) -> None:
    code, said = call("plan", str(tmp_path / "missing.yaml"))
    assert code == 2 and "missing.yaml" in said


def test_sizes_are_for_people() -> None:
    assert [size(n) for n in (0, 1023, 1024, 20 * 1024, 3 * 2**30)] == ["0 B", "1023 B", "1.0 KiB", "20 KiB", "3.0 GiB"]


def test_the_schema_is_one_and_only_models_have_demos(results: Path) -> None:
    code, said = call("schema")
    assert code == 0 and "budget" in json.loads(said)["properties"]
    code, said = call("demo", "--model", "own")
    assert code == 2 and "there are diphone_rnn, early_inference" in said


def test_a_demo_that_can_t_be_copied_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, said = call("demo", "--to", str(tmp_path / "file" / "demo"))
    assert code == 2 and "can't be written" in said and "Traceback" not in said


def test_a_demo_is_copied_here_and_run_by_its_folders_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[list[str]] = []
    monkeypatch.setattr("search.run.main", lambda words: asked.append(words) or 7)
    code, said = call("demo", "--to", "my demo")
    assert (code, asked) == (7, [["my demo/demo.yaml", "--name", "my demo"]])
    again = "to go on with it: schedule-search run 'my demo/demo.yaml' --name 'my demo'"
    assert said.replace("\n", " ").strip() == f"the search is my demo/demo.yaml; {again}"
    copied = sorted(file.name for file in Path("my demo").iterdir())
    assert copied == sorted(file.name for file in Path(command.__file__).parents[2].glob("configs/early_inference/*"))
    (Path("my demo") / "demo.yaml").write_text("mine")
    code, said = call("demo", "--to", "my demo", "--model", "tts")
    assert code == 2 and said == "my demo: is there already; name another folder with --to"
    assert len(asked) == 1 and (Path("my demo") / "demo.yaml").read_text() == "mine"


def test_the_version_is_told_and_nothing_else() -> None:
    assert call("--version", "list") == (0, f"{tool_version()}\n")


def test_what_is_typed_wrongly_is_told_a_line_each_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["schedule-search", "demo", "--model", "own"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    shown = capsys.readouterr()
    assert ended.value.code == 2 and shown.out == ""
    assert shown.err.startswith("error: --model: there is no demo of 'own'; there are diphone_rnn, early_inference")
    problems = BadInput([Problem("a", "is wrong"), Problem("b", "is, too")])
    monkeypatch.setattr(command, "app", lambda **_: (_ for _ in ()).throw(problems))
    with pytest.raises(SystemExit):
        command.main()
    assert capsys.readouterr().err == "error: a: is wrong\nerror: b: is, too\n"
