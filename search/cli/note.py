"""Notes on a search and its trials: kept in its folder, and told to MLflow."""

from pathlib import Path

from search.common.store_uri import mask, resolve_uri, unreachable
from search.report import remarks
from search.report.material import gather
from search.tracking import marking
from search.tracking.run_ids import uid_of
from spaces.problems import BadInput, cause


def put(folder: Path, trial: int | None, text: str) -> str:
    """Keep the note; says where. Raises BadInput where there is no such search or trial."""
    material = gather(folder)
    if trial is not None and trial not in material.records.trials:
        last = max(material.records.trials, default=-1)
        raise BadInput.of("--trial", f"{folder} has no trial {trial}; it has 0 to {last}")
    remarks.put(folder, trial, text)
    uid = uid_of(folder / "tracking.jsonl")
    if not uid:
        return f"noted in {folder}"
    tracking = material.settings.get("tracking") or {}
    uri = resolve_uri(tracking.get("uri"), folder.parent)
    experiment, reason = tracking.get("experiment") or material.model.name, unreachable(uri)
    try:
        found = reason is None and marking.mark(uri, experiment, uid, trial, text)
    except Exception as error:  # MLflow's, its database's or its connection's
        reason, found = mask(cause(error)), False
    if found:
        return f"noted in {folder} and in MLflow"
    return f"noted in {folder}, not in MLflow: {reason or 'it has no such run'}"
