"""A note on a run of a search that may be over."""

from search.common.store_uri import sqlite_file
from search.tracking.mlflow_reader import connected
from search.tracking.types import KEY_TAG
from search.tracking.updates import PARENT, TAG_LENGTH, cut, run_key

TAG = "note"


def mark(uri: str, experiment: str, uid: str, trial: int | None, text: str) -> bool:
    """Set the tag `note` on the run of a trial of the search `uid`, or on its own (None); whether there is one."""
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        return False
    client = connected(uri)
    known = client.get_experiment_by_name(experiment)
    if known is None:
        return False
    key = run_key(uid, PARENT if trial is None else trial)
    runs = client.search_runs([known.experiment_id], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    for run in runs:
        client.set_tag(run.info.run_id, TAG, cut(text, TAG_LENGTH))
    return bool(runs)
