"""diphone_rnn as one of the models: what the search and the trainer ask of it. Torch stays out until `build`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from trainables.builtin import LENGTH, PATIENCE, PLACE, ROUNDING, START, BuiltIn, paths, unsearched
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
_ALPHA_ZERO = "off is the same as α = 0: search composite_loss_alpha, with use_alpha_schedule: false"
_WALK = "it says what a random walk is; random_walk_std is its strength"
_CUT_OFF = "it only cuts the Gaussian off; smooth_kernel_std is its width"
_CONSTANT = "it is a constant of the documented optimiser, and acts together with the rates, which are searched"


UNSEARCHABLE = MappingProxyType(
    {
        **unsearched(
            {
                PLACE: "gpu_number mode output_dir checkpoint_dir",
                ROUNDING: "use_amp",
                START: "init_from_checkpoint init_checkpoint_path",
                _KEPT: (
                    "save_best_checkpoint save_all_val_steps save_final_model save_val_metrics save_val_logits "
                    "save_val_data batches_per_train_log batches_per_save log_individual_day_val_PER log_val_skip_logs"
                ),
                PATIENCE: "early_stopping early_stopping_val_steps batches_per_val_step",
                LENGTH: "num_training_batches",
                "cosine is what is documented; linear is that of older files": "lr_scheduler_type",
                _CONSTANT: "beta0 beta1 epsilon",
                "each run has its own, from the search": "seed",
                _ALPHA_ZERO: "use_composite_loss",
            }
        ),
        **unsearched(
            {
                _DATA: "n_input_features input_network.input_layer_sizes",
                _FROZEN: "rnn_trainable input_network.input_trainable",
                "one layer per day is the one that is documented": "input_network.n_input_layers",
            },
            "model",
        ),
        **unsearched(
            {
                _WALK: "data_transforms.random_walk_axis",
                _CUT_OFF: "data_transforms.smooth_kernel_size",
                _DATA: "neural_dim max_seq_elements feature_subset",
                _JUDGED: "n_classes bad_trials_dict sessions dataset_probability_val",
                "only the user's own script reads it": "seed loader_shuffle test_percentage",
                PLACE: "num_dataloader_workers dataset_dir",
                "it names days of the user's own data": "must_include_days",
            },
            "dataset",
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
            *paths("lr_max lr_max_day weight_decay weight_decay_day grad_norm_clip_value composite_loss_alpha"),
            *paths("rnn_dropout input_network.input_layer_dropout", "model"),
            *paths("white_noise_std constant_offset_std random_walk_std static_gain_std", "dataset.data_transforms"),
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
