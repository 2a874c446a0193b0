"""A search as everything after its checks takes it: the YAML, the native file and the model's space put together."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from search.common.store_uri import mask
from search.spec.config import Settings
from search.spec.late import Later
from search.spec.start import StartPoint
from search.stopping.rungs import Goal
from spaces import strict_yaml
from spaces.paths import with_values
from spaces.schema import Section
from spaces.space import Space
from trainables.keys import Taken
from trainables.native import plain
from trainables.own.model import OwnModel
from trainables.run import Model, Objective


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
    def goes_on(self) -> bool:
        """Whether a trial that is cut off goes on from its last checkpoint."""
        return not isinstance(self.model, OwnModel) or self.model.declared.goes_on

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
        if not self.settings.early_stopping.waits:  # left out where it does as before there was a choice
            settings["early_stopping"].pop("from_settled", None)
        if settings["early_stopping"].get("baseline") == "full":
            del settings["early_stopping"]["baseline"]
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
        rest |= {"notes", "tags"} & self.settings.model_fields_set
        content = {
            "name": self.name,
            **self.identity(),
            "objective": objective_name(self.model.objective),
            "data_digest": data_digest,
            **({"reference": self.trainable} if self.trainable is not None else {}),
            **({"checked": dict(self.checked)} if self.checked else {}),
            **self.settings.model_dump(mode="json", include=rest),
            **self._tracked(),
        }
        return head + strict_yaml.dumps(content)

    def _tracked(self) -> dict[str, Any]:
        """Where MLflow keeps the runs, if the YAML says; not with credentials in it."""
        given = self.settings.tracking.model_dump(exclude_none=True)
        if mask(given.get("uri", "")) != given.get("uri", ""):
            del given["uri"]
        return {"tracking": given} if given else {}


def objective_name(objective: Objective) -> str:
    """Tells objectives apart: trials of two are not compared."""
    return f"{objective.metric} ({objective.mode})"


def adopted(search: Search, keys: Mapping[str, Any]) -> Search:
    """The search with the config keys that its data decides (dotted path -> value) in its base; `search` itself where
    they stand there already. Raises BadInput where the model refuses them.
    """
    base = with_values(search.base, keys)
    if base == search.base:
        return search
    return replace(search, base=plain(search.model.parse(base, "the base with what the data says of itself")))
