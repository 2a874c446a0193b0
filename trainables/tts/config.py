"""The native config of tts: `model:`, `data:` and `training:` with the key names of the user's own YAML. No torch.

Values are the documented ones (models.md, section 4). What an optimisation level sets is null here, which means that
the level in force decides; a value of the file's own goes before every level.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from spaces.problems import nearest
from spaces.schema import Flag, NativeSection, Real, Text, Whole
from trainables.tts.levels import (
    KEYS,
    LEVELS,
    Clip,
    LevelValues,
    Period,
    Rate,
    Scheduler,
    Values,
    Weight,
    preset,
    resolve,
)

Count = Annotated[Whole, Field(ge=1)]
Natural = Annotated[Whole, Field(ge=0)]
Dropout = Annotated[Real, Field(ge=0, lt=1)]
Smoothing = Annotated[Real, Field(ge=0, lt=0.5)]
Positive = Annotated[Real, Field(gt=0)]

SIZES = {"demo": (48, 2, 64, 2), "tiny": (256, 4, 768, 8), "small": (384, 6, 1024, 12), "normal": (512, 8, 1536, 16)}
"""Size → text width, text layers, decoder width, decoder layers. All but `demo` are documented."""


def _refuse(faults: list[str]) -> None:
    if faults:
        raise ValueError("; ".join(faults))


class Network(NativeSection):
    """The transformer. Widths and layers that are null are those of the size."""

    size: Literal["demo", "tiny", "small", "normal"] = "small"
    text_dim: Annotated[Whole, Field(ge=2, multiple_of=2)] | None = None
    text_layers: Count | None = None
    decoder_dim: Annotated[Whole, Field(ge=2, multiple_of=2)] | None = None
    decoder_layers: Count | None = None
    attention_heads: Count | None = None  # null: width/64, at least 4 where the width allows
    latent_dim: Count = 16
    dropout: Dropout = 0.1
    prenet_dropout: Dropout = 0.5  # of the previous frames, in training: Shen et al., Tacotron 2, 2018

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Text width, text layers, decoder width, decoder layers."""
        own = (self.text_dim, self.text_layers, self.decoder_dim, self.decoder_layers)
        text_dim, text_layers, decoder_dim, decoder_layers = SIZES[self.size]
        fallback = (text_dim, text_layers, decoder_dim, decoder_layers)
        chosen = [fallback[i] if value is None else value for i, value in enumerate(own)]
        return chosen[0], chosen[1], chosen[2], chosen[3]

    def heads(self, width: int) -> int:
        """Attention heads of a layer of this width."""
        if self.attention_heads is not None:
            return self.attention_heads
        return next(n for n in (max(4, width // 64), 4, 2, 1) if width % n == 0)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        heads = self.attention_heads
        wrong = [width for width in (self.shape[0], self.shape[2]) if heads is not None and width % heads]
        _refuse([f"attention_heads {heads} does not divide the width {width}; choose one that does" for width in wrong])
        return self


class Dataset(NativeSection):
    """The recordings, and what the network hears and reads of them."""

    dataset_path: Text | None = None  # kept for the user's own script: a search names its data in `data:`
    metadata_train_file: Text = "metadata_train.csv"
    metadata_eval_file: Text = "metadata_eval.csv"
    wavs_dir: Text = "wavs"
    sample_rate: Count = 22050  # Hz; files at another rate are resampled
    n_fft: Count = 1024  # samples
    win_length: Count = 1024  # samples
    hop_length: Count = 256  # samples from frame to frame
    n_mels: Count = 80
    mel_fmin: Annotated[Real, Field(ge=0)] = 0.0  # Hz
    mel_fmax: Positive = 8000.0  # Hz
    text_input: Literal["characters", "phonemes"] = "characters"
    max_mel_frames: Count = 1000  # 11.6 s: longer clips are cut or dropped
    max_text_length: Count = 250  # symbols
    too_long: Literal["drop", "cut"] = "drop"
    batch_size: Count = 24  # clips
    train_clips: Count = 12_500
    """Training clips that lengths in optimiser steps are planned with; a run counts its own. LJSpeech has 13,100."""
    mcd_sentences: Natural = 3  # validation clips that are synthesised freely, the first ones

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        if self.win_length > self.n_fft:
            faults.append(f"win_length {self.win_length} is above n_fft {self.n_fft}; a window fits into its transform")
        if not self.mel_fmin < self.mel_fmax <= self.sample_rate / 2:
            faults.append(
                f"mel_fmax {self.mel_fmax} must lie above mel_fmin {self.mel_fmin} and at most at half the sample "
                f"rate, {self.sample_rate / 2}"
            )
        _refuse(faults)
        return self


class SchedulerParams(NativeSection):
    """Of the cosine with restarts."""

    restart_period: Period | None = None  # epochs of the first cosine; null: the level's
    restart_multiplier: Annotated[Real, Field(ge=1, le=10)] = 1.0
    """Each cosine is so many times as long as the one before; below 1 they would shrink to nothing."""


class LevelSwitch(NativeSection):
    """The change to another level in mid-run, and the values that go before that level.

    Off unless it is asked for: a user's file that knows nothing of it trains as it always did. The documented recipe is
    rule epoch with the other defaults.
    """

    rule: Literal["never", "epoch", "plateau"] = "never"
    level: Text = "plateau_breaker"
    epoch: Count = 50  # of rule epoch: so many epochs are trained under the first level
    window: Count = 10  # of rule plateau: epochs without gain
    minimum_gain: Annotated[Real, Field(ge=0, lt=1)] = 0.01  # of rule plateau: share by which the error must fall
    learning_rate: Rate | None = None
    mel_loss_weight: Weight | None = None
    kl_loss_weight: Weight | None = None
    gradient_clip_norm: Clip | None = None
    restart_period: Period | None = None


class Training(NativeSection):
    """How it is trained; null: the level in force decides."""

    epochs: Count = 1000
    optimization_level: Text = "enhanced"
    level_switch: LevelSwitch = LevelSwitch()
    levels: dict[Text, LevelValues] = Field(default_factory=dict)
    """The user's own levels, and other values for documented ones."""
    resume_checkpoint: Text | None = None  # weights to start from, reached under whatever level

    learning_rate: Rate | None = None
    warmup_steps: Count = 4000  # optimiser steps, of noam and warmup_cosine
    weight_decay: Annotated[Real, Field(ge=0)] = 1e-6
    gradient_clip_norm: Clip | None = None  # of the global L2 norm
    gradient_accumulation_steps: Count = 1  # batches per optimiser step
    optimizer: Literal["adamw"] = "adamw"
    scheduler: Scheduler | None = None
    scheduler_params: SchedulerParams = SchedulerParams()
    use_warmup_cosine_schedule: Flag = False  # the same as scheduler: warmup_cosine
    cosine_restarts: Flag = False  # the same as scheduler: cosine_restarts
    min_learning_rate: Rate = 1e-6  # where cosines end

    mel_loss_weight: Weight | None = None
    kl_loss_weight: Weight | None = None
    stop_loss_weight: Weight = 1.0
    duration_loss_weight: Weight = 0.1
    attention_loss_weight: Weight = 0.02
    use_adaptive_loss_weights: Flag | None = None
    use_label_smoothing: Flag | None = None
    mel_label_smoothing: Smoothing = 0.05
    stop_label_smoothing: Smoothing = 0.1
    use_huber_loss: Flag | None = None
    huber_delta: Positive = 1.0
    stop_token_positive_weight: Positive = 5.0

    early_stopping_patience: Natural = 25  # epochs without a lower validation error; 0: never
    mcd_every: Natural = 10  # epochs between free syntheses, which are slow; 0: never
    use_amp: Flag = True  # bfloat16 autocast on a GPU that has it; no effect on a CPU

    @property
    def flagged_scheduler(self) -> Scheduler | None:
        """The scheduler that the native file's two flags ask for."""
        if self.use_warmup_cosine_schedule:
            return "warmup_cosine"
        return "cosine_restarts" if self.cosine_restarts else None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = [*self._switch_faults(), *self._scheduler_faults()]
        named = (("optimization_level", self.optimization_level), ("level_switch.level", self.level_switch.level))
        for key, level in named:
            if level not in LEVELS and level not in self.levels:
                known = [*LEVELS, *self.levels]
                faults.append(f"{key} {level!r} is no level{nearest(level, known)}; add your own under training.levels")
        _refuse(faults)
        return self

    def _switch_faults(self) -> list[str]:
        switch, epochs = self.level_switch, self.epochs
        if switch.rule == "epoch" and switch.epoch >= epochs:
            return [
                f"level_switch.epoch {switch.epoch} is not below epochs {epochs}, so the level would never change; "
                "lower it, or set level_switch.rule to never"
            ]
        if switch.rule == "plateau" and switch.window >= epochs:
            return [
                f"level_switch.window {switch.window} is no shorter than the run, epochs {epochs}: no plateau could be "
                "found; lower it, or set level_switch.rule to never"
            ]
        return []

    def _scheduler_faults(self) -> list[str]:
        flagged, named = self.flagged_scheduler, self.scheduler
        if self.use_warmup_cosine_schedule and self.cosine_restarts:
            return ["use_warmup_cosine_schedule and cosine_restarts are both true; set one of them to false"]
        if flagged is not None and named not in (None, "cosine", flagged):
            return [f"scheduler is {named}, and the flags say {flagged}; drop one of the two"]
        return []


class Config(NativeSection):
    """One training of tts; a key it doesn't know is carried through unchanged."""

    model: Network = Network()
    data: Dataset = Dataset()
    training: Training = Training()

    def values(self, after: bool) -> Values:
        """What is in force before the switch or `after` it: the file's own value, else the level's, else the default.

        After the switch, the file's values for that part go first.
        """
        training, switch = self.training, self.training.level_switch
        level = switch.level if after else training.optimization_level
        own: dict[str, Any] = {key: getattr(training, key, None) for key in KEYS}
        own["restart_period"] = training.scheduler_params.restart_period
        own["scheduler"] = training.flagged_scheduler or training.scheduler
        explicit = ({key: getattr(switch, key, None) for key in KEYS}, own) if after else (own,)
        return resolve(explicit, preset(level, self.model.size, training.levels))

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        faults = []
        for after in (False, True) if self.training.level_switch.rule != "never" else (False,):
            values = self.values(after)
            if values.scheduler != "noam" and self.training.min_learning_rate > values.learning_rate:
                where = "after the switch" if after else "of the first level"
                faults.append(
                    f"training.min_learning_rate {self.training.min_learning_rate} is above the learning rate {where}, "
                    f"{values.learning_rate}; cosines fall to it, so set it at or below"
                )
        _refuse(faults)
        return self
