import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.screen import LOG, Screen


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_text_reaches_the_stream(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="utf-8") as stream:
        screen = Screen(stream)
        for n in range(1000):
            screen.write(f"line {n} – done\n")
        screen.drain(60)
        assert not screen.lost
    assert (tmp_path / "out").read_text(encoding="utf-8").splitlines() == [f"line {n} – done" for n in range(1000)]


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "a ? b ?"), ("latin-1", "a ? b ü"), ("utf-8", "a – b ü")])
def test_a_character_that_the_encoding_lacks_is_replaced(tmp_path: Path, encoding: str, shown: str) -> None:
    with (tmp_path / "out").open("w", encoding=encoding) as stream:
        screen = Screen(stream)
        screen.write("a – b ü")
        screen.drain(60)
    assert (tmp_path / "out").read_text(encoding=encoding) == shown


def test_a_stream_in_memory(tmp_path: Path) -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    screen.write("a")
    screen.keep_in(tmp_path)
    assert stream.getvalue() == "a" and not (tmp_path / LOG).exists()
    stream.close()
    screen.write("b")
    assert screen.lost and (tmp_path / LOG).read_text(encoding="utf-8") == "b"


def test_what_a_reader_that_is_gone_misses_is_in_the_log(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        screen = Screen(stream)
        screen.write("seen")
        screen.drain(60)
        assert os.read(reading, 100) == b"seen"
        os.close(reading)
        screen.write("first missed\n")
        until(lambda: screen.lost)
        screen.write("before there is a folder\n")
        screen.keep_in(tmp_path)
        screen.write("after\n")
        stream.write("others print there, too")  # and the stream can be closed all the same
    assert (tmp_path / LOG).read_text(encoding="utf-8") == "first missed\nbefore there is a folder\nafter\n"


def test_a_reader_that_reads_no_more_keeps_nobody_waiting(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        screen = Screen(stream, waiting=100_000)
        screen.keep_in(tmp_path)
        for number in range(2000):  # more than any pipe holds, and more than may wait
            screen.write(f"{number:0999d}\n")
        assert screen.lost
        screen.write("2000\n")
        logged = [int(line) for line in (tmp_path / LOG).read_text(encoding="utf-8").splitlines()]
        assert logged == list(range(logged[0], 2001))  # what waited for the reader comes first, in its order
        assert logged[0] < 1000
        os.close(reading)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_behind_the_screen_changes_no_exit_code(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from trainables.screen import Screen\n"
        f"screen = Screen(sys.stdout); screen.keep_in(Path({str(tmp_path)!r}))\n"
        "screen.write('kept'); screen.drain(60); print('lost'); assert screen.lost"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / LOG).read_text(encoding="utf-8") == "kept"
