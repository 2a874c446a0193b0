"""A journal that isn't what the search wrote: refused with the line, or the same as if nothing had happened."""

import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from search.history.chain import End, parse
from search.history.events import Event, Phase
from search.history.journal import Journal, check_head, head_of, read
from search.history.records import Records
from spaces.problems import BadInput

EARLIER = Path(__file__).with_name("earlier_version.jsonl")
"""The whole journal of a real search of 6 trials (4 epochs, two at a time, two confirmation seeds), written before
records had numbers."""


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The same search's journal as it is written now."""
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with Journal(path) as journal:
        for event in read(EARLIER)[0]:
            journal.append(event)
    return path.read_bytes().splitlines(keepends=True)


def removed(lines: list[bytes], at: int) -> list[bytes]:
    return lines[:at] + lines[at + 1 :]


def swapped(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], *lines[at : at + 2][::-1], *lines[at + 2 :]]


def repeated(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[: at + 1], lines[at], *lines[at + 1 :]]


def older(lines: list[bytes], at: int) -> list[bytes]:
    return lines[:at]


def joined(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[: at + 1], *lines]


def foreign(lines: list[bytes], at: int) -> list[bytes]:
    """The record of another search in its stead."""
    events, _ = parse(b"".join(lines), "here")
    other = replace(events[at], at=events[at].at + 1) if hasattr(events[at], "at") else events[at]
    _, end = parse(b"".join(lines[: at // 2]), "here")
    line = replace(end, records=at).line(other)
    return [*lines[:at], line, *lines[at + 1 :]]


def told(path: Path) -> str | None:
    """What a search that is taken up again is told of its journal."""
    try:
        events, end = read(path)
        check_head(path, end)
        Records(events)
    except BadInput as error:
        return str(error)
    return None


@pytest.mark.parametrize("tamper", [removed, swapped, repeated, older, joined, foreign])
def test_a_tampered_journal_is_refused_with_its_line_at_every_record(
    tmp_path: Path, lines: list[bytes], tamper: Callable[[list[bytes], int], list[bytes]]
) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for event in read(EARLIER)[0]:
            journal.append(event)
    whole, _ = read(path)
    assert told(path) is None and len(lines) == len(whole) > 70
    for at in range(len(lines)):
        changed = tamper(lines, at)
        if changed == lines:
            continue  # the last two can't be swapped
        path.write_bytes(b"".join(changed))
        said = told(path)
        assert said is not None, (tamper, at)
        assert "journal.jsonl" in said and re.search(r"backup|put the newest|delete", said, re.IGNORECASE)
        if tamper in (swapped, joined, foreign):
            follows = tamper is joined or (tamper is foreign and at == 0)  # nothing vouches for the first record yet
            first = at + 1 + follows
            assert f"line {first}:" in said
        elif tamper is older or at == len(lines) - 1:
            assert f"record {at}, but this search has written {len(lines)}" in said or f"line {at + 2}:" in said
        else:
            assert f"line {at + 1 + (tamper is repeated)}:" in said


def test_a_journal_of_an_earlier_version_is_read_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(EARLIER.read_bytes())
    before, end = read(path)
    check_head(path, end)  # there is none beside it
    records = Records(before)
    assert records.phase == "done" and len(records.of_kind("search")) == 6 and not end.numbered
    with Journal(path, end) as journal:
        journal.append(Phase("search", 2e9))
    more: list[Event] = [*before, Phase("search", 2e9)]
    found, end = read(path)
    assert found == more and end.numbered
    assert path.read_bytes().startswith(EARLIER.read_bytes())
    whole = path.read_bytes().splitlines(keepends=True)
    for at in range(len(whole) - 1):  # what is appended vouches for all before it
        path.write_bytes(b"".join(removed(whole, at)))
        assert told(path) is not None
        path.write_bytes(b"".join(swapped(whole, at)))
        assert told(path) is not None


def test_a_record_without_a_number_after_numbered_ones_is_of_another_journal(
    tmp_path: Path, lines: list[bytes]
) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join([*lines, EARLIER.read_bytes().splitlines(keepends=True)[0]]))
    with pytest.raises(BadInput, match=rf"line {len(lines) + 1}: a record without a number"):
        read(path)


def test_the_head_never_says_more_than_the_disk_has_and_survives_a_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append(Phase("search", 1.0))
        assert not head_of(path).exists()
        journal.append(Phase("confirm", 2.0))
    whole = path.read_bytes()
    _, end = read(path)
    assert head_of(path).read_text().split() == [f"{2:010d}", f"{end.checksum:08x}"]
    for size in range(whole.index(b"\n") + 2, len(whole)):  # torn: the record was there, and is done again
        path.write_bytes(whole[:size])
        check_head(path, read(path)[1])
    path.write_bytes(whole[: whole.index(b"\n") + 1])  # cut at its end: an older copy
    with pytest.raises(BadInput, match="ends at record 1, but this search has written 2"):
        check_head(path, read(path)[1])
    path.unlink()
    with pytest.raises(BadInput, match="ends at record 0, but"):
        check_head(path, End())


def test_a_journal_of_another_search_and_a_broken_head(tmp_path: Path) -> None:
    path, other = tmp_path / "journal.jsonl", tmp_path / "other.jsonl"
    for file, at in ((path, 1.0), (other, 7.0)):
        with Journal(file) as journal:
            journal.append(Phase("search", at))
    path.write_bytes(other.read_bytes())
    with pytest.raises(BadInput, match="is not the journal that this search has written"):
        check_head(path, read(path)[1])
    for text in ("", "12", "x y", "1 2 3", "\x00"):
        head_of(path).write_text(text)
        check_head(path, read(path)[1])


@pytest.mark.parametrize(
    "body",
    [
        b"[1]",
        b"7",
        b'{"n":1}',
        b'{"n":1,"event":"Sung","at":1}',
        b'{"n":1,"event":["Phase"]}',
        b'{"n":1,"event":"Phase"}',
    ],
)
def test_what_is_no_event_is_refused_with_its_line(body: bytes) -> None:
    good = End().line(Phase("search", 1.0))
    head = End().after(good)
    line = b"%08x %s\n" % (zlib.crc32(body.replace(b"1", b"2", 1), head.checksum), body.replace(b"1", b"2", 1))
    with pytest.raises(BadInput, match="j line 2: "):
        parse(good + line + head.after(line).line(Phase("done", 2.0)), "j")
