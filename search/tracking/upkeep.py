"""What is done to a search's runs in MLflow when it may be over: a note on one, and their removal."""

from search.tracking.mlflow_reader import known, runs_of
from search.tracking.types import KEY_TAG
from search.tracking.updates import PARENT, TAG_LENGTH, cut, run_key

TAG = "note"


def mark(uri: str, experiment: str, uid: str, trial: int | None, text: str) -> bool:
    """Set the tag `note` on the run of a trial of the search `uid`, or on its own (None); whether there is one."""
    client, found = known(uri, experiment)
    if found is None:
        return False
    key = run_key(uid, PARENT if trial is None else trial)
    run = next(runs_of(client, found.experiment_id, f"tags.`{KEY_TAG}` = '{key}'"), None)
    if run is not None:
        client.set_tag(run.info.run_id, TAG, cut(text, TAG_LENGTH))
    return run is not None


def remove(uri: str, experiment: str, uid: str) -> tuple[int, bool]:
    """Delete every run of the search `uid`, artifacts and all.

    Args:
        uri: of the store.
        experiment: the experiment's name.
        uid: the search's, as in the key of each of its runs.

    Returns:
        How many runs were deleted, and whether they are gone for good: a server only marks them until its `mlflow gc`.

    """
    client, found = known(uri, experiment)
    if found is None:
        return 0, True
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # loaded by `known`

    store = client._tracking_client.store
    forget = getattr(store, "_hard_delete_run", None)  # stores that are a database; what `mlflow gc` calls
    runs = list(runs_of(client, found.experiment_id, f"tags.`{KEY_TAG}` LIKE '{uid}/%'", deleted=True))
    for run in runs:
        if run.info.lifecycle_stage == "active":
            client.delete_run(run.info.run_id)
        get_artifact_repository(run.info.artifact_uri).delete_artifacts()
        if forget is not None:
            forget(run.info.run_id)
    return len(runs), forget is not None
