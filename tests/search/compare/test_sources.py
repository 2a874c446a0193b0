"""Where searches to be compared come from: what is said of folders and experiments that can't be read."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_searches import FakeRuns, a_search, run, seeded, write

from search.compare import sources as reading
from search.compare.__main__ import main
from search.compare.sources import from_experiment, from_folders, tracked
from search.history.events import Changed, Event, Phase
from spaces.problems import BadInput

DATABASE = "postgresql://me:hunter2@db/mlflow"

Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs the command: its exit code, what it says, and its errors."""
    return lambda *words: (main([str(word) for word in words]), *capsys.readouterr())


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeRuns | Exception]:
    """Experiments of the tracking server by name, or what it raises when one is asked for."""
    experiments: dict[str, FakeRuns | Exception] = {}

    def reader(_: str, experiment: str) -> FakeRuns:
        found = experiments[experiment]
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(reading, "MlflowReader", reader)
    monkeypatch.setattr(reading, "unreachable", lambda _: None)
    return experiments


def test_a_damaged_search_is_said_to_be_damaged_and_not_looked_for(tmp_path: Path) -> None:
    one, two = seeded(tmp_path, "tpe", [0.40, 0.42])
    journal = two / "journal.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join([lines[0], *lines[2:]]), encoding="utf-8")  # its first trial was never proposed
    with pytest.raises(BadInput) as error:
        from_folders([one, two])
    (problem,) = error.value.problems
    assert problem.where.endswith("journal.jsonl line 2") and "from a backup" in problem.what
    assert "tpe-0" not in str(problem)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (LookupError("there is no experiment 'fits'; valid keys: fit, other"), "'fits'; there are: fit, other"),
        (OSError("http://me:hunter2@host/ answers 503\nand more"), r"can't be read: http://\*\*\*@host/ answers 503$"),
        (BadInput.of("tracking", "is odd"), "^tracking: is odd$"),
        (FakeRuns(), "it holds no search; name the experiment of one"),
    ],
)
def test_an_experiment_that_holds_nothing_to_compare_says_why(
    held: dict[str, FakeRuns | Exception], found: FakeRuns | Exception, said: str
) -> None:
    held["fits"] = found
    with pytest.raises(BadInput, match=said) as error:
        from_experiment("fits", DATABASE)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [("- a\n- b\n", "describes no search"), ("space: {lr: {flaot: [0, 1]}}\n", "flaot"), ("a: [", "search.yaml")],
)
def test_a_tracked_search_whose_settings_can_t_be_read_is_left_out_and_the_others_are_not(
    tmp_path: Path, held: dict[str, FakeRuns | Exception], settings: str, said: str
) -> None:
    one, two = seeded(tmp_path, "tpe", [0.40, 0.42])
    (one / "search.yaml").write_text(settings, encoding="utf-8")
    held["fits"] = FakeRuns(one, two)
    found, (note,) = from_experiment("fits", DATABASE)
    assert [source.name for source in found] == ["tpe-1"]
    assert note.startswith("tpe-0 in MLflow experiment fits is left out: ") and said in note
    held["fits"] = FakeRuns(one)
    with pytest.raises(BadInput, match="tpe-0 in MLflow experiment fits is left out"):
        from_experiment("fits", DATABASE)


def test_knobs_that_a_trial_changed_in_mid_run_are_read_back(tmp_path: Path) -> None:
    first, *others = run(9, {6: 0.7, 18: 0.3}, at=40.0)
    events: list[Event] = [*a_search(0.4)[:-1], first, Changed(9, {"lr": 0.02, "batch_size": 64}, 40.5), *others]
    folder = write(tmp_path, "one", [*events, Phase("done", 80.0)])
    ((source,), _) = tracked(FakeRuns(folder), "e")
    assert source.material.records.trials[9].changed == {"lr": 0.02, "batch_size": 64}
    assert [number for number, trial in source.material.records.trials.items() if trial.changed] == [9]


@pytest.mark.parametrize(
    ("said", "value"), [("0.5", 0.5), ("true", True), ("NaN", "NaN"), ("-Infinity", "-Infinity"), ("l1", "l1")]
)
def test_a_value_is_read_as_it_was_written(tmp_path: Path, said: str, value: Any) -> None:
    runs = FakeRuns(write(tmp_path, "one", a_search(0.4)))
    runs.found = [
        replace(each, params={**each.params, "my_note": said}) if each.id == "one-1" else each for each in runs.found
    ]
    ((source,), _) = tracked(runs, "e")
    assert source.material.records.trials[1].values["my_note"] == value


def test_runs_that_began_while_the_search_still_trained_are_no_confirmation_yet(tmp_path: Path) -> None:
    events = a_search(0.4)
    early = [replace(event, at=event.at - 19.5) for event in events if getattr(event, "trial", None) == 4]
    late = [event for event in events if getattr(event, "trial", None) != 4]
    events = sorted([*late, *early], key=lambda event: event.at)
    whole = write(tmp_path, "whole", events)
    searching = write(tmp_path, "searching", [event for event in events if event.at < 32])
    for folder, decision in ((whole, "switch"), (searching, "unconfirmed")):
        (here,), ((there,), _) = from_folders([folder])[0], tracked(FakeRuns(folder), "e")
        assert here.material.verdict == there.material.verdict and here.material.verdict is not None
        assert here.material.verdict.decision == decision
        assert here.material.records.phase == there.material.records.phase
        assert here.material.records.search_seconds == pytest.approx(there.material.records.search_seconds)


def test_a_confirmation_stays_known_while_the_search_goes_on_with_a_larger_budget(tmp_path: Path) -> None:
    more = [Phase("search", 80.0), *run(9, {6: 0.9}, "completed", at=81.0)[:-1]]
    folder = write(tmp_path, "grown", [*a_search(0.4), *more])
    (here,), ((there,), _) = from_folders([folder])[0], tracked(FakeRuns(folder), "e")
    assert here.material.verdict == there.material.verdict and here.material.verdict is not None
    assert (here.material.verdict.decision, here.material.records.phase) == ("switch", there.material.records.phase)


def test_what_a_folder_and_an_experiment_both_hold_is_taken_once_from_the_folder(
    tmp_path: Path, held: dict[str, FakeRuns | Exception], told: Told
) -> None:
    one, two = seeded(tmp_path, "tpe", [0.40, 0.42])
    lost = write(tmp_path, "lost", a_search(0.4))
    held["fits"] = FakeRuns(one, two, lost)
    (lost / "search.yaml").unlink()
    out = tmp_path / "a.html"
    code, said, _ = told(one, "--mlflow", "fits", "fits", "--uri", DATABASE, "--out", out)
    assert code == 0 and said.count("lost in MLflow experiment fits is left out") == 1
    page = out.read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script id="report-data"[^>]*>(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    ((group,),) = [table["groups"] for table in data["compared"]]
    assert [member["name"] for member in group["members"]] == ["tpe-0", "tpe-1"]
    assert f"{tmp_path.name}/tpe-0" in page  # where it was read
    assert "--mlflow fits fits --uri" in page and "hunter2" not in page + said


def test_all_that_is_wrong_with_folders_and_experiments_is_told_at_once(
    tmp_path: Path, held: dict[str, FakeRuns | Exception], told: Told
) -> None:
    held |= {"a": FakeRuns(), "b": LookupError("there is no experiment 'b'")}
    code, _, errors = told(tmp_path / "none", "--mlflow", "a", "b", "--uri", DATABASE)
    assert code == 2 and len(errors.splitlines()) == 3 and not (tmp_path / "compare.html").exists()


def test_a_page_that_is_replaced_is_said_and_one_that_can_t_be_written_an_error(tmp_path: Path, told: Told) -> None:
    folders = seeded(tmp_path, "tpe", [0.40, 0.42])
    assert "was there and is replaced" not in told(*folders)[1]
    assert f"{tmp_path / 'compare.html'} was there and is replaced; --out FILE keeps both" in told(*folders)[1]
    code, _, errors = told(*folders, "--out", folders[0] / "search.yaml" / "page.html")
    assert code == 2 and "page.html: can't be written (" in errors and "; give another --out" in errors
