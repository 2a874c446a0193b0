"""A search that is tracked."""

from pathlib import Path

import pytest
from tracking_store import FakeStore, Search


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(tmp_path, FakeStore())
