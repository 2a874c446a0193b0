import errno
import os
import string
import zlib
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.history.events import (
    Changed,
    Ended,
    Event,
    Forked,
    Kept,
    Observed,
    Paused,
    Phase,
    Promoted,
    Proposed,
    Reported,
    Retried,
    Started,
    StartReady,
    Stopped,
    WarmStarted,
)
from search.history.journal import Journal, read
from spaces.problems import BadInput
from trainables import storage

numbers = st.integers(0, 10**6)
floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=[]), max_size=30)  # line breaks, quotes, lone surrogates
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | floats | texts
values = st.dictionaries(texts, plain | st.lists(plain, max_size=3), max_size=4)
metrics = st.dictionaries(st.text(string.ascii_letters, min_size=1), floats, max_size=4)
observed = st.lists(
    st.builds(
        Observed,
        texts,
        values,
        st.sampled_from(["completed", "stopped", "diverged"]),
        st.lists(st.tuples(numbers, floats), max_size=3),
        texts,
    ),
    max_size=3,
)
EVENTS: dict[type[Any], st.SearchStrategy[Any]] = {
    WarmStarted: st.builds(WarmStarted, texts, observed, observed, numbers, texts, floats),
    StartReady: st.builds(
        StartReady, st.none() | numbers, numbers, texts, texts, numbers, floats, st.none() | floats, floats
    ),
    Proposed: st.builds(Proposed, numbers, values, numbers, st.sampled_from(["search", "confirm"]), texts, floats),
    Started: st.builds(Started, numbers, texts, numbers, texts, floats),
    Reported: st.builds(
        Reported, numbers, numbers, metrics, floats, floats, st.sampled_from(["running", "ended", "diverged"])
    ),
    Forked: st.builds(Forked, numbers, numbers, numbers, floats),
    Kept: st.builds(Kept, numbers, numbers, texts, texts, numbers, st.none() | numbers, floats),
    Paused: st.builds(Paused, numbers, numbers, floats),
    Promoted: st.builds(Promoted, numbers, numbers, floats),
    Changed: st.builds(Changed, numbers, values, floats),
    Retried: st.builds(Retried, numbers, texts, floats),
    Ended: st.builds(Ended, numbers, st.sampled_from(["completed", "stopped", "diverged", "failed"]), texts, floats),
    Phase: st.builds(Phase, st.sampled_from(["search", "confirm", "done"]), floats),
    Stopped: st.builds(Stopped, st.sampled_from(["signal", "failures", "clock", "error"]), texts, floats),
}
SOME: list[Event] = [Phase("search", 1.0), Paused(0, 3, 2.0), Promoted(0, 3, 3.0)]


def written(path: Path, events: list[Event]) -> bytes:
    with Journal(path) as journal:
        for event in events:
            journal.append(event)
    return path.read_bytes()


def test_every_kind_of_event_is_tried_here() -> None:
    assert set(EVENTS) == set(get_args(Event))


@given(st.tuples(*EVENTS.values()), st.lists(st.one_of(*EVENTS.values()), max_size=5))
def test_every_kind_of_event_comes_back_equal(
    tmp_path_factory: pytest.TempPathFactory, one_of_each: tuple[Event, ...], more: list[Event]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    events = [*one_of_each, *more]
    data = written(path, events)
    found, intact = read(path)
    assert found == events
    assert intact.size == len(data) and intact.records == len(events) and data.count(b"\n") == len(events)


def test_a_line_is_a_checksum_and_json(tmp_path: Path) -> None:
    line = written(tmp_path / "j", [Paused(7, 3, 1.5)])
    head, _, body = line.partition(b" ")
    assert body == b'{"n":1,"event":"Paused","trial":7,"step":3,"at":1.5}\n'
    assert int(head, 16) == zlib.crc32(body[:-1]) and len(head) == 8


def test_numbers_that_json_does_not_have_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal, pytest.raises(ValueError, match="JSON"):
        journal.append(Reported(0, 1, {"objective": float("nan")}, 1.0, 1.0))
    assert (tmp_path / "j").read_bytes() == b""


def test_a_torn_last_record_is_dropped_at_every_length_and_cut_on_reopening(tmp_path: Path) -> None:
    path = tmp_path / "j"
    whole = written(path, SOME)
    start = whole[:-1].rindex(b"\n") + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        found, intact = read(path)
        assert found == SOME[:-1] and intact.size == start
        with Journal(path, intact) as journal:
            journal.append(Phase("done", 9.0))
        assert read(path)[0] == [*SOME[:-1], Phase("done", 9.0)]


def test_a_last_record_that_a_power_cut_left_empty_is_dropped_and_one_that_says_something_else_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "j"
    whole = written(path, SOME)
    start = whole[:-1].rindex(b"\n") + 1
    for rest in (b"\0" * 40, b"\0" * 40 + b"\n", whole[start:-9] + b"\0" * 9, b"\n"):
        path.write_bytes(whole[:start] + rest)
        assert read(path)[0] == SOME[:-1]
    path.write_bytes(whole[:-4] + b"9}\n")  # no crash writes that
    with pytest.raises(BadInput, match="line 3: the record is damaged"):
        read(path)


@given(st.data())
def test_any_changed_byte_in_the_middle_is_refused_with_the_line_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    whole = bytearray(written(path, SOME))
    lines = bytes(whole).splitlines(keepends=True)
    number = data.draw(st.integers(1, len(lines) - 1))
    at = sum(map(len, lines[: number - 1])) + data.draw(st.integers(0, len(lines[number - 1]) - 2))
    whole[at] = data.draw(st.sampled_from([c for c in b"0aZ{ \x00\xff" if c != whole[at]]))
    path.write_bytes(whole)
    with pytest.raises(BadInput) as caught:
        read(path)
    (problem,) = caught.value.problems
    assert problem.where == f"{path} line {number}" and "damaged" in problem.what


def test_a_lost_line_break_is_no_hole(tmp_path: Path) -> None:
    path = tmp_path / "j"
    first, second, third = written(path, SOME).splitlines(keepends=True)
    path.write_bytes(first[:-1] + second + third)
    with pytest.raises(BadInput, match="line 1: the record is damaged"):
        read(path)


def test_appending_goes_on_where_the_file_ends(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path, SOME[:1])
    written(path, SOME[1:])
    assert read(path)[0] == SOME


def test_a_record_is_readable_before_the_journal_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.append(SOME[0])
        assert read(path)[0] == SOME[:1]


def test_a_full_disk_is_waited_for_and_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, said = tmp_path / "j", list[str]()
    write, room = os.write, iter([5, 0])  # five bytes of the record, then none

    def full(file: int, data: bytes) -> int:
        left = next(room, None)
        if left is None:
            return write(file, data)
        if left == 0:
            raise OSError(errno.ENOSPC, "no space")
        return write(file, data[:left])

    monkeypatch.setattr(storage, "RETRY_SECONDS", 0.0)
    with Journal(path, say=said.append) as journal:
        journal.append(SOME[0])
        monkeypatch.setattr(os, "write", full)
        journal.append(SOME[1])
        monkeypatch.setattr(os, "write", write)
        journal.append(SOME[2])
    assert read(path)[0] == SOME and read(path)[1].size == path.stat().st_size
    assert "the disk is full" in said[0] and len(said) == 2


def test_a_key_that_a_later_version_added_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "j"
    body = b'{"event":"Paused","trial":7,"step":3,"at":1.5,"mood":"good"}'
    path.write_bytes(b"%08x %s\n" % (zlib.crc32(body), body))
    assert read(path)[0] == [Paused(7, 3, 1.5)]


def test_a_journal_that_is_deleted_while_it_is_written_is_put_back(tmp_path: Path) -> None:
    path = tmp_path / "search" / "journal.jsonl"
    path.parent.mkdir()
    with Journal(path) as journal:
        journal.append(Phase("search", 1.0))
        assert journal.in_place
        path.unlink()
        assert not journal.in_place
        journal.append(Phase("confirm", 2.0))
        journal.put_back()
        assert read(path)[0] == [Phase("search", 1.0), Phase("confirm", 2.0)]
        path.parent.rename(tmp_path / "elsewhere")
        assert not journal.in_place
        with pytest.raises(OSError):
            journal.put_back()
