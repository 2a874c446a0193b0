"""The searches to be compared: from their folders, or from MLflow, each read into the same `Material`."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from search.common.store_uri import mask, unreachable
from search.history.events import FINAL, Changed, Ended, Event, Phase, Proposed, Reported, Started, Status
from search.history.journal import Journal
from search.report.material import JOURNAL, PLAN, SETTINGS, Material, gather
from search.tracking.mlflow_reader import MlflowReader, TrackedRun
from search.tracking.updates import CONFIRMED, clean, cut, text
from spaces import strict_yaml
from spaces.domain import Categorical
from spaces.paths import leaves
from spaces.problems import BadInput, Problem, cause, nearest, raise_any
from spaces.space import parse_space
from spaces.values import thaw
from trainables.run import OBJECTIVE, SECONDS, Outcome


@dataclass(frozen=True)
class Source:
    """A search, and where it was read."""

    material: Material
    where: str
    """Its folder, or its MLflow experiment, as given."""
    tracked: bool = False
    """Read from MLflow, which does not know when a search was down."""

    @property
    def name(self) -> str:
        """The search's name."""
        return self.material.name


def from_folders(paths: Sequence[Path]) -> tuple[list[Source], list[str]]:
    """The searches in `paths`, and a line on what was passed over.

    A path that exists and holds no search is passed over where two others hold one, so that `results/*` can be typed.
    Raises BadInput with every path that doesn't exist, is damaged, or is needed and holds no search.
    """
    problems: list[Problem] = []
    found: list[Source] = []
    seen: dict[Path, Path] = {}
    searches = [path for path in paths if (path / JOURNAL).is_file()]
    several = len({path.resolve() for path in searches}) > 1
    others = [path for path in paths if several and path.exists() and path not in searches]
    for path in [path for path in paths if path not in others]:
        if path.resolve() in seen:
            problems.append(Problem(str(path), "is given twice; name each search once"))
            continue
        seen[path.resolve()] = path
        try:
            found.append(Source(gather(path), shown(path)))
        except BadInput as error:
            problems += [_hinted(path, problem) for problem in error.problems]
    raise_any(problems)
    return found, [f"{', '.join(shown(path) for path in others)}: no search, passed over"] if others else []


def shown(path: Path) -> str:
    """A folder as given; of an absolute one its end, as a page may be passed on, and nobody else has this machine."""
    return str(Path(*path.parts[-2:])) if path.is_absolute() else str(path)


def _hinted(path: Path, problem: Problem) -> Problem:
    """With the searches that lie where one was looked for."""
    if (path / JOURNAL).exists():
        return problem
    if path.is_dir() and (inside := _searches(path)):
        return Problem(str(path), f"holds no search itself, but {', '.join(inside[:6])}: name those to be compared")
    near = nearest(path.name, _searches(path.parent)).replace("valid keys", "there are")
    return Problem(problem.where, problem.what + near)


def _searches(folder: Path) -> list[str]:
    return sorted(found.parent.name for found in folder.glob(f"*/{JOURNAL}"))


def from_experiment(experiment: str, uri: str) -> tuple[list[Source], list[str]]:
    """The searches of an MLflow experiment, and what to say of those that can't be read.

    Raises BadInput where there is no such experiment, or no search in it that can be compared.
    """
    where = f"MLflow experiment {experiment!r} in {mask(uri)}"
    if reason := unreachable(uri):
        raise BadInput.of(where, f"can't be read: {reason}")
    try:
        found, notes = tracked(MlflowReader(uri, experiment), f"MLflow experiment {experiment}")
    except LookupError as error:
        raise BadInput.of(where, str(error).replace("valid keys", "there are")) from error
    except BadInput:
        raise
    except Exception as error:  # MLflow's, its database's or its connection's
        raise BadInput.of(where, f"can't be read: {mask(cut(cause(error), 300))}") from error
    if not found:
        raise BadInput.of(where, "; ".join(notes) or "it holds no search; name the experiment of one")
    return found, notes


def tracked(reader: MlflowReader, where: str) -> tuple[list[Source], list[str]]:
    """The searches that `reader` finds, and a line on each that can't be compared."""
    runs = reader.runs()
    children: dict[str, list[TrackedRun]] = {}
    for run in runs:
        if parent := run.tags.get("mlflow.parentRunId"):
            children.setdefault(parent, []).append(run)
    found, notes = [], []
    for run in runs:
        if run.tags.get("kind") != "search" or "mlflow.parentRunId" in run.tags:
            continue
        name = run.tags.get("search", run.id)
        settings = reader.read_text(run.id, SETTINGS)
        if settings is None:
            notes.append(f"{name} in {where} is left out: it has no {SETTINGS} among its artifacts before its end")
            continue
        try:
            material = _rebuilt(reader, run, children.get(run.id, []), settings)
        except BadInput as error:
            notes.append(f"{name} in {where} is left out: {error.problems[0]}")
            continue
        found.append(Source(material, where, tracked=True))
    return found, notes


def _rebuilt(reader: MlflowReader, run: TrackedRun, children: Sequence[TrackedRun], settings: str) -> Material:
    """The search as its folder would tell it: what MLflow knows of it, written as such a folder and read again."""
    content = strict_yaml.loads(settings, SETTINGS)
    if not isinstance(content, dict):
        raise BadInput.of(SETTINGS, "describes no search")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / SETTINGS).write_text(settings, encoding="utf-8")
        if plan := reader.read_text(run.id, PLAN):
            (folder / PLAN).write_text(plan, encoding="utf-8")
        with Journal(folder / JOURNAL) as journal:
            for event in _events(reader, run, children, content):
                journal.append(event)
        return replace(gather(folder), folder=Path(str(content.get("name") or run.tags.get("search", run.id))))


def _events(
    reader: MlflowReader, run: TrackedRun, children: Sequence[TrackedRun], content: Mapping[str, Any]
) -> Iterator[Event]:
    """What happened, in order of time. Retries and pauses are not known any more, nor needed."""
    space = parse_space(content.get("space", {}), SETTINGS)
    base, horizon = content.get("base", {}), int(content.get("horizon", 0))
    paths = {clean(path): path for path in [*leaves(base), *space.by_path]}
    choices = {knob.path: knob.domain.choices for knob in space.knobs if isinstance(knob.domain, Categorical)}

    def value(path: str, said: str) -> Any:
        known = [thaw(choice) for choice in choices.get(path, ())]
        return next((choice for choice in known if text(choice) == said), _parsed(said))

    found: list[tuple[float, int, Event]] = []
    trials = {int(child.tags["trial"]): child for child in reversed(children) if _is_trial(child)}
    for child in trials.values():
        values = {paths.get(key, key): value(paths.get(key, key), said) for key, said in child.params.items()}
        lives = list(_life(reader, child, values, horizon))
        found += [(event.at, order, event) for order, event in enumerate(lives, 1)]
    begun = [at for at, _, event in found if isinstance(event, Proposed)]
    runs = [event for _, _, event in found if isinstance(event, Proposed) and event.kind == "confirm"]
    if begun:
        found.append((min(begun), 0, Phase("search", min(begun))))
    own = {event.trial for _, _, event in found if isinstance(event, Proposed) and event.kind == "search"}
    at = _confirmed_at(run.tags, runs)
    if at is not None:
        found.append((at, 0, Phase("confirm", at)))
    if at is not None and run.tags.get("phase") == "search":  # with a larger budget
        later = [when for when, _, event in found if getattr(event, "trial", None) in own and when > at]
        again = min(later, default=max(when for when, _, _ in found))
        found.append((again, 0, Phase("search", again)))
    if begun and run.tags.get("phase") == "done":
        last = max(at for at, _, _ in found)
        found.append((last, 10**9, Phase("done", last)))
    yield from (event for _, _, event in sorted(found, key=lambda each: each[:2]))


def _confirmed_at(tags: Mapping[str, str], runs: Sequence[Proposed]) -> float | None:
    """When the confirmation began; its runs may have begun while the search still trained. An older version does not
    say when, and began none before."""
    told = _parsed(tags.get(CONFIRMED, ""))
    if isinstance(told, int | float):
        return float(told)
    return None if tags.get("phase") == "search" else min((run.at for run in runs), default=None)


def _is_trial(run: TrackedRun) -> bool:
    return run.tags.get("trial", "").isdecimal() and run.tags.get("kind") in {"search", "confirm", "explain"}


def _life(reader: MlflowReader, child: TrackedRun, values: Mapping[str, Any], horizon: int) -> Iterator[Event]:
    tags, number = child.tags, int(child.tags["trial"])
    points = reader.points(child.id, OBJECTIVE)
    began = child.start / 1000
    seconds = {point.step: point.value for point in reader.points(child.id, SECONDS)}
    kind = tags["kind"]
    seed = int(tags["seed"]) if tags.get("seed", "").isdecimal() else 0
    yield Proposed(number, values, seed, kind, tags.get("origin", ""), began)  # type: ignore[arg-type]
    yield Started(number, tags.get("host", ""), 0, tags.get("gpu", ""), began)
    status = cast(Status, tags["status"]) if tags.get("status") in FINAL else None
    changed = _parsed(tags.get("knobs_now", ""))
    if isinstance(changed, dict):
        yield Changed(number, changed, began)
    last = began
    for point in points:
        ended = status if point is points[-1] else None
        last = max(last, point.at / 1000)
        outcome: Outcome = "ended" if ended == "completed" and point.step < horizon else "running"
        outcome = "diverged" if ended == "diverged" else outcome
        yield Reported(number, point.step, {OBJECTIVE: point.value}, seconds.get(point.step, 0.0), last, outcome)
    if status is not None:
        reason = tags.get("reason", "")
        yield Ended(number, status, reason, max(last, (child.end or child.start) / 1000))


def _parsed(said: str) -> Any:
    """A param or tag as `updates.text` wrote it: JSON, or text as it is."""
    try:
        return json.loads(said, parse_constant=_no_number)
    except ValueError:
        return said


def _no_number(said: str) -> float:
    raise ValueError(f"{said} is text here: numbers are finite")
