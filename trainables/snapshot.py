"""Snapshots of a training's state: later steps must not change them."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def copied(value: Any) -> Any:
    """The same containers with tensors copied to the CPU: tuples become lists, as checkpoints hold them."""
    match value:
        case Tensor():
            return value.detach().to("cpu", copy=True)
        case Mapping():
            return {key: copied(item) for key, item in value.items()}
        case list() | tuple():
            return [copied(item) for item in value]
        case _:
            return value
