"""What a search trains, before anything is searched: the model, and the native config as the user wrote it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from search.spec import start
from search.spec.config import Settings
from search.spec.problems import Problems
from search.stopping.asha import Asha
from spaces import strict_yaml
from spaces.problems import BadInput, Problem, raise_any
from trainables.native import parse_native
from trainables.own import spec
from trainables.own.declaration import Declaration
from trainables.own.declare import from_declaration
from trainables.own.model import OwnModel
from trainables.registry import model_named
from trainables.run import Model

UNNAMED = "config.yaml"
"""The native file's name where the user has none."""


@dataclass(frozen=True)
class Basis:
    """What is trained, and where it starts."""

    settings: Settings
    model: Model[Any, Any]
    given: Mapping[str, Any]
    """The native config as the user wrote it, or the documented recipe."""
    source: str | None
    """The text of the user's native file."""
    base_name: str
    outside: spec.SpecReference | None = None
    origin: start.Origin | None = None
    trial: Mapping[str, Any] = field(default_factory=dict)
    """What `start:` says that a trial changed in the config."""

    @property
    def own(self) -> bool:
        """Whether the model is code of the user's."""
        return self.settings.trainable is not None or self.outside is not None

    @property
    def begins(self) -> int:
        """The step that every trial starts from."""
        return 0 if self.origin is None else self.origin.point.step

    def default_name(self, path: Path) -> str:
        """What a search of the YAML `path` is called where nobody says."""
        return path.stem if self.own else f"{self.model.name}-{path.stem}"

    def starting(self, path: Path, results: Path | None, problems: Problems) -> "Basis":
        """The basis with what `start:` names; `results`: the search's own folder."""
        origin = problems.checked(lambda: _origin(self, path, results), "start")
        if origin is None:
            return self
        if not origin.native or self.settings.base is not None or self.settings.arguments is not None:
            return replace(self, origin=origin)
        source, name = origin.text or (None, self.base_name)
        return replace(self, origin=origin, given=origin.native, source=source, base_name=name, trial=origin.values)


def basis(settings: Settings, path: Path, problems: Problems) -> Basis | None:
    """What the settings of the YAML `path` train; None where no model is found, so that nothing hangs on it."""
    text = problems.checked(lambda: _source(settings, path), "base")
    source, base_name = (None, UNNAMED) if text is None else text
    given: Mapping[str, Any] | None = settings.arguments or {}
    if source is not None:
        content = source
        given = problems.checked(lambda: parse_native(content, base_name, base_name), "base")
    declared, outside = settings.trainable, None
    if declared is not None:
        beside = (base_name, source)
        model: Model[Any, Any] | None = problems.checked(
            lambda: from_declaration(declared, path, beside), "trainable", "base", "arguments"
        )
    elif spec.is_file(settings.model or ""):
        found = problems.checked(lambda: spec.from_file(settings.model or "", path), "model")
        model, outside = (None, None) if found is None else found
    else:
        model = problems.checked(lambda: model_named(settings.model or "", f"{path} model"), "model", "trainable")
    if model is None:
        return None
    if declared is not None or outside is not None:
        settings = settings.model_copy(update={"model": model.name})
    if declared is not None:
        named = settings
        settings = problems.checked(lambda: _fitting(named, declared, str(path)), "early_stopping", "confirm") or named
    elif source is None:
        given = dict(model.documented())
    return Basis(settings, model, given or {}, source, base_name, outside)


def _source(settings: Settings, path: Path) -> tuple[str | None, str]:
    if settings.base is None:
        return None, UNNAMED
    file = path.parent / settings.base
    return strict_yaml.read_text(file), file.name


def _origin(known: Basis, path: Path, results: Path | None) -> start.Origin | None:
    """What `start:` names, found. Raises BadInput, also where a trial can't go on from there."""
    settings, model = known.settings, known.model
    if settings.start is None:
        return None
    if isinstance(model, OwnModel) and not model.declared.goes_on:
        what = "a trial of this code can't go on from a step: it keeps no checkpoint (trainable.pause, "
        raise BadInput.of(f"{path} start", what + "trainable.checkpoint); give it one, or leave start out")
    return start.found(settings.start, model, path, results)


def _fitting(settings: Settings, declared: Declaration, where: str) -> Settings:
    """The settings with a stopping rule that the user's code can be stopped by. Raises BadInput where the one asked for
    pauses trials that can't go on, and where confirmation would be void.
    """
    stopping = settings.early_stopping
    problems = []
    if declared.paused == "stop" and stopping.kind != "none":
        remedy = "use mode: stop, or declare trainable.pause: checkpoint, rerun or hold"
        if isinstance(stopping, Asha) and "mode" not in stopping.model_fields_set:
            stopping = stopping.model_copy(update={"mode": "stop"})
        elif isinstance(stopping, Asha) and stopping.mode == "promote":
            what = "promote pauses trials, and this one can't go on after a pause"
            problems.append(Problem(f"{where} early_stopping.mode", f"{what}; {remedy}"))
        elif stopping.kind in ("hyperband", "pbt"):
            what = f"{stopping.kind} pauses trials, and this one can't go on after a pause; use kind: asha"
            problems.append(Problem(f"{where} early_stopping.kind", what))
    if declared.paused == "hold" and stopping.kind == "pbt":
        what = "pbt hands one trial's state to another, and a process in memory has none to hand over"
        problems.append(Problem(f"{where} early_stopping.kind", f"{what}; use kind: asha"))
    if settings.confirm.seeds and not declared.seeded:
        what = "the command takes no {seed}, so that confirmation on fresh seeds would be void; add {seed} to it, name "
        what += "the config's key with trainable.seed, or set confirm.seeds to 0"
        problems.append(Problem(f"{where} trainable.command", what))
    raise_any(problems)
    return settings.model_copy(update={"early_stopping": stopping})
