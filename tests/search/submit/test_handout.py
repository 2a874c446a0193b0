"""What a job hands out of its results as text, and the files that are made of it here."""

import base64
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.submit import fetch, handout
from spaces.problems import BadInput
from tests.search.submit.conftest import make


def finished(folder: Path) -> Path:
    make(folder, "best.yaml", "native/base.yaml", "trials.csv", "journal.jsonl", "trials/t0000/log.txt")
    (folder / "report.html").write_bytes(bytes(range(256)) * 400)
    return folder


def handed_out(folder: Path) -> str:
    """What the script prints, run as the job runs it: by itself, whatever is installed."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", handout.__file__, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    source = finished(tmp_path / "s")
    noise = "2026-01-01 INFO job_manager.py: Runtime env is setting up.\nRunning entrypoint: python3 handout.py\n"
    content = fetch.decoded(noise + handed_out(source), "s")
    files = fetch.unpack(content, tmp_path / "got")
    names = {file.relative_to(tmp_path / "got").as_posix() for file in files}
    assert names == {"best.yaml", "native/base.yaml", "trials.csv", "report.html"}
    for name in names:
        assert (tmp_path / "got" / name).read_bytes() == (source / name).read_bytes()


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_a_result_that_did_not_arrive_whole_is_refused(at: int, byte: int) -> None:
    text = handout.as_text(bytes(range(256)) * 30)
    at %= len(text)
    for broken in (text[:at], text[:at] + chr(byte) + text[at + 1 :]):
        try:
            assert (
                fetch.decoded(broken, "s") == bytes(range(256)) * 30
            )  # an end that is only whitespace changes nothing
        except BadInput as error:
            assert "did not arrive whole" in str(error) or "problem" in broken


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"s: there is no folder .*nowhere \(on the head of the cluster\)"):
        fetch.decoded(handed_out(tmp_path / "nowhere"), "s")
    with pytest.raises(BadInput, match="empty holds nothing that a search hands over"):
        fetch.decoded(handed_out(tmp_path / "empty"), "s")


def test_no_file_lands_outside_of_the_folder(tmp_path: Path) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    with pytest.raises(BadInput, match="outside the destination"):
        fetch.unpack(target.getvalue(), tmp_path / "got")
    assert not (tmp_path / "outside").exists()


def test_the_archive_is_text_of_short_lines() -> None:
    lines = handout.as_text(os.urandom(10_000)).splitlines()
    assert max(map(len, lines)) < 20_000  # Ray cuts longer ones on their way
    assert base64.b64decode("".join(lines[1:-1]))
