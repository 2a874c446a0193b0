"""What is done to a search of the past: noting something on it, and deleting it; its folder, and its runs in MLflow."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from search.common.store_uri import mask, resolve_uri, unreachable
from search.report import remarks
from search.report.listing import row, size
from search.report.material import Material, gather
from search.spec.storage import NOTE
from search.tracking import upkeep
from search.tracking.run_ids import uid_of
from spaces.problems import BadInput, cause


def note(folder: Path, trial: int | None, text: str) -> str:
    """Keep a note on the search, or on a trial; says where. Raises BadInput where there is no such search or trial."""
    material = gather(folder)
    if trial is not None and trial not in material.records.trials:
        last = max(material.records.trials, default=-1)
        raise BadInput.of("--trial", f"{folder} has no trial {trial}; it has 0 to {last}")
    remarks.put(folder, trial, text)
    uri, experiment, uid = _tracked(material, folder)
    if not uid:
        return f"noted in {folder}"
    reason = unreachable(uri)
    try:
        found = reason is None and upkeep.mark(uri, experiment, uid, trial, text)
    except Exception as error:  # MLflow's, its database's or its connection's
        reason, found = mask(cause(error)), False
    if found:
        return f"noted in {folder} and in MLflow"
    return f"noted in {folder}, not in MLflow: {reason or 'it has no such run'}"


@dataclass(frozen=True)
class Order:
    """What is to be deleted."""

    folder: Path
    bytes: int
    trials: int
    uri: str
    """Of MLflow."""
    experiment: str
    uid: str
    """Of the search in MLflow; empty where nothing was tracked."""

    def lines(self) -> Iterator[str]:
        """What will be gone, in words."""
        yield f"{self.folder}: {self.trials} trials, {size(self.bytes)}"
        if self.uid:
            yield f"its runs in MLflow, with their artifacts: experiment {self.experiment} in {mask(self.uri)}"


def prepare(folder: Path) -> Order:
    """Look at what there is. Raises BadInput for what is no search, runs, or is kept in a store."""
    material = gather(folder)
    if material.standing.running:
        raise BadInput.of(str(folder), "this search is running; stop it first, then delete it")
    if (folder / NOTE).exists():
        where = (folder / NOTE).read_text(encoding="utf-8").strip()
        raise BadInput.of(str(folder), f"is a copy of the search in {where}; delete it there, then this folder")
    return Order(folder, row(material).bytes, len(material.trials), *_tracked(material, folder))


def carry_out(order: Order) -> Iterator[str]:
    """Delete, the runs first: while the folder is there, what failed can be tried again.

    Raises BadInput where the search has begun to run, or MLflow can't be reached.
    """
    try:
        with FileLock(order.folder / ".lock", timeout=0):
            if order.uid:
                yield _runs(order)
            shutil.rmtree(order.folder)
    except Timeout as error:
        raise BadInput.of(str(order.folder), "this search is running; stop it first, then delete it") from error
    yield f"deleted {order.folder}"


def _runs(order: Order) -> str:
    where = f"MLflow at {mask(order.uri)}"
    if reason := unreachable(order.uri):
        raise BadInput.of(where, f"can't be reached ({reason}), so nothing was deleted; try again when it is there")
    try:
        gone, whole = upkeep.remove(order.uri, order.experiment, order.uid)
    except Exception as error:  # MLflow's, its database's or its connection's
        raise BadInput.of(where, f"refused ({mask(cause(error))}); the folder is still there") from error
    left = "" if whole else "; the server keeps them as deleted until `mlflow gc` is run there"
    return f"deleted {gone} runs in MLflow{left}"


def _tracked(material: Material, folder: Path) -> tuple[str, str, str]:
    """MLflow's URI, the experiment, and the search's uid there; no uid where nothing was tracked."""
    tracking = material.settings.get("tracking") or {}
    uri = resolve_uri(tracking.get("uri"), folder.parent)
    return uri, tracking.get("experiment") or material.model.name, uid_of(folder / "tracking.jsonl")
