"""tts as one of the models: what the search and the trainer ask of it. Torch stays out until `build`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from trainables.builtin import LENGTH, PATIENCE, PLACE, ROUNDING, START, BuiltIn, paths, unsearched
from trainables.native import plain
from trainables.prefix import Controller, Sharing
from trainables.run import Model, Native, Objective, Prepared
from trainables.start import with_start
from trainables.tts import schedule
from trainables.tts.config import Config
from trainables.tts.data import Data, prepare_data
from trainables.tts.export import native_forms
from trainables.tts.levels import KEYS
from trainables.tts.metrics import OBJECTIVE

_IN_KNOBS = {
    *KEYS,
    *paths("optimization_level level_switch overrides levels scheduler_params use_warmup_cosine_schedule"),
    *paths("cosine_restarts min_learning_rate warmup_steps weight_decay stop_loss_weight duration_loss_weight"),
    *paths("attention_loss_weight mel_label_smoothing stop_label_smoothing huber_delta stop_token_positive_weight"),
}
UNSEARCHABLE = MappingProxyType(
    {
        **unsearched(
            {
                "it is the network that you mean to use; one search is about one network": (
                    "size text_encoder_dim text_encoder_layers text_encoder_heads decoder_dim decoder_layers "
                    "decoder_heads latent_dim"
                )
            },
            "model",
        ),
        **unsearched(
            {
                PLACE: "dataset_path metadata_train_file metadata_eval_file wavs_dir wavs_train_dir wavs_eval_dir",
                "it decides what is heard and judged, so scores would not be comparable": (
                    "sample_rate n_fft win_length hop_length n_mels mel_fmin mel_fmax text_input max_mel_frames "
                    "max_text_length too_long"
                ),
                "it counts the clips, for planning": "train_clips",
                "it says how much is measured, not how to train": "mcd_sentences",
            },
            "data",
        ),
        **{
            "training." + ("scheduler_params.restart_period" if key == "restart_period" else key): (
                f"a level goes before the file's value: search training.overrides.{key}, before both"
            )
            for key in KEYS
        },
        **unsearched(
            {
                "it stands for min_learning_rate, which is searched": "scheduler_params.min_learning_rate",
                LENGTH: "epochs",
                START: "resume_checkpoint",
                "adamw is the one that is documented": "optimizer",
                "it is the same as overrides.scheduler: warmup_cosine, which is searched": "use_warmup_cosine_schedule",
                "it is the same as overrides.scheduler: cosine_restarts, which is searched": "cosine_restarts",
                PATIENCE: "early_stopping_patience",
                "it says how often something is measured, not how to train": "mcd_every",
                ROUNDING: "use_amp",
            },
            "training",
        ),
    }
)


class TtsModel(BuiltIn[Config, Data]):
    """Speech from text by a transformer (models.md, section 4); its unit is the epoch."""

    name: str = "tts"
    unit: Literal["epoch", "step"] = "epoch"
    objective: Objective = OBJECTIVE
    config = Config
    data = Data
    schedules = schedule
    length_key: str = "training.epochs"
    unsearchable: Mapping[str, str] = UNSEARCHABLE
    # Read anew in every epoch. Not the levels: a switch in the past can't be changed any more.
    changeable: frozenset[str] = frozenset(
        {
            "data.batch_size",
            *paths("dropout prenet_dropout", "model"),
            *paths("learning_rate gradient_clip_norm mel_loss_weight kl_loss_weight", "training.overrides"),
            *paths("weight_decay stop_loss_weight duration_loss_weight attention_loss_weight", "training"),
            *paths("mel_label_smoothing stop_label_smoothing stop_token_positive_weight huber_delta", "training"),
        }
    )

    def prepare(self, data: Data, config: Config) -> Prepared:
        """Check the user's files and the checkpoint to start from, which belongs to the digest. Raises BadInput."""
        prepared = prepare_data(data, config.data)
        if config.training.resume_checkpoint is None:
            return prepared
        from trainables.tts import model  # lazy: torch takes seconds to import, and planning needs none

        return with_start(prepared, model.checked_start(config, config.training.resume_checkpoint))

    def static(self, config: Config) -> Native:
        """The config without what `knobs` has. What a plateau switches to is in no epoch's knobs before it is found."""
        whole, training = plain(config), config.training
        left = {key: value for key, value in whole["training"].items() if key not in _IN_KNOBS}
        if training.level_switch.rule == "plateau":
            switch = whole["training"]["level_switch"]
            found = {key: switch[key] for key in ("window", "minimum_gain", "back_after")}
            then = {epoch: schedule.knobs(config, epoch, switched_at=0) for epoch in (0, 1, training.epochs - 1)}
            left["level_switch"] = {**found, "then": {str(epoch): values for epoch, values in then.items()}}
        return {**whole, "training": left}

    @property
    def sharing(self) -> Sharing[Config]:
        """An epoch takes its knobs and the rate of each optimiser step; a switch on a plateau acts once it is found."""

        def unacted(config: Config) -> Native:
            whole, switch = self.static(config), config.training.level_switch
            if switch.rule != "plateau":
                return whole
            # What counts as a gain is in the state that looks for the plateau, the window and what follows are not.
            return {**whole, "training": {**whole["training"], "level_switch": {"gain": switch.minimum_gain}}}

        def settings(config: Config) -> Native:
            plateau = config.training.level_switch.rule == "plateau"
            return {"training": plain(config)["training"]} if plateau else {}

        def earliest(config: Config) -> int:
            switch = config.training.level_switch
            return switch.window + 1 if switch.rule == "plateau" else config.training.epochs

        def seen(state: Mapping[str, Any]) -> int | None:
            longest: int | None = state["switch"]["longest"]
            return longest

        def calm(config: Config, longest: int) -> bool:
            switch = config.training.level_switch
            return switch.rule != "plateau" or longest < switch.window

        return Sharing(schedule.realised, Controller(unacted, settings, earliest, seen, calm), rough=schedule.knobs)

    def write_native(self, source: str | None, name: str, config: Config) -> Mapping[str, str]:
        """The user's own file made to say `config`, and the whole of it with the documented commands in its head."""
        return native_forms(source, name, config, lambda native: self.parse(native, name))


MODEL: Model[Config, Data] = TtsModel()
