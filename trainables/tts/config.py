"""The native config of tts: `model:`, `data:` and `training:` with the key names of the user's own YAML. No torch.

A key's default is that of the user's config class, and null means absent, as there. `Ours` marks keys that the class
doesn't know, and refuses. What is in force comes from the first of: `level_switch` (after a switch), `overrides`, the
level, the file.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from spaces.problems import nearest
from spaces.schema import Fault, Flag, NativeSection, Real, Script, Text, refuse
from trainables.keys import Documented, Ours
from trainables.kinds import Clip, Count, Decay, Natural, Positive, Rate, Weight
from trainables.tts.levels import (
    CUSTOM,
    KEYS,
    LEVELS,
    LevelValues,
    Period,
    Scheduler,
    Values,
    given,
    preset,
    resolve,
)
from trainables.tts.sections import AUDIO, Dataset, Network, Smoothing, present


class SchedulerParams(NativeSection):
    """Of the cosine with restarts."""

    restart_period: Period | None = None  # optimiser steps of the first cosine; null: 50 epochs
    restart_mult: Annotated[
        Real, Field(ge=1, le=10), Script("your script's rate becomes nan below 1, and restarts no more far above")
    ] = 1.0
    """Each cosine is so many times as long as the one before; below 1 they would shrink to nothing."""
    min_learning_rate: Rate | None = None  # where cosines end; null: training.min_learning_rate


RESUME = "training.resume_checkpoint"
"""The key of the checkpoint to start from."""
RESTART_EPOCHS = 50  # open in the document: the length of its first stage


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
    back_after: Natural = 0  # epochs under the second level until the first is in force again; 0: it stays
    learning_rate: Rate | None = None
    mel_loss_weight: Weight | None = None
    kl_loss_weight: Weight | None = None
    gradient_clip_norm: Clip | None = None
    restart_period: Period | None = None


class Training(NativeSection):
    """How it is trained: the file's own values, which a level may replace."""

    epochs: Count = 1000
    optimization_level: Annotated[Text, Documented("enhanced"), Ours()] = CUSTOM
    level_switch: Annotated[LevelSwitch, Ours()] = LevelSwitch()
    overrides: Annotated[LevelValues, Ours()] = LevelValues()
    """What goes before every level, as a flag of the command does. A list of keys: with the file's own values."""
    levels: Annotated[dict[Text, LevelValues], Ours()] = Field(default_factory=dict)
    """The user's own levels, and other values for documented ones."""
    resume_checkpoint: Annotated[Text | None, Ours()] = None  # weights to start from, reached under whatever level

    learning_rate: Rate = 1e-4
    warmup_steps: Count = 4000  # optimiser steps, of noam and warmup_cosine
    weight_decay: Decay = 1e-6
    gradient_clip_norm: Clip = 1.0  # of the global L2 norm
    gradient_accumulation_steps: Count = 1  # batches per optimiser step
    optimizer: Annotated[
        Literal["adamw"], Script("your script may have it; of its optimisers, AdamW is built here")
    ] = "adamw"
    scheduler: Annotated[
        Scheduler | Literal["cosine_with_restarts"],
        Script("your script may have it; of its schedules, these are built here"),
    ] = "noam"
    scheduler_params: SchedulerParams = SchedulerParams()
    use_warmup_cosine_schedule: Flag = True  # makes scheduler cosine a warmup_cosine
    cosine_restarts: Flag = False  # makes scheduler cosine a cosine_restarts
    min_learning_rate: Rate = 1e-6  # where cosines end

    mel_loss_weight: Weight = 2.5
    kl_loss_weight: Weight = 1.0
    stop_loss_weight: Annotated[Weight, Ours()] = 1.0
    duration_loss_weight: Weight = 0.1
    attention_loss_weight: Weight = 0.02
    use_adaptive_loss_weights: Flag = True
    use_label_smoothing: Flag = True
    mel_label_smoothing: Smoothing = 0.05
    stop_label_smoothing: Smoothing = 0.1
    use_huber_loss: Flag = True
    huber_delta: Positive = 1.0
    stop_token_positive_weight: Positive = 5.0

    early_stopping_patience: Natural = 25  # epochs without a lower validation error; 0: never
    mcd_every: Annotated[Natural, Ours()] = 10  # epochs between free syntheses, which are slow; 0: never
    use_amp: Annotated[Flag, Ours()] = True  # bfloat16 autocast on a GPU that has it; no effect on a CPU

    @property
    def own_scheduler(self) -> Scheduler:
        """The scheduler that the file asks for: the flags only say which cosine it is."""
        match self.scheduler:
            case "cosine_with_restarts":
                return "cosine_restarts"
            case "cosine" if self.cosine_restarts:
                return "cosine_restarts"
            case "cosine" if self.use_warmup_cosine_schedule:
                return "warmup_cosine"
            case other:
                return other

    @model_validator(mode="before")
    @classmethod
    def _named_overrides(cls, raw: Any) -> Any:
        """`overrides: [learning_rate]` stands for the file's own value of that key."""
        named = raw.get("overrides") if isinstance(raw, Mapping) else None
        if not isinstance(named, list | tuple):
            return raw
        refuse(
            [
                Fault(
                    f"overrides: {key!r} is not one of {', '.join(KEYS)} with a value of its own in the file",
                    "your script takes overrides as flags of its command",
                    f"give it as overrides: {{{key}: VALUE}}" if key in KEYS else "leave it out",
                )
                for key in named
                if key not in KEYS or raw.get(key) is None
            ]
        )
        values = {key: raw[key] for key in named}
        if "scheduler" in values:
            values["scheduler"] = cls.model_validate({k: v for k, v in raw.items() if k != "overrides"}).own_scheduler
        return {**raw, "overrides": values}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = self._switch_faults()
        named = (("optimization_level", self.optimization_level), ("level_switch.level", self.level_switch.level))
        for key, level in named:
            if level not in LEVELS and level not in self.levels:
                known = [*LEVELS, *self.levels]
                what = f"{key} {level!r} is no level{nearest(level, known)}"
                script = "your script's --optimization-level refuses it, too, if it isn't your own"
                faults.append(Fault(what, script, "add your own under training.levels"))
        refuse(faults)
        return self

    def _switch_faults(self) -> list[Fault]:
        switch, epochs = self.level_switch, self.epochs
        if switch.rule == "epoch" and switch.epoch >= epochs:
            what = f"level_switch.epoch {switch.epoch} is not below epochs {epochs}"
        elif switch.rule == "plateau" and switch.window >= epochs:
            what = f"level_switch.window {switch.window} is no shorter than the run, epochs {epochs}"
        else:
            return []
        script = "your script, which doesn't know this key, would be ended before it is begun with the other level"
        return [Fault(what, script, "lower it, or set level_switch.rule to never")]


class Config(NativeSection):
    """One training of tts; a key it doesn't know is carried through unchanged."""

    model: Network = Network()
    data: Dataset = Dataset()
    training: Training = Training()

    @model_validator(mode="before")
    @classmethod
    def _as_the_class_reads_it(cls, raw: Any) -> Any:
        """Null is absent; audio keys of `model:` are those of `data:`."""
        if not isinstance(raw, Mapping):
            return raw
        whole = {**raw, **present(raw, {"model": Network, "data": Dataset, "training": Training})}
        network, data = whole.get("model"), whole.get("data", {})
        if not isinstance(network, Mapping) or not isinstance(data, Mapping):
            return whole
        both = {key: (network[key], data[key]) for key in AUDIO if key in network and key in data}
        refuse(
            [
                Fault(
                    f"model.{key} is {one}, data.{key} is {two}",
                    "your script takes one of them, an older one that of model",
                    "make them equal",
                )
                for key, (one, two) in both.items()
                if one != two
            ]
        )
        moved = {key: network[key] for key in AUDIO if key in network}
        return {**whole, "model": {k: v for k, v in network.items() if k not in moved}, "data": {**moved, **data}}

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch, as planned."""
        return self.steps_of(self.data.train_clips)

    def steps_of(self, clips: int) -> int:
        """Optimiser steps of an epoch of `clips` training clips."""
        batches = -(-clips // self.data.batch_size)
        return -(-batches // self.training.gradient_accumulation_steps)

    @property
    def low_rate(self) -> float:
        """Where cosines end."""
        return self.training.scheduler_params.min_learning_rate or self.training.min_learning_rate

    def values(self, after: bool) -> Values:
        """What is in force before the switch or `after` it."""
        training, switch = self.training, self.training.level_switch
        level = preset(switch.level if after else training.optimization_level, self.model.as_size, training.levels)
        file: dict[str, Any] = {key: getattr(training, key, None) for key in KEYS}
        file["scheduler"] = training.own_scheduler
        period = training.scheduler_params.restart_period
        file["restart_period"] = RESTART_EPOCHS if period is None else max(1, round(period / self.steps_per_epoch))
        then = {key: getattr(switch, key, None) for key in KEYS} if after else {}
        return resolve(then, given(training.overrides), level, file)

    def remarks(self) -> tuple[str, ...]:
        """What of the file its script passes over, for people."""
        training = self.training
        flags = ("use_warmup_cosine_schedule", "cosine_restarts")
        said = [key for key in flags if key in training.model_fields_set and getattr(training, key)]
        levelled = "scheduler" in preset(training.optimization_level, self.model.as_size, training.levels)
        if training.scheduler != "noam" or levelled or not said:
            return ()
        return (f"scheduler noam wins over {' and '.join(said)}, as in your script: no cosine is trained",)

    @model_validator(mode="after")
    def _rates_fit(self) -> Self:
        faults = []
        for after in (False, True) if self.training.level_switch.rule != "never" else (False,):
            values = self.values(after)
            if values.scheduler != "noam" and self.low_rate > values.learning_rate:
                where = "after the switch" if after else "of the first level"
                what = f"training.min_learning_rate {self.low_rate} is above the learning rate {where}"
                script = "your script's cosine, which is to fall to it, would rise"
                faults.append(Fault(f"{what}, {values.learning_rate}", script, "set it at or below"))
        refuse(faults)
        return self
