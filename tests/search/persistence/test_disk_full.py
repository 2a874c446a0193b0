from pathlib import Path

import pytest

from search.persistence import disk_full
from search.persistence.disk_full import DiskFull
from trainables.layout import DISK_FULL


def test_a_wait_is_told_once_at_its_begin_and_once_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_full, "LOOK_SECONDS", 0.0)
    mark, said = tmp_path / DISK_FULL, list[str]()
    mark.touch()  # of a worker that was killed
    look = DiskFull(tmp_path, said.append)
    look()
    assert said == []
    mark.touch()
    look()
    look()
    assert len(said) == 1 and "the disk is full" in said[0] and str(tmp_path) in said[0]
    mark.unlink()
    look()
    look()
    assert said[1:] == ["there is space on the disk again: trials go on"]
