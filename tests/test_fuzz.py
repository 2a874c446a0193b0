"""Files of every format, changed at random: taken, or refused in words (benchmarks/fuzz.py does it at length)."""

import contextlib
import io
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import CODES, remade
from benchmarks.fuzz_formats import FORMATS, Format
from spaces.problems import BadInput


@pytest.fixture(params=FORMATS, ids=lambda each: each.name)
def case(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Format, Path, list[bytes]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCHEDULE_SEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return request.param, tmp_path, request.param.make(tmp_path)


def code_of(format_: Format, folder: Path, content: bytes) -> int:
    (folder / format_.file).write_bytes(content)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return format_.use(folder)
    except BadInput as error:
        assert all(problem.what for problem in error.problems)
        return 2


def test_a_valid_file_is_taken(case: tuple[Format, Path, list[bytes]]) -> None:
    format_, folder, contents = case
    assert code_of(format_, folder, contents[0]) == 0


@given(rng=st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_file_is_taken_or_refused(case: tuple[Format, Path, list[bytes]], rng: Random) -> None:
    format_, folder, contents = case
    assert code_of(format_, folder, remade(rng, contents)) in CODES
