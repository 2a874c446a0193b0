"""diphone_rnn as one of the models: what the search and the trainer ask of it. Torch stays out until `build`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from trainables.builtin import LENGTH, PATIENCE, PLACE, ROUNDING, START, BuiltIn, under
from trainables.diphone_rnn import schedule
from trainables.diphone_rnn.config import Config
from trainables.diphone_rnn.data import Data, prepare_data
from trainables.diphone_rnn.metrics import OBJECTIVE
from trainables.handover import handed_over
from trainables.prefix import Sharing
from trainables.run import Model, Native, Objective, Prepared

NATIVE_FILE = "rnn_args_diphone_sagemaker.yaml"

_KEPT = "it says what the user's own script writes or shows; the search keeps its own records"
_JUDGED = "it decides which trials or classes a run is judged on, so scores would not be comparable"
_DATA = "it describes the data, not the training"
_FROZEN = "it switches a part of the training off"
_CONSTANT = "it is a constant of the documented optimiser, and acts together with the rates, which are searched"


UNSEARCHABLE = MappingProxyType(
    {
        **dict.fromkeys(("gpu_number", "mode", "output_dir", "checkpoint_dir"), PLACE),
        "use_amp": ROUNDING,
        "init_from_checkpoint": START,
        "init_checkpoint_path": START,
        **dict.fromkeys(
            (
                "save_best_checkpoint",
                "save_all_val_steps",
                "save_final_model",
                "save_val_metrics",
                "save_val_logits",
                "save_val_data",
                "batches_per_train_log",
                "batches_per_save",
                "log_individual_day_val_PER",
                "log_val_skip_logs",
            ),
            _KEPT,
        ),
        **dict.fromkeys(
            ("early_stopping", "early_stopping_val_steps", "batches_per_val_step"),
            PATIENCE,
        ),
        "num_training_batches": LENGTH,
        "lr_scheduler_type": "cosine is what is documented; linear is that of older files",
        **dict.fromkeys(("beta0", "beta1", "epsilon"), _CONSTANT),
        "seed": "each run has its own, from the search",
        "use_composite_loss": "off is the same as α = 0: search composite_loss_alpha, with use_alpha_schedule: false",
        **under(
            "model",
            {
                "n_input_features": _DATA,
                "rnn_trainable": _FROZEN,
                "input_network.n_input_layers": "one layer per day is the one that is documented",
                "input_network.input_layer_sizes": _DATA,
                "input_network.input_trainable": _FROZEN,
            },
        ),
        **under(
            "dataset",
            {
                "data_transforms.random_walk_axis": "it says what a random walk is; random_walk_std is its strength",
                "data_transforms.smooth_kernel_size": "it only cuts the Gaussian off; smooth_kernel_std is its width",
                **dict.fromkeys(("neural_dim", "max_seq_elements", "feature_subset"), _DATA),
                "n_classes": _JUDGED,
                **dict.fromkeys(("seed", "loader_shuffle", "test_percentage"), "only the user's own script reads it"),
                **dict.fromkeys(("num_dataloader_workers", "dataset_dir"), PLACE),
                **dict.fromkeys(("bad_trials_dict", "sessions", "dataset_probability_val"), _JUDGED),
                "must_include_days": "it names days of the user's own data",
            },
        ),
    }
)


class DiphoneRnnModel(BuiltIn[Config, Data]):
    """Phonemes from neural activity of attempted speech (models.md, section 1); its unit is the step, a batch."""

    name: str = "diphone_rnn"
    unit: Literal["epoch", "step"] = "step"
    objective: Objective = OBJECTIVE
    config = Config
    data = Data
    schedules = schedule
    length_key: str = "num_training_batches"
    unsearchable: Mapping[str, str] = UNSEARCHABLE
    # Read anew for every batch; dropout belongs to the network that a restored run is built with.
    changeable: frozenset[str] = frozenset(
        {
            "lr_max",
            "lr_max_day",
            "weight_decay",
            "weight_decay_day",
            "grad_norm_clip_value",
            "composite_loss_alpha",
            "model.rnn_dropout",
            "model.input_network.input_layer_dropout",
            "dataset.data_transforms.white_noise_std",
            "dataset.data_transforms.constant_offset_std",
            "dataset.data_transforms.random_walk_std",
            "dataset.data_transforms.static_gain_std",
            "dataset.days_per_batch",
        }
    )

    def prepare(self, data: Data, config: Config) -> Prepared:
        """Check the user's files, or generate. Raises BadInput."""
        return prepare_data(data, config)

    def static(self, config: Config) -> Native:
        """What training depends on beside the knobs."""
        return schedule.static(config)

    @property
    def sharing(self) -> Sharing[Config]:
        """A batch reads its knobs once."""
        return Sharing(schedule.knobs)

    def write_native(self, source: str | None, name: str, config: Config) -> Mapping[str, str]:
        """The user's own file, made to train `config`; without one, the whole config under the documented name."""
        return handed_over(source, name, config, lambda native: self.parse(native, name), NATIVE_FILE)


MODEL: Model[Config, Data] = DiphoneRnnModel()
