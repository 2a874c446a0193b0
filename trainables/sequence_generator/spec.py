"""sequence_generator as one of the models: what the search and the trainer ask of it. Torch stays out until `build`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from spaces.schema import parse
from trainables.builtin import PLACE, ROUNDING, START, BuiltIn
from trainables.native import plain
from trainables.prefix import Sharing
from trainables.run import Model, Native, Objective, Prepared
from trainables.sequence_generator import schedule
from trainables.sequence_generator.config import Config
from trainables.sequence_generator.data import Data, check_lag, prepare_data
from trainables.sequence_generator.export import native_forms
from trainables.sequence_generator.forms import parse_config
from trainables.sequence_generator.layout import OBJECTIVE
from trainables.sequence_generator.plan import ANCHORS, DOCUMENTED, in_plan_form, phases_of
from trainables.start import with_start

_KEPT = "it says what a training writes; the search keeps its own records"
_ANCHOR = "the first phase starts with the config's own key of this name, which is searched"

UNSEARCHABLE = MappingProxyType(
    {
        **dict.fromkeys(("data_dir", "num_workers", "output_dir", "no_cuda"), PLACE),
        **dict.fromkeys(("save_every", "save_training"), _KEPT),
        "existing_model": START,
        "mixed_precision": ROUNDING,
        "seed": "it decides which simulations a run is judged on; each run has its own seed, from the search",
        "epochs": "it is the run's length, which the search sets from its budget; search the phases' lengths",
        "teacher_forcing": "off is the same as teacher_forcing_start: 0",
        "plan.phase_1.lr_start": "the first phase starts with start_lr, which is searched",
        **{
            f"plan.phase_1.{key}": _ANCHOR
            for key in ("teacher_forcing_start", "weight_decay", "noise_level", "clip_grad_norm")
        },
        **{
            f"plan.phase_{number}.lr_warmup_fraction": "30% of a one_cycle is documented; lr_warmup is where it starts"
            for number in range(2, len(DOCUMENTED) + 1)
        },
        f"plan.phase_{len(DOCUMENTED)}.length": "the last phase takes the epochs that the others leave",
    }
)

_CHANGEABLE = ("weight_decay", "noise_level", "clip_grad_norm", "alpha", "max_lag")


class SequenceGeneratorModel(BuiltIn[Config, Data]):
    """Rollouts of a spinodal decomposition in PCA space (models.md, section 2); its unit is the epoch."""

    name: str = "sequence_generator"
    unit: Literal["epoch", "step"] = "epoch"
    objective: Objective = OBJECTIVE
    config = Config
    data = Data
    schedules = schedule
    length_key: str = "epochs"
    unsearchable: Mapping[str, str] = UNSEARCHABLE
    # Read anew in every epoch; dropout belongs to the network that a restored run is built with.
    changeable: frozenset[str] = frozenset(
        {"start_lr", "batch_size", "dropout", "component_weights", "weight_decay", "noise_level", "clip_grad_norm"}
        | {
            f"plan.phase_{number}.{key}"
            for number in range(1, len(DOCUMENTED) + 1)
            for key in (*_CHANGEABLE, "lr_start", "lr_end", "teacher_forcing_start", "teacher_forcing_end")
        }
    ) - frozenset(UNSEARCHABLE)

    def documented(self) -> Native:
        """The five documented phases."""
        return plain(parse_config(in_plan_form(DOCUMENTED), self.name))

    def parse(self, native: Native, where: str) -> Config:
        """The typed config, of any of the native forms; what it omits is as in the user's scripts. Raises BadInput."""
        return parse_config(native, where)

    def parse_data(self, data: Native, config: Config, where: str) -> Data:
        """The typed `data:` section. Raises BadInput, also for sequences that are too short for a phase's max_lag."""
        found = parse(Data, data, where, "data")
        check_lag(found, _longest_lag(config), where)
        return found

    def prepare(self, data: Data, config: Config) -> Prepared:
        """Check the user's files and the checkpoint to start from, which belongs to the digest. Raises BadInput."""
        prepared = prepare_data(data, config.seed, _longest_lag(config))
        if not config.existing_model:
            return prepared
        from trainables.sequence_generator import saved  # lazy: torch takes seconds to import, and planning needs none

        return with_start(prepared, saved.checked_start(config, config.existing_model))

    def static(self, config: Config) -> Native:
        """The network, the data's order and the loss's weights, without what `knobs` has or a switch turns off."""
        left_out = {"plan", *ANCHORS, "epochs", "teacher_forcing", "curriculum_epochs", "num_workers", "save_every"}
        unlayered = {"dropout"} if config.num_layers == 1 else set()
        return {key: value for key, value in plain(config).items() if key not in left_out | unlayered}

    @property
    def sharing(self) -> Sharing[Config]:
        """An epoch reads its knobs once."""
        return Sharing(schedule.knobs)

    def write_native(self, source: str | None, name: str, config: Config) -> Mapping[str, str]:
        """The user's own file made to say `config`, the phase list and the commands."""
        return native_forms(source, name, config)


def _longest_lag(config: Config) -> int:
    return max(phase.max_lag for phase in phases_of(config))


MODEL: Model[Config, Data] = SequenceGeneratorModel()
