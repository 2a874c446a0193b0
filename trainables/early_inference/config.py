"""The native config of early_inference: flat, with the key names of the user's own CONFIG. No torch here.

Values are the documented ones (the model's training document); `epochs` and `early_stopping_patience` are ours, as the
document leaves them open.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from spaces.schema import Flag, NativeSection, Real, Text, Whole

Dropout = Annotated[Real, Field(ge=0, lt=1)]
Count = Annotated[Whole, Field(ge=1)]
Sizes = Annotated[tuple[Count, ...], Field(min_length=1)]


class Config(NativeSection):
    """One training of early_inference; a key it doesn't know is carried through unchanged."""

    # Where things lie: kept for the user's own script. A search names its data in `data:`.
    data_dir: Text | None = None
    output_dir: Text | None = None
    device: Annotated[Text, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"

    # The task: which data the run sees and is judged on.
    prefix_length: Annotated[Whole | Real, Field(gt=0)] = 30  # seconds; an int stays one (it names the npz key)
    val_split: Annotated[Real, Field(gt=0, lt=1)] = 0.2  # share of the curves
    seed: Annotated[Whole, Field(ge=0)] = 42  # of the split; a run's own seed is given where it is built
    normalize_inputs: Flag = True  # fixed physical scales; off: raw pH, seconds and units
    normalize_outputs: Flag = True  # z-score the targets by training statistics, in logit space

    # The length of the run. Ours: the document leaves both open.
    epochs: Count = 100
    early_stopping_patience: Annotated[Whole, Field(ge=0)] = 20  # epochs without a lower validation loss; 0: never

    # The optimiser (AdamW) and its learning rate.
    batch_size: Count = 256  # curves
    lr: Annotated[Real, Field(gt=0, le=1)] = 1e-3
    weight_decay: Annotated[Real, Field(ge=0)] = 1e-5
    grad_clip_norm: Annotated[Real, Field(gt=0)] = 5.0  # of the global L2 norm
    warmup_epochs: Annotated[Whole, Field(ge=0)] = 5  # linear, up to `lr`
    scheduler_factor: Annotated[Real, Field(gt=0, lt=1)] = 0.7  # lr × factor on a plateau of the validation loss
    scheduler_patience: Annotated[Whole, Field(ge=0)] = 10  # epochs
    scheduler_min_lr: Annotated[Real, Field(ge=0)] = 1e-6

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
    variance_penalty_weight: Annotated[Real, Field(ge=0)] = 0.01
    target_variance: Annotated[Real, Field(gt=0)] = 0.1  # of the z-scored targets

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.scheduler_min_lr > self.lr:
            raise ValueError(
                f"scheduler_min_lr {self.scheduler_min_lr} is above lr {self.lr}; the plateau controller only lowers "
                "the learning rate, so set scheduler_min_lr at or below lr"
            )
        return self
