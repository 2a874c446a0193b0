"""What an epoch's batches compute: means, the share of clipped steps, and the name of what broke."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

from trainables.interval import Interval
from trainables.run import Diverged
from trainables.tts.losses import PARTS

UNREAD = 8  # notes after which a GPU is waited for at the latest


class Epoch:
    """Losses and gradient norms of an epoch's batches."""

    MEANS: ClassVar[tuple[str, ...]] = (
        "train_loss",
        *(f"train_loss_{part}" for part in PARTS),
        "gradient_norm",
        "clipped_steps",
    )

    def __init__(self, step: int, network: nn.Module, at_once: bool) -> None:
        """`step`: epochs trained, this one included. `at_once`: read many batches at once, as a GPU likes it."""
        self._step, self._network = step, network
        self._interval = Interval(UNREAD if at_once else 1)

    def losses(self, parts: Mapping[str, Tensor]) -> None:
        """Note a batch's losses: the parts before their sum, so that what broke is named. Raises Diverged."""
        self._note({**{f"train_loss_{part}": parts[part] for part in PARTS}, "train_loss": parts["total"]})

    def norm(self, norm: Tensor) -> None:
        """Note the gradient's norm of an optimiser step, before clipping. Raises Diverged."""
        self._note({"gradient_norm": norm})

    def means(self, clip: float) -> dict[str, float]:
        """The mean of each, and the share of steps whose gradient was clipped. Raises Diverged."""
        with self._named():
            means = self._interval.means()
        norms = self._interval.values["gradient_norm"]
        return {**means, "clipped_steps": sum(norm > clip for norm in norms) / len(norms)}

    def _note(self, values: Mapping[str, Tensor]) -> None:
        with self._named():
            self._interval.note(self._step, {key: value.detach().float() for key, value in values.items()})

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Diverged says what broke in the network, too."""
        try:
            yield
        except Diverged as error:
            raise Diverged(self._culprit(error.quantity), error.step, error.value) from error

    def _culprit(self, key: str) -> str:
        """The quantity, and the first tensor that isn't finite any more, if there is one."""
        named = list(self._network.named_parameters())
        if key == "gradient_norm":
            gradients = ((name, p.grad) for name, p in named if p.grad is not None)
            bad = next((name for name, grad in gradients if not bool(torch.isfinite(grad).all())), None)
            return key if bad is None else f"gradient of {bad}"
        bad = next((name for name, p in named if not bool(torch.isfinite(p).all())), None)
        return key if bad is None else f"{key} (weights {bad})"
