from pathlib import Path

import pandas as pd
import pytest
import yaml
from small_search import BASE, proposed, records_of, reported, small_search, trial

from search.common.git import git_commit, tool_version
from search.history.events import Changed, Ended, Event
from search.history.records import Records
from search.results.export import write_artifacts, write_best
from search.results.tables import history_table, trials_table, write_tables
from search.results.verdict import judge
from search.spec.search import Search
from spaces import strict_yaml
from trainables.files import write_text
from trainables.layout import trial_folder
from trainables.native import parse_native
from trainables.run import Prepared

KNOBS = ["lr", "batch_size", "tcn_channels"]
WINNER = {"lr": 1.5e-05, "batch_size": 64, "warmup_epochs": 2}
PREPARED = Prepared(Path("/nowhere"), "d" * 64, "20 curves")


def records() -> Records:
    stopped: list[Event] = [
        proposed(1, {"lr": 0.01, "tcn_channels": [4, 8]}),
        reported(1, 1, 0.9, at=10.0, seconds=0.1234),
        reported(1, 3, 0.8, at=11.0, seconds=0.5),
        Ended(1, "stopped", 'among the worst, "at 3"', 12.0),
    ]
    return records_of(
        trial(0, 0.5, values={"lr": 1e-3, "batch_size": 256}, origin="baseline"),
        stopped,
        trial(2, None, status="failed", values={"lr": 0.1, "batch_size": 32}),
        trial(3, 0.4, values={"lr": 1e-3, "batch_size": 256}, origin="trial 0", kind="confirm", seed=7),
    )


def test_one_row_per_trial_with_a_column_per_knob(tmp_path: Path) -> None:
    write_tables(tmp_path, records(), KNOBS)
    table = pd.read_csv(tmp_path / "trials.csv")
    assert list(table.columns) == [
        "number", "kind", "origin", "status", "objective", "steps", "seconds", "seed", "reason", *KNOBS,
    ]  # fmt: skip
    assert table.number.tolist() == [0, 1, 2, 3]
    assert table.kind.tolist() == ["search", "search", "search", "confirm"]
    assert table.origin.tolist() == ["baseline", "tpe", "tpe", "trial 0"]
    assert table.status.tolist() == ["completed", "stopped", "failed", "completed"]
    assert table.objective.tolist()[:2] == [0.5, 0.8] and table.objective.isna().tolist() == [False, False, True, False]
    assert table.steps.tolist() == [18, 3, 0, 18]
    assert table.seconds.tolist() == [1.0, 0.623, 0.0, 1.0]
    assert table.seed.tolist() == [0, 0, 0, 7]
    assert table.reason[1] == 'among the worst, "at 3"'
    assert table.lr.tolist() == [1e-3, 0.01, 0.1, 1e-3]
    assert table.batch_size.isna().tolist() == [False, True, False, False]  # trial 1 has it inactive
    assert table.tcn_channels[1] == "[4, 8]"


def test_the_history_has_every_evaluation(tmp_path: Path) -> None:
    known = records()
    write_tables(tmp_path, known, KNOBS)
    table = pd.read_parquet(tmp_path / "history.parquet")
    assert table[["trial", "step", "objective", "loss", "seconds", "at", "kind"]].to_dict("records") == [
        {
            "trial": t.number,
            "step": r.step,
            **r.metrics,
            "seconds": r.seconds,
            "at": r.at,
            "kind": t.proposed.kind,
        }
        for t in known.trials.values()
        for r in t.reports
    ]
    assert len(table) == 4
    last = table[table.kind == "search"].groupby("trial").last()
    trials = pd.read_csv(tmp_path / "trials.csv").set_index("number")
    assert (trials.objective[last.index] == last.objective).all() and (trials.steps[last.index] == last.step).all()


def test_a_search_without_a_report_has_empty_tables(tmp_path: Path) -> None:
    write_tables(tmp_path, Records(), KNOBS)
    assert len(pd.read_csv(tmp_path / "trials.csv")) == len(pd.read_parquet(tmp_path / "history.parquet")) == 0
    assert "objective" in history_table(Records()).columns


def test_knobs_changed_in_mid_run_are_told_as_they_are_now() -> None:
    known = Records([proposed(0, {"lr": 1.0}), Changed(0, {"lr": 2.0}, 0.0)])
    assert trials_table(known, ["lr"]).lr.tolist() == [2.0]


# best.yaml and native/.


def finished() -> Records:
    start = [trial(0, 0.5, values={"lr": 1e-3}, origin="baseline"), trial(1, 0.4, values=WINNER)]
    runs = [(0, 1, 0.5), (1, 1, 0.3), (0, 2, 0.52), (1, 2, 0.31)]
    confirmed = [
        trial(10 + i, value, origin=f"trial {of}", kind="confirm", seed=seed)
        for i, (of, seed, value) in enumerate(runs)
    ]
    return records_of(*start, *confirmed)


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return small_search(tmp_path)


@pytest.fixture
def best(tmp_path: Path, search: Search) -> Path:
    verdict = judge(finished(), search.model.objective)
    assert verdict is not None
    folder = tmp_path / "results"
    folder.mkdir()
    write_best(folder, search, PREPARED, verdict)
    return folder


def test_best_yaml_reads_back_equal_by_either_reader(best: Path, search: Search) -> None:
    text = (best / "best.yaml").read_text()
    content = strict_yaml.load(best / "best.yaml")
    assert yaml.safe_load(text) == content
    assert content["config"] == {**search.base, **WINNER}
    assert type(content["config"]["lr"]) is float and content["config"]["my_note"] == "kept"
    assert text.startswith("# ") and f"python -m trainables.train {best / 'best.yaml'}" in text


def test_best_yaml_says_what_to_train_and_on_what_evidence(best: Path, search: Search) -> None:
    content = strict_yaml.load(best / "best.yaml")
    assert {key: content[key] for key in ("model", "data", "seed", "steps", "evaluate_every")} == {
        "model": "early_inference",
        "data": search.data_dump,
        "seed": 1,
        "steps": 18,
        "evaluate_every": 1,
    }
    told = content["provenance"]
    assert (told["search"], told["search_hash"], told["data"]) == (search.name, search.digest, "d" * 64)
    assert (told["trial"], told["seed"]) == (1, 1)
    assert told["objective"] == {"metric": search.model.objective.metric, "value": 0.3}
    assert told["confirmed"]["mean"] == pytest.approx(0.305) and told["confirmed"]["by_seed"] == {1: 0.3, 2: 0.31}
    assert told["confirmed"]["low"] < 0.305 < told["confirmed"]["high"]
    assert told["baseline"]["mean"] == pytest.approx(0.51) and told["baseline"]["seeds"] == 2
    assert told["gain"]["mean"] == pytest.approx(0.205)
    assert told["verdict"] in {"switch", "keep"} and told["why"]
    assert told["packages"]["torch"].startswith("2.") and told["python"].startswith("3.")
    assert told["git_commit"] == git_commit() and told["schedule_search"] == tool_version()


def test_the_users_file_keeps_all_but_the_changed_values(best: Path) -> None:
    assert sorted(path.name for path in (best / "native").iterdir()) == ["base.yaml", "config.py"]
    expected = BASE.replace("lr: 1e-3 ", "lr: 1.5e-05 ").replace("batch_size: 256", "batch_size: 64")
    added = "early_stopping_patience: 20\nwarmup_epochs: 2\n"  # the first is open where a file lacks it
    assert (best / "native" / "base.yaml").read_text() == expected + added


def test_the_other_native_form_is_the_whole_winning_config(best: Path, search: Search) -> None:
    text = (best / "native" / "config.py").read_text()
    assert parse_native(text, "config.py", "config.py") == {**search.base, **WINNER}


def test_the_artifacts_are_those_of_the_run_that_best_yaml_repeats(tmp_path: Path) -> None:
    records, search = finished(), small_search(tmp_path)
    verdict = judge(records, search.model.objective)
    assert verdict is not None and write_artifacts(tmp_path, records, verdict) is None
    for run in records.of_kind("confirm"):
        place = trial_folder(tmp_path, run.number) / "artifacts"
        place.mkdir(parents=True)
        (place / "a.txt").write_text(f"{run.proposed.origin} {run.proposed.seed}")
    for _ in range(2):  # again, when a finished search is shown again
        assert write_artifacts(tmp_path, records, verdict) == tmp_path / "artifacts"
    write_best(tmp_path, search, PREPARED, verdict)
    told = strict_yaml.load(tmp_path / "best.yaml")
    assert (tmp_path / "artifacts" / "a.txt").read_text() == f"trial {verdict.handed_over.trial} {told['seed']}"


def test_fixed_knobs_stand_in_the_users_file_too(tmp_path: Path) -> None:
    search = small_search(tmp_path, "knobs=[lr, batch_size]", "space={weight_decay: 1e-4}")
    verdict = judge(
        records_of(trial(0, 0.5, values={"lr": 1e-2, "batch_size": 256}, origin="baseline")), search.model.objective
    )
    assert verdict is not None and verdict.decision == "unconfirmed"
    write_best(tmp_path, search, PREPARED, verdict)
    written = strict_yaml.load(tmp_path / "native" / "base.yaml")
    assert written["weight_decay"] == 1e-4 and written["lr"] == 1e-2
    content = strict_yaml.load(tmp_path / "best.yaml")
    assert content["config"]["weight_decay"] == 1e-4 and content["provenance"]["gain"] is None


def unsure() -> Records:
    """Trial 1 is better on the mean, and not surely."""
    start = [trial(0, 0.5, values={"lr": 1e-3}, origin="baseline"), trial(1, 0.4, values=WINNER)]
    runs = [(0, 1, 0.5), (1, 1, 0.3), (0, 2, 0.4), (1, 2, 0.5)]
    return records_of(
        *start,
        *(trial(10 + i, v, origin=f"trial {of}", kind="confirm", seed=seed) for i, (of, seed, v) in enumerate(runs)),
    )


def test_keep_hands_over_the_users_file_as_it_is_and_no_other(tmp_path: Path) -> None:
    search = small_search(tmp_path)
    first, verdict = judge(finished(), search.model.objective), judge(unsure(), search.model.objective)
    assert first is not None and verdict is not None
    assert verdict.decision == "undecided" and verdict.winner.trial == 1 and verdict.handed_over.trial == 0
    for each in (first, verdict):  # a search that went on
        write_best(tmp_path, search, PREPARED, each)
    assert [path.name for path in (tmp_path / "native").iterdir()] == ["base.yaml"]
    assert (tmp_path / "native" / "base.yaml").read_text() == BASE
    content = strict_yaml.load(tmp_path / "best.yaml")
    assert content["config"] == dict(search.base) and content["provenance"]["trial"] == 0
    assert content["provenance"]["objective"]["value"] == 0.5


def test_without_a_file_of_the_users_both_forms_are_written(tmp_path: Path) -> None:
    search = small_search(tmp_path, "base=null")
    verdict = judge(finished(), search.model.objective)
    assert verdict is not None
    write_best(tmp_path, search, PREPARED, verdict)
    yaml_form = strict_yaml.load(tmp_path / "native" / "config.yaml")
    python_form = parse_native((tmp_path / "native" / "config.py").read_text(), "config.py", "config.py")
    assert yaml_form == python_form == {**search.base, **WINNER}


def test_a_text_file_is_replaced_whole_and_leaves_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    write_text(path, "new é")
    assert path.read_text(encoding="utf-8") == "new é" and list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_outside_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit() is None
