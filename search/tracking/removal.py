"""Removing a search's runs from MLflow, artifacts and all."""

from search.common.store_uri import sqlite_file
from search.tracking.mlflow_reader import PAGE, connected
from search.tracking.types import KEY_TAG


def remove(uri: str, experiment: str, uid: str) -> tuple[int, bool]:
    """Delete every run of the search `uid`.

    Args:
        uri: of the store.
        experiment: the experiment's name.
        uid: the search's, as in the key of each of its runs.

    Returns:
        How many runs were deleted, and whether they are gone for good: a server only marks them until its `mlflow gc`.

    """
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        return 0, True
    client = connected(uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return 0, True
    from mlflow.entities import ViewType  # loaded by `connected`
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    query = f"tags.`{KEY_TAG}` LIKE '{uid}/%'"
    store = client._tracking_client.store
    forget = getattr(store, "_hard_delete_run", None)  # stores that are a database; what `mlflow gc` calls
    count = 0
    while runs := client.search_runs([found.experiment_id], query, run_view_type=ViewType.ALL, max_results=PAGE):
        for run in runs:
            if run.info.lifecycle_stage == "active":
                client.delete_run(run.info.run_id)
            get_artifact_repository(run.info.artifact_uri).delete_artifacts()
            if forget is not None:
                forget(run.info.run_id)
            count += 1
        if forget is None:
            break  # they stay in the answer, marked as deleted
    return count, forget is not None
