"""What the trials of a search have in common, as the driver hands it to each of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainables.run import Native
from trainables.start import StartAt


@dataclass(frozen=True)
class Job:
    """What all trials of a search have in common."""

    model: str
    base: Native
    """The whole native config; a trial's values are set into it."""
    data: Native
    every: int
    """Units between evaluations."""
    horizon: int
    """Units of a full training."""
    folder: str
    """The search's folder: `trials/t0007/` in it holds a trial's log and checkpoints."""
    threads: int = 1
    """torch threads per trial: another count gives other sums, hence other results."""
    saving: float = 0.1
    """The share of the training time that checkpoints may take. An evaluation is saved before it is reported, so that
    none is repeated after a crash, unless saving takes longer than this; then at every so many. A trial that pauses is
    always saved."""
    exchange: bool = False
    """Whether trials take over each other's state (population based training), so that Ray must carry it."""
    storage: str | None = None
    """The search's prefix in an object store, where checkpoints and artifacts go; None: into `folder`."""
    owner: str = ""
    """What `OWNER` in `folder` says, by which a worker knows that it sees the search's own folder; empty: not asked."""
    sitting: str = ""
    """Names the sitting: workers of others must not go on with a trial that this one takes up."""
    timeout: float | None = None
    """Seconds that training to the next evaluation may take, or building a trial, which has a minute at least."""
    shown: int | None = None
    """Trials of this seed write their artifacts at their end, into `artifacts/` of their folder, and a checkpoint: one
    of them may be what the search hands over."""
    memory: int | None = None
    """Bytes of main memory that a trial's worker may hold with its children; None: what the machine has."""
    gpu: float = 0.0
    """GPUs that a trial has: of a fraction, it gets that share of the memory."""
    gpu_memory: int | None = None
    """Bytes of GPU memory that a trial may hold; None: its share."""
    trainable: Mapping[str, Any] | None = None
    """The reference to the user's own code, where `model` is none of ours."""
    here: str = ""
    """The folder in which the search was started, and in which trials run where a node has it: relative paths start
    there. Empty: a folder that Ray gives each trial."""
    further: tuple[str, ...] = ()
    """Metrics that are objectives beside the model's own. Seconds per unit are reported only if they are among them:
    a number that no two runs have in common."""
    start: StartAt | None = None
    """Where trials start that have no checkpoint yet; None: from step 0."""
    hands_on: bool = False
    """Its trials train what other trials start from: at the end each leaves its state in `folder`, or in `storage`."""
    held: int = 0
    """Commands of paused trials that a node keeps in memory, stopped; 0: none."""
    code: str = ""
    """Where the copy of the user's own code is; empty: in `folder`."""

    @property
    def begins(self) -> int:
        """The step that trials start from."""
        return 0 if self.start is None else self.start.step
