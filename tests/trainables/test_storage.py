import errno
from pathlib import Path

import pytest

from trainables.storage import when_there_is_room


def writer(*errors: int):
    left = list(errors)

    def write() -> str:
        if left:
            raise OSError(left.pop(0), "no", "/there/file")
        return "written"

    return write


def test_a_full_disk_is_waited_for_and_told_of_once() -> None:
    said: list[str] = []
    rests: list[float] = []
    assert when_there_is_room(writer(errno.ENOSPC, errno.EDQUOT, errno.ENOSPC), said.append, rests.append) == "written"
    assert len(rests) == 3 and len(said) == 2
    assert "the disk is full (/there/file)" in said[0] and "going on" in said[1]


def test_a_mark_is_there_as_long_as_it_waits(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    there: list[bool] = []

    def rest(seconds: float) -> None:
        there.append(mark.exists())

    when_there_is_room(writer(errno.ENOSPC, errno.ENOSPC), lambda _: None, rest, mark)
    assert there == [True, True] and not mark.exists()


def test_with_room_nothing_is_said() -> None:
    said: list[str] = []
    assert when_there_is_room(writer(), said.append) == "written" and said == []


def test_another_error_is_none_of_its_business() -> None:
    with pytest.raises(OSError, match="file"):
        when_there_is_room(writer(errno.ENOSPC, errno.EIO), lambda _: None, lambda _: None)
