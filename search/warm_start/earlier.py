"""Earlier searches, read without a lock and without changing them: from their folder, or from an MLflow experiment.

An unfinished or running search is read as far as its journal goes now. Confirmation runs are left out: they repeat
configs of the search on other seeds.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from search.common.store_uri import mask, resolve_uri, unreachable
from search.history import journal
from search.history.events import FINAL, Status
from search.history.records import Records, Trial
from search.persistence.folder import JOURNAL
from search.spec.config import WarmStart
from search.spec.here import earlier_folder
from search.spec.search import Search, objective_name
from search.tracking.mlflow_reader import MlflowReader, TrackedRun
from search.tracking.updates import clean, cut, text
from search.warm_start.warm import Old, OldTrial
from spaces import strict_yaml
from spaces.domain import Categorical
from spaces.paths import leaves
from spaces.problems import BadInput, cause
from spaces.values import thaw
from trainables.own.model import OwnModel
from trainables.registry import models
from trainables.run import OBJECTIVE

NEEDED = ("settings", "base", "data_digest")
"""What search.yaml must say for its trials to be understood."""


def read(search: Search, path: Path, beside: Path) -> Old | None:
    """The trials that the search at `path` is to start from; None where it asks for none or has begun already, for
    then its own journal holds them. `beside` is the YAML's folder.

    Raises BadInput, before anything is written, for a source that is not there or of another kind.
    """
    start = search.settings.warm_start
    if start is None or journal.begun(path / JOURNAL):
        return None
    if start.search is None:
        return _experiment(search, start, path.parent)
    return _folder(search, earlier_folder(start, path, beside))


def check_fork(search: Search, path: Path) -> None:
    """Raise BadInput where the folder holds a search that started from elsewhere than the fork `search`."""
    start = search.settings.warm_start
    assert start is not None, "a fork starts from something"
    if not journal.begun(path / JOURNAL):
        return
    settings = _described(path)["settings"]
    known = settings.get("warm_start") if isinstance(settings, dict) else None
    if not isinstance(known, dict) or known.get("search") != start.search:
        what = f"a search of this name exists, and it did not start from {start.search}; give the fork another name"
        raise BadInput.of(f"--fork {path.name}", what)


def _folder(search: Search, place: Path) -> Old:
    described = _described(place)
    settings, base, digest = (described[key] for key in NEEDED)
    model = settings.get("model") if isinstance(settings, dict) else None
    if model != search.model.name and not (_own(search) and "trainable" in described):
        what = f"its model is {model}, here it is {search.model.name}: nothing can be taken over"
        raise BadInput.of(str(place), what)
    mine, theirs = (each.get("start", {}).get("checkpoint") for each in (search.identity()["settings"], settings))
    if mine != theirs:
        what = "its trials started from another checkpoint than these do: nothing can be taken over"
        raise BadInput.of(str(place), what)
    objective = objective_name(search.model.objective)
    if described.get("objective", objective) != objective:
        what = f"its objective is {described['objective']}, here it is {objective}: nothing can be taken over"
        raise BadInput.of(str(place), what)
    records = Records(journal.read(place / JOURNAL)[0])
    known = records.warm.observations if records.warm is not None else []
    trials = [OldTrial(each.name, base, digest, each.values, each.status, each.reports, each.reason) for each in known]
    name = str(described.get("name", place.name))
    trials += [_trial(trial, name, base, digest) for trial in records.of_kind("search")]
    return Old(f"search {name}", trials)


def _described(place: Path) -> dict[str, Any]:
    described = strict_yaml.load(place / "search.yaml")
    if not isinstance(described, dict) or any(key not in described for key in NEEDED):
        raise BadInput.of(str(place / "search.yaml"), f"does not describe a search: {', '.join(NEEDED)} are needed")
    return described


def _trial(trial: Trial, name: str, base: Mapping[str, Any], digest: str) -> OldTrial:
    return OldTrial(
        name=f"{name} trial {trial.number}",
        base=base,
        data=digest,
        values=trial.values,
        status="running" if trial.status == "proposed" else trial.status,
        reports=[(report.step, report.metrics[OBJECTIVE]) for report in trial.reports],
        reason=trial.reason,
        changed=trial.changed is not None,
    )


def _experiment(search: Search, start: WarmStart, results: Path) -> Old:
    assert start.experiment is not None, "checked by the schema"
    uri = start.uri or resolve_uri(search.settings.tracking.uri, results)
    where = f"warm_start: MLflow experiment {start.experiment!r} in {mask(uri)}"
    if reason := unreachable(uri):
        raise BadInput.of(where, f"can't be read: {reason}")
    try:
        reader = MlflowReader(uri, start.experiment)
        runs = reader.runs()
        trials = list(_tracked(search, reader, runs))
    except LookupError as error:
        raise BadInput.of(where, str(error).replace("valid keys", "there are")) from error
    except Exception as error:  # MLflow's, its database's or its connection's
        raise BadInput.of(where, f"can't be read: {mask(cut(cause(error), 300))}") from error
    if not trials:
        models = sorted({run.tags["model"] for run in runs if _is_trial(run) and "model" in run.tags})
        what = f"it has trials of {', '.join(models)} only" if models else "it has no trials of a search"
        raise BadInput.of(where, f"{what}; trials of {search.model.name} are needed")
    return Old(f"MLflow experiment {start.experiment} in {mask(uri)}", trials)


def _is_trial(run: TrackedRun) -> bool:
    tags = run.tags
    return tags.get("kind") == "search" and tags.get("trial", "").isdecimal() and "mlflow.parentRunId" in tags


def _tracked(search: Search, reader: MlflowReader, runs: Sequence[TrackedRun]) -> Iterator[OldTrial]:
    """The trials of this model and objective, search by search."""
    by_id = {run.id: run for run in runs}
    objective = objective_name(search.model.objective)
    parents = {run.id: number for number, run in enumerate(runs)}
    mine = [
        run
        for run in runs
        if _is_trial(run)
        and (run.tags.get("model") == search.model.name or (_own(search) and run.tags.get("model") not in models()))
        and run.tags.get("objective", objective) == objective
    ]
    mine.sort(key=lambda run: (parents.get(run.tags["mlflow.parentRunId"], -1), int(run.tags["trial"])))
    for run in mine:
        parent = by_id.get(run.tags["mlflow.parentRunId"])
        base = _mapping(parent.tags.get("base", "")) if parent is not None else None
        status = run.tags.get("status", "running")
        now = _mapping(run.tags.get("knobs_now", ""))
        yield OldTrial(
            name=f"{parent.tags.get('search', 'run') if parent is not None else 'run'} trial {run.tags['trial']}",
            base=base,
            data=run.tags.get("data_hash", ""),
            values=_values(run, search, base) if now is None else now,
            status=cast(Status, status) if status in FINAL else "running",
            reports=[(point.step, point.value) for point in reader.points(run.id, OBJECTIVE)],
            reason=run.tags.get("reason", ""),
            changed="knobs_now" in run.tags,
        )


def _own(search: Search) -> bool:
    """Whether the search is of declared training code: its model is called as its YAML is, so that the name says
    nothing; whether the code is the same is told by its digest, which is that of the data."""
    return isinstance(search.model, OwnModel)


def _mapping(tag: str) -> dict[str, Any] | None:
    """The mapping in a tag; None for one that is missing, or was cut for its length."""
    found = _parsed(tag)
    return found if isinstance(found, dict) else None


def _values(run: TrackedRun, search: Search, base: Mapping[str, Any] | None) -> dict[str, Any]:
    """The knobs of a trial from its params, which hold them as text under a cleaned name."""
    domains = {knob.path: knob.domain for knob in search.space.knobs}
    paths = {clean(path): path for path in [*leaves(search.base if base is None else base), *domains]}
    values = {}
    for key, said in run.params.items():
        path = paths.get(key, key)
        domain = domains.get(path)
        choices = [thaw(choice) for choice in domain.choices] if isinstance(domain, Categorical) else []
        values[path] = next((choice for choice in choices if text(choice) == said), _parsed(said))
    return values


def _parsed(said: str) -> Any:
    try:
        return json.loads(said)
    except ValueError:
        return said
