"""Whether a search's trials share the training of what they have in common, and what that is expected to save."""

from dataclasses import dataclass, replace
from typing import Any

from search.prefixes.predict import WORTH, Lengths, Prediction, predict
from search.spec.search import Search
from spaces.problems import BadInput
from trainables.own.model import OwnModel
from trainables.prefix import sharing_of
from trainables.run import PACE


@dataclass(frozen=True)
class Shared:
    """The decision, and what it rests on."""

    on: bool
    prediction: Prediction | None
    """None where nothing can be shared, or nobody asks."""
    why_not: str = ""
    """What stands against it, whatever it would save."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `plan.json`."""
        found: dict[str, Any] = {"on": self.on}
        if self.prediction is not None:
            found |= {"share": self.prediction.share, "together": self.prediction.together}
        return found

    def trained(self, units: int) -> float:
        """Units that a trial is expected to train itself of the first `units` after its start."""
        return self.prediction.trained(units) if self.on and self.prediction is not None else float(units)

    @property
    def together(self) -> int:
        """Units after the start before which no rung can tell trials apart, as they are one training; 0 where none is
        shared."""
        found = self.prediction if self.on else None
        return 0 if found is None else found.together - found.lengths.begins


NONE = Shared(False, None)


def decided(search: Search) -> Shared:
    """Whether `search` shares. Raises BadInput where it is to and can't."""
    asked = search.settings.share
    if asked == "off":
        return NONE
    why_not, sharing = _against(search), sharing_of(search.model)
    if why_not or sharing is None:
        if asked == "on":
            raise BadInput.of(f"{search.source} share", f"{why_not}; take `share: on` out")
        return Shared(False, None, why_not)
    lengths = Lengths(search.horizon, search.every, search.begins)
    prediction = predict(search.model, sharing, search.space, search.base, lengths)
    return Shared(asked == "on" or prediction.share >= WORTH, prediction)


def settled(search: Search, shared: Shared) -> Search:
    """`search` with the decision in place of `auto`: a search that is taken up again does as it began."""
    return replace(search, settings=search.settings.model_copy(update={"share": "on" if shared.on else "off"}))


def _against(search: Search) -> str:
    """Why nothing can be shared; empty where nothing stands against it."""
    model = search.model
    if search.settings.early_stopping.moves_knobs:
        return f"early_stopping.kind {search.settings.early_stopping.kind} lets trials take over each other's state"
    if any(goal.metric == PACE for goal in search.further):
        return f"the objective {PACE} is another one for each training"
    if sharing_of(model) is not None:
        return ""
    if not isinstance(model, OwnModel):
        return f"the model {model.name} does not say which of its trainings begin alike"
    if not model.declared.goes_on:
        return f"trainable.pause is {model.declared.paused}: no training goes on from a state"
    if model.declared.command is not None and not model.declared.stepped:
        what = "a command's checkpoint may be from later than the evaluation before it was stopped: let it have the "
        return what + f"step in its name, and declare that, as in trainable.checkpoint: {model.unit}_{{step}}.pt"
    return "trainable.schedules says of no knob when it acts"


def withdrawn(search: Search, shared: Shared) -> str | None:
    """What the probe of the user's code found that forbids to share, for people; None where it forbids nothing."""
    if not shared.on or not isinstance(search.model, OwnModel):
        return None
    wanted = {"resume": "exact", "repeats": "same bits"}
    if search.settings.share == "auto":
        wanted |= {f"schedule {name}": "as declared" for name in search.model.declared.schedules}
    for about, needed in wanted.items():
        found = search.checked.get(about, "not checked")
        if found != needed and (search.settings.share == "auto" or found != "not checked"):
            return f"training prefixes are not shared: {about} must be {needed!r}, and was found {found!r}"
    return None


def lines(search: Search, shared: Shared) -> list[str]:
    """The plan's lines on sharing."""
    found, unit = shared.prediction, search.model.unit
    if found is None:
        return []
    told = f"{found.beginners} of {len(found.begun)} drawn configs begin as an earlier one does, {found.share:.0%} of "
    told += f"their {unit}s"
    if not shared.on and not found.beginners:
        return []
    if not shared.on:
        return [f"sharing: off (share: auto): {told}; it is worth its while from {WORTH:.0%} on"]
    lines = [f"sharing: on (share: {search.settings.share}): {told}; what trials have in common is trained once"]
    if shared.together:
        lines.append(f"  up to {unit} {found.together} nearly all are one training, so no rung is set before it")
    return lines
