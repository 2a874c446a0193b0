"""Earlier searches read from their folders and from tracked runs."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from earlier_searches import EVENTS, PREPARED, VALUES, made, silent, state
from small_search import proposed, reported, small_search, trial

from search.history.events import Ended, Event, Observed, Phase, WarmStarted
from search.history.journal import Journal
from search.history.records import Records
from search.persistence.folder import JOURNAL, opened
from search.spec.plan import make_plan
from search.spec.search import Search
from search.tracking.mlflow_reader import TrackedRun
from search.tracking.updates import PARENT, Point, Trials, Update
from search.warm_start import earlier
from search.warm_start.warm import Old, OldTrial
from spaces.domain import Categorical
from spaces.knob import Knob
from spaces.problems import BadInput
from spaces.space import Space

# --- from a folder -----------------------------------------------------------------------------------------------


def test_the_trials_of_a_folder_as_its_journal_has_them(tmp_path: Path) -> None:
    old = made(tmp_path, tmp_path / "r" / "old", *EVENTS)
    new = small_search(tmp_path, "warm_start={search: old}")
    found = earlier.read(new, tmp_path / "r" / "new", tmp_path)
    assert found is not None and found.source == "search old"
    plain = OldTrial("old trial 1", old.base, "d" * 64, VALUES, "paused", [(3, 0.7), (9, 0.65)])
    assert found.trials[1] == plain
    assert [each.name for each in found.trials] == [f"old trial {n}" for n in range(6)]
    assert [each.status for each in found.trials] == [
        "completed", "paused", "diverged", "failed", "running", "running",
    ]  # fmt: skip
    assert [each.changed for each in found.trials] == [False] * 5 + [True]
    assert found.trials[5].values["lr"] == 3e-3


def test_a_source_that_another_process_owns_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    old = made(tmp_path, tmp_path / "r" / "old", *EVENTS)
    new = small_search(tmp_path, "warm_start={search: old}")
    with opened(tmp_path / "r" / "old", old, make_plan(old), PREPARED, silent) as folder:
        folder.ledger.emit(reported(1, 12, 0.5))
        torn = tmp_path / "r" / "old" / JOURNAL
        torn.write_bytes(torn.read_bytes() + b"0123abcd {")  # a record on its way to the disk
        before = state(tmp_path / "r")
        found = earlier.read(new, tmp_path / "r" / "new", tmp_path)
        assert state(tmp_path / "r") == before
    assert found is not None and found.trials[1].reports[-1] == (12, 0.5)
    assert not (tmp_path / "r" / "new").exists()


def test_what_the_source_itself_took_over_is_taken_along(tmp_path: Path) -> None:
    seen = Observed("older trial 3", VALUES, "stopped", [(3, 0.5)], "why")
    started = WarmStarted("search older", [seen], [seen], 1, "", 0.0)
    old = made(tmp_path, tmp_path / "old", started, *EVENTS, overrides=("warm_start={search: older}",))
    found = earlier.read(small_search(tmp_path, "warm_start={search: old}"), tmp_path / "new", tmp_path)
    assert found is not None and len(found.trials) == 7
    assert found.trials[0] == OldTrial("older trial 3", old.base, "d" * 64, VALUES, "stopped", [(3, 0.5)], "why")


def test_a_path_is_relative_to_the_yaml_and_a_name_to_the_results(tmp_path: Path) -> None:
    made(tmp_path, tmp_path / "elsewhere" / "old", *EVENTS)
    by_path = small_search(tmp_path, "warm_start={search: elsewhere/old}")
    assert earlier.read(by_path, tmp_path / "r" / "new", tmp_path) is not None
    absolute = small_search(tmp_path, f"warm_start={{search: {tmp_path}/elsewhere/old}}")
    assert earlier.read(absolute, tmp_path / "r" / "new", tmp_path / "other") is not None
    by_name = small_search(tmp_path, "warm_start={search: old}")
    assert earlier.read(by_name, tmp_path / "elsewhere" / "new", tmp_path) is not None
    with pytest.raises(BadInput, match="no such search"):
        earlier.read(by_name, tmp_path / "r" / "new", tmp_path)


def test_a_search_that_has_begun_needs_no_source(tmp_path: Path) -> None:
    new = made(tmp_path, tmp_path / "new", overrides=("warm_start={search: old}",))
    with pytest.raises(BadInput, match="no such search"):
        earlier.read(new, tmp_path / "new", tmp_path)  # nothing in its journal yet
    with Journal(tmp_path / "new" / JOURNAL) as journal:
        journal.append(WarmStarted("search old", [], [], 0, "", 0.0))
    assert earlier.read(new, tmp_path / "new", tmp_path) is None
    assert earlier.read(small_search(tmp_path), tmp_path / "other", tmp_path) is None


def refusal(place: Path, *overrides: str) -> str:
    before = state(place / "r")
    with pytest.raises(BadInput) as caught:
        earlier.read(small_search(place, *overrides), place / "r" / "new", place)
    assert state(place / "r") == before
    (problem,) = caught.value.problems
    return f"{problem}"


def test_folders_that_are_refused(tmp_path: Path) -> None:
    made(tmp_path, tmp_path / "r" / "old", *EVENTS)
    (tmp_path / "r" / "empty").mkdir()
    ask = "warm_start={{search: {}}}".format
    assert "r/odl: there is no such search to start from; did you mean 'old'?" in refusal(tmp_path, ask("odl"))
    assert "r/xyz: there is no such search to start from; there are: old" in refusal(tmp_path, ask("xyz"))
    assert "r/empty: holds no search to start from" in refusal(tmp_path, ask("empty"))
    assert "warm_start.search: new is this search itself" in refusal(tmp_path, ask("new"))
    described = tmp_path / "r" / "old" / "search.yaml"
    text = described.read_text()
    for before, after, told in [
        ("model: early_inference", "model: other", "its model is other, here it is early_inference"),
        ("_sd (min)", "_sd (max)", "its objective is val_mae_prior_sd (max), here it is val_mae_prior_sd (min)"),
        ("data_digest:", "digest:", "does not describe a search: settings, base, data_digest are needed"),
        ("name:", "\tname:", "not valid YAML"),
    ]:
        assert text.count(before) == 1
        described.write_text(text.replace(before, after))
        assert told in refusal(tmp_path, ask("old"))
    described.write_text("- a list\n")
    assert "does not describe a search" in refusal(tmp_path, ask("old"))
    described.write_text(text)
    journal = tmp_path / "r" / "old" / JOURNAL
    journal.write_bytes(b"0" * 8 + journal.read_bytes()[8:])
    assert "journal.jsonl line 1: the record is damaged" in refusal(tmp_path, ask("old"))
    described.unlink()
    assert "search.yaml: can't be read" in refusal(tmp_path, ask("old"))


def test_five_hundred_trials_are_read_in_a_moment(tmp_path: Path) -> None:
    events: list[Event] = [Phase("search", 0.0)]
    for number in range(500):
        events += [
            proposed(number, VALUES),
            *(reported(number, step, 0.5) for step in range(1, 19)),
            Ended(number, "completed", "", 0.0),
        ]
    made(tmp_path, tmp_path / "old", *events)
    began = time.process_time()
    found = earlier.read(small_search(tmp_path, "warm_start={search: old}"), tmp_path / "new", tmp_path)
    assert found is not None and len(found.trials) == len(Records(events).trials)
    assert time.process_time() - began < 5.0


# --- from tracked runs -------------------------------------------------------------------------------------------


def tracked(old: Search, events: list[Event]) -> tuple[list[TrackedRun], dict[str, list[Point]]]:
    """The runs that tracking makes of such a search, without a store, and their curves."""
    updates: dict[int, Update] = {PARENT: Update(PARENT, "old")}
    trials = Trials()
    for event in events:
        trials.fold(event, updates)
    shared = {"model": "early_inference", "objective": "val_mae_prior_sd (min)", "data_hash": "d" * 64}
    updates[PARENT].set_tags({**shared, "search": "old", "kind": "search", "base": json.dumps(old.base)})
    runs, curves = [], {}
    for number, update in updates.items():
        nested = {"mlflow.parentRunId": str(PARENT)} if number != PARENT else {}
        runs.append(TrackedRun(str(number), update.params, {**shared, **update.tags, **nested}))
        curves[str(number)] = [point for point in update.metrics if point.key == "objective"]
    return runs, curves


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts runs where MLflow's would be."""

    def put(runs: list[TrackedRun], curves: dict[str, list[Point]]) -> None:
        class Reader:
            def __init__(self, uri: str, experiment: str) -> None: ...

            def runs(self) -> list[TrackedRun]:
                return runs

            def points(self, run: str, metric: str) -> list[Point]:
                assert metric == "objective"
                return curves[run]

        monkeypatch.setattr(earlier, "MlflowReader", Reader)

    return put


def of_experiment(place: Path, *overrides: str) -> Old:
    search = small_search(place, "warm_start={experiment: e}", *overrides)
    found = earlier.read(search, place / "r" / "new", place)
    assert found is not None
    return found


def test_tracked_runs_tell_the_same_as_the_folder(tmp_path: Path, store: Callable[..., None]) -> None:
    old = made(tmp_path, tmp_path / "r" / "old", *EVENTS)
    store(*tracked(old, EVENTS))
    folder = earlier.read(small_search(tmp_path, "warm_start={search: old}"), tmp_path / "r" / "new", tmp_path)
    assert folder is not None
    runs = of_experiment(tmp_path)
    assert runs.source.startswith("MLflow experiment e in sqlite:///")
    assert [each for each in runs.trials if each.reports] == [
        replace(each, status="running" if each.status == "paused" else each.status)
        for each in folder.trials
        if each.reports
    ]
    assert [each.name for each in runs.trials] == [each.name for each in folder.trials]


def test_params_are_values_again(tmp_path: Path, store: Callable[..., None]) -> None:
    choices = "space={tcn_channels: {choice: [[4], [8, 8]]}}"
    values = {"tcn_channels": [8, 8], "lr": 1e-05, "use_uncertainty": False, "mlp.odd/key!": "x"}
    old = small_search(tmp_path)
    store(*tracked(old, [*trial(0, 0.5, values=values)]))
    (found,) = of_experiment(tmp_path, choices, "knobs=[tcn_channels, lr]").trials
    known = {path: value for path, value in values.items() if path != "mlp.odd/key!"}
    assert {path: found.values[path] for path in known} == known
    assert repr({path: found.values[path] for path in known}) == repr(known)


def test_text_that_looks_like_a_number_is_told_apart_by_the_domain(tmp_path: Path, store: Callable[..., None]) -> None:
    words, numbers = (Space((Knob("device", Categorical(choices)),)) for choices in (("1", "true"), (1, "x")))
    search = small_search(tmp_path, "warm_start={experiment: e}")
    for said, word, other in [("1", "1", 1), ("true", "true", True), ("x", "x", "x")]:
        store(*tracked(search, trial(0, 0.5, values={"device": said})))
        for space, value in ((words, word), (numbers, other)):
            found = earlier.read(replace(search, space=space), tmp_path / "r" / "new", tmp_path)
            assert found is not None and [each.values for each in found.trials] == [{"device": value}]


def test_runs_of_others_are_left_out(tmp_path: Path, store: Callable[..., None]) -> None:
    runs, curves = tracked(small_search(tmp_path), EVENTS)
    alone = TrackedRun("mine", {"lr": "0.1"}, {})
    other = [replace(run, id=f"o{run.id}", tags={**run.tags, "model": "other"}) for run in runs]
    store([alone, *other, *runs], {**curves, **{f"o{run}": curve for run, curve in curves.items()}})
    assert len(of_experiment(tmp_path).trials) == 6
    store([alone, *other], {})
    with pytest.raises(BadInput, match="it has trials of other only; trials of early_inference are needed"):
        of_experiment(tmp_path)
    store([alone], {})
    with pytest.raises(BadInput, match=r"experiment 'e' in sqlite.*it has no trials of a search"):
        of_experiment(tmp_path)


@pytest.mark.parametrize("base", [None, "cut…", "[1]"])
def test_without_its_base_a_trial_is_a_config_only(
    tmp_path: Path, store: Callable[..., None], base: str | None
) -> None:
    runs, curves = tracked(small_search(tmp_path), EVENTS)
    parent = replace(runs[0], tags={k: v for k, v in runs[0].tags.items() if k != "base"})
    store([replace(parent, tags={**parent.tags, **({"base": base} if base else {})}), *runs[1:]], curves)
    assert {each.base for each in of_experiment(tmp_path).trials} == {None}
    store(runs[1:], curves)  # its run is deleted
    assert [each.name for each in of_experiment(tmp_path).trials][:2] == ["run trial 0", "run trial 1"]


def test_a_store_that_fails_is_said_in_one_line_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(uri: str, experiment: str) -> None:
        raise RuntimeError(f"no table at {uri}\nand more")

    monkeypatch.setattr(earlier, "MlflowReader", fail)
    monkeypatch.setattr(earlier, "unreachable", {}.get)
    search = small_search(tmp_path, extra="warm_start: {experiment: e, uri: 'http://me:secret@host'}\n")
    with pytest.raises(BadInput) as caught:
        earlier.read(search, tmp_path / "new", tmp_path)
    assert str(caught.value) == (
        "warm_start: MLflow experiment 'e' in http://***@host: can't be read: no table at http://***@host"
    )
    assert "secret" not in json.dumps(search.identity())
