"""The parts of tracking: updates from events, the line of waiting events, remembered run ids, URIs."""

import json
import math
import socket
import threading
from pathlib import Path
from typing import Literal

import pytest
from tracking_store import life, proposed

from search.common.store_uri import (
    absolute,
    identity,
    mask,
    resolve_uri,
    sqlite_file,
    ui_command,
    unreachable,
    unusable,
    unusable_folder,
)
from search.history.events import (
    Changed,
    Ended,
    Event,
    Paused,
    Phase,
    Promoted,
    Reported,
    Retried,
    Started,
    StartReady,
)
from search.history.journal import Journal
from search.tracking.mlflow_store import MlflowStore
from search.tracking.run_ids import RunIds
from search.tracking.sender import JournalTail
from search.tracking.types import KEY_TAG
from search.tracking.updates import PARENT, Trials, Update, clean, cut


def test_a_grown_budget_reopens_a_stopped_trial() -> None:
    trials, updates = Trials(), dict[int, Update]()
    for event in (*life(0, "stopped"), Promoted(0, 9, 50.0), Started(0, "box", 1, "", 51.0)):
        trials.fold(event, updates)
    assert updates[0].ended is None
    assert updates[0].reopen
    assert trials.interrupted() == [0]


def test_changed_knobs_are_a_tag() -> None:
    trials, updates = Trials(), dict[int, Update]()
    trials.fold(proposed(0), updates)
    trials.fold(Changed(0, {"lr": 0.5}, 20.0), updates)
    trials.fold(Paused(0, 3, 21.0), updates)
    assert json.loads(updates[0].tags["knobs_now"]) == {"lr": 0.5}
    assert (updates[0].tags["status"], updates[0].tags["rung"]) == ("paused", "3")


def best_points(mode: Literal["min", "max"], *events: Event) -> list[tuple[float, int]]:
    trials, updates = Trials((1, 3, 9), mode), dict[int, Update]()
    for event in events:
        trials.fold(event, updates)
    found = updates[PARENT].metrics if PARENT in updates else []
    assert {point.key for point in found} <= {"best_so_far"}
    return [(point.value, point.step) for point in found]


def test_the_best_so_far_counts_full_trainings_only_and_all_units() -> None:
    one, two = (
        [proposed(trial), *(Reported(trial, step, {"objective": value}, 0.5, 20.0) for step, value in curve)]
        for trial, curve in ((0, [(1, 0.1), (3, 0.2), (9, 0.5)]), (1, [(1, 0.9), (3, 0.05), (9, 0.4)]))
    )
    assert best_points("min", *one, *two) == [(0.5, 9), (0.4, 18)]
    assert best_points("max", *one, *two) == [(0.5, 9)]
    again = Reported(0, 9, {"objective": 0.5}, 0.5, 21.0)  # trained again from an older checkpoint
    assert best_points("min", *one, again, *two) == [(0.5, 9), (0.4, 18)]
    assert best_points("min", *one[:3], *two) == [(0.4, 12)]  # the first was stopped at 3


def test_the_steps_before_the_start_are_trained_in_no_trial() -> None:
    start = StartReady(0, 4, "d", "steps 0 to 4", 4, 1.0, None, 5.0)
    trained = [Reported(0, 6, {"objective": 0.6}, 0.5, 20.0), Reported(0, 9, {"objective": 0.5}, 0.5, 20.0)]
    trials, updates = Trials((6, 9)), dict[int, Update]()
    for event in (start, proposed(0), *trained):
        trials.fold(event, updates)
    assert [(p.value, p.step) for p in updates[PARENT].metrics if p.key == "best_so_far"] == [(0.5, 5)]


def test_diverged_confirmed_and_patient_trials_in_the_best_so_far() -> None:
    diverged = [proposed(0), Reported(0, 9, {"objective": 0.1}, 0.5, 20.0, "diverged")]
    patient = [proposed(1), Reported(1, 4, {"objective": 0.3}, 0.5, 20.0, "ended")]
    confirm = [proposed(2, "trial 1", "confirm"), Reported(2, 9, {"objective": 0.2}, 0.5, 20.0)]
    assert best_points("min", *diverged, *patient, *confirm) == [(0.3, 13)]


def test_parts_and_what_is_left_out_are_not_sent() -> None:
    trials, updates = Trials((9,), "min", ["weight_decay"]), dict[int, Update]()
    metrics = {"objective": 1.0, "val_mae": 1.0, "val_mae.k_d": 2.0, "weight_decay": 0.1, "lr": 0.5}
    trials.fold(proposed(0), updates)
    trials.fold(Reported(0, 1, metrics, 1.0, 20.0), updates)
    assert [point.key for point in updates[0].metrics] == ["objective", "val_mae", "lr", "train_seconds"]


def test_no_password_of_an_error_is_tracked() -> None:
    trials, updates = Trials(), dict[int, Update]()
    said = "connecting to postgresql://me:hunter2@db/x failed"
    for event in (proposed(0), Retried(0, said, 1.0, said), Ended(0, "failed", said, 2.0, said)):
        trials.fold(event, updates)
        assert "hunter2" not in str(updates[0])
    assert updates[0].tags["reason"] == "connecting to postgresql://***@db/x failed"


def test_non_finite_values_and_odd_names() -> None:
    trials, updates = Trials(), dict[int, Update]()
    trials.fold(proposed(0), updates)
    trials.fold(Reported(0, 1, {"objective": 1.0, "b": math.inf, "a": math.nan, "x<y>": 2.0}, 1.0, 20.0), updates)
    assert [point.key for point in updates[0].metrics] == ["objective", "x_y_", "train_seconds"]
    assert [clean(key) for key in ("a.b", "/etc", "..", "", "a//b", "é")] == ["a.b", "__etc", "_..", "_", "_a__b", "_"]
    assert len(clean("k" * 300)) == 250


@pytest.mark.parametrize(
    ("value", "length", "kept"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("a\0b", 9, "a?b"),  # PostgreSQL takes no NUL
        ("a\udcff😀", 9, "a?😀"),  # a byte of a log that was not UTF-8
    ],
)
def test_texts_as_every_database_takes_them(value: str, length: int, kept: str) -> None:
    assert cut(value, length) == kept


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("… Max retries exceeded (Caused by ResponseError('too many 503 error responses'))"), "answers 503"),
        (OSError("… NewConnectionError('[Errno 111] Connection refused')"), "connection refused"),
        (OSError('… ReadTimeoutError("… Read timed out. (read timeout=10)")'), "gives no answer"),
        (ModuleNotFoundError("No module named 'psycopg'", name="psycopg"), "'psycopg' is needed"),
        (ValueError("params can't change\nand more"), "params can't change"),
        (ValueError(), "ValueError"),
    ],
)
def test_what_an_error_of_the_store_means(error: Exception, said: str) -> None:
    told = MlflowStore("http://host", "e").explain(error)
    assert said in told and "\n" not in told


def test_the_tail_of_a_journal_gives_each_whole_line_once_and_no_more_than_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    written: list[Event] = [Phase("search", float(index)) for index in range(5)]
    with Journal(path) as journal:
        tail = JournalTail(path)
        assert tail(9) == []
        for event in written[:3]:
            journal.append(event)
        assert (tail(2), tail(2), tail(2)) == (written[:2], written[2:3], [])
        for event in written[3:]:
            journal.append(event)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])  # the last line is being written
    assert tail(9) == written[3:4]
    path.write_bytes(whole)
    assert (tail(9), tail(9)) == (written[4:], [])


def test_run_ids_survive_torn_and_foreign_lines(tmp_path: Path) -> None:
    path = tmp_path / "tracking.jsonl"
    first = RunIds(path, "here")
    first.creating([PARENT, 0, 1])
    first.created(PARENT, "p")
    first.created(0, "a")
    first.acknowledge(7)
    first.close()
    path.write_bytes(path.read_bytes() + b'not json\n{"acknowledged": 9')
    second = RunIds(path, "here")
    assert (second.uid, second.ids, second.doubtful) == (first.uid, {PARENT: "p", 0: "a"}, {1})
    assert (second.acknowledged, second.described) == (7, False)
    second.acknowledge(8)
    second.close()
    other = RunIds(path, "there")
    assert (other.uid, other.ids, other.doubtful, other.acknowledged) == (first.uid, {}, set(), 0)
    other.close()
    again = RunIds(path, "here")
    assert again.acknowledged == 8
    again.close()


def test_which_uri_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve_uri(None, Path("results")) == "sqlite:///results/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert resolve_uri(None, tmp_path) == "http://tracking:5000"
    assert resolve_uri("sqlite:///mine.db", tmp_path) == "sqlite:///mine.db"


@pytest.mark.parametrize(
    ("shown", "masked"),
    [
        ("https://user:hunter2@host:5000/x", "https://***@host:5000/x"),
        ("https://hunter2@host/x", "https://***@host/x"),
        ("postgresql://u:hunter2/@2@db/mlflow failed", "postgresql://***@db/mlflow failed"),
        ("mysql://db/x?ssl_password=hunter2&a=1", "mysql://db/x?ssl_password=***&a=1"),
        ("sqlite:///results/mlflow.db", "sqlite:///results/mlflow.db"),
    ],
)
def test_credentials_are_masked(shown: str, masked: str) -> None:
    assert mask(shown) == masked
    assert "hunter2" not in identity(shown, "x")


@pytest.mark.parametrize(
    "spellings",
    [
        ["http://127.0.0.1:5000", "http://127.0.0.1:5000/", "http://localhost:5000", "HTTP://LocalHost:5000//",
         "http://me:secret@[::1]:5000"],
        ["https://ml.example.org/mlflow", "https://ML.example.org:443/mlflow/"],
        ["postgresql://u:p@db/ml", "postgresql+psycopg2://db:5432/ml"],
        ["sqlite:///{}/real/m.db", "sqlite:///{}/link/m.db", "sqlite:///{}/real/../link/m.db", "sqlite:///m.db",
         "sqlite+pysqlite:///{}/real/m.db"],
    ],
)  # fmt: skip
def test_spellings_of_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spellings: list[str]) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path / "real")
    assert len({identity(uri.format(tmp_path), "x") for uri in spellings}) == 1
    assert identity(spellings[0], "x") != identity(spellings[0], "y")


def test_other_stores_are_told_apart() -> None:
    uris = [
        "http://a",
        "https://a",
        "http://a:81",
        "http://a/b",
        "http://b",
        "mysql://a/b",
        "mysql://a/c",
        "databricks",
    ]
    uris += ["sqlite:///a.db", "sqlite:///b.db", "mssql://a/b?driver=x", "mssql://a/b?driver=y"]
    assert len({identity(uri, "x") for uri in uris}) == len(uris)


@pytest.mark.parametrize(
    "uri",
    ["sqlite:///m.db", "sqlite:////a/m.db?timeout=5", "sqlite:///:memory:", "http://h", "https://h:1/x", "databricks",
     "databricks://profile", "postgresql:///ml", "postgresql+psycopg2://u:p@h/ml", "mysql+pymysql://h/x", "mssql://h/x"],
)  # fmt: skip
def test_addresses_that_may_work(uri: str) -> None:
    assert unusable(uri) is None


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("${MLFLOW_X}", "variable"),
        ("http://$HOST:5000", "variable"),
        ("htp://h", "'htp:'"),
        ("s3://bucket/x", "'s3:'"),
        ("./mlruns", "folder"),
        ("mlruns", "folder"),
        ("file:///tmp/x", "folder"),
        (r"C:\runs", "folder"),
        ("sqlite:///.", "is a folder"),
        ("sqlite://m.db", "no database file"),
        ("sqlite:", "no database file"),
        ("sqlite:///a%20b.db", "'%'"),
        ("http://", "no host"),
        ("http://h:port", "no address"),
        ("https://h:70000", "no address"),
        ("http://[::1", "no address"),
    ],
)
def test_addresses_that_can_never_work(uri: str, told: str) -> None:
    assert told in str(unusable(uri))


@pytest.mark.parametrize("folder", ["r%20y", "r?mode=ro", "r?x"])
def test_folders_whose_path_is_read_as_another(tmp_path: Path, folder: str) -> None:
    assert "path" in str(unusable_folder(tmp_path / folder))
    assert unusable_folder(tmp_path / "r#1 x") is None


def test_the_command_to_look() -> None:
    assert ui_command("sqlite:///results/mlflow.db") == "mlflow ui --backend-store-uri sqlite:///results/mlflow.db"
    assert ui_command("sqlite:///my results/m.db") == "mlflow ui --backend-store-uri 'sqlite:///my results/m.db'"
    assert ui_command("https://u:hunter2@host:5000") == "https://***@host:5000"


def test_reachability(tmp_path: Path) -> None:
    assert unreachable(f"sqlite:///{tmp_path}/new/mlflow.db") is None
    broken = tmp_path / "broken.db"
    broken.write_text("this is not a database, whatever its name says" * 100)
    assert "not a database" in str(unreachable(f"sqlite:///{broken}"))
    assert unreachable("http://127.0.0.1:9") is not None
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            with other.accept()[0] as connection:
                connection.sendall(b"SSH-2.0-x\r\n")

        threading.Thread(target=greet).start()
        assert unreachable(f"http://127.0.0.1:{other.getsockname()[1]}") == "what answers there is no web server"
    assert unreachable("postgresql://u:p@127.0.0.1:9/mlflow") is not None
    assert "'htp:'" in str(unreachable("htp://host"))
    assert "is a folder" in str(unreachable("./mlruns"))


def test_a_relative_database_is_the_working_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("sqlite+pysqlite:///a/b.db?timeout=3") == f"sqlite+pysqlite:///{tmp_path}/a/b.db?timeout=3"
    assert [absolute(uri) for uri in ("sqlite://", "http://host/a")] == ["sqlite://", "http://host/a"]


@pytest.mark.integration
def test_one_spelling_is_another_database_in_another_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        store = MlflowStore("sqlite:///mlflow.db", "one")
        store.open()
        store.create(name, {KEY_TAG: f"{name}/search"}, 1000)
        found.append({key for other in ("a", "b") for key in store.find_all(other)})
    assert found == [{"a/search"}, {"b/search"}]


def test_sqlite_files() -> None:
    assert sqlite_file("sqlite:////a/b.db") == Path("/a/b.db")
    assert sqlite_file("sqlite:///b.db") == Path.cwd() / "b.db"
    assert sqlite_file("sqlite://") is None
    assert sqlite_file("http://host") is None
