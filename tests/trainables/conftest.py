"""What tests of trainings share."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Sums are added up in one order, whatever a test before has set."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
