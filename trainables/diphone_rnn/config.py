"""The native config of diphone_rnn: the nesting and key names of the user's rnn_args_diphone_sagemaker.yaml. No torch.

A key's default is what the user's script does without it; `Documented` is the recipe, where that differs. `Needed` keys
have no value of their own in the script, which ends without them: here they have the documented one. What only that
script reads is the public trainer's or null.
"""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, model_validator

from spaces.schema import Flag, NativeSection, Real, Text, Whole
from trainables.diphone_rnn.phonemes import N_DIPHONES, N_PHONEMES
from trainables.keys import Documented, Unsettled

Count = Annotated[Whole, Field(ge=1)]
Natural = Annotated[Whole, Field(ge=0)]
Share = Annotated[Real, Field(ge=0, le=1)]
Dropout = Annotated[Real, Field(ge=0, lt=1)]
Rate = Annotated[Real, Field(gt=0, le=1)]
NotNegative = Annotated[Real, Field(ge=0)]

INIT = "init_checkpoint_path"
"""The key of the checkpoint to start from."""
T = TypeVar("T")
Needed = Annotated[T, Unsettled("your script needs them: add yours", "needed")]


def _refuse(faults: list[str]) -> None:
    if faults:
        raise ValueError("; ".join(faults))


class InputNetwork(NativeSection):
    """The layer of each day in front of the network."""

    n_input_layers: Annotated[Whole, Field(ge=1, le=1)] = 1
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
    patch_size: Needed[Count] = 14  # bins of 20 ms
    patch_stride: Needed[Count] = 4  # bins
    input_network: InputNetwork = InputNetwork()


class DataTransforms(NativeSection):
    """Augmentation of the training trials; the smoothing alone is applied to every trial."""

    white_noise_std: Needed[NotNegative] = 1.0
    constant_offset_std: Needed[NotNegative] = 0.2
    random_walk_std: Needed[NotNegative] = 0.0
    random_walk_axis: Needed[Literal[-2, -1, 1, 2]] = -1  # of (trial, bin, channel): -1 over channels, 1 over time
    static_gain_std: Needed[NotNegative] = 0.0
    random_cut: Needed[Natural] = 3  # at most so many bins off the start
    smooth_kernel_size: Needed[Count] = 100  # bins
    smooth_data: Needed[Flag] = True
    smooth_kernel_std: Needed[Annotated[Real, Field(gt=0)]] = 2.0  # bins


class Dataset(NativeSection):
    """The trials: which, where, and how many make a batch."""

    data_transforms: DataTransforms = DataTransforms()
    neural_dim: Count = 512  # channels
    batch_size: Needed[Count] = 32  # trials
    n_classes: Needed[Literal[41, 1681]] = 1681
    max_seq_elements: Count = 500  # labels of the longest trial
    days_per_batch: Needed[Count] = 4
    seed: Natural = 1  # of the public trainer's own split into batches
    num_dataloader_workers: Natural = 4  # threads that read ahead for a GPU
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
            faults.append(
                f"dataset_probability_val has {len(chances)} entries, sessions is {given}; give one for each session"
            )
        if chances is not None and not any(chances):
            faults.append("dataset_probability_val is 0 for every session, so nothing is validated; raise one")
        chosen = self.feature_subset
        if chosen is not None and len(chosen) != self.neural_dim:
            faults.append(
                f"feature_subset names {len(chosen)} channels, neural_dim is {self.neural_dim}; make them equal"
            )
        if chosen is not None and len(set(chosen)) < len(chosen):
            twice = next(channel for channel in chosen if chosen.count(channel) > 1)
            faults.append(f"feature_subset names channel {twice} twice; name each once")
        must = self.must_include_days or ()
        if len(set(must)) > min(self.days_per_batch, self.batch_size):
            faults.append(
                f"must_include_days names {len(set(must))} days, days_per_batch is {self.days_per_batch}; name fewer"
            )
        _refuse(faults)
        return self


class Config(NativeSection):
    """One training of diphone_rnn; a key it doesn't know is carried through unchanged."""

    model: Network = Network()

    # Where things lie and run, and what the user's own script keeps: carried for that script.
    gpu_number: Text | Whole | None = 0
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
    early_stopping_val_steps: Count = 20  # validations without a lower PER

    # The length of the run, and the learning rates: of the network, then of the day layers.
    num_training_batches: Needed[Count] = 150_000
    lr_scheduler_type: Needed[Literal["cosine", "linear"]] = "cosine"
    lr_max: Needed[Rate] = 0.005
    lr_min: Needed[NotNegative] = 0.0005
    lr_decay_steps: Needed[Count] = 150_000  # batches until lr_min, the warmup included
    lr_warmup_steps: Needed[Natural] = 1000  # batches, linear from 0
    lr_max_day: Needed[Rate] = 0.005
    lr_min_day: Needed[NotNegative] = 0.0005
    lr_decay_steps_day: Needed[Count] = 150_000
    lr_warmup_steps_day: Needed[Natural] = 1000

    # The optimiser (AdamW).
    beta0: Needed[Annotated[Real, Field(ge=0, lt=1)]] = 0.9
    beta1: Needed[Annotated[Real, Field(ge=0, lt=1)]] = 0.999
    epsilon: Needed[Annotated[Real, Field(gt=0)]] = 1e-8
    weight_decay: Needed[NotNegative] = 5e-4  # biases have none
    weight_decay_day: Needed[NotNegative] = 0.0
    seed: Natural = 10  # a run's own seed is given where it is built
    grad_norm_clip_value: Needed[NotNegative] = 5.0  # of the global L2 norm; 0: no clipping

    # The loss: α·phoneme + (1 − α)·diphone.
    use_composite_loss: Annotated[Flag, Documented(True)] = False  # off: the loss of the classes alone
    composite_loss_alpha: Annotated[Share, Documented(0.6)] = 0.5  # α without the schedule
    use_alpha_schedule: Annotated[Flag, Documented(True)] = False
    alpha_schedule_start: Share = 0.0
    alpha_schedule_end: Share = 0.6
    alpha_schedule_step_size: Annotated[Real, Field(gt=0)] = 0.1
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
            faults.append(
                f"alpha_schedule_start {self.alpha_schedule_start} is above alpha_schedule_end "
                f"{self.alpha_schedule_end}, while alpha_schedule_step_size {self.alpha_schedule_step_size} climbs; "
                "start at or below the end"
            )
        if self.use_composite_loss and self.dataset.n_classes == N_PHONEMES:
            faults.append(
                f"use_composite_loss needs dataset.n_classes {N_DIPHONES}, got {N_PHONEMES}: phonemes alone have no "
                "diphones to mix in; set use_composite_loss to false, or leave it out"
            )
        channels, sizes = self.model.n_input_features, self.model.input_network.input_layer_sizes
        if self.dataset.neural_dim != channels:
            faults.append(
                f"model.n_input_features {channels} and dataset.neural_dim {self.dataset.neural_dim} both count the "
                "channels; make them equal"
            )
        if sizes != (channels,):
            faults.append(
                f"model.input_network.input_layer_sizes {list(sizes)} must be [{channels}], model.n_input_features: a "
                "day's layer is square"
            )
        if self.init_from_checkpoint and init_path(self) is None:
            faults.append("init_from_checkpoint needs init_checkpoint_path; name the file, or set it to false")
        _refuse(faults)
        return self


def init_path(config: Config) -> str | None:
    """The checkpoint to start from, if there is one; users' files write None, which YAML reads as text."""
    path = config.init_checkpoint_path
    return path if config.init_from_checkpoint and path not in (None, "", "None") else None


def _rate_faults(config: Config, suffix: str) -> list[str]:
    names = [f"{name}{suffix}" for name in ("lr_min", "lr_max", "lr_warmup_steps", "lr_decay_steps")]
    low, high, warmup, decay = (getattr(config, name) for name in names)
    faults = []
    if low > high:
        faults.append(f"{names[0]} {low} is above {names[1]} {high}; the rate decays, so set it at or below")
    if warmup >= decay:
        faults.append(
            f"{names[2]} {warmup} must lie below {names[3]} {decay}: both count from batch 0, and the decay follows "
            "the warmup"
        )
    return faults
