"""What `start:` names, found and read: a checkpoint, a trial of a search, or a step that the baseline is trained to."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.common.quantities import units
from search.history.journal import read as read_journal
from search.history.records import Records
from search.spec.config import Start
from search.spec.storage import BASE, DESCRIPTION, JOURNAL
from spaces import strict_yaml
from spaces.paths import with_values
from spaces.problems import BadInput, nearest
from spaces.schema import Section
from spaces.values import show
from trainables import checkpoints, start
from trainables.alike import differing
from trainables.cache import sha256_of
from trainables.layout import checkpoint_folder
from trainables.own.model import OwnModel
from trainables.registry import may_be_of
from trainables.run import OBJECTIVE, Model

BEST = "best.yaml"
_OURS = re.compile(r"[0-9]{9}\.pt")
SHOWN = 12  # differences that are named


@dataclass(frozen=True)
class StartPoint:
    """The step that every trial starts from, and where its state comes from."""

    step: int
    source: str
    """For people: `epoch 300 of results/x trial 7`."""
    identity: Mapping[str, Any] = field(init=False)
    """What makes it this start and no other, as plain values."""
    given: Path | None = None
    """A checkpoint that the user gave: one state for every seed. None: each seed's own, trained."""
    weights: bool = False
    """`given` is a file of the user's own, not the whole state of a run: weights, or a command's checkpoint."""
    kept: Mapping[int, Path] = field(default_factory=dict)
    """By seed: checkpoints at the step of the training that is to be gone on with, which need not be trained then."""
    data_digest: str | None = None
    """Of the data that it was trained on, where that is known."""
    objective: float | None = None
    """At the step, where it is known."""

    def __post_init__(self) -> None:
        content = {} if self.given is None else {"checkpoint": sha256_of(self.given)}
        object.__setattr__(self, "identity", {"step": self.step, **content})

    @property
    def trained(self) -> bool:
        """Whether the training up to the step is done here, for each seed anew."""
        return self.given is None


@dataclass(frozen=True)
class Origin:
    """A start as it was found, before it is held against the search's own config."""

    point: StartPoint
    """What the search keeps of it."""
    model: str | None = None
    """None where nothing is known of the training."""
    native: Mapping[str, Any] = field(default_factory=dict)
    """The whole native config that was trained; empty where that is not known."""
    text: tuple[str, str] | None = None
    """Text and name of the user's native file that it came from."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """What the trial changed in it, by path."""
    note: str | None = None
    """What the user should know."""

    def check_length(self, length: int, asked: bool, unit: str, where: str) -> None:
        """Raise BadInput where a training that is `length` long ends before the start; `asked`: budget.steps is given,
        which counts from there."""
        if not asked and self.point.step >= length:
            what = f"{self.point.source} is not before the end of the training, {unit} {length}: start earlier, or say "
            raise BadInput.of(f"{where} start", f"{what}in budget.steps how many more {unit}s a trial is to be trained")

    def check(self, model: Model[Any, Any], base: Mapping[str, Any], base_name: str, where: str) -> None:
        """Raise BadInput, naming each difference, unless training `base` up to the step is what was trained."""
        step, source = self.point.step, self.point.source
        if self.model is not None and not may_be_of(self.model, model):
            raise BadInput.of(f"{where} start", f"{source} is a training of {self.model}, not of {model.name}")
        if not self.native:
            return
        found = list(differing(model, base, self.native, step))
        if found:
            shown = [f"{path}: {show(theirs)} there, {show(mine)} in {base_name}" for path, mine, theirs in found]
            more = f"; … and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
            what = f"{source} was trained with another config than {base_name} up to {model.unit} {step}: "
            remedy = "; set them alike"
            if not isinstance(model, OwnModel):  # whose base says in which form it is given its config
                remedy += ", or leave base out: it is then the config that was trained"
            raise BadInput.of(f"{where} start", what + "; ".join(shown[:SHOWN]) + more + remedy)


def found(given: Start, model: Model[Any, Any], path: Path, results: Path | None) -> Origin:
    """What `given`, of the search YAML `path`, names. `results`: a search's own folder, where it may have a copy of a
    checkpoint that is gone. Raises BadInput."""
    where = f"{path} start"
    if given.train_to is not None:
        step = units(given.train_to, model.unit, f"{where}.train_to")
        return Origin(StartPoint(step, f"the baseline, trained to {model.unit} {step}"))
    if given.search is not None:
        return _of_search(given, model, path)
    return _of_checkpoint(given, model, path, results)


def _located(text: str, path: Path) -> Path | None:
    """A path of the YAML `path`: relative to it, or to where the command runs."""
    typed = Path(text).expanduser()
    return next((place for place in (path.parent / typed, typed) if place.exists()), None)


def _of_search(given: Start, model: Model[Any, Any], path: Path) -> Origin:
    assert given.search is not None and given.step is not None
    where = f"{path} start"
    step = units(given.step, model.unit, f"{where}.step")
    folder = _located(given.search, path) or _located(f"results/{given.search}", path)
    if folder is None or not (folder / JOURNAL).is_file() or not (folder / DESCRIPTION).is_file():
        place = folder if folder is not None else Path(given.search)
        near = nearest(place.name, [each.parent.name for each in place.parent.glob(f"*/{JOURNAL}")])
        what = f"there is no search in {place}{near.replace('valid keys', 'there are')}"
        raise BadInput.of(f"{where}.search", f"{what}; give the folder of a search, such as results/demo")
    described = strict_yaml.load(folder / DESCRIPTION)
    records = Records(read_journal(folder / JOURNAL)[0])
    number = _best(folder, where) if given.trial == "best" else given.trial
    trial = records.trials.get(number)
    if trial is None:
        last = max(records.trials, default=-1)
        raise BadInput.of(f"{where}.trial", f"{folder} has no trial {number}; it has 0 to {last}")
    if trial.changed is not None:
        what = f"trial {number} changed its knobs while it trained: no config trains to its step {step}"
        raise BadInput.of(f"{where}.trial", what)
    source = next((file for file in (folder / BASE).glob("*") if file.is_file()), None)
    of_trial = checkpoint_folder(folder, number)
    file = of_trial / f"{step:09d}.pt"
    assert isinstance(file, Path)
    point = StartPoint(
        step,
        f"{model.unit} {step} of {folder} trial {number}",
        kept={trial.proposed.seed: file} if file.is_file() else {},
        data_digest=str(described["data_digest"]) if "data_digest" in described else None,
        objective=next((report.metrics[OBJECTIVE] for report in trial.reports if report.step == step), None),
    )
    return Origin(
        point,
        model=model.name
        if isinstance(model, OwnModel) and "trainable" in described
        else described["settings"]["model"],
        native=with_values(described["base"], trial.values),
        text=None if source is None else (source.read_text(encoding="utf-8"), source.name),
        values=trial.values,
    )


def _best(folder: Path, where: str) -> int:
    file = folder / BEST
    content = strict_yaml.load(file) if file.is_file() else {}
    number = content.get("provenance", {}).get("trial") if isinstance(content, dict) else None
    if not isinstance(number, int):
        what = f"{folder} has no {BEST} yet, which says which trial that is; name a trial by its number"
        raise BadInput.of(f"{where}.trial", what)
    return number


def _of_checkpoint(given: Start, model: Model[Any, Any], path: Path, results: Path | None) -> Origin:
    assert given.checkpoint is not None
    where = f"{path} start"
    step = None if given.step is None else units(given.step, model.unit, f"{where}.step")
    file, note = _file(given.checkpoint, path, results, where)
    data = file.read_bytes()
    if checkpoints.whole(data) is None:
        if _OURS.fullmatch(file.name):
            what = f"{file} is damaged: its content is not what its hash says; take another checkpoint"
            raise BadInput.of(f"{where}.checkpoint", what)
        if isinstance(model, OwnModel) and model.declared.checkpoints:
            return _of_command(model, file, step, where)
        return _of_weights(model, file, step, where)
    content = checkpoints.loaded(data, "cpu")
    if start.CONFIG not in content:
        what = f"{file} doesn't say which config it was trained with, as an earlier version wrote it: "
        raise BadInput.of(f"{where}.checkpoint", what + "name its search and trial instead (start.search)")
    described = json.loads(content[start.CONFIG])
    at = int(file.stem) if _OURS.fullmatch(file.name) else step
    if at is None:
        raise BadInput.of(f"{where}.step", f"is missing: say how many {model.unit}s {file} was trained for")
    if step is not None and step != at:
        raise BadInput.of(f"{where}.step", f"is {step}, but {file} was trained to {model.unit} {at}; leave step out")
    value = content.get("report", {}).get(OBJECTIVE)
    point = StartPoint(at, f"{model.unit} {at} of {file}", file, objective=value)
    return Origin(point, described["model"], described["config"], note=note)


def _of_weights(model: Model[Any, Any], file: Path, step: int | None, where: str) -> Origin:
    """A checkpoint that another trainer wrote: its weights. What they are is checked when the data is known."""
    if model.name not in start.WEIGHTS:
        what = f"{file} is no checkpoint of ours, and {model.name} starts from none of another trainer's"
        raise BadInput.of(f"{where}.checkpoint", what)
    if step is None:
        what = f"is missing: {file} holds weights only; say how many {model.unit}s they were trained for"
        raise BadInput.of(f"{where}.step", what)
    note = f"{file.name} holds weights alone: the optimizer starts anew at {model.unit} {step}, with empty moments"
    return Origin(StartPoint(step, f"{model.unit} {step}, with the weights of {file}", file, weights=True), note=note)


def _of_command(model: OwnModel, file: Path, step: int | None, where: str) -> Origin:
    """A checkpoint that the user's own command has written."""
    if step is None:
        raise BadInput.of(f"{where}.step", f"is missing: say how many {model.unit}s {file} was trained for")
    if model.declared.checkpoint_at(file.name, step) is None:
        what = f"{file} can't be a whole checkpoint of the command, which is {' and '.join(model.declared.checkpoints)}"
        raise BadInput.of(f"{where}.checkpoint", f"{what}: name a file that is, or start from a trial of a search")
    return Origin(StartPoint(step, f"{model.unit} {step}, with the command's own {file}", file, weights=True))


def _file(text: str, path: Path, results: Path | None, where: str) -> tuple[Path, str | None]:
    """The checkpoint's file, and what to say if it is the search's own copy."""
    file = _located(text, path)
    if file is not None and file.is_dir():
        newest = next((n for f in (file, file / "checkpoints") if (n := checkpoints.newest_file(f)) is not None), None)
        if newest is None:
            raise BadInput.of(f"{where}.checkpoint", f"{file} holds no intact checkpoint; name a file")
        return newest, None
    if file is not None:
        return file, None
    copy = None if results is None else checkpoints.newest_file((results / start.given_state(0)).parent)
    if copy is None:
        what = f"there is no {text} (looked for beside the YAML and from where the command runs)"
        raise BadInput.of(f"{where}.checkpoint", f"{what}; a search that has begun keeps a copy: put it back there")
    return copy, f"start.checkpoint {text} is not there any more; going on with the search's own copy, {copy}"


def with_weights(model: str, native: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """`native` with the keys that make a run start with the weights in `file`."""
    keys = start.WEIGHTS[model]
    return with_values(native, {key: str(file) if value is None else value for key, value in keys.items()})


def check_data(
    point: StartPoint | None, model: Model[Any, Any], base: Mapping[str, Any], data: Section, digest: str
) -> None:
    """Raise BadInput where trials can't start from `point`: with data of another digest than it was trained on, or with
    weights that are not those of the base's network."""
    if point is None:
        return
    if point.data_digest is not None and point.data_digest != digest:
        own = isinstance(model, OwnModel)  # its digest is that of its code
        what = f"{point.source} was trained {'by other code' if own else 'on other data'} (digest "
        what += f"{point.data_digest[:16]}, here {digest[:16]}): give it the {'code' if own else 'data'} of that search"
        raise BadInput.of("trainable" if own else "data", what)
    if point.weights and point.given is not None and not isinstance(model, OwnModel):
        model.prepare(data, model.parse(with_weights(model.name, base, point.given), "the base"))
