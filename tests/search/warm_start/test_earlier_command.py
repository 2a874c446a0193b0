"""Warm starts and forks of the command: what is refused, with nothing written, and what the plan says."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from earlier_searches import EVENTS, made, state
from small_search import small_search, write_search

from search.run import _again, _options, main
from search.spec.config import WarmStart
from search.spec.plan import make_plan
from search.spec.plan_text import describe
from search.spec.resolve import resolve
from spaces.problems import BadInput

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Refused]:
    """Runs the command on the search in `tmp_path`; returns what it says about the bad input."""
    write_search(tmp_path)
    results = tmp_path / "results"
    made(tmp_path, results / "early_inference-search", *EVENTS)

    def run(*words: str) -> str:
        before = state(tmp_path)
        code = main([str(tmp_path / "search.yaml"), "--results", str(results), *words])
        output = capsys.readouterr()
        assert code == 2 and "Traceback" not in output.out + output.err, output
        assert state(tmp_path) == before
        return output.err.replace(f"{tmp_path}/", "")

    yield run


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("{}", "warm_start: expected one of search and experiment, got neither"),
        ("{search: a, experiment: b}", "warm_start: expected one of search and experiment, got both"),
        ("{search: a, uri: 'http://x'}", "warm_start: uri belongs to experiment"),
        ("{search: a, first: -1}", "warm_start.first: input should be greater than or equal to 0, got -1"),
        ("{serch: a}", "warm_start.serch: unknown key; did you mean 'search'?"),
        ("{search: a}", "results/a: there is no such search to start from"),
        ("{experiment: e}", "results/mlflow.db does not exist"),
        ("{experiment: e, uri: 'http://127.0.0.1:9'}", "can't be read: "),
    ],
)
def test_warm_starts_that_are_refused(refused: Refused, value: str, told: str) -> None:
    assert told in refused("--name", "new", "--set", f"warm_start={value}")


def test_forks_that_are_refused(refused: Refused, tmp_path: Path) -> None:
    assert "--fork: begins a new search" in refused("--fork", "new", "--resume")
    told = refused("--fork", "new", "--set", "warm_start={search: a}")
    assert "search.yaml warm_start: a search starts from one place" in told and "early_inference-search" in told
    assert "--fork: 'early_inference-search' is the search to start from" in refused("--fork", "early_inference-search")
    assert "results/gone: there is no such search to start from" in refused("--name", "gone", "--fork", "new")
    assert "'a/b' can't name a folder" in refused("--fork", "a/b")
    made(tmp_path, tmp_path / "results" / "taken", *EVENTS)
    assert "--fork taken: a search of this name exists, and it did not start from early_inference-search" in refused(
        "--fork", "taken"
    )
    made(tmp_path, tmp_path / "results" / "other", *EVENTS, overrides=("warm_start={search: taken}",))
    assert "--fork other: a search of this name exists" in refused("--fork", "other")


def test_a_fork_is_the_same_search_as_one_with_that_warm_start(tmp_path: Path) -> None:
    path = write_search(tmp_path)
    fork = resolve(path, ["name=old"], fork="new")
    assert fork == resolve(path, ["name=old", "warm_start={search: old}"], "new")
    assert fork.name == "new" and fork.settings.warm_start == WarmStart(search="old")
    assert resolve(path, [], "older", "new").settings.warm_start == WarmStart(search="older")
    assert resolve(path, [], fork="new").settings.warm_start == WarmStart(search="early_inference-search")


def test_the_warm_start_is_part_of_what_a_search_is(tmp_path: Path) -> None:
    cold, a = small_search(tmp_path), small_search(tmp_path, "warm_start={search: a}")
    assert "warm_start" not in cold.identity()["settings"]
    assert a.identity()["settings"]["warm_start"] == {"search": "a", "first": 3}
    assert len({cold.digest, a.digest, small_search(tmp_path, "warm_start={search: b}").digest}) == 3
    made(tmp_path, tmp_path / "new", *EVENTS, overrides=("warm_start={search: a}",))
    for overrides in [(), ("warm_start={search: b}",), ("warm_start={search: a, first: 1}",)]:
        with pytest.raises(BadInput, match=r"settings\.warm_start"):
            made(tmp_path, tmp_path / "new", overrides=overrides)


def test_the_plan_says_where_a_search_starts_from(tmp_path: Path) -> None:
    def line(warm_start: str) -> str:
        search = small_search(tmp_path, f"warm_start={warm_start}")
        return next(each for each in describe(search, make_plan(search)).splitlines() if each.startswith("starts"))

    assert line("{search: old}") == "starts from search old, its best 3 configs first"
    assert line("{experiment: e, first: 0}") == "starts from MLflow experiment e"


def test_the_command_that_goes_on_with_a_fork_is_the_one_that_began_it() -> None:
    again = _again(_options(["s.yaml", "--name", "old", "--fork", "new", "--set", "budget.trials=4"]))
    assert again.endswith("s.yaml --set budget.trials=4 --name old --fork new")
