"""What a training shows of itself without being asked: the data that it is validated on, and its weights.

The data is what modules with parameters are given while gradients are off: a loss or a metric without any is given what
the model answers. Only torch is looked at: of other code nothing is known.
"""

import hashlib
import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

_WORD = 1 << 64
_WEIGHTS = (".safetensors", "pytorch_model.bin", ".npz", ".npy")  # of a checkpoint that is kept as files


class Seen:
    """Within its block, the items that modules are given in validation, whatever their order and batches, and however
    often."""

    def __init__(self, told: Callable[[str], None] | None = None) -> None:
        """`told` is called with the digest after each batch."""
        self._told = told
        self._items: set[int] = set()
        self._sum = self._depth = 0
        self._inside = False  # a call whose first tensors have been taken
        self._handles: list[Any] = []

    def __enter__(self) -> "Seen":
        self._handles = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after, always_call=True),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def taken(self) -> str | None:
        """The digest of the items since the last call, None where there were none."""
        digest = self._digest() if self._items else None
        self._items, self._sum = set(), 0
        return digest

    def _digest(self) -> str:
        return f"{len(self._items)}:{self._sum:016x}"

    def _before(self, module: torch.nn.Module, given: Any) -> None:
        if torch.is_grad_enabled():
            return
        if self._depth == 0:
            self._inside = next(module.parameters(), None) is None
        self._depth += 1
        tensors = [item for item in given if isinstance(item, torch.Tensor)] if isinstance(given, tuple) else []
        if not self._inside and tensors:
            self._inside = True
            self._add(tensors[0])

    def _after(self, _module: torch.nn.Module, _given: Any, _output: Any) -> None:
        if not torch.is_grad_enabled():
            self._depth = max(0, self._depth - 1)

    def _add(self, batch: torch.Tensor) -> None:
        items = batch.detach().to("cpu", torch.float64 if batch.is_floating_point() else batch.dtype).contiguous()
        for item in items if items.dim() else items[None]:
            number = int.from_bytes(hashlib.blake2b(item.numpy().tobytes(), digest_size=8).digest(), "big")
            if number not in self._items:
                self._items.add(number)
                self._sum = (self._sum + number) % _WORD
        if self._told is not None:
            self._told(self._digest())


def weights_digest(state: Any) -> str | None:
    """The digest of all floating-point tensors in a run's state; None where there are none."""
    digest, found = hashlib.sha256(), False
    for part in _weights(state):
        digest.update(part)
        found = True
    return digest.hexdigest()[:16] if found else None


def _weights(node: Any, name: str = "") -> Iterator[bytes]:
    match node:
        case Mapping():
            for key, value in node.items():
                if key != "random":  # the generators', which always differ with the seed
                    yield from _weights(value, str(key))
        case list() | tuple():
            for value in node:
                yield from _weights(value, name)
        case torch.Tensor() if name == "kept":
            yield from _weights(_unpickled(node.numpy().tobytes()), "")
        case torch.Tensor() if node.is_floating_point():
            yield node.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        case np.ndarray() if node.dtype.kind == "f":
            yield node.tobytes()
        case bytes() if name.endswith(_WEIGHTS):
            yield node
        case bytes() if name == "checkpoint":
            yield from _weights(_unpickled(node), "")
        case _:
            pass


def _unpickled(content: bytes) -> Any:
    """The user's own objects, of this very training; nothing where they can't be read."""
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, AttributeError, ImportError, EOFError):
        return None
