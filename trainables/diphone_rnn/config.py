"""The native config of diphone_rnn: the nesting and key names of the user's rnn_args_diphone_sagemaker.yaml. No torch.

A key's default is what the user's script does without it; `Documented` is the recipe, where that differs. `Needed` keys
have no value of their own in the script, which ends without them: here they have the documented one. What only that
script reads is the public trainer's or null.
"""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, model_validator

from spaces.schema import Fault, Flag, NativeSection, Real, Script, Text, Whole, refuse
from trainables.diphone_rnn.phonemes import N_DIPHONES, N_PHONEMES
from trainables.keys import Documented, Unsettled
from trainables.kinds import (
    Beta,
    Count,
    Decay,
    Dropout,
    LowRate,
    MaybeClip,
    Natural,
    Positive,
    Rate,
    Seed,
    Share,
    Spread,
    Steps,
    Workers,
)

INIT = "init_checkpoint_path"
"""The key of the checkpoint to start from."""
T = TypeVar("T")
Needed = Annotated[T, Unsettled("your script needs them: add yours", "needed")]


class InputNetwork(NativeSection):
    """The layer of each day in front of the network."""

    n_input_layers: Annotated[
        Whole, Field(ge=1, le=1), Script("your script has one layer for each day, whatever stands here")
    ] = 1
    input_layer_sizes: tuple[Count, ...] = (512,)
    input_trainable: Needed[Flag] = True
    input_layer_dropout: Needed[Dropout] = 0.3


class Network(NativeSection):
    """The GRU and what is in front of it."""

    n_input_features: Count = 512  # channels
    n_units: Needed[Count] = 1024
    rnn_dropout: Needed[Dropout] = 0.5  # between the layers: none with a single one
    rnn_trainable: Needed[Flag] = True
    n_layers: Needed[Count] = 5
    bidirectional: Flag = False
    patch_size: Annotated[
        Needed[Count],
        Script("your script makes no patches at 0; write patch_size: 1 and patch_stride: 1, which means the same"),
    ] = 14  # bins of 20 ms
    patch_stride: Annotated[Needed[Count], Script("torch refuses it in your script, too, where there are patches")] = (
        4  # bins
    )
    input_network: InputNetwork = InputNetwork()


class DataTransforms(NativeSection):
    """Augmentation of the training trials; the smoothing alone is applied to every trial."""

    white_noise_std: Needed[Spread] = 1.0
    constant_offset_std: Needed[Spread] = 0.2
    random_walk_std: Needed[Spread] = 0.0
    random_walk_axis: Annotated[
        Needed[Literal[-2, -1, 1, 2]], Script("your script walks over the trials of a batch at 0, and ends beyond 2")
    ] = -1  # of (trial, bin, channel): -1 over channels, 1 over time
    static_gain_std: Needed[Spread] = 0.0
    random_cut: Needed[Natural] = 3  # at most so many bins off the start
    smooth_kernel_size: Needed[Count] = 100  # bins
    smooth_data: Needed[Flag] = True
    smooth_kernel_std: Needed[Positive] = 2.0  # bins


class Dataset(NativeSection):
    """The trials: which, where, and how many make a batch."""

    data_transforms: DataTransforms = DataTransforms()
    neural_dim: Count = 512  # channels
    batch_size: Needed[Count] = 32  # trials
    n_classes: Annotated[
        Needed[Literal[41, 1681]],
        Script("your script trains any number of classes; here are 41 phonemes, and 1681 diphones"),
    ] = 1681
    max_seq_elements: Count = 500  # labels of the longest trial
    days_per_batch: Needed[Count] = 4
    seed: Seed = 1  # of the public trainer's own split into batches
    num_dataloader_workers: Workers = 4  # threads that read ahead for a GPU
    loader_shuffle: Flag = False
    must_include_days: tuple[Natural, ...] | None = None  # indices of `sessions`, in every batch
    test_percentage: Share = 0.1
    feature_subset: tuple[Natural, ...] | None = None  # channels of the files to take, from 0; null: all
    dataset_dir: Text | None = None
    bad_trials_dict: dict[Text, dict[Text, tuple[Natural, ...]]] | None = None  # session → block → trial numbers
    sessions: tuple[Text, ...] | None = None  # null: every folder of dataset_dir, by name
    dataset_probability_val: tuple[Share, ...] | None = None  # per session; 0: its trials are not validated on

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        chances, sessions = self.dataset_probability_val, self.sessions
        if chances is not None and len(chances) != len(sessions or ()):
            given = "null" if sessions is None else f"{len(sessions)} names"
            what = f"dataset_probability_val has {len(chances)} entries, sessions is {given}"
            faults.append(Fault(what, "your script takes one for each session", "give as many as there are sessions"))
        if chances is not None and not any(chances):
            what = f"dataset_probability_val {list(chances)} is 0 for every session"
            faults.append(Fault(what, "your script validates nothing then", "raise one"))
        chosen = self.feature_subset
        if chosen is not None and len(chosen) != self.neural_dim:
            what = f"feature_subset names {len(chosen)} channels, neural_dim is {self.neural_dim}"
            script = "your script ends where the network takes the wrong number of channels"
            faults.append(Fault(what, script, "make them equal"))
        if chosen is not None and len(set(chosen)) < len(chosen):
            twice = next(channel for channel in chosen if chosen.count(channel) > 1)
            what = f"feature_subset names channel {twice} twice"
            faults.append(Fault(what, "your script trains on it twice", "name each once"))
        must = self.must_include_days or ()
        if len(set(must)) > min(self.days_per_batch, self.batch_size):
            what = f"must_include_days names {len(set(must))} days, days_per_batch is {self.days_per_batch}"
            faults.append(Fault(what, "your script's data set refuses it, too", "name fewer"))
        refuse(faults)
        return self


class Config(NativeSection):
    """One training of diphone_rnn; a key it doesn't know is carried through unchanged."""

    model: Network = Network()

    # Where things lie and run, and what the user's own script keeps: carried for that script.
    gpu_number: Annotated[Text | Whole | None, Script("your script ends, as there is no such GPU")] = 0
    mode: Text = "train"
    use_amp: Flag = True  # bfloat16 autocast on a GPU that has it; no effect on a CPU
    output_dir: Text | None = None
    checkpoint_dir: Text | None = None
    init_from_checkpoint: Flag = False
    init_checkpoint_path: Text | None = None
    save_best_checkpoint: Flag = True
    save_all_val_steps: Flag = False
    save_final_model: Flag = False
    save_val_metrics: Flag = True
    early_stopping: Annotated[Flag, Documented(False)] = True
    early_stopping_val_steps: Annotated[
        Count, Script("your script stops at its first validation then; for no stopping set early_stopping to false")
    ] = 20  # validations without a lower PER

    # The length of the run, and the learning rates: of the network, then of the day layers.
    num_training_batches: Needed[Count] = 150_000
    lr_scheduler_type: Annotated[
        Needed[Literal["cosine", "linear"]], Script("your script refuses another one, too")
    ] = "cosine"
    lr_max: Needed[Rate] = 0.005
    lr_min: Needed[LowRate] = 0.0005
    lr_decay_steps: Needed[Count] = 150_000  # batches until lr_min, the warmup included
    lr_warmup_steps: Needed[Steps] = 1000  # batches, linear from 0
    lr_max_day: Needed[Rate] = 0.005
    lr_min_day: Needed[LowRate] = 0.0005
    lr_decay_steps_day: Needed[Count] = 150_000
    lr_warmup_steps_day: Needed[Steps] = 1000

    # The optimiser (AdamW).
    beta0: Needed[Beta] = 0.9
    beta1: Needed[Beta] = 0.999
    epsilon: Needed[Positive] = 1e-8
    weight_decay: Needed[Decay] = 5e-4  # biases have none
    weight_decay_day: Needed[Decay] = 0.0
    seed: Seed = 10  # a run's own seed is given where it is built
    grad_norm_clip_value: Needed[MaybeClip] = 5.0  # of the global L2 norm; 0: no clipping

    # The loss: α·phoneme + (1 − α)·diphone.
    use_composite_loss: Annotated[Flag, Documented(True)] = False  # off: the loss of the classes alone
    composite_loss_alpha: Annotated[Share, Documented(0.6)] = 0.5  # α without the schedule
    use_alpha_schedule: Annotated[Flag, Documented(True)] = False
    alpha_schedule_start: Share = 0.0
    alpha_schedule_end: Share = 0.6
    alpha_schedule_step_size: Annotated[
        Real,
        Field(gt=0),
        Script("your script's α would stay at its start, or fall; for that set use_alpha_schedule to false"),
    ] = 0.1
    alpha_schedule_step_interval: Count = 3000  # batches

    # What is reported, and when.
    batches_per_train_log: Count = 200
    batches_per_val_step: Count = 1500
    batches_per_save: Natural = 0
    log_individual_day_val_PER: Flag = True  # noqa: N815 - the key in the user's file
    log_val_skip_logs: Flag = False
    save_val_logits: Flag = False
    save_val_data: Flag = False

    dataset: Dataset = Dataset()

    @property
    def composite(self) -> bool:
        """Whether α mixes two losses."""
        return self.use_composite_loss and self.dataset.n_classes == N_DIPHONES

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = [*_rate_faults(self, ""), *_rate_faults(self, "_day")]
        if self.alpha_schedule_start > self.alpha_schedule_end:
            end = self.alpha_schedule_end
            what = f"alpha_schedule_start {self.alpha_schedule_start} is above alpha_schedule_end {end}"
            script = f"your script trains with α {end} from the first batch"
            faults.append(Fault(what, script, f"set alpha_schedule_start to {end}, which means the same, or lower"))
        if self.use_composite_loss and self.dataset.n_classes == N_PHONEMES:
            what = f"use_composite_loss true needs dataset.n_classes {N_DIPHONES}, got {N_PHONEMES}"
            script = "your script ends where it sums diphones to phonemes"
            faults.append(Fault(what, script, "set use_composite_loss to false, or leave it out"))
        channels, sizes = self.model.n_input_features, self.model.input_network.input_layer_sizes
        if self.dataset.neural_dim != channels:
            what = f"model.n_input_features {channels} and dataset.neural_dim {self.dataset.neural_dim} differ"
            script = "both count the channels, and your script builds its network for the former"
            faults.append(Fault(what, script, "make them equal"))
        if sizes != (channels,):
            what = f"model.input_network.input_layer_sizes {list(sizes)} is not [{channels}], model.n_input_features"
            script = "your script's layer of a day is square, whatever stands here"
            faults.append(Fault(what, script, f"write [{channels}]"))
        if self.init_from_checkpoint and init_path(self) is None:
            what = f"init_from_checkpoint true needs init_checkpoint_path, got {self.init_checkpoint_path!r}"
            faults.append(Fault(what, "your script ends where it loads it", "name the file, or set it to false"))
        refuse(faults)
        return self


def init_path(config: Config) -> str | None:
    """The checkpoint to start from, if there is one; users' files write None, which YAML reads as text."""
    path = config.init_checkpoint_path
    return path if config.init_from_checkpoint and path not in (None, "", "None") else None


def _rate_faults(config: Config, suffix: str) -> list[Fault]:
    names = [f"{name}{suffix}" for name in ("lr_min", "lr_max", "lr_warmup_steps", "lr_decay_steps")]
    low, high, warmup, decay = (getattr(config, name) for name in names)
    faults = []
    if low > high:
        script = "your script's rate, which is to decay, rises to it or jumps there"
        faults.append(Fault(f"{names[0]} {low} is above {names[1]} {high}", script, "set it at or below"))
    if warmup >= decay:
        script = f"both count from batch 0, and your script's rate falls from its warmup to {names[0]} at once"
        faults.append(Fault(f"{names[2]} {warmup} must lie below {names[3]} {decay}", script, "raise the latter"))
    return faults
