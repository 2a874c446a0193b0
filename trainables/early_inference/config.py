"""The native config of early_inference: flat, with the key names of the user's own CONFIG. No torch here.

A key's default is what the user's newer script does without it, which is what its training document prescribes;
`epochs` and `early_stopping_patience` are `OPEN`. An older script knows none of `NEWER`
and means `OLDER`: a file that holds none of them is its file.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from spaces.schema import Fault, Flag, NativeSection, Real, Script, Text, Whole, refuse
from trainables.keys import Unsettled
from trainables.kinds import Count, Decay, Dropout, LowRate, MaybeClip, Natural, Rate, Seed, Split, Steps

Sizes = Annotated[tuple[Count, ...], Field(min_length=1), Script("your script ends without a layer of some width")]

OPEN = Unsettled("the training document leaves them open: add yours", "open, taken as")

NEWER = frozenset(
    {"weight_decay", "grad_clip_norm", "scheduler_factor", "scheduler_patience", "scheduler_min_lr", "warmup_epochs"}
)
"""Keys that only the newer script has: a file without all of them is the older script's."""
OLDER: Mapping[str, Any] = MappingProxyType(
    {
        "weight_decay": 0.0,
        "grad_clip_norm": 0.0,
        "warmup_epochs": 0,
        "scheduler_factor": 0.5,
        "scheduler_patience": 5,
        "scheduler_min_lr": 0.0,
        "use_weighted_pooling": False,
        "use_variance_regularization": False,
    }
)
"""What the older script does: plain Adam without clipping or warmup, a plateau controller, the average over time."""


def is_older(native: Mapping[str, Any]) -> bool:
    """Whether a file is that of the older script."""
    return not NEWER & set(native)


class Config(NativeSection):
    """One training of early_inference; a key it doesn't know is carried through unchanged."""

    # Where things lie: kept for the user's own script. A search names its data in `data:`.
    data_dir: Text | None = None
    output_dir: Text | None = None
    device: Annotated[
        Text,
        Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$"),
        Script("torch may know it in your script; write auto, cpu, cuda or cuda:NUMBER"),
    ] = "auto"

    # The task: which data the run sees and is judged on.
    prefix_length: Annotated[Whole | Real, Field(gt=0), Script("your script ends, as the data has no such prefix")] = (
        30  # seconds; an int stays one (it names the npz key)
    )
    val_split: Split = 0.2  # share of the curves
    seed: Seed = 42  # of the split; a run's own seed is given where it is built
    normalize_inputs: Flag = True  # fixed physical scales; off: raw pH, seconds and units
    normalize_outputs: Flag = True  # z-score the targets by training statistics, in logit space

    # The length of the run.
    epochs: Annotated[Count, OPEN] = 100
    early_stopping_patience: Annotated[Natural, OPEN] = 20  # epochs without a lower loss; 0: never

    # The optimiser (AdamW; without decay that is Adam) and its learning rate.
    batch_size: Count = 256  # curves
    lr: Rate = 1e-3
    weight_decay: Decay = 1e-5
    grad_clip_norm: MaybeClip = 5.0  # of the global L2 norm; 0: no clipping
    warmup_epochs: Steps = 5  # linear, up to `lr`
    scheduler_factor: Annotated[
        Real, Field(gt=0, lt=1), Script("torch's ReduceLROnPlateau refuses 1 and more in your script, too")
    ] = 0.7  # lr × factor on a plateau of the validation loss
    scheduler_patience: Annotated[
        Whole,
        Field(ge=0),
        Script("your script lowers its rate after every epoch then; write 0 or more"),
    ] = 10  # epochs
    scheduler_min_lr: LowRate = 1e-6

    # The network.
    tcn_channels: Sizes = (128, 256, 512, 512)  # one block each, dilation 2^i
    tcn_kernel_size: Count = 7  # points
    tcn_dropout: Dropout = 0.2
    use_weighted_pooling: Flag = True  # off: average over time
    mlp_hidden_dims: Sizes = (256, 128)  # of the known inputs
    output_dropout: Dropout = 0.1

    # The loss.
    use_uncertainty: Flag = True  # off: no variance head, squared error
    use_variance_regularization: Flag = True
    variance_penalty_weight: Annotated[
        Real, Field(ge=0), Script("your script would train for variances far from target_variance")
    ] = 0.01
    target_variance: Annotated[
        Real, Field(gt=0), Script("a variance is above 0, in your script, too: no network could reach it")
    ] = 0.1  # of the z-scored targets

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.scheduler_min_lr > self.lr:
            what = f"scheduler_min_lr {self.scheduler_min_lr} is above lr {self.lr}"
            script = "your script's rate, which a plateau only lowers, stays at lr"
            refuse([Fault(what, script, "set scheduler_min_lr to lr, which means the same, or below")])
        return self
