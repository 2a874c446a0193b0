"""From what the user wrote to one checked search: the YAML, the native file and the model's space put together."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from search.common.quantities import seconds, size, units
from search.common.store_uri import VARIABLE, mask, unusable
from search.spec import fit, storage
from search.spec.config import Settings, WarmStart, read_settings
from search.spec.knobs import filled, named, searched_space
from search.spec.own import checked
from search.stopping.rungs import Goal
from spaces import strict_yaml
from spaces.paths import get, with_values
from spaces.problems import BadInput, Problem
from spaces.schema import Section
from spaces.space import Space
from trainables.keys import Taken, unsettled
from trainables.native import parse_native, plain, unknown_keys
from trainables.own import spec
from trainables.own.model import OwnModel, from_declaration
from trainables.registry import model_named
from trainables.run import PACE, Model, Objective

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Search:
    """A search that can be planned and run. Holds no open resources and needs no files any more."""

    name: str
    source: str
    """The search YAML's path, as it was typed: where problems are."""
    settings: Settings
    model: Model[Any, Any]
    base: Mapping[str, Any]
    """The whole native config: the user's file, what it omits as the user's script takes it, or without a file the
    documented recipe; fixed knobs set, length = `horizon`."""
    base_source: str | None
    """The text of the user's native file, to be handed back with the winning values in it."""
    base_name: str
    data: Section
    space: Space
    fixed: Mapping[str, Any]
    """Knobs that the search YAML took out of the search by giving them a value."""
    horizon: int
    """A full training, in the model's unit."""
    every: int
    """Units between evaluations; divides every rung but the last."""
    total_steps: int | None
    wall: float | None
    """Seconds."""
    further: tuple[Goal, ...]
    """Objectives beside the model's own."""
    trial_timeout: float | None
    """Seconds between two reports of a trial."""
    memory: int | None
    """Bytes that a trial may hold."""
    gpu_memory: int | None
    """Bytes of GPU memory that a trial may hold."""
    disk: int | None
    """Bytes that all checkpoints may take."""
    prefixes: int | None
    """Bytes that the states may take which trials share."""
    warnings: tuple[str, ...]
    filled: Mapping[str, Any]
    """What keys of the space and of its conditions mean that the user's file omits: what the user's script does."""
    unsettled: Mapping[str, Taken]
    """Keys that the user's file omits although it can't tell what their script does then."""
    left_out: Mapping[str, str]
    """Knobs of the model's space that would change nothing with this base, each with the reason."""
    checked: Mapping[str, str] = field(default_factory=dict)
    """What the probe found of a `trainable`, by question."""
    outside: Mapping[str, Any] | None = None
    """What refers to a model in a file of the user's own, `model: ./spec.py`."""

    @property
    def starts_over(self) -> bool:
        """Whether a trial that goes on after a pause trains again what it had."""
        return isinstance(self.model, OwnModel) and self.model.declared.paused == "rerun"

    @property
    def trainable(self) -> Mapping[str, Any] | None:
        """What refers to the user's own code in other processes and in files; None for a model by name."""
        if not isinstance(self.model, OwnModel):
            return self.outside
        return self.model.reference.model_dump(mode="json", exclude_none=True, exclude_defaults=True)

    @property
    def data_dump(self) -> dict[str, Any]:
        """The `data:` section with its defaults filled in."""
        return self.data.model_dump(mode="json", exclude_none=True)

    def identity(self) -> dict[str, Any]:
        """What makes it this search and no other, as plain values; budgets may grow and resources change."""
        settings = self.settings.model_dump(mode="json", include={"model", "early_stopping", "sampler"})
        start = self.settings.warm_start
        if start is not None:
            uri = {"uri": mask(start.uri)} if start.uri is not None else {}
            settings["warm_start"] = {**start.model_dump(mode="json", exclude_none=True), **uri}
        if self.further:
            settings["objectives"] = self.settings.objectives
        if self.settings.share == "on":  # where it says nothing nothing is shared, as before there was a choice
            settings["share"] = "on"
        own: dict[str, Any] = {}
        if self.trainable is not None:
            way = "trainable" if "declaration" in self.trainable else "spec"
            own = {way: self.trainable.get("declaration", self.trainable.get("spec")), "code": self.trainable["code"]}
        return {
            "settings": settings,
            **own,
            "data": self.data_dump,
            "base": dict(self.base),
            "space": self.space.as_dict(),
            "horizon": self.horizon,
            "every": self.every,
        }

    @property
    def digest(self) -> str:
        """Names the search by content: equal digests are the same search."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:16]

    def to_yaml(self, data_digest: str) -> str:
        """The resolved search, as kept in its folder."""
        head = f"# The search as it ran, every default filled in. hash: {self.digest}\n"
        rest = {"budget", "confirm", "resources", "max_failures", "stop_after_failures", "trial_timeout"}
        content = {
            "name": self.name,
            **self.identity(),
            "objective": objective_name(self.model.objective),
            "data_digest": data_digest,
            **({"reference": self.trainable} if self.trainable is not None else {}),
            **({"checked": dict(self.checked)} if self.checked else {}),
            **self.settings.model_dump(mode="json", include=rest),
        }
        return head + strict_yaml.dumps(content)


def objective_name(objective: Objective) -> str:
    """Tells objectives apart: trials of two are not compared."""
    return f"{objective.metric} ({objective.mode})"


class _Problems:
    """Collects what independent checks find, so that the user sees all of it at once."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def checked(self, check: Callable[[], T]) -> T | None:
        try:
            return check()
        except BadInput as error:
            self.found += error.problems
            return None

    def stop(self) -> None:
        if self.found:
            raise BadInput(self.found)


def resolve(path: Path, overrides: Sequence[str] = (), name: str | None = None, fork: str | None = None) -> Search:
    """Read and check everything that a search needs, data aside. Raises BadInput with all problems found.

    `fork`: the name of a new search that starts from the trials of the one that this would otherwise be.
    """
    where = str(path)
    settings = read_settings(path, overrides)
    source, base_name = _source(settings, path)
    given = parse_native(source, base_name, base_name) if source is not None else settings.arguments or {}
    outside: spec.SpecReference | None = None
    if settings.trainable is not None:
        model: Model[Any, Any] = from_declaration(settings.trainable, path, (base_name, source))
        settings = checked(settings.model_copy(update={"model": model.name}), settings.trainable, where)
    else:
        if spec.is_file(settings.model or ""):
            model, outside = spec.from_file(settings.model or "", path)
            settings = settings.model_copy(update={"model": model.name})
        else:
            model = model_named(settings.model or "", f"{where} model")
        given = given if source is not None else dict(model.documented())
    native = _full(model, given, base_name if settings.trainable is None else where)
    fitted, fixed = searched_space(model, settings, native, where)
    native = _full(model, with_values(native, fixed), where)
    horizon, every, total, wall = _lengths(model, settings, native, where)
    timeout, memory, gpu_memory, disk, prefixes = _limits(settings, where)
    further = _further(settings, model.objective, where)
    if settings.storage is not None:
        storage.parsed(settings.storage, f"{where} storage")
    _check_tracking(settings, where)
    native = with_values(native, {model.length_key: horizon})
    alive = fit.acting(model, fitted.space.in_steps(horizon), native, horizon, named(settings), where)
    left_out = {**fitted.left_out, **alive.left_out}
    if not alive.space.knobs:
        raise BadInput.of(f"{where} space", f"no knob is left to search; {fit.described(left_out)}")
    config = model.parse(native, where)
    data = model.parse_data(settings.data or {}, config, where)
    unknown = unknown_keys(config)
    own = settings.trainable is not None or outside is not None
    chosen = name or settings.name or (path.stem if own else f"{model.name}-{path.stem}")
    if fork is not None:
        settings, chosen = _forked(settings, chosen, fork, where), fork
    if not _NAME.fullmatch(chosen):
        raise BadInput.of("name", f"{chosen!r} can't name a folder; use letters, digits, '.', '_' and '-'")
    read = model.parse(given, base_name)
    remarks = tuple(f"{base_name}: {said}" for said in read.remarks())
    open_keys = {path: taken for path, taken in unsettled(read) if path not in fixed} if source is not None else {}
    carried = (f"{base_name}: carried through unread: {', '.join(unknown)}",) if unknown else ()
    return Search(
        name=chosen,
        source=where,
        settings=settings,
        model=model,
        base=native,
        base_source=source,
        base_name=base_name,
        data=data,
        space=alive.space,
        fixed=fixed,
        horizon=horizon,
        every=every,
        total_steps=total,
        wall=wall,
        further=further,
        trial_timeout=timeout,
        memory=memory,
        gpu_memory=gpu_memory,
        disk=disk,
        prefixes=prefixes,
        warnings=(*remarks, *carried),
        filled=filled(model, with_values(given, fixed), config, alive.space, {*left_out, *open_keys}),
        unsettled=open_keys,
        left_out=left_out,
        outside=None if outside is None else outside.model_dump(mode="json"),
    )


def _forked(settings: Settings, source: str, fork: str, where: str) -> Settings:
    if settings.warm_start is not None:
        what = f"a search starts from one place; take this out: with --fork it starts from {source} and what that knew"
        raise BadInput.of(f"{where} warm_start", what)
    if fork == source:
        raise BadInput.of("--fork", f"{fork!r} is the search to start from; give the new one another name")
    return settings.model_copy(update={"warm_start": WarmStart(search=source)})


def adopted(search: Search, keys: Mapping[str, Any]) -> Search:
    """The search with the config keys that its data decides (dotted path -> value) in its base; `search` itself where
    they stand there already. Raises BadInput where the model refuses them.
    """
    base = with_values(search.base, keys)
    if base == search.base:
        return search
    return replace(search, base=plain(search.model.parse(base, "the base with what the data says of itself")))


def _source(settings: Settings, path: Path) -> tuple[str | None, str]:
    if settings.base is None:
        return None, "config.yaml"
    file = path.parent / settings.base
    return strict_yaml.read_text(file), file.name


def _full(model: Model[Any, Any], native: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`native` checked, what it omits filled in."""
    return plain(model.parse(native, where))


def _lengths(
    model: Model[Any, Any], settings: Settings, native: Mapping[str, Any], where: str
) -> tuple[int, int, int | None, float | None]:
    """Horizon, units between evaluations, total steps (all in the model's unit) and wall seconds."""
    budget, unit = settings.budget, model.unit
    problems = _Problems()

    def span(key: str, value: int | str | None) -> int | None:
        return problems.checked(lambda: units(value, unit, f"{where} budget.{key}")) if value is not None else None

    horizon = span("steps", budget.steps)
    horizon = horizon or int(get(native, model.length_key))
    every = span("evaluate_every", budget.evaluate_every) or _cadence(horizon)
    total = span("total_steps", budget.total_steps)
    limit = budget.wall
    wall = problems.checked(lambda: seconds(limit, f"{where} budget.wall")) if limit is not None else None
    if every > horizon or horizon % every:
        near = max(e for e in range(1, min(every, horizon) + 1) if horizon % e == 0)
        what = (
            f"{every} {unit}s does not divide budget.steps, {horizon}: evaluations would miss the last rung; try {near}"
        )
        problems.found.append(Problem(f"{where} budget.evaluate_every", what))
    problems.stop()
    return horizon, every, total, wall


def _further(settings: Settings, own: Objective, where: str) -> tuple[Goal, ...]:
    """The objectives beside the model's own. Raises BadInput for a metric that a searched knob may enter."""
    goals = [Goal(*item) for given in settings.objectives or () for item in given.items()]
    known = {**own.further, PACE: "min"}
    problems: list[Problem] = []
    if goals and goals[0] != Goal(own.metric, own.mode):
        what = f"the first must be the model's own, {own.metric}: {own.mode}, which decides the verdict"
        problems.append(Problem(f"{where} objectives", f"{what}; got {goals[0].metric}: {goals[0].mode}"))
    for goal in goals[1:]:
        if known.get(goal.metric) != goal.mode:
            choice = ", ".join(f"{metric}: {mode}" for metric, mode in known.items())
            what = f"{goal.metric}: {goal.mode} can't be one; choose of {choice}"
            problems.append(Problem(f"{where} objectives", what))
    if len({goal.metric for goal in goals}) < len(goals):
        problems.append(Problem(f"{where} objectives", "a metric stands there twice"))
    if problems:
        raise BadInput(problems)
    return tuple(goals[1:])


def _check_tracking(settings: Settings, where: str) -> None:
    """Refuse what no later attempt can make right: an address that names no store, variables that nobody expands."""
    uri, experiment = settings.tracking.uri, settings.tracking.experiment
    place = f"{where} tracking.uri" if uri else "MLFLOW_TRACKING_URI"
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
    problems = []
    if uri and (what := unusable(uri)):
        problems.append(Problem(place, f"{mask(uri)!r} {what}"))
    if experiment is not None and (not experiment.strip() or VARIABLE.search(experiment)):
        what = "is no name; environment variables are not expanded here, so write the experiment's name itself"
        problems.append(Problem(f"{where} tracking.experiment", f"{experiment!r} {what}"))
    if problems:
        raise BadInput(problems)


def _limits(settings: Settings, where: str) -> tuple[float | None, int | None, int | None, int | None, int | None]:
    """Seconds that a trial may be silent; bytes of memory, and of GPU memory, that it may hold; bytes of disk that all
    may hold; bytes of what they share."""
    problems = _Problems()

    def read(value: int | float | str | None, reader: Callable[[Any, str], T], key: str) -> T | None:
        return None if value is None else problems.checked(lambda: reader(value, f"{where} {key}"))

    timeout = read(settings.trial_timeout, seconds, "trial_timeout")
    memory = read(settings.resources.memory, size, "resources.memory")
    gpu_memory = read(settings.resources.gpu_memory, size, "resources.gpu_memory")
    disk = read(settings.resources.disk, size, "resources.disk")
    prefixes = read(settings.resources.prefixes, size, "resources.prefixes")
    problems.stop()
    return timeout, memory, gpu_memory, disk, prefixes


def _cadence(horizon: int) -> int:
    """The longest interval between evaluations that divides `horizon` into at least 25 parts, or else 1."""
    return max((every for every in range(1, max(1, horizon // 25) + 1) if horizon % every == 0), default=1)
