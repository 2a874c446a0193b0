"""What the command says and hands on between the plan and the first trial, and how it ends: no trial is trained."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from made_searches import a_search, write
from small_search import write_search

from search.app import notify, session
from search.app.invocation import Invocation
from search.check import probe
from search.check.findings import Finding
from search.common.exit_codes import Exit
from search.run import main
from search.spec import sharing
from trainables.registry import model_named
from trainables.run import Prepared

CONFIGS = Path(__file__).parents[2] / "configs"


@dataclass
class Sat:
    """What came of a command: its exit code, what it said, and the search that was to be run."""

    code: int
    out: str
    err: str
    asked: list[Invocation] = field(default_factory=list)
    notified: list[int] = field(default_factory=list)


Sit = Callable[..., Sat]


@pytest.fixture
def sit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sit:
    """Runs the command on a YAML; the search itself `ends` with an exit code, or an error."""

    def run(config: Path, *words: str, ends: int | BaseException = 0) -> Sat:
        asked: list[Invocation] = []
        notified: list[int] = []

        def searched(invocation: Invocation) -> int:
            asked.append(invocation)
            if isinstance(ends, BaseException):
                raise ends
            return ends

        monkeypatch.setattr(session, "run", searched)
        monkeypatch.setattr(notify, "tell", lambda _settings, _path, code, _say: notified.append(code))
        code = main([str(config), "--results", str(tmp_path / "results"), *words])
        told = capsys.readouterr()
        return Sat(code, told.out, told.err, asked, notified)

    return run


def prepares(monkeypatch: pytest.MonkeyPatch, **keys: Any) -> None:
    """The model's data is there, and says this of itself."""
    prepared = Prepared(Path("/nowhere"), "d" * 64, "20 curves", keys)
    monkeypatch.setattr(type(model_named("early_inference")), "prepare", lambda *_: prepared)


def test_how_the_search_ends_is_the_exit_code_and_is_told(
    sit: Sit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepares(monkeypatch)
    sat = sit(write_search(tmp_path), "--name", "mine", "--seed", "4", ends=Exit.FAILED)
    assert (sat.code, sat.notified) == (Exit.FAILED, [Exit.FAILED])
    (asked,) = sat.asked
    assert asked.path == tmp_path / "results/mine" and asked.search.settings.sampler.seed == 4
    assert "data: 20 curves" in sat.out and "planned anew" not in sat.out


def test_one_that_is_stopped_at_once_says_how_to_go_on(
    sit: Sit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepares(monkeypatch)
    sat = sit(write_search(tmp_path), "--quiet", "--name", "mine", "--set", "budget.trials=7", ends=KeyboardInterrupt())
    assert (sat.code, sat.notified) == (Exit.INTERRUPTED, [])
    again = f"{tmp_path / 'search.yaml'} --set budget.trials=7 --name mine --results {tmp_path / 'results'} --resume"
    last = sat.out.splitlines()[-1]
    assert last.startswith("stopped at once; go on with: ") and last.endswith(f"-m search.run {again}")
    assert [line.partition(":")[0] for line in sat.out.splitlines()[:-1]] == ["warning"]  # --quiet


def test_what_the_data_says_of_itself_is_in_the_config_and_in_the_plan(
    sit: Sit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepares(monkeypatch, batch_size=64, prefix_length=30)
    sat = sit(write_search(tmp_path))
    assert "the data says batch_size: 64, prefix_length: 30; planned anew\n" in sat.out
    (asked,) = sat.asked
    assert (asked.search.base["batch_size"], asked.search.base["prefix_length"]) == (64, 30)
    prepares(monkeypatch, batch_size=256)  # as in the user's file
    assert "the data says" not in sit(write_search(tmp_path), "--name", "other").out


def test_prefixes_are_not_shared_where_the_probe_found_that_resuming_changes_something(
    sit: Sit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(CONFIGS / "own/function", tmp_path / "own")
    exact = [Finding(name, found, "") for name, found in (("resume", "exact"), ("repeats", "same bits"))]
    monkeypatch.setattr(probe, "check", lambda *_: exact)
    words = (tmp_path / "own/spiral.yaml", "--set", "share=on")
    (asked,) = sit(*words, "--name", "exact").asked
    assert asked.plan.shared.on and asked.search.settings.share == "on"
    monkeypatch.setattr(probe, "check", lambda *_: [replace(exact[0], found="differs by 0.1"), exact[1]])
    sat = sit(*words, "--name", "inexact")
    why = "training prefixes are not shared: resume must be 'exact', and was found 'differs by 0.1'; planned anew"
    assert why in sat.out
    (asked,) = sat.asked
    assert asked.plan.shared == sharing.NONE and asked.search.settings.share == "off"


def test_a_plan_says_what_is_wrong_with_the_search_that_it_would_begin_from(sit: Sit, tmp_path: Path) -> None:
    write(tmp_path / "results", "old", a_search(0.4))
    words = (write_search(tmp_path), "--plan", "--set")
    sat = sit(*words, "warm_start={search: old}")
    assert (sat.code, sat.asked, sat.err) == (Exit.DONE, [], "")
    sat = sit(*words, "warm_start={search: odl}")
    assert (sat.code, sat.asked) == (Exit.BAD_INPUT, [])
    assert sat.err.endswith("results/odl: there is no such search to start from; did you mean 'old'?\n")
