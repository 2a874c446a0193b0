"""early_inference as one of the models: what the search and the trainer ask of it. Torch stays out until `build`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from spaces.schema import parse
from trainables.builtin import LENGTH, PATIENCE, PLACE, BuiltIn, paths, unsearched
from trainables.early_inference import schedule
from trainables.early_inference.config import OLDER, Config, is_older
from trainables.early_inference.data import Data, prepare_data
from trainables.early_inference.export import native_forms
from trainables.early_inference.metrics import OBJECTIVE
from trainables.native import plain
from trainables.prefix import Controller, Sharing
from trainables.run import Model, Native, Objective, Prepared

_PENALTY = ("use_variance_regularization", "variance_penalty_weight", "target_variance")
_IN_KNOBS = frozenset({"lr", "weight_decay", "grad_clip_norm", *_PENALTY})
_CONTROLLED = frozenset({"scheduler_factor", "scheduler_patience", "scheduler_min_lr"})
_JUDGED = "it decides which curves a run is judged on, so trials would not be comparable"
_SCALE = "it belongs to the code that serves the trained network, and it changes the unit of the validation loss"


class EarlyInferenceModel(BuiltIn[Config, Data]):
    """Kinetic parameters from the first seconds of a pH curve (models.md, section 5); its unit is the epoch."""

    name: str = "early_inference"
    unit: Literal["epoch", "step"] = "epoch"
    objective: Objective = OBJECTIVE
    config = Config
    data = Data
    schedules = schedule
    length_key: str = "epochs"
    unsearchable: Mapping[str, str] = MappingProxyType(
        unsearched(
            {
                f"{PLACE}; the search's `data:` names the data": "data_dir",
                PLACE: "output_dir device",
                _JUDGED: "prefix_length val_split",
                f"{_JUDGED}: it is the seed of the split, while each run has its own": "seed",
                LENGTH: "epochs",
                PATIENCE: "early_stopping_patience",
                _SCALE: "normalize_inputs normalize_outputs",
            }
        )
    )
    # Read anew in every epoch; dropout belongs to the network that a restored run is built with.
    changeable: frozenset[str] = frozenset(
        (
            *paths("lr weight_decay grad_clip_norm batch_size tcn_dropout output_dropout"),
            *paths("variance_penalty_weight target_variance"),
        )
    )

    def parse(self, native: Native, where: str) -> Config:
        """The typed config; what `native` omits is as in the script that it belongs to, the newer or the older one.
        Raises BadInput."""
        return parse(Config, {**OLDER, **native} if is_older(native) else native, where)

    def prepare(self, data: Data, config: Config) -> Prepared:
        """Check the user's files, or generate. Raises BadInput."""
        return prepare_data(data, config.prefix_length)

    def static(self, config: Config) -> Native:
        """The config without what `knobs` has; a warmup of one epoch is none."""
        whole = {key: value for key, value in plain(config).items() if key not in _IN_KNOBS}
        return {**whole, "warmup_epochs": schedule.settles(config)}

    @property
    def sharing(self) -> Sharing[Config]:
        """An epoch reads its knobs once; the plateau controller's settings act with its first reduction."""

        def unacted(config: Config) -> Native:
            return {key: value for key, value in self.static(config).items() if key not in _CONTROLLED}

        def seen(state: Mapping[str, Any]) -> int | None:
            longest: int | None = state["plateau"]["longest"]
            return longest

        def settings(config: Config) -> Native:
            return {key: getattr(config, key) for key in _CONTROLLED}

        def calm(config: Config, longest: int) -> bool:
            return longest <= config.scheduler_patience

        return Sharing(schedule.knobs, Controller(unacted, settings, schedule.reduces_first, seen, calm))

    def write_native(self, source: str | None, name: str, config: Config) -> Mapping[str, str]:
        """The user's own file made to say `config`, and the other of YAML and Python with the whole config."""
        return native_forms(source, name, config, lambda native: self.parse(native, name))


MODEL: Model[Config, Data] = EarlyInferenceModel()
