"""Runs written to MLflow: one for the search, one nested run per trial."""

import contextlib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from search.common.commands import python
from search.common.store_uri import DATABASES, absolute, mask, sqlite_file
from search.tracking.mlflow_reader import PAGE, connected, runs_of
from search.tracking.moved import ARTIFACTS, follow_move
from search.tracking.run_table import TAG
from search.tracking.types import KEY_TAG, Registration
from search.tracking.updates import TAG_LENGTH, Point, RunStatus, cut, text
from spaces.problems import cause

_REFUSALS = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}
_STATUS_IN = re.compile(r"too many (\d+) error responses")
_SIGNS = {  # of what requests and urllib3 wrap three times over
    "Connection refused": "connection refused",
    "Connection aborted": "the connection broke",
    "Read timed out": "the server takes the connection but gives no answer",
    "Failed to resolve": "there is no such host",
}
_CREATE_LOCK_SECONDS = 60.0
_EXPERIMENT = {"mlflow.experimentKind": "custom_model_development"}  # else the UI shows tables for language models


class MlflowStore:
    """Runs in a SQLite file, a database or a tracking server, for one thread. Any call may raise; each may be repeated
    after a failure, `create` after a `find`. `run_table`: how the table of the experiment's runs opens, if not as it
    comes.
    """

    def __init__(self, uri: str, experiment: str, run_table: str = "") -> None:
        self._uri = uri
        self._experiment = experiment
        self._run_table = run_table
        self._client: Any = None
        self._experiment_id = ""

    def open(self) -> None:
        """Import mlflow (seconds), connect, make the experiment if it is missing."""
        file = sqlite_file(self._uri)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        # Searches that start together on a new file must not both create its tables.
        with contextlib.nullcontext() if file is None else FileLock(f"{file}.lock", timeout=_CREATE_LOCK_SECONDS):
            if file is not None and not (file.exists() and file.stat().st_size):
                _make(file)
            elif file is not None:
                follow_move(file)
            self._client = connected(self._uri)
            _try_once(self._uri)
            found = self._client.get_experiment_by_name(self._experiment)
            if found is None:
                place = None if file is None else (file.resolve().parent / ARTIFACTS).as_uri()
                self._experiment_id = self._new_experiment(place)
                return
        if found.lifecycle_stage == "deleted":
            where = mask(absolute(self._uri))  # true in any working folder
            restore = python("mlflow", ["experiments", "restore", "-x", found.experiment_id])
            raise ValueError(
                f"the MLflow experiment {self._experiment!r} is deleted; restore it with "
                f"`MLFLOW_TRACKING_URI={shlex.quote(where)} {restore}` or set tracking.experiment to another name"
            )
        self._experiment_id = found.experiment_id
        with contextlib.suppress(Exception):  # who may write runs may not be allowed to change the experiment
            if self._run_table not in {"", found.tags.get(TAG)}:
                self._client.set_experiment_tag(self._experiment_id, TAG, self._run_table)

    def _new_experiment(self, place: str | None) -> str:
        try:
            tags = {**_EXPERIMENT, **({TAG: self._run_table} if self._run_table else {})}
            return str(self._client.create_experiment(self._experiment, artifact_location=place, tags=tags))
        except Exception:  # another search may have made it meanwhile
            found = self._client.get_experiment_by_name(self._experiment)
            if found is None:
                raise
            return str(found.experiment_id)

    def find(self, key: str) -> list[str]:
        """Ids of the runs with this key, oldest first."""
        runs = runs_of(self._client, self._experiment_id, f"tags.`{KEY_TAG}` = '{key}'")
        return [run.info.run_id for run in runs]

    def find_all(self, uid: str) -> dict[str, str]:
        """The oldest run of each key of a search: key -> id."""
        found: dict[str, str] = {}
        for run in runs_of(self._client, self._experiment_id, f"tags.`{KEY_TAG}` LIKE '{uid}/%'"):
            found.setdefault(run.data.tags[KEY_TAG], run.info.run_id)
        return found

    def create(self, name: str, tags: Mapping[str, str], start: int) -> str:
        """A new run, RUNNING since `start` (unix ms); its id. One request."""
        run = self._client.create_run(self._experiment_id, start_time=start, tags=dict(tags), run_name=name)
        return str(run.info.run_id)

    def write(self, run: str, metrics: Sequence[Point], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Add to a run; one request. The store keeps one of equal (key, step, time, value)."""
        from mlflow.entities import Metric, Param, RunTag  # loaded by `open`

        self._client.log_batch(
            run,
            metrics=[Metric(point.key, point.value, point.at, point.step) for point in metrics],
            params=[Param(key, value) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
            synchronous=True,
        )

    def set_status(self, run: str, status: RunStatus, at: int) -> None:
        """End the run at `at` (unix ms), or take it up again with RUNNING; one request."""
        if status == "RUNNING":
            self._client.update_run(run, status=status)
        else:
            self._client.set_terminated(run, status=status, end_time=at)

    def add_file(self, run: str, path: Path, into: str = "") -> None:
        """Keep a copy of a file or folder as the run's artifact, in the folder `into`."""
        self._client.log_artifact(run, str(path), into or None)

    def register(self, run: str, version: Registration) -> str:
        """Make a version of a registered model whose source is a folder of the run's artifacts; its number. One that is
        there already, from the same run, folder and tags, is not made twice.

        The source is plain files: MLflow's registry needs no `MLmodel`, and nothing in the folder is executed.
        """
        from mlflow.exceptions import MlflowException  # loaded by `open`
        from mlflow.utils.uri import append_to_uri_path

        source = append_to_uri_path(self._client.get_run(run).info.artifact_uri, version.folder)
        tags = {key: cut(text(value), TAG_LENGTH) for key, value in version.tags.items() if value is not None}
        try:
            self._client.create_registered_model(version.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        for known in self._client.search_model_versions(f"name = '{version.name}'", max_results=PAGE):
            if known.run_id == run and known.source == source and tags.items() <= known.tags.items():
                return str(known.version)
        made = self._client.create_model_version(
            version.name, source, run, tags=tags, description=version.description, await_creation_for=0
        )
        return str(made.version)

    def delete(self, run: str) -> None:
        """Mark a run deleted that doubles another."""
        self._client.delete_run(run)

    def refuses(self, error: Exception) -> bool:
        """Whether the store works but won't take what led to `error`."""
        from mlflow.exceptions import MlflowException  # loaded by `open`

        if not isinstance(error, MlflowException) or error.error_code not in _REFUSALS:
            return False
        with contextlib.suppress(Exception):
            return self._client.get_experiment(self._experiment_id) is not None
        return False

    def explain(self, error: Exception) -> str:
        """What `error` means, in one line for people: who is not let in, what is not installed, that nobody answers."""
        match getattr(error, "error_code", ""):
            case "UNAUTHENTICATED":
                who = self._who()
                if who is None:
                    return "the server asks who you are: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
                return f"the server does not accept {who}"
            case "PERMISSION_DENIED" if "Invalid Host" in str(error):
                return "the server does not take calls under this name of it: use another one, or its --allowed-hosts"
            case "PERMISSION_DENIED":
                who = self._who() or "whoever gives no name"
                return f"the server does not let {who} write to the experiment {self._experiment!r}"
        if isinstance(error, ModuleNotFoundError):
            return f"the Python package {error.name!r} is needed for it, and not installed here"
        said = cause(error)
        status = _STATUS_IN.search(said)
        if status is not None:
            return f"the server answers {status[1]}"
        return next((words for sign, words in _SIGNS.items() if sign in said), said)

    def _who(self) -> str | None:
        """As whom MLflow goes to a server, in its own order; None: as nobody."""
        from mlflow.utils.credentials import read_mlflow_creds  # loaded by `open`

        known = read_mlflow_creds()  # the environment, else ~/.mlflow/credentials
        if known.username and known.password:
            return f"the user {known.username!r} with that password"
        if os.environ.get("MLFLOW_TRACKING_TOKEN"):
            return "the token in MLFLOW_TRACKING_TOKEN"
        name = urlsplit(self._uri).username
        return f"the user {name!r} with the password in the URI" if name else None


def _try_once(uri: str) -> None:
    """Raise why a database can't be used, at once: MLflow tries ten times, for 104 s, before it says so."""
    if uri.partition(":")[0].partition("+")[0].lower() not in DATABASES:
        return
    from mlflow.store.db.utils import create_sqlalchemy_engine  # loaded by `connected`
    from sqlalchemy import inspect

    engine = create_sqlalchemy_engine(absolute(uri))
    try:
        inspect(engine)
    finally:
        engine.dispose()


def _make(file: Path) -> None:
    """A new database at `file`, whole or not at all: MLflow takes seconds to make its tables, in many steps, and can't
    go on with what a process leaves that was killed meanwhile.
    """
    for left in file.parent.glob(f".{file.name}.*.partial*"):
        left.unlink(missing_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    partial.touch()  # raises where nothing can be written, at once
    client = connected(f"sqlite:///{partial}")
    client.search_experiments(max_results=1)  # the first request makes the tables
    client._tracking_client.store.engine.dispose()
    partial.replace(file)
