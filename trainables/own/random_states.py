"""The random states of a process: Python's, NumPy's, torch's and each GPU's, taken and set back.

DataLoader workers draw their seeds from torch's, so that setting it back sets theirs, too.
"""

import random
import sys
from typing import Any


def seed_all(seed: int) -> None:
    """Seed every generator that is there."""
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)  # the GPUs' as well


def taken() -> dict[str, Any]:
    """The states, of libraries that have been imported: others have drawn nothing."""
    states: dict[str, Any] = {"python": random.getstate()}
    if numpy := sys.modules.get("numpy"):
        states["numpy"] = numpy.random.get_state()
    if torch := sys.modules.get("torch"):
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def set_back(states: dict[str, Any]) -> None:
    """Set the generators back to what `taken` gave."""
    random.setstate(states["python"])
    if "numpy" in states:
        import numpy

        numpy.random.set_state(states["numpy"])
    if "torch" in states:
        import torch

        torch.set_rng_state(states["torch"])
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(states["cuda"][: torch.cuda.device_count()])
