"""Runs in MLflow at a server that is a client in memory: what is asked of it, and what its refusals mean."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search.tracking import mlflow_store
from search.tracking.mlflow_store import MlflowStore
from search.tracking.run_table import TAG
from search.tracking.types import Registration

SERVER = "http://mlflow.example:5000"
TABLE = "a table"
VERSION = Registration("fits", "winner/trial-3", "Good.", {"trial": 3, "note": "x" * 9000, "pareto": None})


def refused(code: str, said: str = "no") -> Exception:
    """What MLflow's client raises for a server's answer."""
    from mlflow.exceptions import RestException  # takes a second, and looks whether a test runs

    return RestException({"error_code": code, "message": said})


@dataclass
class Client:
    """MLflow's client: experiments and registered models in memory. `fails`: what a method raises when it is asked."""

    experiments: dict[str, SimpleNamespace] = field(default_factory=dict)
    versions: list[SimpleNamespace] = field(default_factory=list)
    models: set[str] = field(default_factory=set)
    fails: dict[str, Exception] = field(default_factory=dict)
    meanwhile: Callable[[], None] = lambda: None
    """Happens while an experiment is made."""

    def _ask(self, name: str) -> None:
        if name in self.fails:
            raise self.fails[name]

    def add(self, name: str, stage: str = "active", **tags: str) -> None:
        known = {"experiment_id": str(len(self.experiments)), "lifecycle_stage": stage, "tags": tags}
        self.experiments[name] = SimpleNamespace(**known, artifact_location=None)

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        return self.experiments.get(name)

    def get_experiment(self, experiment: str) -> SimpleNamespace | None:
        self._ask("get_experiment")
        return next((each for each in self.experiments.values() if each.experiment_id == experiment), None)

    def create_experiment(self, name: str, artifact_location: str | None, tags: dict[str, str]) -> str:
        self.meanwhile()
        self._ask("create_experiment")
        self.add(name, **tags)
        self.experiments[name].artifact_location = artifact_location
        return str(self.experiments[name].experiment_id)

    def set_experiment_tag(self, experiment: str, key: str, value: str) -> None:
        self._ask("set_experiment_tag")
        (found,) = (each for each in self.experiments.values() if each.experiment_id == experiment)
        found.tags[key] = value

    def create_run(self, experiment: str, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id=f"run of {experiment}"))

    def get_run(self, run: str) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(artifact_uri=f"s3://bucket/{run}/artifacts?region=a"))

    def create_registered_model(self, name: str) -> None:
        self._ask("create_registered_model")
        if name in self.models:
            raise refused("RESOURCE_ALREADY_EXISTS")
        self.models.add(name)

    def search_model_versions(self, query: str, max_results: int) -> list[SimpleNamespace]:
        return [each for each in self.versions if query == f"name = '{each.name}'"][:max_results]

    def create_model_version(self, name: str, source: str, run: str, **given: Any) -> SimpleNamespace:
        number = sum(each.name == name for each in self.versions) + 1
        made = SimpleNamespace(name=name, source=source, run_id=run, version=number, **given)
        self.versions.append(made)
        return made


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr(mlflow_store, "connected", lambda _: made)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    return made


def opened(uri: str = SERVER, table: str = "") -> MlflowStore:
    store = MlflowStore(uri, "fits", table)
    store.open()
    return store


@pytest.mark.parametrize(("table", "shown"), [("", {}), (TABLE, {TAG: TABLE})])
def test_a_new_experiment_shows_tables_for_models_like_ours_and_lies_where_the_server_says(
    client: Client, table: str, shown: dict[str, str]
) -> None:
    opened(table=table)
    made = client.experiments["fits"]
    assert made.tags == {"mlflow.experimentKind": "custom_model_development", **shown}
    assert made.artifact_location is None


def test_an_experiment_that_another_search_makes_meanwhile_is_used(client: Client) -> None:
    client.add("other")
    client.meanwhile = lambda: client.add("fits")
    client.fails["create_experiment"] = refused("RESOURCE_ALREADY_EXISTS")
    assert opened().create("trial 0", {}, 1000) == "run of 1"


def test_an_experiment_that_may_not_be_made_says_so(client: Client) -> None:
    error = client.fails["create_experiment"] = refused("PERMISSION_DENIED", "you may not")
    with pytest.raises(type(error), match="you may not"):
        opened()


@pytest.mark.parametrize(
    ("before", "table", "after"), [("", TABLE, TABLE), ("old", TABLE, TABLE), ("mine", "", "mine"), ("", "", "")]
)
def test_the_table_of_runs_is_set_where_one_is_given(client: Client, before: str, table: str, after: str) -> None:
    client.add("fits", **({TAG: before} if before else {}))
    opened(table=table)
    assert client.experiments["fits"].tags.get(TAG, "") == after


def test_who_may_only_write_runs_writes_runs(client: Client) -> None:
    client.add("fits")
    client.fails["set_experiment_tag"] = refused("PERMISSION_DENIED")
    assert opened(table=TABLE).create("trial 0", {}, 1000) == "run of 0"


def test_a_deleted_experiment_is_told_how_to_come_back(client: Client) -> None:
    client.add("fits", "deleted")
    uri = "https://me:hunter2@mlflow.example"
    with pytest.raises(ValueError, match=r"'fits' is deleted; restore it with .* experiments restore -x 0") as error:
        opened(uri)
    assert "hunter2" not in str(error.value)


def test_a_winner_is_a_version_of_its_model(client: Client) -> None:
    assert opened().register("r1", VERSION) == "1"
    (made,) = client.versions
    assert (made.name, made.run_id, made.description) == ("fits", "r1", "Good.")
    assert made.source == "s3://bucket/r1/artifacts/winner/trial-3?region=a"
    assert made.tags == {"trial": "3", "note": "x" * 4999 + "…"}


def test_a_version_is_made_once_and_another_beside_it(client: Client) -> None:
    store = opened()
    others = [
        ("r1", VERSION),
        ("r2", VERSION),
        ("r1", Registration("fits", "winner/trial-4", "Good.", VERSION.tags)),
        ("r1", Registration("fits", VERSION.folder, "Good.", {**VERSION.tags, "trial": 4})),
        ("r1", Registration("others", VERSION.folder, "Good.", VERSION.tags)),
    ]
    numbers = [store.register(*each) for each in others]
    assert numbers == ["1", "2", "3", "4", "1"] and len(client.versions) == 5
    client.versions[0].tags["mine"] = "added by a person"
    assert [store.register(*each) for each in others] == numbers and len(client.versions) == 5


def test_a_model_that_may_not_be_made_is_an_error(client: Client) -> None:
    error = client.fails["create_registered_model"] = refused("INVALID_PARAMETER_VALUE", "a prompt has this name")
    with pytest.raises(type(error), match="a prompt has this name"):
        opened().register("r1", VERSION)
    assert client.versions == []


@pytest.mark.parametrize(
    ("code", "experiment", "expected"),
    [
        ("INVALID_PARAMETER_VALUE", "there", True),
        ("RESOURCE_DOES_NOT_EXIST", "there", True),
        ("RESOURCE_DOES_NOT_EXIST", "gone", False),  # another server's database, say
        ("INVALID_STATE", "silent", False),
        ("INTERNAL_ERROR", "there", False),
        ("", "there", False),
    ],
)
def test_a_store_refuses_only_while_it_works(client: Client, code: str, experiment: str, expected: bool) -> None:
    store = opened()
    if experiment == "gone":
        client.experiments.clear()
    if experiment == "silent":
        client.fails["get_experiment"] = OSError("Connection refused")
    error = refused(code) if code else ValueError("INVALID_STATE")
    assert store.refuses(error) is expected


@pytest.mark.parametrize(
    ("environment", "uri", "who"),
    [
        ({}, SERVER, None),
        ({"USERNAME": "ann"}, SERVER, None),  # MLflow takes no name without a password
        ({"USERNAME": "ann", "PASSWORD": "hunter2", "TOKEN": "hunter3"}, SERVER, "the user 'ann' with that password"),
        ({"TOKEN": "hunter3"}, "http://bob:hunter2@h:5000", "the token in MLFLOW_TRACKING_TOKEN"),
        ({}, "http://bob:hunter2@h:5000", "the user 'bob' with the password in the URI"),
    ],
)
@pytest.mark.usefixtures("client")
def test_who_is_not_let_in_is_named_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], uri: str, who: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    store = MlflowStore(uri, "fits")
    unknown = store.explain(refused("UNAUTHENTICATED"))
    asks = "the server asks who you are: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    assert unknown == (asks if who is None else f"the server does not accept {who}")
    denied = f"the server does not let {who or 'whoever gives no name'} write to the experiment 'fits'"
    assert store.explain(refused("PERMISSION_DENIED")) == denied


def test_a_server_that_does_not_know_its_own_name_is_explained(client: Client) -> None:
    told = MlflowStore(SERVER, "fits").explain(refused("PERMISSION_DENIED", "Invalid Host header"))
    assert "use another one, or its --allowed-hosts" in told and "experiment" not in told


def test_the_users_own_credentials_file_is_read_as_mlflow_reads_it(client: Client, tmp_path: Path) -> None:
    (tmp_path / ".mlflow").mkdir()
    text = "[mlflow]\nmlflow_tracking_username = eve\nmlflow_tracking_password = hunter2\n"
    (tmp_path / ".mlflow" / "credentials").write_text(text)
    told = MlflowStore(SERVER, "fits").explain(refused("UNAUTHENTICATED"))
    assert told == "the server does not accept the user 'eve' with that password"
