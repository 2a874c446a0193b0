"""The native config of sequence_generator: the keys of the user's args.json, and the plan of phases. No torch here.

Users write phases with their values as they are: a list `phases:`, one args.json, or commands (`forms.py` reads all
three). A search needs another form: values that fall from phase to phase whatever is drawn. So the config holds the
first phase's values under their native names, and in `plan` each later one as a share of the value before it: shares
up to 1 can't rise. `plan.py` turns one into the other.

A key's default is what the user's scripts do without it; `Ours` marks keys that they don't know. The documented recipe
is `plan.DOCUMENTED` (models.md, section 2); what that leaves open is said where it stands.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spaces.schema import Fault, Flag, NativeSection, Real, Script, Section, Text, refuse
from trainables.keys import Ours
from trainables.kinds import Clip, Count, Decay, Dropout, Natural, NotNegative, Positive, Rate, Seed, Spread, Workers
from trainables.sequence_generator.layout import N_COMPONENTS

Share = Annotated[Real, Field(ge=0, le=1)]
Forced = Annotated[
    Share,
    Script("your script takes it for 1 or 0, always or never; write that"),
]
LowRate = Annotated[Share, Script("your script raises the loss at a rate below 0, and diverges above 1")]

LrSchedule = Literal["constant", "linear", "cosine", "one_cycle", "restarts"]
"""Of the rate inside a phase. one_cycle climbs from the warmup's rate to the start rate before it falls; restarts are
cosines, one after the other, each from start to end."""


class Phase(NativeSection):
    """One phase with its values as they are: what the documented table has in a row, under the native names.

    A value with a start and an end has the former at the phase's first epoch and the latter at its last.
    """

    epochs: Count = 100
    start_lr: Rate = 1e-3
    min_lr: LowRate = 5e-4  # where the rate ends
    lr_schedule: Annotated[LrSchedule, Ours("one_cycle; linear with a start model")] = "one_cycle"
    warmup_lr: Annotated[Share, Ours("as min_lr")] = 5e-4  # where a one_cycle begins
    warmup_fraction: Annotated[Real, Field(ge=0, lt=1), Ours()] = 0.3  # of the phase's epochs, of a one_cycle
    lr_cycles: Annotated[Count, Ours()] = 1  # of restarts
    teacher_forcing_start: Forced = 0.7  # share of the decoder's inputs taken from the truth
    teacher_forcing_end: Forced = 0.6
    weight_decay: Decay = 0.01
    noise_level: Spread = 0.05  # standard deviations of the training data, on the true inputs
    clip_grad_norm: Clip = 1.0  # of the global L2 norm
    alpha: Annotated[
        Share,
        Ours("asked for, or loss: combined, mae or autocorr"),
        Script("it mixes the two losses of your scripts, whose own values are 0, 0.5 and 1"),
    ] = 0.8
    """Weight of the pointwise loss; the rest is the autocorrelation's."""
    max_lag: Count = 10  # frames

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.lr_schedule == "one_cycle":
            for name in ("warmup_lr", "min_lr"):
                if getattr(self, name) > self.start_lr:
                    what = f"{name} {getattr(self, name)} is above start_lr {self.start_lr}"
                    script = "your script's one cycle has its peak at start_lr"
                    refuse([Fault(what, script, "lower it, or set lr_schedule to linear or cosine")])
        return self


class PhasePlan(Section):
    """One phase as shares of what came before it; of an earlier 0, only a share above 1 leads away (1.05 is .05)."""

    length: Annotated[Real, Field(gt=0, le=1)]  # share of the epochs that are left; the last phase takes all of them
    lr_schedule: LrSchedule
    lr_start: NotNegative  # share of the rate at the end of the phase before
    lr_end: NotNegative  # share of this phase's start; 1 where the schedule is constant
    lr_warmup: Share  # share of this phase's start at which a one_cycle begins
    lr_warmup_fraction: Annotated[Real, Field(ge=0, lt=1)]  # share of the phase's epochs, of a one_cycle
    lr_cycles: Count
    teacher_forcing_start: NotNegative  # share of the end of the phase before
    teacher_forcing_end: NotNegative  # share of this phase's start
    weight_decay: NotNegative  # share of the phase before; likewise the next two
    noise_level: NotNegative
    clip_grad_norm: Positive
    alpha: Share  # as it is, not a share of another
    max_lag: Count  # frames, as it is


class Config(NativeSection):
    """One training of sequence_generator; a key it doesn't know is carried through unchanged."""

    # Where things lie and run: a search names its data in `data:`.
    data_dir: Text | None = None
    num_workers: Workers = 4  # of the user's own loader; ours holds all sequences in memory
    output_dir: Text | None = None
    save_every: Natural = 5  # epochs between the user's own checkpoints
    save_training: Annotated[Flag, Ours()] = False  # write training.csv and each phase's checkpoint into output_dir
    existing_model: Text | None = None  # a checkpoint, or a run's folder of them, whose weights it starts with
    mixed_precision: Flag = False  # bfloat16 autocast on a GPU that has it; no effect on a CPU
    no_cuda: Flag = False

    # The task.
    seed: Seed = 42  # of the split into training, validation and test; a run's own seed is given where it is built

    # The network.
    hidden_size: Count = 256
    num_layers: Count = 2
    dropout: Dropout = 0.3  # between the layers: none with a single one
    bidirectional: Annotated[Flag, Ours()] = False  # the encoder
    attention: Annotated[Flag, Ours()] = False  # of the decoder, on the encoder's output and on its own past

    # The training: all phases' epochs together, and what holds through all of them.
    epochs: Count = 100
    batch_size: Count = 32  # sequences
    curriculum_epochs: Annotated[Natural, Ours()] = (
        0  # epochs at the start that go from easy to hard sequences; 0: never
    )
    component_weights: Annotated[
        tuple[NotNegative, ...], Field(min_length=N_COMPONENTS, max_length=N_COMPONENTS), Ours()
    ] = (1.0,) * N_COMPONENTS  # of the components in the loss, relative to one another

    # What the first phase starts with; its place in the plan is a share of 1.
    start_lr: Rate = 1e-3
    teacher_forcing: Flag = True  # off: always free-running
    teacher_forcing_start: Forced = 0.7
    weight_decay: Decay = 0.01
    noise_level: Spread = 0.05
    clip_grad_norm: Clip = 1.0

    plan: dict[Text, PhasePlan]
    """phase_1, phase_2, …: any number of them."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        if not any(self.component_weights):
            what = "component_weights are all 0, so that nothing is learnt"
            faults.append(Fault(what, "your script doesn't know this key, and weighs all alike", "raise one"))
        if self.epochs < len(self.plan):
            what = f"epochs {self.epochs} are fewer than the {len(self.plan)} phases"
            faults.append(Fault(what, "your script trains at least one epoch in each phase", "raise them"))
        names = [f"phase_{i + 1}" for i in range(max(1, len(self.plan)))]
        if list(self.plan) != names:
            what = f"plan has the phases {', '.join(self.plan)}"
            script = "your script doesn't know this key, which only best.yaml has"
            faults.append(Fault(what, script, f"name them {', '.join(names)}, in this order"))
        if self.save_training and not self.output_dir:
            what = f"save_training true needs output_dir, got {self.output_dir!r}"
            script = "your script doesn't know save_training"
            faults.append(Fault(what, script, "name a folder, or set it to false"))
        refuse(faults)
        return self
