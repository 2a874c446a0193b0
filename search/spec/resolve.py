"""From what the user wrote to one checked search: the YAML, the native file and the model's space put together."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from search.common.store_uri import VARIABLE, mask, unusable
from search.spec import fit, late, lengths, start, storage
from search.spec.config import Settings, WarmStart, read_settings
from search.spec.knobs import filled, named, searched_space
from search.spec.late import Later
from search.spec.own import checked
from search.spec.start import StartPoint
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
    start: StartPoint | None = None
    """Where every trial starts; None: at step 0."""
    later: Later | None = None
    """What of the model's space acts after the start alone."""

    @property
    def begins(self) -> int:
        """The step that every trial starts from."""
        return 0 if self.start is None else self.start.step

    @property
    def length(self) -> int:
        """What a full trial trains, in the model's unit."""
        return self.horizon - self.begins

    @property
    def starts_over(self) -> bool:
        """Whether a trial that goes on after a pause trains again what it had."""
        return isinstance(self.model, OwnModel) and self.model.declared.paused == "rerun"

    @property
    def held(self) -> int:
        """How many commands of paused trials a node keeps in memory."""
        declared = self.model.declared if isinstance(self.model, OwnModel) else None
        return declared.held if declared is not None and declared.paused == "hold" else 0

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
        warm = self.settings.warm_start
        if warm is not None:
            uri = {"uri": mask(warm.uri)} if warm.uri is not None else {}
            settings["warm_start"] = {**warm.model_dump(mode="json", exclude_none=True), **uri}
        if self.further:
            settings["objectives"] = self.settings.objectives
        if self.settings.share == "on":  # where it says nothing nothing is shared, as before there was a choice
            settings["share"] = "on"
        if self.start is not None:
            settings["start"] = dict(self.start.identity)
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


def resolve(
    path: Path,
    overrides: Sequence[str] = (),
    name: str | None = None,
    fork: str | None = None,
    results: Path | None = None,
) -> Search:
    """Read and check everything that a search needs, data aside. Raises BadInput with all problems found.

    `fork`: the name of a new search that starts from the trials of the one that this would otherwise be. `results`:
    where searches are kept, and a copy of what this one's trials start from.
    """
    where = str(path)
    settings = read_settings(path, overrides)
    source, base_name = _source(settings, path)
    given: Mapping[str, Any] = settings.arguments or {}
    given = parse_native(source, base_name, base_name) if source is not None else given
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
    own = settings.trainable is not None or outside is not None
    chosen = name or settings.name or (path.stem if own else f"{model.name}-{path.stem}")
    origin = _origin(settings, model, path, None if results is None else results / (fork or chosen))
    trial: Mapping[str, Any] = {}
    if origin is not None and origin.native and settings.base is None and settings.arguments is None:
        given, (source, base_name), trial = origin.native, origin.text or (None, base_name), origin.values
    native = _full(model, given, base_name if settings.trainable is None else where)
    fitted, fixed = searched_space(model, settings, native, where)
    native = _full(model, with_values(native, fixed), where)
    begins = 0 if origin is None else origin.step
    if origin is not None:
        origin.check_length(int(get(native, model.length_key)), settings.budget.steps is not None, model.unit, where)
    length = lengths.lengths(model, settings, native, begins, where)
    horizon = length.horizon
    timeout, memory, gpu_memory, disk, prefixes = lengths.limits(settings, where)
    further = _further(settings, model.objective, where)
    if settings.storage is not None:
        storage.parsed(settings.storage, f"{where} storage")
    _check_tracking(settings, where)
    native = with_values(native, {model.length_key: horizon})
    alive = fit.acting(model, fitted.space.in_steps(horizon), native, horizon, named(settings), where)
    left_out = {**fitted.left_out, **alive.left_out}
    later: late.Later | None = None
    if origin is not None:
        origin.check(model, native, base_name if source is not None else "the base", where)
        begin = late.Start(model, native, begins, horizon)
        later = late.acting_after(begin, alive.space, named(settings), settings.space, where)
        left_out |= later.left_out
    space = alive.space if later is None else later.space
    if not space.knobs:
        _none_left(model, later, begins, left_out, where)
    config = model.parse(native, where)
    data = model.parse_data(settings.data or {}, config, where)
    unknown = unknown_keys(config)
    if fork is not None:
        settings, chosen = _forked(settings, chosen, fork, where), fork
    if not _NAME.fullmatch(chosen):
        raise BadInput.of("name", f"{chosen!r} can't name a folder; use letters, digits, '.', '_' and '-'")
    read = model.parse(given, base_name)
    remarks = tuple(f"{base_name}: {said}" for said in read.remarks())
    remarks += (origin.note,) if origin is not None and origin.note is not None else ()
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
        space=space,
        fixed={**{key: value for key, value in trial.items() if key not in space.by_path}, **fixed},
        horizon=horizon,
        every=length.every,
        total_steps=length.total_steps,
        wall=length.wall,
        further=further,
        trial_timeout=timeout,
        memory=memory,
        gpu_memory=gpu_memory,
        disk=disk,
        prefixes=prefixes,
        warnings=(*remarks, *carried),
        filled=filled(model, with_values(given, fixed), config, space, {*left_out, *open_keys}),
        unsettled=open_keys,
        left_out=left_out,
        outside=None if outside is None else outside.model_dump(mode="json"),
        later=later,
        start=None if origin is None else origin.point(),
    )


def _none_left(
    model: Model[Any, Any], later: late.Later | None, begins: int, left_out: Mapping[str, str], where: str
) -> NoReturn:
    """Raise BadInput for a space without a knob."""
    why = fit.described(left_out) or ""
    if later is not None and later.early:
        what = f"none acts after {model.unit} {begins} alone, where every trial starts: {', '.join(later.early)} act "
        why = "; ".join(part for part in (f"{what}before it; start earlier, or search others", why) if part)
    raise BadInput.of(f"{where} space", f"no knob is left to search; {why}")


def _origin(settings: Settings, model: Model[Any, Any], path: Path, results: Path | None) -> start.Origin | None:
    """What `start:` names, found. Raises BadInput, also where a trial can't go on from there."""
    if settings.start is None:
        return None
    if isinstance(model, OwnModel) and model.declared.paused != "checkpoint":
        what = "a trial of this code can't go on from a step: it keeps no checkpoint (trainable.pause, "
        raise BadInput.of(f"{path} start", what + "trainable.checkpoint); give it one, or leave start out")
    return start.found(settings.start, model, path, results)


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
