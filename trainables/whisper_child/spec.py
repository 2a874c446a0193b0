"""whisper_child as one of the models: what the search and the trainer ask of it. Torch stays out until `build`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from spaces.paths import has
from trainables.builtin import PLACE, ROUNDING, START, BuiltIn, paths, unsearched
from trainables.handover import handed_over
from trainables.native import parse_native
from trainables.prefix import Sharing
from trainables.run import Model, Native, Objective, Prepared
from trainables.whisper_child import schedule
from trainables.whisper_child.config import Config
from trainables.whisper_child.data import Data, prepare_data
from trainables.whisper_child.metrics import OBJECTIVE

NATIVE_FILE = "baseline_whisper_small.yaml"

_KEPT = "it says what is written or shown; the search keeps its own records"
_JUDGED = "it decides what a run is judged on, so scores would not be comparable"
_SPEED = "it changes how fast a step is, and no number"
_ONLY = "the only value that is supported"


UNSEARCHABLE = MappingProxyType(
    {
        **unsearched(
            {
                _ONLY: "name forced_decoder_ids",
                "it names the weights, for people": "variant",
                START: "pretrained random_init",
                _JUDGED: "language task",
                "it switches a part of the training off; freeze_encoder_steps says for how long": "freeze_encoder",
                _SPEED: "gradient_checkpointing",
            },
            "model",
        ),
        **unsearched(
            {
                PLACE: "train_manifest audio_dirs",
                _JUDGED: "val_ratio stratify_by normalize_audio target_length num_mel_bins",
                _ONLY: "sample_rate",
                "it changes the transcripts, and so what the validation loss means": "normalize_text",
                "it describes the data, not the training": "train_utterances",
            },
            "data",
        ),
        **unsearched(
            {
                PLACE: "output_dir logging_dir dataloader_num_workers dataloader_prefetch_factor",
                _SPEED: "dataloader_pin_memory",
                _KEPT: (
                    "save_strategy save_steps save_total_limit logging_steps load_best_model_at_end "
                    "remove_unused_columns prediction_loss_only"
                ),
                "it is the budget, which the search sets": "max_epochs",
                ROUNDING: "fp16 bf16",
                "adamw_torch is the one that is documented; fused computes the same update": "optim",
                _ONLY: "evaluation_strategy metric_for_best_model greater_is_better",
                "it is the unit of early_stopping_patience, which is searched": "eval_steps",
                _JUDGED: "per_device_eval_batch_size eval_batch_size",
                "it splits the data; each run has its own seed, from the search": "seed",
            },
            "training",
        ),
        **unsearched(
            {
                _KEPT: "save_predictions predictions_file",
                _JUDGED: "primary_metric compute_cer normalize_predictions normalize_references analyze_by_groups",
            },
            "evaluation",
        ),
        **unsearched(
            {
                _JUDGED: "max_length num_beams temperature return_timestamps return_language",
                PLACE: "batch_size device",
            },
            "inference",
        ),
        **unsearched({_KEPT: "log_level verbose deterministic benchmark"}, "system"),
    }
)


class WhisperChildModel(BuiltIn[Config, Data]):
    """Whisper on children's speech (models.md, section 3); its unit is the epoch."""

    name: str = "whisper_child"
    unit: Literal["epoch", "step"] = "epoch"
    objective: Objective = OBJECTIVE
    config = Config
    data = Data
    schedules = schedule
    length_key: str = "training.max_epochs"
    unsearchable: Mapping[str, str] = UNSEARCHABLE
    # Read anew for every step; dropout belongs to the network that a restored run is built with.
    changeable: frozenset[str] = frozenset(
        {
            "model.dropout",
            *paths("learning_rate weight_decay max_grad_norm", "training"),
            *paths("specaugment freq_mask_param time_mask_param freq_mask_count time_mask_count", "data"),
        }
    )

    def prepare(self, data: Data, config: Config) -> Prepared:
        """Check the user's files, or synthesise, and compute the features. Raises BadInput."""
        return prepare_data(data, config)

    def static(self, config: Config) -> Native:
        """What training depends on beside the knobs."""
        return schedule.static(config)

    @property
    def sharing(self) -> Sharing[Config]:
        """An epoch takes the knobs of each of its optimizer steps."""
        return Sharing(schedule.realised, rough=schedule.knobs)

    def write_native(self, source: str | None, name: str, config: Config) -> Mapping[str, str]:
        """The user's own file, made to train `config`; without one, the whole config under the documented name."""
        training, given = config.training, parse_native(source, name, name) if source is not None else {}
        if not has(given, self.length_key):  # the end of the schedule is that of the run, in the user's script too
            ends = training.model_copy(update={"max_epochs": min(training.max_epochs, training.num_epochs)})
            config = config.model_copy(update={"training": ends})
        return handed_over(source, name, config, lambda native: self.parse(native, name), NATIVE_FILE)


MODEL: Model[Config, Data] = WhisperChildModel()
