"""The connection to MLflow, and the runs of an experiment read from it."""

import logging
import os
import posixpath
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.common.store_uri import absolute, sqlite_file
from search.tracking.updates import Point
from spaces.problems import nearest

# Set where the user has not: MLflow's own patience (7 retries of 120 s) would hold every batch for minutes. A retried
# request to create a run may create two, so repeating is left to the tracker, which looks first.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
PAGE = 1000  # runs in one answer


def connected(uri: str) -> Any:
    """A client. Imports mlflow, which takes seconds."""
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    from mlflow.tracking import MlflowClient  # slow: in the tracking process, not while the search starts

    for name, level in (("mlflow", logging.ERROR), ("alembic", logging.WARNING)):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it logs a traceback per failure
    return MlflowClient(absolute(uri))  # MLflow keeps one connection per spelling, also for another working folder


def known(uri: str, experiment: str) -> tuple[Any, Any]:
    """A client, and the experiment of this name, or None; both None where the database's file is not there, for MLflow
    would make it.
    """
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        return None, None
    client = connected(uri)
    return client, client.get_experiment_by_name(experiment)


def runs_of(client: Any, experiment_id: str, query: str = "", deleted: bool = False) -> Iterator[Any]:
    """The runs of an experiment that `query` finds, oldest first, asked for page by page. `deleted`: those, too."""
    from mlflow.entities import ViewType  # loaded by `connected`

    view, token = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY, None
    while True:
        page = client.search_runs([experiment_id], query, view, PAGE, ["attributes.start_time ASC"], token)
        yield from page
        token = page.token
        if not token:
            return


@dataclass(frozen=True)
class TrackedRun:
    """A run that is in MLflow."""

    id: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    start: int = 0  # unix milliseconds, also below
    end: int | None = None


class MlflowReader:
    """The runs of an experiment; changes nothing there."""

    def __init__(self, uri: str, experiment: str) -> None:
        """Raises LookupError without such an experiment, and whatever MLflow raises where it can't be reached."""
        self._client, found = known(uri, experiment)
        if self._client is None:
            raise LookupError(f"{sqlite_file(uri)} does not exist")
        if found is None:
            names = [each.name for each in self._client.search_experiments(max_results=100)]
            raise LookupError(f"there is no experiment {experiment!r}{nearest(experiment, names)}")
        self._experiment_id = found.experiment_id

    def runs(self) -> list[TrackedRun]:
        """All that are not deleted, oldest first."""
        return [
            TrackedRun(run.info.run_id, run.data.params, run.data.tags, run.info.start_time, run.info.end_time)
            for run in runs_of(self._client, self._experiment_id)
        ]

    def points(self, run: str, metric: str) -> list[Point]:
        """A metric's values by step, one a step, with the time of each."""
        found = self._client.get_metric_history(run, metric)
        single = {point.step: Point(metric, point.value, point.step, point.timestamp) for point in found}
        return [single[step] for step in sorted(single)]

    def read_text(self, run: str, path: str) -> str | None:
        """A text file among the run's artifacts; None where there is none."""
        if path not in {file.path for file in self._client.list_artifacts(run, posixpath.dirname(path) or None)}:
            return None
        with tempfile.TemporaryDirectory() as place:
            return Path(self._client.download_artifacts(run, path, place)).read_text(encoding="utf-8")
